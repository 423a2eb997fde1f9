"""REST: issues, their comments, labels, reactions and events."""

from __future__ import annotations

from datetime import datetime

from tests.fakes.github.answers import Answer, Refusal, custom, invalid, not_found
from tests.fakes.github.operations import Call, operation
from tests.fakes.github.world import Comment, Issue, Label, Reaction

_ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}"
_COMMENT = "/repos/{owner}/{repo}/issues/comments/{comment_id}"
_LABELS = "/repos/{owner}/{repo}/labels"

_READ = "issues=read; pull_requests=read"
_WRITE = "issues=write; pull_requests=write"

_CONTENTS = frozenset({"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"})


def _open_for_writing(call: Call, issue: Issue | None = None) -> None:
    if call.repository.archived:
        raise Refusal(403, "Repository was archived so is read-only.")
    if issue and issue.locked and call.via_app:
        raise Refusal(403, "Unable to create comment because issue is locked.")


# Issues.


@operation("POST", "/repos/{owner}/{repo}/issues", needs="issues=write", content=True)
def create_issue(call: Call) -> Answer:
    _open_for_writing(call)
    if not call.repository.issues_enabled:
        raise Refusal(410, "Issues are disabled for this repo")
    names = [label if isinstance(label, str) else label["name"] for label in call.body.get("labels") or []]
    act = call.parts.forge.open_issue(
        call.repository,
        call.actor,
        str(call.body.get("title") or ""),
        call.maybe_text("body") or "",
        labels=names,
        via_app=call.via_app,
    )
    return Answer(201, call.parts.shapes.issue(call.repository, act.subject), deliveries=act.deliveries)


@operation("GET", _ISSUE, needs=_READ)
def get_issue(call: Call) -> Answer:
    return Answer(body=call.with_html(call.parts.shapes.issue(call.repository, call.issue())))


@operation("PATCH", _ISSUE, needs=_WRITE)
def update_issue(call: Call) -> Answer:
    issue = call.issue()
    _open_for_writing(call)
    title = call.body.get("title")
    act = call.parts.forge.edit_issue(
        call.repository,
        issue,
        call.actor,
        title=None if title is None else str(title),
        body=call.maybe_text("body"),
        state=call.maybe_text("state"),
    )
    return Answer(body=call.parts.shapes.issue(call.repository, issue), deliveries=act.deliveries)


@operation("POST", _ISSUE + "/assignees", needs=_WRITE)
def add_assignees(call: Call) -> Answer:
    issue = call.issue()
    for login in call.body.get("assignees") or []:
        account = call.parts.world.account(login)
        if account and account not in issue.assignees:
            issue.assignees.append(account)
    return Answer(201, call.parts.shapes.issue(call.repository, issue))


@operation("GET", _ISSUE + "/events", needs=_READ)
def list_events(call: Call) -> Answer:
    rows, headers = call.page(call.issue().events)
    return Answer(body=[call.parts.shapes.issue_event(call.repository, row) for row in rows], headers=headers)


# Comments.


@operation("GET", _ISSUE + "/comments", needs=_READ)
def list_comments(call: Call) -> Answer:
    issue = call.issue()
    comments = list(issue.comments)
    since = call.query.get("since")
    if since:
        moment = datetime.fromisoformat(since)
        comments = [comment for comment in comments if comment.updated_at.replace(microsecond=0) >= moment]
    rows, headers = call.page(comments)
    return Answer(body=[call.parts.shapes.comment(call.repository, issue, row) for row in rows], headers=headers)


@operation("POST", _ISSUE + "/comments", needs=_WRITE, content=True)
def create_comment(call: Call) -> Answer:
    issue = call.issue()
    _open_for_writing(call, issue)
    act = call.parts.forge.comment(
        call.repository, issue, call.actor, call.text("body", "IssueComment"), via_app=call.via_app
    )
    return Answer(201, call.parts.shapes.comment(call.repository, issue, act.subject), deliveries=act.deliveries)


def _comment(call: Call) -> tuple[Issue, Comment]:
    number = call.number("comment_id")
    for issue in call.repository.all_threads:
        for comment in issue.comments:
            if comment.id == number:
                return issue, comment
    raise not_found()


@operation("GET", _COMMENT, needs=_READ)
def get_comment(call: Call) -> Answer:
    return Answer(body=call.with_html(call.parts.shapes.comment(call.repository, *_comment(call))))


@operation("PATCH", _COMMENT, needs=_WRITE, content=True)
def update_comment(call: Call) -> Answer:
    issue, comment = _comment(call)
    _open_for_writing(call)
    act = call.parts.forge.edit_comment(call.repository, issue, comment, call.actor, call.text("body", "IssueComment"))
    return Answer(body=call.parts.shapes.comment(call.repository, issue, comment), deliveries=act.deliveries)


@operation("DELETE", _COMMENT, needs=_WRITE)
def delete_comment(call: Call) -> Answer:
    issue, comment = _comment(call)
    _open_for_writing(call)
    act = call.parts.forge.delete_comment(call.repository, issue, comment, call.actor)
    return Answer(204, deliveries=act.deliveries)


# Reactions.


def create_reaction(call: Call, reactions: list[Reaction]) -> Answer:
    """200 when it is already there, 201 when it is new."""
    _open_for_writing(call)
    content = call.text("content", "Reaction")
    if content not in _CONTENTS:
        raise invalid("Reaction", "content", "invalid")
    reaction, new = call.parts.forge.react(reactions, call.actor, content)
    return Answer(201 if new else 200, call.parts.shapes.reaction(reaction))


def list_reactions(call: Call, reactions: list[Reaction]) -> Answer:
    wanted = call.query.get("content")
    rows, headers = call.page([row for row in reactions if wanted in (None, row.content)])
    return Answer(body=[call.parts.shapes.reaction(row) for row in rows], headers=headers)


def delete_reaction(call: Call, reactions: list[Reaction]) -> Answer:
    number = call.number("reaction_id")
    for reaction in reactions:
        if reaction.id == number:
            if reaction.author is not call.actor:
                raise Refusal(403, "You are not authorized to delete this reaction.")
            reactions.remove(reaction)
            return Answer(204)
    raise not_found()


@operation("POST", _ISSUE + "/reactions", needs=_WRITE)
def create_issue_reaction(call: Call) -> Answer:
    return create_reaction(call, call.issue().reactions)


@operation("GET", _ISSUE + "/reactions", needs=_READ)
def list_issue_reactions(call: Call) -> Answer:
    return list_reactions(call, call.issue().reactions)


@operation("DELETE", _ISSUE + "/reactions/{reaction_id}", needs=_WRITE)
def delete_issue_reaction(call: Call) -> Answer:
    return delete_reaction(call, call.issue().reactions)


@operation("POST", _COMMENT + "/reactions", needs=_WRITE)
def create_comment_reaction(call: Call) -> Answer:
    return create_reaction(call, _comment(call)[1].reactions)


@operation("GET", _COMMENT + "/reactions", needs=_READ)
def list_comment_reactions(call: Call) -> Answer:
    return list_reactions(call, _comment(call)[1].reactions)


@operation("DELETE", _COMMENT + "/reactions/{reaction_id}", needs=_WRITE)
def delete_comment_reaction(call: Call) -> Answer:
    return delete_reaction(call, _comment(call)[1].reactions)


# Labels.


@operation("POST", _LABELS, needs=_WRITE, content=True)
def create_label(call: Call) -> Answer:
    _open_for_writing(call)
    name = call.text("name", "Label")
    if name.lower() in call.repository.labels:
        raise invalid("Label", "name", "already_exists")
    color = call.maybe_text("color") or "ededed"
    if len(color) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in color):
        raise invalid("Label", "color", "invalid")
    description = call.maybe_text("description")
    if description and len(description) > 100:
        raise invalid("Label", "description", "too_long")
    label = call.parts.forge.label(call.repository, name, color=color, description=description)
    return Answer(201, call.parts.shapes.label(call.repository, label))


def _label(call: Call) -> Label:
    label = call.repository.labels.get(call.params["name"].lower())
    if label is None:
        raise not_found()
    return label


@operation("GET", _LABELS + "/{name}", needs=_READ)
def get_label(call: Call) -> Answer:
    return Answer(body=call.parts.shapes.label(call.repository, _label(call)))


@operation("POST", _ISSUE + "/labels", needs=_WRITE)
def add_labels(call: Call) -> Answer:
    issue = call.issue()
    _open_for_writing(call)
    given = call.body.get("labels", call.raw_body if isinstance(call.raw_body, list) else [])
    names = [label if isinstance(label, str) else label["name"] for label in given]
    if any(len(name) > 50 for name in names):
        raise custom("Label", "name is too long (maximum is 50 characters)")
    act = call.parts.forge.add_labels(call.repository, issue, call.actor, names)
    labels = call.parts.shapes.labels(call.repository, issue.labels)
    return Answer(body=labels, deliveries=act.deliveries)


@operation("DELETE", _ISSUE + "/labels/{name}", needs=_WRITE)
def remove_label(call: Call) -> Answer:
    issue, label = call.issue(), _label(call)
    _open_for_writing(call)
    if label not in issue.labels:
        raise Refusal(404, "Label does not exist")
    act = call.parts.forge.remove_label(call.repository, issue, call.actor, label)
    labels = call.parts.shapes.labels(call.repository, issue.labels)
    return Answer(body=labels, deliveries=act.deliveries)
