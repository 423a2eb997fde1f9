"""People act, and the app is told: what its server answered comes back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.fakes.github.assets import Asset
from tests.fakes.github.checks import complete_check
from tests.fakes.github.forge import Remark
from tests.fakes.github.hooks import Delivery, Hooks, Outgoing
from tests.fakes.github.operations import Parts
from tests.fakes.github.scene import Scene
from tests.fakes.github.world import Comment, Installation, Issue, Repository


class NothingSent(Exception):
    """Somebody acted and no delivery went out: no webhook, no installation, or no subscription."""


class People(Scene):
    def __init__(self, parts: Parts, state: Path, hooks: Hooks) -> None:
        super().__init__(parts, state)
        self.hooks: Hooks = hooks

    def webhook(self, url: str | None, secret: str = "") -> None:
        self.hooks.url, self.hooks.secret = url, secret

    def attach(
        self,
        content: bytes,
        name: str = "image.png",
        *,
        repo: Repository | str | None = None,
        moved_to: str = "",
        drips: bool = False,
        status: int = 200,
    ) -> str:
        """The address of what somebody dropped into a text box; it says nothing of the name.

        `moved_to` is where its answer sends on to; `drips` sends a byte now and then, for ever.
        """
        asset = Asset(self.repo(repo), content, name, moved_to=moved_to, drips=drips, status=status)
        return self._parts.assets.keep(asset)

    def open_issue(
        self,
        user: str,
        title: str,
        body: str = "",
        *,
        repo: Repository | str | None = None,
        labels: Iterable[str] = (),
    ) -> Issue:
        act = self._parts.forge.open_issue(self.repo(repo), self.user(user), title, body, labels=labels)
        self._send(act.deliveries)
        return act.subject

    def open_pull(
        self,
        user: str,
        title: str,
        body: str = "",
        *,
        head: str,
        base: str | None = None,
        draft: bool = False,
        repo: Repository | str | None = None,
        head_repo: Repository | str | None = None,
    ) -> Issue:
        repository = self.repo(repo)
        act = self._parts.forge.open_pull(
            repository,
            self.user(user),
            title,
            body,
            head_repo=repository if head_repo is None else self.repo(head_repo),
            head_ref=head,
            base_ref=base or repository.default_branch,
            draft=draft,
        )
        self._send(act.deliveries)
        return act.subject

    def push(
        self,
        branch: str,
        files: Mapping[str, str | bytes | None],
        user: str,
        *,
        message: str = "A change",
        repo: Repository | str | None = None,
    ) -> str:
        """As `commit`, but told: an open pull request of the branch is synchronized. The sha."""
        act = self._commit(self.repo(repo), branch, files, message=message, author=user)
        self._send(act.deliveries)
        return act.subject

    def say(self, issue: Issue, user: str, body: str) -> Comment:
        """A comment that was there before: no delivery."""
        return self._parts.forge.comment(issue.repository, issue, self.user(user), body).subject

    def comment(self, issue: Issue, user: str, body: str) -> Delivery:
        act = self._parts.forge.comment(issue.repository, issue, self.user(user), body)
        return self._sent(act.deliveries)

    def comment_later(self, issue: Issue, user: str, body: str) -> Comment:
        """As `comment`, but the delivery goes out in the background."""
        act = self._parts.forge.comment(issue.repository, issue, self.user(user), body)
        for outgoing in act.deliveries:
            self.hooks.send_later(outgoing)
        return act.subject

    def edit_comment(self, comment_id: int, user: str, body: str) -> Delivery:
        issue, comment = self.find_comment(comment_id)
        act = self._parts.forge.edit_comment(issue.repository, issue, comment, self.user(user), body)
        return self._sent(act.deliveries)

    def delete_comment(self, comment_id: int, user: str) -> Delivery:
        issue, comment = self.find_comment(comment_id)
        act = self._parts.forge.delete_comment(issue.repository, issue, comment, self.user(user))
        return self._sent(act.deliveries)

    def label_issue(self, issue: Issue, user: str, *labels: str) -> Delivery:
        act = self._parts.forge.add_labels(issue.repository, issue, self.user(user), labels)
        return self._sent(act.deliveries)

    def unlabel_issue(self, issue: Issue, user: str, label: str) -> Delivery:
        found = issue.repository.labels[label.lower()]
        act = self._parts.forge.remove_label(issue.repository, issue, self.user(user), found)
        return self._sent(act.deliveries)

    def edit_issue(
        self, issue: Issue, user: str, *, title: str | None = None, body: str | None = None, state: str | None = None
    ) -> list[Delivery]:
        """None when nothing changes."""
        act = self._parts.forge.edit_issue(
            issue.repository, issue, self.user(user), title=title, body=body, state=state
        )
        return self._send(act.deliveries)

    def review_comment(
        self, pull: Issue, user: str, body: str, *, path: str, line: int = 1, reply_to: int | None = None
    ) -> Delivery:
        """Of the comment; the review that GitHub makes of it is told, too."""
        act = self._parts.forge.review_comment(
            pull.repository, pull, self.user(user), body, path=path, line=line, reply_to=reply_to
        )
        return self._first(act.deliveries)

    def submit_review(
        self,
        pull: Issue,
        user: str,
        comments: Iterable[tuple[str, int, str]] = (),
        body: str = "",
        event: str = "COMMENT",
    ) -> list[Delivery]:
        """`comments`: path, line and words of each. One delivery for each, then one for the review."""
        remarks = [Remark(*comment) for comment in comments]
        act = self._parts.forge.review(pull.repository, pull, self.user(user), remarks, body=body, event=event)
        return self._send(act.deliveries)

    def close_pull(self, pull: Issue, user: str, *, merged: bool = False) -> Delivery:
        """Of the pull request; issues that a merge closes are told, too."""
        forge, closer = self._parts.forge, self.user(user)
        act = (
            forge.merge(pull.repository, pull, closer)
            if merged
            else forge.edit_issue(pull.repository, pull, closer, state="closed")
        )
        return self._first(act.deliveries)

    def reopen_pull(self, pull: Issue, user: str) -> Delivery:
        return self._first(
            self._parts.forge.edit_issue(pull.repository, pull, self.user(user), state="open").deliveries
        )

    def check_run(
        self,
        head_sha: str,
        name: str = "test",
        conclusion: str = "success",
        output: Mapping[str, str] | None = None,
        *,
        log: str = "",
        user: str | None = None,
        repo: Repository | str | None = None,
    ) -> Delivery:
        """A job of GitHub Actions has ended; `output`: title, summary, text. `user` caused it, by default the owner."""
        repository = self.repo(repo)
        sender = self.user(user) if user else repository.owner
        act = complete_check(
            self._parts.forge,
            repository,
            sender,
            head_sha,
            name=name,
            conclusion=conclusion,
            output=output or {},
            log=log,
        )
        return self._first(act.deliveries)

    def tell_installed(self, installation_id: int, sender: str) -> Delivery:
        """`installation.created`, as after `install`."""
        installation = self.installation(installation_id)
        repositories = [self._parts.shapes.short_repository(one) for one in installation.repositories]
        return self._tell("installation", "created", installation, sender, repositories=repositories, requester=None)

    def change_repositories(
        self,
        installation_id: int,
        sender: str,
        *,
        add: Iterable[Repository | str] = (),
        remove: Iterable[Repository | str] = (),
    ) -> Delivery:
        installation = self.installation(installation_id)
        added, removed = [self.repo(one) for one in add], [self.repo(one) for one in remove]
        kept = [one for one in installation.repositories if one not in removed]
        installation.repositories = [*kept, *added]
        return self._tell(
            "installation_repositories",
            "added" if added else "removed",
            installation,
            sender,
            repository_selection="selected",
            repositories_added=[self._parts.shapes.short_repository(one) for one in added],
            repositories_removed=[self._parts.shapes.short_repository(one) for one in removed],
            requester=None,
        )

    def suspend(self, installation_id: int, sender: str, *, suspended: bool = True) -> Delivery:
        installation = self.installation(installation_id)
        installation.suspended_at = self.clock() if suspended else None
        return self._tell("installation", "suspend" if suspended else "unsuspend", installation, sender)

    def uninstall(self, installation_id: int, sender: str) -> Delivery:
        """Its tokens die at once."""
        installation = self.world.installations.pop(installation_id)
        return self._tell("installation", "deleted", installation, sender)

    def _tell(self, event: str, action: str, installation: Installation, sender: str, **facts: object) -> Delivery:
        return self._sent(self._parts.forge.tell_installation(event, action, installation, self.user(sender), **facts))

    @property
    def deliveries(self) -> list[Delivery]:
        """Every attempt so far, oldest first."""
        return self.hooks.deliveries

    def redeliver(self, guid: str) -> Delivery:
        """The same GUID and bytes once more, under a new delivery id."""
        outgoing = next(one.outgoing for one in reversed(self.deliveries) if one.guid == guid)
        return self._need(self.hooks.send(outgoing, redelivery=True))

    def _send(self, deliveries: Iterable[Outgoing]) -> list[Delivery]:
        sent = [self.hooks.send(outgoing) for outgoing in deliveries]
        return [delivery for delivery in sent if delivery]

    def _sent(self, deliveries: Iterable[Outgoing]) -> Delivery:
        sent = self._send(deliveries)
        return self._need(sent[-1] if sent else None)

    def _first(self, deliveries: Iterable[Outgoing]) -> Delivery:
        sent = self._send(deliveries)
        return self._need(sent[0] if sent else None)

    @staticmethod
    def _need(delivery: Delivery | None) -> Delivery:
        if delivery is None:
            raise NothingSent
        return delivery
