"""Sandboxes on Daytona's cloud, as the Protocol wants them: each key is a sandbox of its own there.

They live on when this process ends, and are found again by their names. Nothing inside is trusted: programs of ours
run there as the same user as the agent.
"""

import asyncio
import base64
import binascii
import shlex
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import structlog

from bot.daytona import network
from bot.daytona.cloud import Cloud
from bot.daytona.failures import KeyRefused, PolicyRefused, Unanswered
from bot.daytona.jobs import OURS, PYTHON, Jobs
from bot.daytona.prices import usd_per_hour
from bot.daytona.snapshot import DEFINITION
from bot.sandbox import (
    HOME,
    REPO,
    Exited,
    Finished,
    Handle,
    Running,
    SandboxFailed,
    SandboxId,
    Spec,
)
from bot.sandbox.installation import HOST_PATH, SandboxUnavailable

_RUN_ID_CHARACTERS = 36
_TREE_SECONDS = 900.0
_FILE_SECONDS = 120.0
_CALL_SECONDS = 25.0
_INLINE_BYTES = 256 * 1024
_ARCHIVE_LIMIT_BYTES = 8 * 1024**3
_SAID_BYTES = 4096
_NO_FILE = 44
_PROBE = OURS / "probe.py"
_PROGRAMS = {OURS / name: Path(__file__).with_name(name) for name in ("detached.py", "supervisor.py", "probe.py")}
"""What runs inside, and where it is on the host."""
_WRITE = 'umask 022; mkdir -p -- "$(dirname -- "$1")" && rm -f -- "$1" && cat >"$1"'
_UNPACK = (
    'mkdir -p -- "$1" && exec tar --extract --gzip --file=- --directory="$1" --no-same-owner --preserve-permissions'
)
_PACK = """archive=$1; shift
tar --create --use-compress-program='gzip -1' --sparse --ignore-failed-read --file="$archive" --directory=/ -- "$@"
code=$?
# 1: a file changed while it was read, as it may in a tree that somebody works in.
[ "$code" -le 1 ] || exit "$code"
"""
_ENVIRONMENT = {
    "HOME": str(HOME),
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "npm_config_update_notifier": "false",
}
"""Besides the snapshot's own."""

log = structlog.get_logger("bot.daytona.backend")


class Ledger(Protocol):
    """Who is told of what is paid for."""

    async def opens(self, key: str, usd_per_hour: float) -> None:
        """Before it is made."""
        ...

    async def ended(self, key: str) -> None: ...


class Daytona:
    """Keeps the `Sandbox` Protocol."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        snapshot: str,
        broker_url: str,
        ttl_minutes: int,
        accept_open_network: bool,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        ledger: "Ledger | None" = None,
        wait_seconds: float = 15.0,
    ) -> None:
        """`broker_url`: Backspace as sandboxes reach it. `clock` in seconds, monotonic.

        `wait_seconds`: how long one call may wait inside for a command's end, before it is made again.
        """
        self._cloud = cloud
        self._snapshot = snapshot
        self._broker_url = broker_url
        self._ttl_minutes = ttl_minutes
        self._accept_open_network = accept_open_network
        self._new_id = new_id
        self._ledger = ledger
        self.usd_per_hour = usd_per_hour(
            cpu=DEFINITION.cpu, memory_gib=DEFINITION.memory_gib, disk_gib=DEFINITION.disk_gib
        )
        self._jobs = Jobs(cloud, clock=clock, new_id=new_id, wait_seconds=wait_seconds)
        self._locks = weakref.WeakValueDictionary[str, asyncio.Lock]()
        self._background: set[asyncio.Task[None]] = set()

    async def check(self) -> None:
        """Raises SandboxUnavailable, with a code and a remedy, when no sandbox can be made."""
        try:
            found = await self._cloud.snapshots.find(self._snapshot)
        except KeyRefused as error:
            raise SandboxUnavailable(
                error.code,
                "Daytona refuses DAYTONA_API_KEY",
                "set it to a key that may write sandboxes and read snapshots",
            ) from error
        except Unanswered as error:
            # It may be back before somebody asks for a run.
            log.warning("daytona.unanswered", error=str(error))
            return
        if found is None or found.state in ("error", "build_failed"):
            raise SandboxUnavailable(
                "daytona-snapshot-missing",
                f"Daytona has no snapshot {self._snapshot}",
                "run `backspace daytona snapshot`, which builds it, or mend BACKSPACE_DAYTONA_SNAPSHOT",
            )
        self.usd_per_hour = usd_per_hour(cpu=found.cpu, memory_gib=found.memory_gib, disk_gib=found.disk_gib)

    # Sandboxes

    async def create(self, key: str, spec: Spec) -> SandboxId:
        """The first sandbox of a run tries its network: raises StageFailed where that is not fit for the run."""
        async with self._lock(key):
            hosts = await self._make(key, spec)
            if len(key) <= _RUN_ID_CHARACTERS:
                try:
                    findings = await self.try_network(SandboxId(key), hosts)
                    if not findings.closed:
                        log.warning("daytona.network_open", sandbox=key, reached=findings.reached)
                    network.judge(
                        findings,
                        broker_url=self._broker_url,
                        private=spec.private,
                        accept_open=self._accept_open_network,
                    )
                except BaseException:
                    await self._away(key)
                    raise
        return SandboxId(key)

    async def _make(self, key: str, spec: Spec) -> list[str]:
        """The names that it may reach, if Daytona heeds them."""
        self._jobs.forget(key)
        hosts = network.allowed(self._broker_url, spec.hosts)
        if self._ledger:
            await self._ledger.opens(key, self.usd_per_hour)
        try:
            try:
                await self._ask_for(key, hosts)
            except PolicyRefused:
                await self._ask_for(key, None)
            await self._cloud.upload(key, _PROGRAMS)
        except BaseException:
            await self._away(key)
            raise
        return hosts

    async def _ask_for(self, key: str, hosts: list[str] | None) -> None:
        run = key[:_RUN_ID_CHARACTERS]
        await self._cloud.create(key, run=run, snapshot=self._snapshot, ttl_minutes=self._ttl_minutes, hosts=hosts)

    async def try_network(self, sandbox: SandboxId, hosts: Sequence[str]) -> network.Findings:
        """From inside; nothing but `hosts` should be reachable."""
        command = network.command(PYTHON, _PROBE, self._broker_url, hosts)
        return network.read(*await self._cloud.execute(sandbox, command, timeout_seconds=_CALL_SECONDS))

    async def _away(self, key: str) -> None:
        """Goes on when this task is cancelled once more."""

        async def delete() -> None:
            try:
                await self._cloud.delete(key)
                await self._gone(key)
            except SandboxFailed as error:
                log.warning("daytona.sandbox_left", sandbox=key, error=str(error))

        task = asyncio.create_task(delete())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        await asyncio.shield(task)

    async def _gone(self, key: str) -> None:
        if self._ledger:
            await self._ledger.ended(key)

    async def copy(self, source: SandboxId, key: str, spec: Spec) -> SandboxId:
        """The files go by way of this host. What the sandbox's own user cannot read is left out."""
        with tempfile.TemporaryDirectory(prefix="backspace-") as directory:
            archive = Path(directory) / "tree.tgz"
            await self._fetch(source, archive)
            async with self._lock(key):
                await self._make(key, spec)
                try:
                    await self._unpack(SandboxId(key), PurePosixPath("/"), archive)
                except BaseException:
                    await self._away(key)
                    raise
        return SandboxId(key)

    async def _fetch(self, source: SandboxId, archive: Path) -> None:
        there = OURS / f"copy-{self._new_id()}.tgz"
        names = (str(path.relative_to("/")) for path in (REPO, HOME))
        await self._ours(source, [_PACK, "sh", str(there), *names], seconds=_TREE_SECONDS)
        with archive.open("wb") as file:
            async for part in self._jobs.content(source, there, _ARCHIVE_LIMIT_BYTES):
                await asyncio.to_thread(file.write, part)
        await self._cloud.execute(source, f"rm -f {shlex.quote(str(there))}", timeout_seconds=_CALL_SECONDS)

    async def attach(self, key: str) -> SandboxId | None:
        found = await self._cloud.find(key)
        return SandboxId(key) if found and found.runs else None

    async def delete(self, sandbox: SandboxId) -> None:
        async with self._lock(sandbox):
            self._jobs.forget(sandbox)
            await self._cloud.delete(sandbox)
            await self._gone(sandbox)

    async def list_owned(self) -> list[SandboxId]:
        return [SandboxId(found.key) for found in await self._cloud.owned()]

    # Files

    async def put(self, sandbox: SandboxId, path: PurePosixPath, content: bytes | Path) -> None:
        if isinstance(content, bytes) or not await asyncio.to_thread(content.is_dir):
            await self._ours(sandbox, [_WRITE, "sh", str(path)], seconds=_FILE_SECONDS, stdin=content)
            return
        with tempfile.TemporaryDirectory(prefix="backspace-") as directory:
            archive = Path(directory) / "tree.tgz"
            await _pack(content, archive)
            await self._unpack(sandbox, path, archive)

    async def _unpack(self, sandbox: SandboxId, path: PurePosixPath, archive: Path) -> None:
        await self._ours(sandbox, [_UNPACK, "sh", str(path)], seconds=_TREE_SECONDS, stdin=archive)

    async def _ours(
        self, sandbox: SandboxId, script: Sequence[str], *, seconds: float, stdin: bytes | Path = b""
    ) -> None:
        """One of our own file tools. Raises SandboxFailed with its words."""
        done = await self._jobs.run(
            sandbox,
            ["sh", "-c", *script],
            cwd=PurePosixPath("/"),
            env={},
            timeout_seconds=seconds,
            stdin=stdin,
            limit_bytes=_SAID_BYTES,
        )
        if done.exit_code != 0:
            words = "it took too long" if done.timed_out else done.output.decode(errors="replace").strip()
            raise SandboxFailed(f"files in the sandbox cannot be used: {' '.join(script[2:])}: {words}")

    async def get(self, sandbox: SandboxId, path: PurePosixPath, *, limit_bytes: int) -> bytes:
        file = shlex.quote(str(path))
        code, said = await self._cloud.execute(
            sandbox,
            f"[ -f {file} ] && [ ! -L {file} ] || exit {_NO_FILE}; "
            f"stat -c %s -- {file} && head -c {min(limit_bytes + 1, _INLINE_BYTES)} -- {file} | base64 -w0",
            timeout_seconds=_CALL_SECONDS,
        )
        if code == _NO_FILE:
            raise SandboxFailed(f"{path} cannot be read in the sandbox: it is not there, or no file")
        size, _, encoded = said.partition("\n")
        try:
            content = base64.b64decode(encoded.strip(), validate=True)
            if min(int(size), limit_bytes) >= _INLINE_BYTES:
                parts = self._jobs.content(sandbox, path, limit_bytes + 1)
                content = b"".join([part async for part in parts])
        except (binascii.Error, ValueError) as error:
            raise SandboxFailed(f"{path} cannot be read in the sandbox: {said[:_SAID_BYTES]}") from error
        if len(content) > limit_bytes:
            raise SandboxFailed(f"{path} in the sandbox has more than {limit_bytes} bytes")
        return content

    # Programs

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
        return await self._jobs.run(
            sandbox,
            argv,
            cwd=cwd,
            env={**_ENVIRONMENT, **(env or {})},
            timeout_seconds=timeout_seconds,
            stdin=stdin,
            limit_bytes=limit_bytes,
            low_priority=low_priority,
        )

    async def launch(
        self,
        sandbox: SandboxId,
        argv: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str],
        cwd: PurePosixPath = REPO,
    ) -> Handle:
        return await self._jobs.launch(sandbox, argv, name=name, cwd=cwd, env={**_ENVIRONMENT, **env})

    async def write(self, handle: Handle, data: bytes) -> None:
        """Bytes for a program that has ended are dropped."""
        await self._jobs.write(handle, data)

    async def close_stdin(self, handle: Handle) -> None:
        await self._jobs.close_stdin(handle)

    async def read(self, handle: Handle, offset: int, *, limit_bytes: int = 1024**2) -> bytes:
        """May be asked as often as one likes; empty without a call where there was nothing a moment ago."""
        return await self._jobs.read(handle, offset, limit_bytes)

    async def status(self, handle: Handle) -> Running | Exited:
        """May be asked as often as one likes, too."""
        return await self._jobs.status(handle)

    async def kill(self, handle: Handle) -> None:
        await self._jobs.kill(handle)

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())


async def _pack(directory: Path, archive: Path) -> None:
    """Of a host directory, which no agent ever wrote in."""
    process = await asyncio.create_subprocess_exec(
        *("tar", "--create", "--use-compress-program=gzip -1", "--sparse"),
        *(f"--file={archive}", f"--directory={directory}", "."),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": HOST_PATH},
    )
    try:
        async with asyncio.timeout(_TREE_SECONDS):
            _, problem = await process.communicate()
    except TimeoutError as error:
        raise SandboxFailed(f"the tree {directory} cannot be packed: it took too long") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise SandboxFailed(f"the tree {directory} cannot be packed: {problem.decode(errors='replace')}")
