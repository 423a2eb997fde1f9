"""The stand-in as a test sees it: people act, the app is watched, faults are planned."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import ASGIApp

from tests.fakes.github.access import Access
from tests.fakes.github.bare import Bare, Ident
from tests.fakes.github.description import Description
from tests.fakes.github.faults import Fault, Faults, Plan
from tests.fakes.github.forge import Forge
from tests.fakes.github.hooks import Delivery, Hooks, Outgoing
from tests.fakes.github.limits import PRIMARY_PER_HOUR, Limits
from tests.fakes.github.log import Log, Logged
from tests.fakes.github.operations import Parts
from tests.fakes.github.shapes import Links, Shapes
from tests.fakes.github.site import Site
from tests.fakes.github.world import (
    Account,
    App,
    Clock,
    Comment,
    Installation,
    Issue,
    Repository,
    ReviewComment,
    Role,
    World,
)

API_PREFIX = "/api/v3"
"""As on GitHub Enterprise Server: the API below a prefix, pages and git at the root of the same host."""

PERMISSIONS: Mapping[str, str] = {
    "metadata": "read",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
}
EVENTS = ("issues", "issue_comment", "pull_request_review_comment")

_NOT_LISTENING = "http://github.invalid"
_APP_ID = 710_001


class NothingSent(Exception):
    """Somebody acted and no delivery went out: no webhook, no installation, or no subscription."""


@dataclass(frozen=True)
class CommitFacts:
    sha: str
    message: str
    author: str
    email: str
    verified: bool


@functools.cache
def _key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


class FakeGitHub:
    """Make one with `create`, let it listen with `serve`. Its methods block; in a test whose own event loop
    serves the webhook, call those that send deliveries through `asyncio.to_thread`."""

    def __init__(
        self, parts: Parts, state: Path, *, hooks: Hooks, faults: Faults, description: Description, log: Log
    ) -> None:
        self._parts = parts
        self._state = state
        self._description = description
        self.hooks: Hooks = hooks
        self.faults: Faults = faults
        self.log: Log = log
        self._site = Site(self, parts, faults, description, log)

    @classmethod
    def create(
        cls,
        state_dir: Path,
        *,
        slug: str = "backspace",
        api_prefix: str = API_PREFIX,
        permissions: Mapping[str, str] = PERMISSIONS,
        events: Iterable[str] = EVENTS,
        clock: Clock | None = None,
        primary_per_hour: int = PRIMARY_PER_HOUR,
        secondary_limits: bool = False,
        described: bool = True,
    ) -> FakeGitHub:
        """`described=False` leaves GitHub's description out, as a benchmark wants it."""
        world = World(clock or Clock())
        log = Log()
        private, public = _key_pair()
        app = App(
            id=_APP_ID,
            slug=slug,
            client_id=f"Iv23li{_APP_ID}",
            name=slug.capitalize(),
            owner=world.add_account(f"{slug}-owner", "User"),
            bot=world.add_account(f"{slug}[bot]", "Bot"),
            permissions=dict(permissions),
            events=tuple(events),
            private_key_pem=private,
            public_key_pem=public,
            created_at=world.clock(),
        )
        links = Links(_NOT_LISTENING, api_prefix)
        shapes = Shapes(world, app, links)
        hooks = Hooks(world, app_id=app.id, events=app.events, changed=log.changed)
        limits = Limits(primary_per_hour=primary_per_hour, secondary=secondary_limits)
        parts = Parts(world, app, links, shapes, Forge(world, shapes, hooks), Access(world, app), limits)
        description = Description() if described else Description(None)
        return cls(parts, state_dir, hooks=hooks, faults=Faults(), description=description, log=log)

    def close(self) -> None:
        self._site.close()
        self.hooks.close()
        self._description.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Addresses and identity.

    @property
    def app(self) -> ASGIApp:
        return self._site

    @property
    def identity(self) -> App:
        """The GitHub App: ids, slug, bot account, private key."""
        return self._parts.app

    @property
    def web_url(self) -> str:
        return self._parts.links.web

    @property
    def api_url(self) -> str:
        return self._parts.links.api

    def listens_at(self, web_url: str) -> None:
        self._parts.links.web = web_url

    @property
    def world(self) -> World:
        return self._parts.world

    @property
    def limits(self) -> Limits:
        return self._parts.limits

    @property
    def clock(self) -> Clock:
        return self._parts.world.clock

    # Setting the scene. None of it sends a delivery.

    def add_user(
        self, login: str, role: Role | str | None = None, repo: Repository | str | None = None, kind: str = "User"
    ) -> Account:
        """Known to GitHub from now on, with this role in that repository (the only one, when not named)."""
        account = self.world.account(login) or self.world.add_account(login, kind)
        if role is not None:
            self.repo(repo).roles[account.id] = Role(role)
        return account

    def add_repo(
        self,
        full_name: str,
        files: Mapping[str, str | bytes] | Path | None = None,
        *,
        private: bool = True,
        default_branch: str = "main",
        message: str = "Initial commit",
    ) -> Repository:
        """A bare repository with one commit of these files, or of that directory; without files it is empty."""
        owner_login, _, name = full_name.partition("/")
        owner = self.world.account(owner_login) or self.world.add_account(owner_login, "Organization")
        number = self.world.next_id()
        bare = Bare.create(self._state / "repositories" / f"{number}.git", default_branch=default_branch)
        now = self.clock()
        repository = Repository(number, owner, name, private, default_branch, bare, now, now)
        self.world.repositories[number] = repository
        if files is not None:
            tree = bare.tree_of_directory(files) if isinstance(files, Path) else self._tree(bare, None, files)
            sha = bare.write_commit(tree, [], author=self._ident(owner), committer=self._ident(owner), message=message)
            bare.update_ref(f"refs/heads/{default_branch}", sha)
        return repository

    def fork(self, repo: Repository | str, owner: str) -> Repository:
        source = self.repo(repo)
        self.add_user(owner)
        copy = self.add_repo(f"{owner}/{source.name}", private=source.private, default_branch=source.default_branch)
        copy.fork_of = source
        copy.bare.fetch(source.bare, "+refs/heads/*:refs/heads/*")
        return copy

    def rename_repo(self, repo: Repository | str, name: str) -> None:
        """The old address answers 301 and 307 from now on."""
        repository = self.repo(repo)
        self.world.former_names[repository.full_name.lower()] = repository.id
        repository.name = name

    def commit(
        self,
        repo: Repository | str,
        branch: str,
        files: Mapping[str, str | bytes | None],
        *,
        message: str = "A change",
        author: str | None = None,
    ) -> str:
        """Somebody commits on a branch (made from the default one if new); None deletes a file. The sha."""
        repository = self.repo(repo)
        bare = repository.bare
        who = self._ident(self.user(author) if author else repository.owner)
        parent = bare.ref(f"refs/heads/{branch}") or bare.ref(f"refs/heads/{repository.default_branch}")
        tree = self._tree(bare, parent, files)
        sha = bare.write_commit(tree, [parent] if parent else [], author=who, committer=who, message=message)
        bare.update_ref(f"refs/heads/{branch}", sha)
        self._parts.forge.refs_changed(repository)
        return sha

    @staticmethod
    def _tree(bare: Bare, parent: str | None, files: Mapping[str, str | bytes | None]) -> str:
        rows: list[tuple[str, str, str | None]] = []
        for path, content in files.items():
            if content is None:
                rows.append(("100644", path, None))
                continue
            raw = content.encode() if isinstance(content, str) else content
            rows.append(("100755" if raw.startswith(b"#!") else "100644", path, bare.write_blob(raw)))
        return bare.write_tree(bare.resolve(parent, "tree") if parent else None, rows)

    def _ident(self, account: Account) -> Ident:
        email = f"{account.id}+{account.login}@users.noreply.github.com"
        return Ident(account.login, email, self.clock().replace(microsecond=0))

    def install(
        self,
        account: str,
        repos: Iterable[Repository | str],
        *,
        permissions: Mapping[str, str] | None = None,
    ) -> int:
        """The installation's id; `permissions` for an account that has not accepted all that the app asks for."""
        installation = Installation(
            id=self.world.next_id(),
            account=self.user(account),
            repositories=[self.repo(repo) for repo in repos],
            permissions=dict(self.identity.permissions if permissions is None else permissions),
            created_at=self.clock(),
        )
        self.world.installations[installation.id] = installation
        return installation.id

    def webhook(self, url: str | None, secret: str = "") -> None:
        self.hooks.url, self.hooks.secret = url, secret

    def personal_token(self, login: str) -> str:
        value = f"github_pat_{secrets.token_hex(20)}"
        self.world.personal_tokens[value] = self.user(login)
        return value

    # People act, and the app is told: what it answered comes back.

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
        return self._parts.forge.open_pull(
            repository,
            self.user(user),
            title,
            body,
            head_repo=repository if head_repo is None else self.repo(head_repo),
            head_ref=head,
            base_ref=base or repository.default_branch,
            draft=draft,
        )

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
        """No delivery for a pull request, and none when nothing changes."""
        act = self._parts.forge.edit_issue(
            issue.repository, issue, self.user(user), title=title, body=body, state=state
        )
        return self._send(act.deliveries)

    def review_comment(
        self, pull: Issue, user: str, body: str, *, path: str, line: int = 1, reply_to: int | None = None
    ) -> Delivery:
        act = self._parts.forge.review_comment(
            pull.repository, pull, self.user(user), body, path=path, line=line, reply_to=reply_to
        )
        return self._sent(act.deliveries)

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

    @staticmethod
    def _need(delivery: Delivery | None) -> Delivery:
        if delivery is None:
            raise NothingSent
        return delivery

    # Faults.

    def fail(
        self,
        method: str,
        path: str,
        fault: Fault,
        *,
        count: int = 1,
        skip: int = 0,
        seconds: float = 0.0,
        retry_after_seconds: int | None = None,
    ) -> Plan:
        """The next `count` requests that match, after `skip` that pass; `path` is behind the API prefix, with *."""
        return self.faults.add(
            method, path, fault, count=count, skip=skip, seconds=seconds, retry_after_seconds=retry_after_seconds
        )

    # Looking.

    def repo(self, repo: Repository | str | None = None) -> Repository:
        """By name, or the one that was added first."""
        if isinstance(repo, Repository):
            return repo
        found = next(iter(self.world.repositories.values()), None) if repo is None else self.world.repository(repo)
        if found is None:
            raise KeyError(repo)
        return found

    def user(self, login: str) -> Account:
        found = self.world.account(login)
        if found is None:
            raise KeyError(login)
        return found

    def installation(self, installation_id: int) -> Installation:
        return self.world.installations[installation_id]

    def issue(self, number: int, repo: Repository | str | None = None) -> Issue:
        return self.repo(repo).threads[number]

    def pulls(self, repo: Repository | str | None = None) -> list[Issue]:
        return self.repo(repo).pulls

    def find_comment(self, comment_id: int) -> tuple[Issue, Comment]:
        for repository in self.world.repositories.values():
            for issue in repository.threads.values():
                for comment in issue.comments:
                    if comment.id == comment_id:
                        return issue, comment
        raise KeyError(comment_id)

    def bot_comments(self, issue: Issue) -> list[Comment]:
        return [comment for comment in issue.comments if comment.author is self.identity.bot]

    @staticmethod
    def reactions(target: Issue | Comment | ReviewComment, by: Account | None = None) -> list[str]:
        return [reaction.content for reaction in target.reactions if by in (None, reaction.author)]

    def branches(self, repo: Repository | str | None = None) -> dict[str, str]:
        """Short name to sha."""
        heads = self.repo(repo).bare.refs("refs/heads")
        return {name.removeprefix("refs/heads/"): sha for name, sha in heads.items()}

    def file(self, path: str, ref: str, repo: Repository | str | None = None) -> bytes | None:
        bare = self.repo(repo).bare
        commit = bare.resolve(ref)
        entry = bare.entry(commit, path) if commit else None
        return bare.blob(entry.sha) if entry and entry.type == "blob" else None

    def diff(self, pull: Issue) -> str:
        assert pull.pull is not None
        bare = pull.repository.bare
        base = bare.merge_base(pull.pull.base_sha, pull.pull.head_sha) or pull.pull.base_sha
        return bare.diff(base, pull.pull.head_sha)

    def commits(self, pull: Issue) -> list[CommitFacts]:
        """Oldest first."""
        assert pull.pull is not None
        repository = pull.repository
        facts = []
        for sha in repository.bare.commits_between(pull.pull.base_sha, pull.pull.head_sha):
            found = repository.bare.commit(sha)
            facts.append(
                CommitFacts(
                    sha, found.message, found.author.name, found.author.email, sha in repository.verified_commits
                )
            )
        return facts

    @property
    def deliveries(self) -> list[Delivery]:
        return self.hooks.deliveries

    @property
    def requests(self) -> list[Logged]:
        return self.log.requests

    def api_calls(self) -> list[str]:
        """`METHOD /template` of each API request that reached its operation, in order."""
        return [logged.route for logged in self.log.requests if logged.kind == "api" and logged.route]

    @property
    def problems(self) -> list[str]:
        """What GitHub's description, or the table of operations, has against any request or answer so far."""
        self._description.settle()
        return [*self.log.problems, *self._description.problems]

    def assert_clean(self) -> None:
        problems = self.problems
        if problems:
            raise AssertionError("\n".join(["GitHub would not have understood:", *problems]))

    def settle(self, timeout_seconds: float = 10.0) -> None:
        """Wait until the deliveries that API calls caused have been sent."""
        self.hooks.settle(timeout_seconds)

    def wait_until(self, fact: Callable[[], bool], what: str, timeout_seconds: float = 30.0) -> None:
        """Look whenever something reaches the stand-in. Raises TimeoutError naming `what`."""
        self.log.wait_until(fact, timeout_seconds, what)

    async def until(self, fact: Callable[[], bool], what: str, timeout_seconds: float = 30.0) -> None:
        await self.log.until(fact, timeout_seconds, what)
