"""What can be done on GitHub, by people and by the app alike; each act names the deliveries that it causes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.fakes.github.answers import Refusal, custom, invalid
from tests.fakes.github.hooks import Hooks, Outgoing
from tests.fakes.github.shapes import Json, Shapes, node_id
from tests.fakes.github.shapes_git import pull_request_simple
from tests.fakes.github.world import (
    Account,
    Comment,
    Installation,
    Issue,
    IssueEvent,
    Label,
    Pull,
    Reaction,
    Repository,
    ReviewComment,
    World,
)

LONGEST_BODY = 65_536
_LONGEST_TITLE = 256
_LABEL_COLOR = "ededed"

T = TypeVar("T")


@dataclass(frozen=True)
class Act(Generic[T]):
    subject: T
    deliveries: tuple[Outgoing, ...] = ()


class Forge:
    def __init__(self, world: World, shapes: Shapes, hooks: Hooks) -> None:
        self.world = world
        self.shapes = shapes
        self.hooks = hooks

    # Deliveries.

    def _tell(
        self, event: str, action: str, repository: Repository, sender: Account, **facts: Json
    ) -> tuple[Outgoing, ...]:
        installation = self.world.installation_of(repository)
        if installation is None or installation.suspended_at:
            return ()
        payload: Json = {"action": action, **facts, "repository": self.shapes.repository(repository)}
        if repository.owner.type == "Organization":
            url = f"{self.shapes.links.api}/orgs/{repository.owner.login}"
            owner = repository.owner
            payload["organization"] = {
                "login": owner.login,
                "id": owner.id,
                "node_id": node_id("O", owner.id),
                "url": url,
                "description": None,
            }
        payload["sender"] = self.shapes.account(sender)
        payload["installation"] = {"id": installation.id, "node_id": node_id("MDI", installation.id)}
        outgoing = self.hooks.compose(event, payload, installation_id=installation.id, repository_id=repository.id)
        return (outgoing,) if outgoing else ()

    def _tell_issue(
        self, action: str, repository: Repository, issue: Issue, sender: Account, **facts: Json
    ) -> tuple[Outgoing, ...]:
        if issue.pull:
            return ()  # `pull_request` events, to which the app does not subscribe
        return self._tell("issues", action, repository, sender, issue=self.shapes.issue(repository, issue), **facts)

    def tell_installation(
        self, event: str, action: str, installation: Installation, sender: Account, **facts: object
    ) -> tuple[Outgoing, ...]:
        payload: Json = {
            "action": action,
            "installation": self.shapes.installation(installation),
            **facts,
            "sender": self.shapes.account(sender),
        }
        outgoing = self.hooks.compose(event, payload, installation_id=installation.id, repository_id=None)
        return (outgoing,) if outgoing else ()

    # Threads.

    def _new_thread(
        self, repository: Repository, author: Account, title: str, body: str, *, via_app: bool, pull: Pull | None
    ) -> Issue:
        if not title.strip():
            raise invalid("Issue", "title", "missing_field")
        if len(title) > _LONGEST_TITLE:
            raise invalid("Issue", "title", "custom", f"Title is too long (maximum is {_LONGEST_TITLE} characters)")
        _check_body("Issue", body)
        with self.world.lock:
            now = self.world.clock()
            issue = Issue(
                id=self.world.next_id(),
                repository=repository,
                number=max(repository.threads, default=0) + 1,
                title=title,
                body=body,
                author=author,
                created_at=now,
                updated_at=now,
                via_app=via_app,
                pull=pull,
            )
            repository.threads[issue.number] = issue
        return issue

    def open_issue(
        self,
        repository: Repository,
        author: Account,
        title: str,
        body: str,
        *,
        labels: Iterable[str] = (),
        via_app: bool = False,
    ) -> Act[Issue]:
        """Labels set at creation give `opened` and `labeled`."""
        issue = self._new_thread(repository, author, title, body, via_app=via_app, pull=None)
        added = [self.label(repository, name) for name in labels]
        for label in added:
            self._attach(issue, label, author)
        told = self._tell_issue("opened", repository, issue, author)
        for label in added:
            told += self._tell_issue("labeled", repository, issue, author, label=self.shapes.label(repository, label))
        return Act(issue, told)

    def edit_issue(
        self,
        repository: Repository,
        issue: Issue,
        editor: Account,
        *,
        title: str | None = None,
        body: str | None = None,
        state: str | None = None,
    ) -> Act[Issue]:
        if body is not None:
            _check_body("Issue", body)
        changes: Json = {}
        with self.world.lock:
            if title is not None and title != issue.title:
                changes["title"] = {"from": issue.title}
                issue.title = title
            if body is not None and body != issue.body:
                changes["body"] = {"from": issue.body}
                issue.body = body
            closing = state is not None and state != issue.state
            if state is not None and closing:
                issue.state = state
                issue.closed_at = self.world.clock() if state == "closed" else None
            issue.updated_at = self.world.clock()
        told: tuple[Outgoing, ...] = ()
        if changes:
            told += self._tell_issue("edited", repository, issue, editor, changes=changes)
        if closing:
            action = "closed" if issue.state == "closed" else "reopened"
            told += self._tell_issue(action, repository, issue, editor)
        return Act(issue, told)

    def comment(
        self, repository: Repository, issue: Issue, author: Account, body: str, *, via_app: bool = False
    ) -> Act[Comment]:
        _check_body("IssueComment", body, required=True)
        with self.world.lock:
            now = self.world.clock()
            comment = Comment(self.world.next_id(), author, body, now, now, via_app, history=[body])
            issue.comments.append(comment)
            issue.updated_at = now
        return Act(comment, self._tell_comment("created", repository, issue, comment, author))

    def edit_comment(
        self, repository: Repository, issue: Issue, comment: Comment, editor: Account, body: str
    ) -> Act[Comment]:
        _check_body("IssueComment", body, required=True)
        with self.world.lock:
            before, comment.body = comment.body, body
            comment.history.append(body)
            comment.updated_at = self.world.clock()
        changes: Json = {"body": {"from": before}}
        return Act(comment, self._tell_comment("edited", repository, issue, comment, editor, changes=changes))

    def delete_comment(self, repository: Repository, issue: Issue, comment: Comment, actor: Account) -> Act[None]:
        with self.world.lock:
            issue.comments.remove(comment)
        return Act(None, self._tell_comment("deleted", repository, issue, comment, actor))

    def _tell_comment(
        self, action: str, repository: Repository, issue: Issue, comment: Comment, sender: Account, **facts: Json
    ) -> tuple[Outgoing, ...]:
        return self._tell(
            "issue_comment",
            action,
            repository,
            sender,
            issue=self.shapes.issue(repository, issue),
            comment=self.shapes.comment(repository, issue, comment),
            **facts,
        )

    def react(self, reactions: list[Reaction], author: Account, content: str) -> tuple[Reaction, bool]:
        """The reaction, and whether it is new: a second one of the same kind is the first one."""
        with self.world.lock:
            for reaction in reactions:
                if reaction.author is author and reaction.content == content:
                    return reaction, False
            reaction = Reaction(self.world.next_id(), author, content, self.world.clock())
            reactions.append(reaction)
            return reaction, True

    # Labels.

    def label(
        self, repository: Repository, name: str, *, color: str = _LABEL_COLOR, description: str | None = None
    ) -> Label:
        """The label of that name, made if need be."""
        with self.world.lock:
            label = repository.labels.get(name.lower())
            if label is None:
                label = Label(self.world.next_id(), name, color, description)
                repository.labels[name.lower()] = label
            return label

    def _attach(self, issue: Issue, label: Label, actor: Account) -> None:
        with self.world.lock:
            issue.labels.append(label)
            now = self.world.clock()
            issue.updated_at = now
            issue.events.append(IssueEvent(self.world.next_id(), "labeled", actor, label, now))

    def add_labels(self, repository: Repository, issue: Issue, actor: Account, names: Sequence[str]) -> Act[Issue]:
        """A label that is already there is not set again, and tells nobody."""
        told: tuple[Outgoing, ...] = ()
        for name in names:
            label = self.label(repository, name)
            if label not in issue.labels:
                self._attach(issue, label, actor)
                told += self._tell_issue(
                    "labeled", repository, issue, actor, label=self.shapes.label(repository, label)
                )
        return Act(issue, told)

    def remove_label(self, repository: Repository, issue: Issue, actor: Account, label: Label) -> Act[Issue]:
        with self.world.lock:
            issue.labels.remove(label)
            now = self.world.clock()
            issue.events.append(IssueEvent(self.world.next_id(), "unlabeled", actor, label, now))
        told = self._tell_issue("unlabeled", repository, issue, actor, label=self.shapes.label(repository, label))
        return Act(issue, told)

    # Pull requests.

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
    ) -> Issue:
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
            issue = self._new_thread(repository, author, title, body, via_app=via_app, pull=pull)
        repository.bare.update_ref(f"refs/pull/{issue.number}/head", head_sha)
        return issue

    @staticmethod
    def open_pulls(repository: Repository, head_repo: Repository, head_ref: str, base_ref: str) -> list[Issue]:
        return [
            thread
            for thread in repository.pulls
            if thread.pull
            and thread.state == "open"
            and (thread.pull.head_repo, thread.pull.head_ref, thread.pull.base_ref) == (head_repo, head_ref, base_ref)
        ]

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
        _check_body("PullRequestReviewComment", body, required=True)
        assert issue.pull is not None
        with self.world.lock:
            now = self.world.clock()
            comment = ReviewComment(
                self.world.next_id(),
                author,
                body,
                now,
                now,
                via_app,
                history=[body],
                path=path,
                line=line,
                diff_hunk=f"@@ -{line} +{line} @@",
                commit_sha=issue.pull.head_sha,
                in_reply_to_id=reply_to,
            )
            issue.pull.review_comments.append(comment)
        told = self._tell(
            "pull_request_review_comment",
            "created",
            repository,
            author,
            comment=self.shapes.review_comment(repository, issue, comment),
            pull_request=pull_request_simple(self.shapes, repository, issue),
        )
        return Act(comment, told)

    def refs_changed(self, repository: Repository) -> None:
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
        for base_repo, thread, pull in open_pulls:
            head_sha = heads.get(f"refs/heads/{pull.head_ref}") if pull.head_repo is repository else None
            if head_sha and head_sha != pull.head_sha:
                if base_repo is not repository:
                    base_repo.bare.fetch(repository.bare, head_sha)
                base_repo.bare.update_ref(f"refs/pull/{thread.number}/head", head_sha)
                pull.head_sha = head_sha
                thread.updated_at = self.world.clock()
            base_sha = heads.get(f"refs/heads/{pull.base_ref}") if base_repo is repository else None
            if base_sha:
                pull.base_sha = base_sha


def _check_body(resource: str, body: str, *, required: bool = False) -> None:
    if required and not body.strip():
        raise invalid(resource, "body", "missing_field")
    if len(body) > LONGEST_BODY:
        raise invalid(resource, "body", "custom", f"Body is too long (maximum is {LONGEST_BODY} characters)")
