"""The sandbox Protocol without a sandbox: plain processes in a directory, for the agent's own tests."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from bot.sandbox import HOME, REPO, Exited, Finished, Handle, Running, SandboxFailed, SandboxId, Spec

_ID = SandboxId("plain")


class PlainSandbox:
    """`/workspace/repo` and `/home/agent` are `repo` and `home` below `root`, in every argument and variable."""

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.repo = root / "repo"
        self.home = root / "home"
        self.environment = dict(environment or {})
        self.killed: list[str] = []
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def create(self, key: str, spec: Spec) -> SandboxId:
        for directory in (self.repo, self.home, self.root / "tmp"):
            directory.mkdir(parents=True, exist_ok=True)
        return _ID

    async def copy(self, source: SandboxId, key: str, spec: Spec) -> SandboxId:
        raise SandboxFailed

    async def attach(self, key: str) -> SandboxId | None:
        return _ID

    async def put(self, sandbox: SandboxId, path: PurePosixPath, content: bytes | Path) -> None:
        await asyncio.to_thread(_put, Path(self._inside(str(path))), content)

    async def get(self, sandbox: SandboxId, path: PurePosixPath, *, limit_bytes: int) -> bytes:
        return await asyncio.to_thread(Path(self._inside(str(path))).read_bytes)

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
        process = await asyncio.create_subprocess_exec(
            *map(self._inside, argv),
            cwd=self._inside(str(cwd)),
            env=self._environment(env or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return Finished(process.returncode or 0, output, 0.0)

    async def launch(
        self,
        sandbox: SandboxId,
        argv: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str],
        cwd: PurePosixPath = REPO,
    ) -> Handle:
        stdout = os.open(self._stdout(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        stderr = os.open(self.root / f"{name}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *map(self._inside, argv),
                cwd=self._inside(str(cwd)),
                env=self._environment(env),
                stdin=asyncio.subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        finally:
            os.close(stdout)
            os.close(stderr)
        return Handle(_ID, name)

    async def write(self, handle: Handle, data: bytes) -> None:
        stdin = self._processes[handle.name].stdin
        assert stdin
        with contextlib.suppress(ConnectionError):
            stdin.write(data)
            await stdin.drain()

    async def close_stdin(self, handle: Handle) -> None:
        stdin = self._processes[handle.name].stdin
        assert stdin
        stdin.close()
        with contextlib.suppress(ConnectionError):
            await stdin.wait_closed()

    async def read(self, handle: Handle, offset: int, *, limit_bytes: int = 1024**2) -> bytes:
        with self._stdout(handle.name).open("rb") as file:
            file.seek(offset)
            return file.read(limit_bytes)

    async def status(self, handle: Handle) -> Running | Exited:
        code = self._processes[handle.name].returncode
        if code is None:
            return Running()
        return Exited(code, (self.root / f"{handle.name}.err").read_bytes())

    async def kill(self, handle: Handle) -> None:
        self.killed.append(handle.name)
        process = self._processes[handle.name]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def delete(self, sandbox: SandboxId) -> None:
        for name, process in self._processes.items():
            if process.returncode is None:
                await self.kill(Handle(_ID, name))
            if process.stdin and not process.stdin.is_closing():
                process.stdin.close()

    async def list_owned(self) -> list[SandboxId]:
        return [_ID]

    def _stdout(self, name: str) -> Path:
        return self.root / f"{name}.out"

    def _inside(self, text: str) -> str:
        return text.replace(str(REPO), str(self.repo)).replace(str(HOME), str(self.home))

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        known = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.root / "tmp"),
            "NO_PROXY": "127.0.0.1,.invalid",
            # The program refuses to run as root with all permissions unless it is told that it is contained.
            "IS_SANDBOX": "1",
        }
        return {name: self._inside(value) for name, value in (known | dict(given) | self.environment).items()}


def _put(target: Path, content: bytes | Path) -> None:
    if isinstance(content, Path):
        shutil.copytree(content, target, dirs_exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
