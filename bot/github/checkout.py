"""A shallow clone on the host: the tree for the sandbox, and a bare copy that no agent ever touches."""

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from bot.github.failures import BranchMissing, EmptyRepository, GitUnavailable, RepositoryTooLarge
from bot.github.git import Git, GitRefused, Remote
from bot.model import Sha

BASE_REF = "refs/backspace/base"

_SIZE_LIMIT_BYTES = 2 * 1024**3
_FETCH_ATTEMPTS = 3
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NO_SUCH_REF = re.compile(r"couldn't find remote ref|not our ref|unadvertised object|no such remote ref", re.IGNORECASE)
_LFS = re.compile(rb"(?m)^[^#\n]*\bfilter=lfs\b")


@dataclass(frozen=True)
class Clone:
    base_sha: Sha
    tree: Path
    """The working tree with its own `.git`, without remotes or credentials; goes into the sandbox."""
    pristine: Path
    """The same commit in a bare repository that stays on the host, for the quarantine."""
    submodules: tuple[str, ...]
    """Paths whose content is left out."""
    has_lfs: bool
    """Large files are pointers only."""


class Checkout:
    def __init__(
        self,
        git: Git,
        *,
        executor: Executor,
        size_limit_bytes: int = _SIZE_LIMIT_BYTES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`executor` does the copying of files, so that the loop goes on."""
        self._git = git
        self._executor = executor
        self._size_limit_bytes = size_limit_bytes
        self._sleep = sleep

    async def clone(self, remote: Remote, *, ref: str, into: Path) -> Clone:
        """Fetch one commit: of a branch, or named by its full sha. What `into` (absolute) held before is gone.

        Raises EmptyRepository, BranchMissing, RepositoryUnreachable, RepositoryTooLarge, GitUnavailable, GitTimedOut.
        """
        await self._in_thread(_renew, into)
        pristine, tree = into / "pristine.git", into / "tree"
        base = await self.fetch(remote, ref=ref, into=pristine)
        submodules, attributes = await self._survey(pristine, base)
        branch = "main" if _SHA.fullmatch(ref) else ref
        await self._in_thread(_copy_repository, pristine, tree / ".git")
        await self._git.run("config", "core.bare", "false", repository=tree / ".git")
        await self._git.run("checkout", "--quiet", "-B", branch, base, repository=tree / ".git", worktree=tree)
        await self._git.run("update-ref", "-d", BASE_REF, repository=tree / ".git")
        return Clone(base, tree, pristine, submodules, await self._mentions_lfs(pristine, attributes))

    async def fetch(self, remote: Remote, *, ref: str, into: Path) -> Sha:
        """The bare repository `into` with that one commit at BASE_REF. Raises as `clone` does."""
        await self._in_thread(_renew, into)
        await self._git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(into))
        source = ref if _SHA.fullmatch(ref) else f"refs/heads/{ref}"
        try:
            await self._fetch(remote, f"+{source}:{BASE_REF}", into)
        except GitRefused as exc:
            if not _NO_SUCH_REF.search(exc.output.stderr):
                raise
            refs = await self._git.run("ls-remote", "--quiet", remote.url, remote=remote)
            raise (BranchMissing(f"no {ref}") if refs.stdout.strip() else EmptyRepository()) from exc
        output = await self._git.run("rev-parse", "--verify", BASE_REF, repository=into)
        return Sha(output.stdout.decode().strip())

    async def _fetch(self, remote: Remote, refspec: str, into: Path) -> None:
        def watch() -> None:
            if _size(into / "objects" / "pack") > self._size_limit_bytes:
                raise RepositoryTooLarge(f"more than {self._size_limit_bytes >> 20} MB to fetch")

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(GitUnavailable),
            stop=stop_after_attempt(_FETCH_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.5, max=4),
            sleep=self._sleep,
            reraise=True,
        ):
            with attempt:
                await self._git.run(
                    "fetch",
                    "--quiet",
                    "--depth=1",
                    "--no-tags",
                    "--no-write-fetch-head",
                    "--no-recurse-submodules",
                    remote.url,
                    refspec,
                    repository=into,
                    remote=remote,
                    watch=watch,
                )

    async def _survey(self, pristine: Path, base: Sha) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Submodules' paths and the blobs of .gitattributes. Raises RepositoryTooLarge before anything is unpacked."""
        listing = await self._git.run("ls-tree", "-r", "-l", "-z", base, repository=pristine)
        submodules, attributes, total = [], [], 0
        for row in listing.stdout.split(b"\0")[:-1]:
            facts, _, path = row.partition(b"\t")
            mode, _, sha, size = facts.split()
            if mode == b"160000":
                submodules.append(path.decode(errors="backslashreplace"))
                continue
            total += int(size)
            if path.rpartition(b"/")[2] == b".gitattributes":
                attributes.append(sha.decode())
        if total > self._size_limit_bytes or not listing.complete:
            raise RepositoryTooLarge(f"more than {self._size_limit_bytes >> 20} MB of files")
        return tuple(submodules), tuple(attributes)

    async def _mentions_lfs(self, pristine: Path, attributes: tuple[str, ...]) -> bool:
        if not attributes:
            return False
        output = await self._git.run(
            "cat-file", "--batch", repository=pristine, stdin="".join(f"{sha}\n" for sha in attributes).encode()
        )
        return bool(_LFS.search(output.stdout))

    async def _in_thread(self, do: Callable[..., None], *paths: Path) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, do, *paths)


def _renew(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)


def _copy_repository(pristine: Path, into: Path) -> None:
    # Copied, not linked: an agent that writes to its own object files must not reach ours.
    shutil.copytree(pristine, into)


def _size(folder: Path) -> int:
    total = 0
    for file in folder.glob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # git renames its temporary pack when it is whole
    return total
