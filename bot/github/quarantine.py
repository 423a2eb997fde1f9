"""Work that came out of a sandbox: fetched into a fresh bare repository, looked at there, pushed from there.

Nothing of it is ever checked out on the host.
"""

import asyncio
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from bot.github.answers import Author
from bot.github.checkout import BASE_REF
from bot.github.diff import SUBMODULE, SYMLINK, Change, Diff, parse_changes
from bot.github.failures import BranchTaken, BundleRefused, PushRefused
from bot.github.git import Git, GitRefused, Remote
from bot.model import Sha

T = TypeVar("T")

_HEAD_REF = "refs/backspace/head"
_PATCH_LIMIT_BYTES = 16 * 1024**2
_LINK_LIMIT_BYTES = 4096
_BUNDLE_LIMIT_BYTES = 512 * 1024**2
_FSCK = (("transfer.fsckObjects", "true"), ("fetch.fsckObjects", "true"), ("protocol.file.allow", "always"))
_MOVED_ON = re.compile(r"stale info|non-fast-forward|fetch first|failed to update ref|cannot lock ref", re.IGNORECASE)
_REFUSED = re.compile(r"remote rejected|declined|GH0\d\d|refusing to allow|protected branch", re.IGNORECASE)
_REMOTE_WORDS_LIMIT = 2000


@dataclass(frozen=True)
class Quarantined:
    repository: Path
    base_sha: Sha
    head_sha: Sha
    head_tree: Sha


class Quarantine:
    def __init__(self, git: Git, *, executor: Executor, patch_limit_bytes: int = _PATCH_LIMIT_BYTES) -> None:
        self._git = git
        self._executor = executor
        self._patch_limit_bytes = patch_limit_bytes

    async def take(
        self, bundle: bytes | Path, *, base: Sha, pristine: Path, into: Path, ref: str = "HEAD"
    ) -> Quarantined:
        """Fetch the bundle's `ref` on top of `base`, which `pristine` holds. What `into` held before is gone.
        Paths are absolute.

        Raises BundleRefused for anything but sound objects that descend from `base`.
        """
        repository = into / "quarantine.git"
        await self._in_thread(_renew, into)
        await self._git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=none", str(repository))
        await self._in_thread(_borrow, pristine, repository)
        await self._git.run("update-ref", BASE_REF, base, repository=repository)
        source = bundle if isinstance(bundle, Path) else into / "work.bundle"
        size = await self._in_thread(_store, bundle, source)
        if size > _BUNDLE_LIMIT_BYTES:
            raise BundleRefused(f"the bundle is larger than {_BUNDLE_LIMIT_BYTES >> 20} MB")
        try:
            await self._git.run(
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                str(source),
                f"+{ref}:{_HEAD_REF}",
                repository=repository,
                settings=_FSCK,
            )
            await self._check(repository)
        except GitRefused as exc:
            raise BundleRefused(str(exc).replace(str(into), "<quarantine>")) from exc
        head = await self._resolve(repository, f"{_HEAD_REF}^{{commit}}")
        descends = await self._git.run("merge-base", "--is-ancestor", base, head, repository=repository, allowed=(0, 1))
        if descends.exit_code == 1:
            raise BundleRefused("the work does not descend from the commit that it started from")
        return Quarantined(repository, base, head, await self._resolve(repository, f"{head}^{{tree}}"))

    async def _check(self, repository: Path) -> None:
        """Look at every object that came in: before git 2.46, a fetch from a bundle leaves that out.

        https://git-scm.com/docs/git-index-pack#Documentation/git-index-pack.txt---strictmsg-idseverity
        """
        for pack in await self._in_thread(_packs, repository):
            index = repository.parent / "checked.idx"
            await self._git.run("index-pack", "--strict", "-o", str(index), str(pack), repository=repository)

    async def changes(self, work: Quarantined) -> Diff:
        """All that differs between base and head; renames are a deletion and an addition."""
        between = ("--no-renames", "--no-ext-diff", "--no-textconv", work.base_sha, work.head_sha)
        listing = await self._git.run(
            "diff-tree", "-r", "-z", "--raw", "--numstat", *between, repository=work.repository
        )
        if not listing.complete:
            raise BundleRefused("the work changes too many files to be listed")
        changes = parse_changes(listing.stdout)
        sizes = await self._sizes(work, changes)
        links = [change for change in changes if change.mode == SYMLINK and change.sha]
        targets = {link.sha: await self._link_target(work, link) for link in links}
        patch = await self._git.run(
            "diff-tree",
            "-p",
            "--binary",
            "--full-index",
            "--no-color",
            *between,
            repository=work.repository,
            limit_bytes=self._patch_limit_bytes,
        )
        return Diff(
            changes=tuple(
                replace(change, size=sizes.get(change.sha or "", 0), link_target=targets.get(change.sha))
                for change in changes
            ),
            patch=patch.stdout,
            patch_complete=patch.complete,
        )

    async def squash(self, work: Quarantined, message: str, author: Author, at: datetime) -> Sha:
        """One local commit of the head's tree on the base, for a plain push. The same input makes the same sha."""
        date = f"{int(at.timestamp())} +0000"
        output = await self._git.run(
            *("commit-tree", work.head_tree, "-p", work.base_sha, "-F", "-"),
            repository=work.repository,
            stdin=message.encode(),
            env={
                "GIT_AUTHOR_NAME": author.name,
                "GIT_AUTHOR_EMAIL": author.email,
                "GIT_AUTHOR_DATE": date,
                "GIT_COMMITTER_NAME": author.name,
                "GIT_COMMITTER_EMAIL": author.email,
                "GIT_COMMITTER_DATE": date,
            },
        )
        return Sha(output.stdout.decode().strip())

    async def push_hidden(self, remote: Remote, work: Quarantined, ref: str) -> None:
        """Put the head under a ref of its own, so that its blobs exist on the other side. Raises PushRefused."""
        await self._push(remote, work, f"+{work.head_sha}:{ref}")

    async def delete_hidden(self, remote: Remote, work: Quarantined, ref: str) -> None:
        """Take that ref away again; one that is gone already is no error."""
        try:
            await self._push(remote, work, f":{ref}")
        except (PushRefused, GitRefused) as exc:
            if "remote ref does not exist" not in str(exc) and "unable to delete" not in str(exc):
                raise

    async def push_branch(self, remote: Remote, work: Quarantined, sha: Sha, branch: str, expected: Sha | None) -> None:
        """Push unless the branch is not `expected` any more (None: unless it exists).

        Raises BranchTaken and PushRefused.
        """
        ref = f"refs/heads/{branch}"
        await self._push(remote, work, f"{sha}:{ref}", f"--force-with-lease={ref}:{expected or ''}")

    async def _push(self, remote: Remote, work: Quarantined, refspec: str, *options: str) -> None:
        try:
            await self._git.run(
                *("push", "--quiet", "--no-verify", *options, remote.url, refspec),
                repository=work.repository,
                remote=remote,
            )
        except GitRefused as exc:
            words = exc.output.stderr
            if _MOVED_ON.search(words):
                raise BranchTaken(words.strip()[:_REMOTE_WORDS_LIMIT]) from exc
            if _REFUSED.search(words):
                raise PushRefused(words.strip()[:_REMOTE_WORDS_LIMIT]) from exc
            raise

    async def _sizes(self, work: Quarantined, changes: list[Change]) -> dict[str, int]:
        shas = sorted({change.sha for change in changes if change.sha and change.mode != SUBMODULE})
        output = await self._git.run(
            *("cat-file", "--batch-check=%(objectname) %(objectsize)"),
            repository=work.repository,
            stdin="".join(f"{sha}\n" for sha in shas).encode(),
        )
        rows = (row.split(" ") for row in output.stdout.decode().splitlines())
        return {row[0]: int(row[1]) for row in rows}

    async def _link_target(self, work: Quarantined, link: Change) -> str:
        """A target that is too long to be one is cut; a cut one still starts where it leads."""
        assert link.sha
        output = await self._git.run(
            "cat-file", "blob", link.sha, repository=work.repository, limit_bytes=_LINK_LIMIT_BYTES
        )
        return output.stdout.decode("utf-8", errors="backslashreplace")

    async def _resolve(self, repository: Path, name: str) -> Sha:
        try:
            output = await self._git.run("rev-parse", "--verify", "--end-of-options", name, repository=repository)
        except GitRefused as exc:
            raise BundleRefused("the bundle's head is not a commit") from exc
        return Sha(output.stdout.decode().strip())

    async def _in_thread(self, do: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, do, *arguments)


def _renew(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)


def _borrow(pristine: Path, repository: Path) -> None:
    """Read the base's objects where they are. The base's own parents are missing there, which `shallow` says."""
    (repository / "objects" / "info" / "alternates").write_text(f"{pristine / 'objects'}\n")
    if (pristine / "shallow").exists():
        shutil.copyfile(pristine / "shallow", repository / "shallow")


def _packs(repository: Path) -> list[Path]:
    return sorted((repository / "objects" / "pack").glob("*.pack"))


def _store(bundle: bytes | Path, place: Path) -> int:
    if isinstance(bundle, bytes):
        place.write_bytes(bundle)
    return place.stat().st_size
