"""What can be done on GitHub in threads: opening, editing, comments, reactions, labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.fakes.github.answers import invalid
from tests.fakes.github.hooks import Hooks, Outgoing
from tests.fakes.github.shapes import Json, Shapes, node_id
from tests.fakes.github.shapes_git import pull_request
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


class Threads:
    def __init__(self, world: World, shapes: Shapes, hooks: Hooks) -> None:
        self.world = world
        self.shapes = shapes
        self.hooks = hooks

    # Deliveries.

    def tell(
        self, event: str, action: str, repository: Repository, sender: Account, **facts: object
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

    def tell_thread(
        self, action: str, repository: Repository, issue: Issue, sender: Account, **facts: object
    ) -> tuple[Outgoing, ...]:
        """`issues`, or `pull_request` for the thread of one."""
        if issue.pull:
            shape = pull_request(self.shapes, repository, issue)
            return self.tell(
                "pull_request", action, repository, sender, number=issue.number, pull_request=shape, **facts
            )
        return self.tell("issues", action, repository, sender, issue=self.shapes.issue(repository, issue), **facts)

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

    def new_thread(
        self, repository: Repository, author: Account, title: str, body: str, *, via_app: bool, pull: Pull | None
    ) -> Issue:
        if not title.strip():
            raise invalid("Issue", "title", "missing_field")
        if len(title) > _LONGEST_TITLE:
            raise invalid("Issue", "title", "custom", f"Title is too long (maximum is {_LONGEST_TITLE} characters)")
        check_body("Issue", body)
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
        issue = self.new_thread(repository, author, title, body, via_app=via_app, pull=None)
        added = [self.label(repository, name) for name in labels]
        for label in added:
            self._attach(issue, label, author)
        told = self.tell_thread("opened", repository, issue, author)
        for label in added:
            told += self.tell_thread("labeled", repository, issue, author, label=self.shapes.label(repository, label))
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
            check_body("Issue", body)
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
            told += self.tell_thread("edited", repository, issue, editor, changes=changes)
        if closing:
            action = "closed" if issue.state == "closed" else "reopened"
            told += self.tell_thread(action, repository, issue, editor)
        return Act(issue, told)

    def comment(
        self, repository: Repository, issue: Issue, author: Account, body: str, *, via_app: bool = False
    ) -> Act[Comment]:
        check_body("IssueComment", body, required=True)
        with self.world.lock:
            now = self.world.clock()
            comment = Comment(self.world.next_id(), author, body, now, now, via_app, history=[body])
            issue.comments.append(comment)
            issue.updated_at = now
        return Act(comment, self._tell_comment("created", repository, issue, comment, author))

    def edit_comment(
        self, repository: Repository, issue: Issue, comment: Comment, editor: Account, body: str
    ) -> Act[Comment]:
        check_body("IssueComment", body, required=True)
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
        self, action: str, repository: Repository, issue: Issue, comment: Comment, sender: Account, **facts: object
    ) -> tuple[Outgoing, ...]:
        return self.tell(
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
                told += self.tell_thread(
                    "labeled", repository, issue, actor, label=self.shapes.label(repository, label)
                )
        return Act(issue, told)

    def remove_label(self, repository: Repository, issue: Issue, actor: Account, label: Label) -> Act[Issue]:
        with self.world.lock:
            issue.labels.remove(label)
            now = self.world.clock()
            issue.events.append(IssueEvent(self.world.next_id(), "unlabeled", actor, label, now))
        told = self.tell_thread("unlabeled", repository, issue, actor, label=self.shapes.label(repository, label))
        return Act(issue, told)


def check_body(resource: str, body: str, *, required: bool = False) -> None:
    if required and not body.strip():
        raise invalid(resource, "body", "missing_field")
    if len(body) > LONGEST_BODY:
        raise invalid(resource, "body", "custom", f"Body is too long (maximum is {LONGEST_BODY} characters)")
