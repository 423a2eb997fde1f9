"""Quarantined work onto a branch of GitHub: signed by GitHub where it can be, pushed plainly where not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog

from bot.github.answers import At, TreeEntry
from bot.github.client import Client
from bot.github.diff import SUBMODULE, Change, Diff
from bot.github.failures import BranchTaken, CheckoutFailed, GitHubFailed, RepositoryUnreachable
from bot.github.git import Remote
from bot.github.quarantine import Quarantine, Quarantined
from bot.model import RunId, Sha

_TRAILER = "Backspace-Run"
_log = structlog.get_logger(__name__)


class How(StrEnum):
    """How the commit got there."""

    API = "api"
    PUSH = "push"
    FOUND = "found"
    """An earlier try of the same run had put it there."""


@dataclass(frozen=True)
class Published:
    sha: Sha
    verified: bool
    """GitHub marks the commit as signed."""
    how: How
    reason: str = ""
    """Why it is not verified, for the comment; empty when it is."""


@dataclass(frozen=True)
class Commit:
    """What to publish, and where."""

    at: At
    run_id: RunId
    work: Quarantined
    diff: Diff
    branch: str
    message: str
    """Without the run's trailer, which is added here."""
    new_branch: bool = True
    """False: the branch exists and stands at the work's base commit."""

    def full_message(self) -> str:
        """The trailer joins a closing paragraph of trailers, so that GitHub reads all of them."""
        message = self.message.rstrip()
        last = message.rpartition("\n\n")[2]
        is_trailers = all(": " in line for line in last.splitlines()) and "\n\n" in message
        return f"{message}{chr(10) if is_trailers else chr(10) * 2}{_TRAILER}: {self.run_id}\n"

    def hidden_ref(self) -> str:
        return f"refs/backspace/{self.run_id}"


class Publisher:
    def __init__(self, client: Client, quarantine: Quarantine, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._quarantine = quarantine
        self._clock = clock

    async def publish(self, commit: Commit) -> Published:
        """Safe to run twice: a commit of this run that is on the branch already is the result.

        Raises BranchTaken, PushRefused, and what is worth another try later.
        """
        try:
            published = await self._through_api(commit)
        except BranchTaken:
            await self._tidy(commit)
            raise
        except (GitHubFailed, CheckoutFailed) as exc:
            if exc.retry_helps:
                raise  # the next try takes the hidden ref over
            _log.warning("commit.unsigned", error=str(exc))
            published = await self._push(commit, str(exc))
        await self._tidy(commit)
        return published

    async def _through_api(self, commit: Commit) -> Published:
        """Push to a hidden ref, so that the blobs exist; then have GitHub make the commit, which it signs."""
        await self._push_hidden(commit)
        base = commit.work.base_sha
        tree, signed = await self._client.commits.sign(
            commit.at, base, [_entry(change) for change in commit.diff.changes], commit.full_message(), [base]
        )
        if tree != commit.work.head_tree:
            raise GitHubFailed("GitHub made another tree of the changes than git did")
        head = await self._place(commit, signed.sha)
        if head != signed.sha:
            return await self._found(commit, head)
        return Published(signed.sha, signed.verified, How.API, "" if signed.verified else signed.reason)

    async def _push_hidden(self, commit: Commit) -> None:
        remote = await self._remote(commit)
        try:
            await self._quarantine.push_hidden(remote, commit.work, commit.hidden_ref())
        except RepositoryUnreachable:
            self._client.refused(remote.token)
            await self._quarantine.push_hidden(await self._remote(commit), commit.work, commit.hidden_ref())

    async def _remote(self, commit: Commit) -> Remote:
        """With a token of this moment: the one before may have been refused."""
        return Remote(self._client.git_url(commit.at), await self._client.push_token(commit.at))

    async def _place(self, commit: Commit, sha: Sha) -> Sha:
        """The branch's head afterwards."""
        if commit.new_branch:
            return await self._client.commits.create_branch(commit.at, commit.branch, sha)
        if await self._client.commits.update_branch(commit.at, commit.branch, sha):
            return sha
        head = await self._client.commits.head(commit.at, commit.branch)
        if head is None:
            raise BranchTaken(f"the branch {commit.branch} is gone")
        return head

    async def _found(self, commit: Commit, head: Sha) -> Published:
        there = await self._client.commits.find(commit.at, head)
        if f"{_TRAILER}: {commit.run_id}" not in there.message.splitlines():
            raise BranchTaken(f"the branch {commit.branch} stands at {head}, which is not of this run")
        return Published(head, there.verified, How.FOUND, "" if there.verified else "unsigned")

    async def _push(self, commit: Commit, reason: str) -> Published:
        expected = None if commit.new_branch else commit.work.base_sha
        head = await self._client.commits.head(commit.at, commit.branch)
        if head is not None and head != expected:
            return await self._found(commit, head)
        author = await self._client.author(commit.at)
        sha = await self._quarantine.squash(commit.work, commit.full_message(), author, self._clock())
        await self._quarantine.push_branch(await self._remote(commit), commit.work, sha, commit.branch, expected)
        return Published(sha, False, How.PUSH, reason)  # noqa: FBT003  a dataclass field

    async def _tidy(self, commit: Commit) -> None:
        try:
            await self._quarantine.delete_hidden(await self._remote(commit), commit.work, commit.hidden_ref())
        except (GitHubFailed, CheckoutFailed) as exc:
            # A hidden ref that stays shows to nobody and is taken over by the next try.
            _log.warning("hidden_ref.left", ref=commit.hidden_ref(), error=str(exc))


def _entry(change: Change) -> TreeEntry:
    if change.odd_path or SUBMODULE in (change.mode, change.old_mode):
        raise GitHubFailed("the change cannot be said through the API; the gates refuse it")
    return TreeEntry(change.path, change.old_mode if change.gone else change.mode, change.sha)
