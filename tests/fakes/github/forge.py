"""What can be done on GitHub, by people and by the app alike; each act names the deliveries that it causes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fakes.github.answers import Refusal, custom, invalid
from tests.fakes.github.bare import FileChange, Ident
from tests.fakes.github.hooks import Outgoing
from tests.fakes.github.shapes_git import delivered_review, pull_request_simple
from tests.fakes.github.threads import LONGEST_BODY, Act, Threads, check_body
from tests.fakes.github.world import Account, Issue, Pull, Repository, Review, ReviewComment

__all__ = ["LONGEST_BODY", "Act", "Forge", "Remark"]

_CLOSING = re.compile(r"(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)\b")
"""https://docs.github.com/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue"""

_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)")


@dataclass(frozen=True)
class Remark:
    """What is said on one line of a pull request's diff."""

    path: str
    line: int
    body: str


class Forge(Threads):
    """Threads, and what only pull requests have."""

    def open_pull(
        self,
        repository: Repository,
        author: Account,
        title: str,
        body: str,
        *,
        head_repo: Repository,
        head_ref: str,
        base_ref: str,
        draft: bool,
        via_app: bool = False,
    ) -> Act[Issue]:
        base_sha = repository.bare.ref(f"refs/heads/{base_ref}")
        if base_sha is None:
            raise invalid("PullRequest", "base", "invalid")
        head_sha = head_repo.bare.ref(f"refs/heads/{head_ref}")
        if head_sha is None:
            raise invalid("PullRequest", "head", "invalid")
        if head_repo is not repository:
            repository.bare.fetch(head_repo.bare, head_sha)
        if not repository.bare.commits_between(base_sha, head_sha):
            raise custom("PullRequest", f"No commits between {base_ref} and {head_ref}")
        if draft and not repository.drafts_allowed:
            raise Refusal(422, "Draft pull requests are not supported in this repository.")
        with self.world.lock:
            if self.open_pulls(repository, head_repo, head_ref, base_ref):
                raise custom("PullRequest", f"A pull request already exists for {head_repo.owner.login}:{head_ref}.")
            pull = Pull(self.world.next_id(), head_repo, head_ref, base_ref, draft, head_sha, base_sha)
            issue = self.new_thread(repository, author, title, body, via_app=via_app, pull=pull)
        repository.bare.update_ref(f"refs/pull/{issue.number}/head", head_sha)
        return Act(issue, self.tell_thread("opened", repository, issue, author))

    @staticmethod
    def open_pulls(repository: Repository, head_repo: Repository, head_ref: str, base_ref: str) -> list[Issue]:
        return [
            thread
            for thread in repository.pulls
            if thread.pull
            and thread.state == "open"
            and (thread.pull.head_repo, thread.pull.head_ref, thread.pull.base_ref) == (head_repo, head_ref, base_ref)
        ]

    # Reviews.

    def review(
        self,
        repository: Repository,
        issue: Issue,
        author: Account,
        remarks: Sequence[Remark],
        *,
        body: str = "",
        event: str = "COMMENT",
        reply_to: int | None = None,
        via_app: bool = False,
    ) -> Act[Review]:
        """One review: each comment is told, then the review."""
        pull = _pull(issue)
        if event not in Review.STATES:
            raise invalid("PullRequestReview", "event", "invalid")
        check_body("PullRequestReview", body, required=event == "REQUEST_CHANGES" and not remarks)
        for remark in remarks:
            check_body("PullRequestReviewComment", remark.body, required=True)
        hunks = [self._hunk(repository, pull, remark) for remark in remarks]
        with self.world.lock:
            now = self.world.clock()
            review = Review(self.world.next_id(), author, body, Review.STATES[event], pull.head_sha, now)
            comments = [
                ReviewComment(
                    self.world.next_id(),
                    author,
                    remark.body,
                    now,
                    now,
                    via_app,
                    history=[remark.body],
                    path=remark.path,
                    line=remark.line,
                    diff_hunk=hunk,
                    commit_sha=pull.head_sha,
                    in_reply_to_id=reply_to,
                    review_id=review.id,
                )
                for remark, hunk in zip(remarks, hunks, strict=True)
            ]
            pull.reviews.append(review)
            pull.review_comments += comments
            issue.updated_at = now
        shape = pull_request_simple(self.shapes, repository, issue)
        told: tuple[Outgoing, ...] = ()
        for comment in comments:
            said = self.shapes.review_comment(repository, issue, comment)
            told += self.tell(
                "pull_request_review_comment", "created", repository, author, comment=said, pull_request=shape
            )
        found = delivered_review(self.shapes, repository, issue, review)
        told += self.tell("pull_request_review", "submitted", repository, author, review=found, pull_request=shape)
        return Act(review, told)

    def review_comment(
        self,
        repository: Repository,
        issue: Issue,
        author: Account,
        body: str,
        *,
        path: str,
        line: int,
        reply_to: int | None,
        via_app: bool = False,
    ) -> Act[ReviewComment]:
        """Said alone: GitHub makes a review of it all the same."""
        remark = Remark(path, line, body)
        act = self.review(repository, issue, author, [remark], reply_to=reply_to, via_app=via_app)
        return Act(_pull(issue).review_comments[-1], act.deliveries)

    @staticmethod
    def _hunk(repository: Repository, pull: Pull, remark: Remark) -> str:
        """The diff around the line, from the start of its hunk to the line itself, as GitHub cuts it."""
        bare = repository.bare
        start = bare.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha
        changed = next((one for one in bare.changes(start, pull.head_sha) if one.path == remark.path), None)
        return (changed and _cut(changed, remark.line)) or f"@@ -{remark.line} +{remark.line} @@"

    # The end of a pull request.

    def merge(self, repository: Repository, issue: Issue, actor: Account) -> Act[Issue]:
        """With a merge commit; on the default branch, issues that the pull request's text closes are closed."""
        pull, bare = _pull(issue), repository.bare
        base = bare.ref(f"refs/heads/{pull.base_ref}")
        tree = bare.merged_tree(base, pull.head_sha) if base and issue.state == "open" else None
        if base is None or tree is None:
            raise Refusal(405, "Pull Request is not mergeable")
        now = self.world.clock()
        who = Ident(actor.login, f"{actor.id}+{actor.login}@users.noreply.github.com", now.replace(microsecond=0))
        message = (
            f"Merge pull request #{issue.number} from {pull.head_repo.owner.login}/{pull.head_ref}\n\n{issue.title}"
        )
        sha = bare.write_commit(tree, [base, pull.head_sha], author=who, committer=who, message=message)
        bare.update_ref(f"refs/heads/{pull.base_ref}", sha, base)
        with self.world.lock:
            issue.state, issue.closed_at, issue.updated_at = "closed", now, now
            pull.merged_at, pull.merged_by = now, actor
        told = self.tell_thread("closed", repository, issue, actor)
        told += self.refs_changed(repository, actor)
        if pull.base_ref == repository.default_branch:
            for number in _CLOSING.findall(issue.body):
                closed = repository.threads.get(int(number))
                if closed and not closed.pull:
                    told += self.edit_issue(repository, closed, actor, state="closed").deliveries
        return Act(issue, told)

    def refs_changed(self, repository: Repository, sender: Account) -> tuple[Outgoing, ...]:
        """After a push or a change of refs: open pull requests follow their branches."""
        heads = repository.bare.refs("refs/heads")
        with self.world.lock:
            repository.pushed_at = self.world.clock()
            open_pulls = [
                (other, thread, thread.pull)
                for other in self.world.all_repositories
                for thread in other.pulls
                if thread.pull and thread.state == "open" and repository in (other, thread.pull.head_repo)
            ]
        told: tuple[Outgoing, ...] = ()
        for base_repo, thread, pull in open_pulls:
            base_sha = heads.get(f"refs/heads/{pull.base_ref}") if base_repo is repository else None
            if base_sha:
                pull.base_sha = base_sha
            head_sha = heads.get(f"refs/heads/{pull.head_ref}") if pull.head_repo is repository else None
            if head_sha and head_sha != pull.head_sha:
                if base_repo is not repository:
                    base_repo.bare.fetch(repository.bare, head_sha)
                base_repo.bare.update_ref(f"refs/pull/{thread.number}/head", head_sha)
                before, pull.head_sha = pull.head_sha, head_sha
                thread.updated_at = self.world.clock()
                told += self.tell_thread("synchronize", base_repo, thread, sender, before=before, after=head_sha)
        return told


def _pull(issue: Issue) -> Pull:
    assert issue.pull is not None
    return issue.pull


def _cut(changed: FileChange, line: int) -> str:
    """Empty when the line is not in the diff."""
    kept: list[str] = []
    number = 0
    for row in changed.patch.splitlines():
        start = _HUNK.match(row)
        if start:
            kept, number = [row], int(start[1]) - 1
            continue
        kept.append(row)
        number += not row.startswith("-")
        if number == line and not row.startswith("-"):
            return "\n".join(kept)
    return ""
