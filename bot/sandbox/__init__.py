"""Where repository code and the agent run: the one Protocol that every backend keeps.

Paths inside are constant, so that a session saved in one sandbox goes on in another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NewType, Protocol

from bot.errors import BackspaceError

SandboxId = NewType("SandboxId", str)

REPO = PurePosixPath("/workspace/repo")
HOME = PurePosixPath("/home/agent")


@dataclass(frozen=True)
class Spec:
    """What a sandbox may use. Sizes in bytes."""

    memory_bytes: int = 4 * 1024**3
    disk_bytes: int = 10 * 1024**3
    processes: int = 512
    tmp_bytes: int = 1024**3
    broker_socket: Path | None = None
    """Host path of the model broker's Unix socket for this run; inside it is /run/model.sock."""
    egress_socket: Path | None = None
    """Host path of the egress gateway's Unix socket for this run; inside, HTTP(S)_PROXY lead to it."""
    hosts: tuple[str, ...] = ()
    """Names that a sandbox away from this machine may reach besides the broker; `*.x` for all below x."""
    private: bool = False
    """Whether the repository is; then a network that cannot be closed is no place for it."""


@dataclass(frozen=True)
class Finished:
    """A short command's end. `output` is stdout and stderr as they came, cut at the limit asked for."""

    exit_code: int
    output: bytes
    seconds: float
    timed_out: bool = False
    cut: bool = False
    """There was more output than the limit asked for; its beginning and its end were kept, half of the limit each."""
    reason: str = ""
    """Why we ended it: `disk` or `memory` where a limit did; empty otherwise."""


@dataclass(frozen=True)
class Handle:
    """A launched program, findable again by its sandbox and name."""

    sandbox: SandboxId
    name: str


@dataclass(frozen=True)
class Running:
    """It has not ended."""


@dataclass(frozen=True)
class Exited:
    """It has ended. A negative code is the signal that ended it."""

    code: int
    stderr: bytes = field(default=b"", repr=False)
    reason: str = ""
    """Why we ended it: `disk` or `memory` where a limit did; empty otherwise."""


class SandboxLost(BackspaceError):
    """The sandbox is gone; a new one must take its place."""

    retry_helps = True


class SandboxFailed(BackspaceError):
    """The sandbox cannot be made or used. `public` is for the people who asked, where there are words for them."""

    code = "sandbox-failed"
    public = ""


class Sandbox(Protocol):
    """One backend. Every method may raise SandboxLost (gone) or SandboxFailed (cannot)."""

    async def create(self, key: str, spec: Spec) -> SandboxId:
        """Make the sandbox named `key`, empty but for REPO and HOME. One of that name is destroyed first."""
        ...

    async def copy(self, source: SandboxId, key: str, spec: Spec) -> SandboxId:
        """Make the sandbox named `key` with the files of `source` (REPO's tree and HOME) as they are now."""
        ...

    async def attach(self, key: str) -> SandboxId | None:
        """The living sandbox of that name, or None."""
        ...

    async def put(self, sandbox: SandboxId, path: PurePosixPath, content: bytes | Path) -> None:
        """Write a file, or the tree below a host directory, owned by the sandbox's user."""
        ...

    async def get(self, sandbox: SandboxId, path: PurePosixPath, *, limit_bytes: int) -> bytes:
        """A file's bytes, read from inside so that no link leads out.

        Raises SandboxFailed when it is missing or larger than the limit.
        """
        ...

    async def run(
        self,
        sandbox: SandboxId,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        env: Mapping[str, str] | None = None,
        cwd: PurePosixPath = REPO,
        stdin: bytes = b"",
        limit_bytes: int = 1024**2,
        low_priority: bool = False,
    ) -> Finished:
        """Run one short command to its end; everything it started is dead afterwards."""
        ...

    async def launch(
        self,
        sandbox: SandboxId,
        argv: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str],
        cwd: PurePosixPath = REPO,
    ) -> Handle:
        """Start a program under the supervisor and return at once. Its stdin stays open for `write`."""
        ...

    async def write(self, handle: Handle, data: bytes) -> None:
        """Give the program bytes on stdin."""
        ...

    async def close_stdin(self, handle: Handle) -> None:
        """End the program's stdin."""
        ...

    async def read(self, handle: Handle, offset: int, *, limit_bytes: int = 1024**2) -> bytes:
        """The program's stdout from byte `offset`; empty when there is no more yet."""
        ...

    async def status(self, handle: Handle) -> Running | Exited: ...

    async def kill(self, handle: Handle) -> None:
        """End the program and all it started, at once."""
        ...

    async def delete(self, sandbox: SandboxId) -> None:
        """Destroy it; nothing of it lives on. A sandbox that is gone already is no error."""
        ...

    async def list_owned(self) -> list[SandboxId]:
        """The sandboxes of this deployment that exist."""
        ...
