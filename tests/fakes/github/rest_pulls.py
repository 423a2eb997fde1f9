"""REST: pull requests, their files and review comments."""

from __future__ import annotations

from tests.fakes.github import shapes_git
from tests.fakes.github.answers import Answer, Refusal, invalid, not_found
from tests.fakes.github.operations import Call, operation
from tests.fakes.github.rest_issues import create_reaction, delete_reaction, list_reactions
from tests.fakes.github.world import Issue, Pull, Repository, ReviewComment

_PULLS = "/repos/{owner}/{repo}/pulls"
_PULL = _PULLS + "/{pull_number}"
_READ = "pull_requests=read"
_WRITE = "pull_requests=write"


def _head(call: Call, name: str) -> tuple[Repository | None, str]:
    """`branch`, or `owner:branch` where the owner may be that of a fork."""
    owner, colon, branch = name.partition(":")
    if not colon:
        return call.repository, name
    if owner.lower() == call.repository.owner.login.lower():
        return call.repository, branch
    forks = (fork for fork in call.parts.world.all_repositories if fork.fork_of is call.repository)
    return next((fork for fork in forks if fork.owner.login.lower() == owner.lower()), None), branch


@operation("POST", _PULLS, needs=_WRITE, content=True)
def create_pull(call: Call) -> Answer:
    if call.repository.archived:
        raise Refusal(403, "Repository was archived so is read-only.")
    head_repo, head_ref = _head(call, call.text("head", "PullRequest"))
    if head_repo is None:
        raise invalid("PullRequest", "head", "invalid")
    act = call.parts.forge.open_pull(
        call.repository,
        call.actor,
        call.text("title", "PullRequest"),
        call.maybe_text("body") or "",
        head_repo=head_repo,
        head_ref=head_ref,
        base_ref=call.text("base", "PullRequest"),
        draft=bool(call.body.get("draft")),
        via_app=call.via_app,
    )
    shape = shapes_git.pull_request(call.parts.shapes, call.repository, act.subject)
    return Answer(201, shape, deliveries=act.deliveries)


@operation("GET", _PULLS, needs=_READ)
def list_pulls(call: Call) -> Answer:
    """`head` is filtered as `owner:branch` only; without a colon GitHub ignores it."""
    state = call.query.get("state", "open")
    pulls = [thread for thread in call.repository.pulls if state in ("all", thread.state)]
    head = call.query.get("head")
    if head and ":" in head:
        head_repo, head_ref = _head(call, head)
        pulls = [one for one in pulls if one.pull and (one.pull.head_repo, one.pull.head_ref) == (head_repo, head_ref)]
    base = call.query.get("base")
    if base:
        pulls = [one for one in pulls if one.pull and one.pull.base_ref == base]
    rows, headers = call.page(sorted(pulls, key=lambda one: one.number, reverse=call.query.get("direction") != "asc"))
    shapes = [shapes_git.pull_request_simple(call.parts.shapes, call.repository, row) for row in rows]
    return Answer(body=shapes, headers=headers)


@operation("GET", _PULL, needs=_READ)
def get_pull(call: Call) -> Answer:
    issue = call.pull()
    if "diff" in call.accept:
        base, head = _ends(call, issue)
        diff = call.repository.bare.diff(base, head).encode()
        return Answer(body=diff, media="application/vnd.github.diff; charset=utf-8")
    return Answer(body=shapes_git.pull_request(call.parts.shapes, call.repository, issue))


@operation("PATCH", _PULL, needs=_WRITE)
def update_pull(call: Call) -> Answer:
    issue = call.pull()
    base = call.maybe_text("base")
    if base is not None and issue.pull:
        sha = call.repository.bare.ref(f"refs/heads/{base}")
        if sha is None:
            raise invalid("PullRequest", "base", "invalid")
        issue.pull.base_ref, issue.pull.base_sha = base, sha
    act = call.parts.forge.edit_issue(
        call.repository,
        issue,
        call.actor,
        title=call.maybe_text("title"),
        body=call.maybe_text("body"),
        state=call.maybe_text("state"),
    )
    return Answer(body=shapes_git.pull_request(call.parts.shapes, call.repository, issue), deliveries=act.deliveries)


def _ends(call: Call, issue: Issue) -> tuple[str, str]:
    pull = _pull_of(issue)
    return call.repository.bare.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha, pull.head_sha


def _pull_of(issue: Issue) -> Pull:
    if issue.pull is None:
        raise not_found()
    return issue.pull


@operation("GET", _PULL + "/files", needs=_READ)
def list_files(call: Call) -> Answer:
    base, head = _ends(call, call.pull())
    rows, headers = call.page(call.repository.bare.changes(base, head))
    shapes = [shapes_git.file_change(call.parts.links, call.repository, head, row) for row in rows]
    return Answer(body=shapes, headers=headers)


@operation("GET", _PULL + "/commits", needs=_READ)
def list_commits(call: Call) -> Answer:
    pull = _pull_of(call.pull())
    bare = call.repository.bare
    rows, headers = call.page(bare.commits_between(pull.base_sha, pull.head_sha))
    shapes = [shapes_git.commit(call.parts.links, call.repository, bare.commit(row)) for row in rows]
    return Answer(body=shapes, headers=headers)


@operation("POST", _PULL + "/requested_reviewers", needs=_WRITE)
def request_reviewers(call: Call) -> Answer:
    issue = call.pull()
    pull = _pull_of(issue)
    accounts = [call.parts.world.account(login) for login in call.body.get("reviewers") or []]
    if not accounts or issue.author in accounts:
        raise Refusal(422, "Review cannot be requested from pull request author.")
    for account in accounts:
        if account is None or call.repository.roles.get(account.id) is None:
            raise Refusal(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams "
                "you specified is not a collaborator.",
            )
        if account not in pull.reviewers:
            pull.reviewers.append(account)
    return Answer(201, shapes_git.pull_request_simple(call.parts.shapes, call.repository, issue))


# Reviews and their comments.


@operation("GET", _PULL + "/reviews", needs=_READ)
def list_reviews(call: Call) -> Answer:
    issue = call.pull()
    rows, headers = call.page(_pull_of(issue).reviews)
    shapes = [shapes_git.review(call.parts.shapes, call.repository, issue, row) for row in rows]
    return Answer(body=shapes, headers=headers)


@operation("GET", _PULL + "/reviews/{review_id}/comments", needs=_READ)
def list_comments_of_review(call: Call) -> Answer:
    issue, number = call.pull(), call.number("review_id")
    rows, headers = call.page([one for one in _pull_of(issue).review_comments if one.review_id == number])
    shapes = [call.parts.shapes.review_comment(call.repository, issue, row) for row in rows]
    return Answer(body=shapes, headers=headers)


def _review_comment(call: Call) -> tuple[Issue, ReviewComment]:
    number = call.number("comment_id")
    for issue in call.repository.pulls:
        for comment in issue.pull.review_comments if issue.pull else []:
            if comment.id == number:
                return issue, comment
    raise not_found()


@operation("GET", _PULL + "/comments", needs=_READ)
def list_review_comments(call: Call) -> Answer:
    issue = call.pull()
    rows, headers = call.page(_pull_of(issue).review_comments)
    shapes = [call.parts.shapes.review_comment(call.repository, issue, row) for row in rows]
    return Answer(body=shapes, headers=headers)


@operation("POST", _PULL + "/comments/{comment_id}/replies", needs=_WRITE, content=True)
def reply_to_review_comment(call: Call) -> Answer:
    issue, first = _review_comment(call)
    act = call.parts.forge.review_comment(
        call.repository,
        issue,
        call.actor,
        call.text("body", "PullRequestReviewComment"),
        path=first.path,
        line=first.line,
        reply_to=first.in_reply_to_id or first.id,
        via_app=call.via_app,
    )
    shape = call.parts.shapes.review_comment(call.repository, issue, act.subject)
    return Answer(201, shape, deliveries=act.deliveries)


@operation("GET", _PULLS + "/comments/{comment_id}", needs=_READ)
def get_review_comment(call: Call) -> Answer:
    return Answer(body=call.with_html(call.parts.shapes.review_comment(call.repository, *_review_comment(call))))


@operation("PATCH", _PULLS + "/comments/{comment_id}", needs=_WRITE, content=True)
def update_review_comment(call: Call) -> Answer:
    issue, comment = _review_comment(call)
    comment.body = call.text("body", "PullRequestReviewComment")
    comment.history.append(comment.body)
    comment.updated_at = call.parts.world.clock()
    return Answer(body=call.parts.shapes.review_comment(call.repository, issue, comment))


@operation("POST", _PULLS + "/comments/{comment_id}/reactions", needs=_WRITE)
def create_review_reaction(call: Call) -> Answer:
    return create_reaction(call, _review_comment(call)[1].reactions)


@operation("GET", _PULLS + "/comments/{comment_id}/reactions", needs=_READ)
def list_review_reactions(call: Call) -> Answer:
    return list_reactions(call, _review_comment(call)[1].reactions)


@operation("DELETE", _PULLS + "/comments/{comment_id}/reactions/{reaction_id}", needs=_WRITE)
def delete_review_reaction(call: Call) -> Answer:
    return delete_reaction(call, _review_comment(call)[1].reactions)
