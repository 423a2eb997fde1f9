"""The sandbox on this machine: every `run` and `launch` is a bwrap process of its own over the same files.

A sandbox lives as long as the worker that made it: after a restart `attach` finds none, and `create` or `delete`
takes apart the directory that was left. Use an instance from one event loop, whose thread lives as long as the
worker does; enter it as a context, or call `aclose` at the end.
"""

import asyncio
import contextlib
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

from bot.sandbox import (
    REPO,
    Exited,
    Finished,
    Handle,
    Running,
    SandboxFailed,
    SandboxId,
    SandboxLost,
    Spec,
    bwrap_options,
    cgroups,
    limits,
    uids,
)
from bot.sandbox.installation import Installation, install
from bot.sandbox.living import Living, Program
from bot.sandbox.place import Place, check_name, make_root, places
from bot.sandbox.processes import Pipes, Processes, start_caretaker
from bot.sandbox.transfer import collect_ends, copied, feed, finish, pack, packed

_TREE_SECONDS = 900.0
_ERROR_BYTES = 4096
_WRITE = 'umask 022; mkdir -p -- "$(dirname -- "$1")" && rm -f -- "$1" && cat >"$1"'
_READ = 'test -f "$1" && exec head -c "$2" -- "$1"'
_UNPACK = 'mkdir -p -- "$1" && exec tar --extract --file=- --directory="$1" --no-same-owner --preserve-permissions'
_ARCHIVE = ("tar", "--create", "--file=-", "--sparse", "--directory=/files", "workspace", "home")
_EXTRACT = ("tar", "--extract", "--file=-", "--directory=/files", "--no-same-owner", "--preserve-permissions")


class Bubblewrap:
    """Keeps the `Sandbox` Protocol."""

    def __init__(self, *, root: Path, tools: Path, starts: int | None = None, watch_seconds: float = 2.0) -> None:
        """`root` has a directory for each sandbox, `tools` what they share.

        Both must be where another user can pass when this process is root. `starts`: how many launched programs
        may be starting up at once, by default one per core. `watch_seconds`: how often the use of disk is measured.
        """
        self._root = root
        self._tools = tools
        self._starts = asyncio.Semaphore(starts or os.cpu_count() or 1)
        self._living: dict[str, Living] = {}
        self._locks = weakref.WeakValueDictionary[str, asyncio.Lock]()
        self._watch_seconds = watch_seconds
        self._installing = asyncio.Lock()
        self._installation: Installation | None = None
        self._lifeline: tuple[int, int] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End every program; the directories stay for `delete`."""
        for living in list(self._living.values()):
            await living.end()
            if living.processes.group:
                await asyncio.to_thread(living.processes.group.remove)
            living.lease.release()
        self._living.clear()
        if self._lifeline:
            for descriptor in self._lifeline:
                os.close(descriptor)
            self._lifeline = None

    async def check(self) -> Installation:
        """Raises SandboxUnavailable, with a code and a remedy, when this machine cannot make sandboxes."""
        async with self._installing:
            if not self._installation:
                lease = await asyncio.to_thread(uids.lease, self._taken())
                try:
                    self._installation = await asyncio.to_thread(install, self._tools, lease.account)
                    await asyncio.to_thread(uids.sweep_orphans, self._installation.bwrap)
                    await asyncio.to_thread(cgroups.sweep)
                finally:
                    lease.release()
            return self._installation

    async def create(self, key: str, spec: Spec) -> SandboxId:
        installation = await self.check()
        async with self._lock(key):
            await self._destroy(key)
            make_root(self._root)
            lease = await asyncio.to_thread(uids.lease, self._taken())
            place = Place(self._root / key)
            try:
                place.make(lease.account)
                ground = bwrap_options.Ground(
                    workspace=place.workspace,
                    home=place.home,
                    fixtures=installation.fixtures,
                    claude=installation.claude,
                    broker_socket=place.socket(spec.broker_socket, "model.sock", lease.account),
                    egress_socket=place.socket(spec.egress_socket, "egress.sock", lease.account),
                    tmp_bytes=spec.tmp_bytes,
                )
            except OSError as error:
                lease.release()
                raise SandboxFailed(f"the sandbox's directory cannot be made: {error}") from error
            except BaseException:
                lease.release()
                raise
            group = cgroups.make(key, memory_bytes=spec.memory_bytes, processes=spec.processes)
            if not self._lifeline:
                self._lifeline = os.pipe()
            processes = Processes(spec, ground, lease.account, group, installation, self._lifeline[0])
            self._living[key] = Living(place, processes, lease, self._watch_seconds)
        return SandboxId(key)

    async def copy(self, source: SandboxId, key: str, spec: Spec) -> SandboxId:
        original = self._find(source)
        created = await self.create(key, spec)
        target = self._find(created)
        reading, writing = os.pipe()
        try:
            sender = await original.processes.caretaker(_ARCHIVE, Pipes(stdout=writing))
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        try:
            receiver = await target.processes.caretaker(_EXTRACT, Pipes(stdin=reading))
        except BaseException:
            await sender.end()
            raise
        finally:
            os.close(reading)
        await copied(sender, receiver, seconds=_TREE_SECONDS)
        return created

    async def attach(self, key: str) -> SandboxId | None:
        return SandboxId(key) if key in self._living else None

    async def put(self, sandbox: SandboxId, path: PurePosixPath, content: bytes | Path) -> None:
        living = self._find(sandbox)
        if isinstance(content, Path) and await asyncio.to_thread(content.is_dir):
            await self._put_tree(living, path, content)
            return
        data = content if isinstance(content, bytes) else await asyncio.to_thread(content.read_bytes)
        argv = ["sh", "-c", _WRITE, "sh", str(path)]
        writer = await living.still(await living.processes.tool(argv, Pipes(stdin=asyncio.subprocess.PIPE)))
        code, _, errors = await finish(writer, data)
        if code != 0:
            raise SandboxFailed(f"{path} cannot be written in the sandbox: {errors}")

    async def _put_tree(self, living: Living, path: PurePosixPath, directory: Path) -> None:
        reading, writing = os.pipe()
        try:
            packing = await pack(directory, writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        try:
            argv = ["sh", "-c", _UNPACK, "sh", str(path)]
            receiver = await living.still(await living.processes.tool(argv, Pipes(stdin=reading)))
        except BaseException:
            packing.kill()
            await packing.wait()
            raise
        finally:
            os.close(reading)
        await packed(packing, receiver, seconds=_TREE_SECONDS)

    async def get(self, sandbox: SandboxId, path: PurePosixPath, *, limit_bytes: int) -> bytes:
        living = self._find(sandbox)
        argv = ["sh", "-c", _READ, "sh", str(path), str(limit_bytes + 1)]
        reader = await living.still(await living.processes.tool(argv, Pipes(stdout=asyncio.subprocess.PIPE)))
        code, data, errors = await finish(reader, limit_bytes=limit_bytes + 1)
        if code != 0:
            raise SandboxFailed(f"{path} cannot be read in the sandbox: {errors or 'it is not there'}")
        if len(data) > limit_bytes:
            raise SandboxFailed(f"{path} in the sandbox has more than {limit_bytes} bytes")
        return data

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
        living = self._find(sandbox)
        loop = asyncio.get_running_loop()
        began = loop.time()
        kills = living.memory_kills()
        pipes = Pipes(
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        contained = await living.still(
            await living.processes.program(argv, cwd=cwd, env=env or {}, pipes=pipes, low_priority=low_priority)
        )
        timer = loop.call_later(timeout_seconds, contained.kill, "timeout")
        try:
            async with living.using(contained):
                feeding = asyncio.ensure_future(feed(contained.process.stdin, stdin))
                output, cut = await collect_ends(contained.process.stdout, limit_bytes)
                await feeding
                code = await contained.wait()
        finally:
            timer.cancel()
            await contained.end()
        if living.ending:
            raise SandboxLost(f"the sandbox {sandbox} went away while a command ran in it")
        if code > 0 and not contained.started():
            raise SandboxFailed(f"bwrap: {output[:_ERROR_BYTES].decode(errors='replace').strip()}")
        return Finished(
            code,
            output,
            loop.time() - began,
            timed_out=contained.reason == "timeout",
            cut=cut,
            reason=living.reason_of(contained, code, kills),
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
        living = self._find(sandbox)
        handle = Handle(sandbox, name)
        job = living.place.job(name)
        await self._starts.acquire()
        try:
            try:
                job.mkdir(mode=0o700)
            except FileExistsError:
                raise SandboxFailed(f"a program named {name} was launched in this sandbox before") from None
            with (job / "out.jsonl").open("ab") as out, (job / "stderr").open("ab") as errors:
                pipes = Pipes(asyncio.subprocess.PIPE, out.fileno(), errors.fileno())
                contained = await living.still(await living.processes.program(argv, cwd=cwd, env=env, pipes=pipes))
            living.adopt(Program(name, job, contained), self._starts.release)
        except BaseException:
            self._starts.release()
            raise
        return handle

    async def write(self, handle: Handle, data: bytes) -> None:
        """Bytes for a program that has ended are dropped."""
        stdin = self._program(handle).contained.process.stdin
        if stdin and not stdin.is_closing():
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                stdin.write(data)
                await stdin.drain()

    async def close_stdin(self, handle: Handle) -> None:
        stdin = self._program(handle).contained.process.stdin
        if stdin and not stdin.is_closing():
            stdin.close()

    async def read(self, handle: Handle, offset: int, *, limit_bytes: int = 1024**2) -> bytes:
        return self._program(handle).read(offset, limit_bytes)

    async def status(self, handle: Handle) -> Running | Exited:
        return self._program(handle).exited() or Running()

    async def kill(self, handle: Handle) -> None:
        program = self._program(handle)
        program.contained.kill()
        await program.ended

    async def delete(self, sandbox: SandboxId) -> None:
        async with self._lock(sandbox):
            await self._destroy(sandbox)

    async def list_owned(self) -> list[SandboxId]:
        return [SandboxId(place.key) for place in places(self._root)]

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(check_name(key), asyncio.Lock())

    def _find(self, sandbox: SandboxId) -> Living:
        living = self._living.get(sandbox)
        if not living or not living.place.directory.exists():
            raise SandboxLost(f"the sandbox {sandbox} is gone")
        return living

    def _program(self, handle: Handle) -> Program:
        program = self._find(handle.sandbox).programs.get(handle.name)
        if not program:
            raise SandboxLost(f"the program {handle.name} of the sandbox {handle.sandbox} is gone")
        return program

    def _taken(self) -> frozenset[int]:
        owners = (place.owner() for place in places(self._root))
        return frozenset(owner.uid for owner in owners if owner)

    async def _destroy(self, key: str) -> None:
        living = self._living.pop(check_name(key), None)
        place = Place(self._root / key)
        lease = living.lease if living else None
        try:
            if living:
                await living.end()
            owner = place.owner()
            if owner and not lease:
                lease = uids.hold(owner)
            if lease:
                await asyncio.to_thread(uids.sweep, lease.account)
            if living and living.processes.group:
                await asyncio.to_thread(living.processes.group.remove)
            if place.directory.exists():
                if owner:
                    await self._empty(place, owner)
                await asyncio.to_thread(place.remove)
        except OSError as error:
            raise SandboxFailed(f"the sandbox {key} cannot be removed: {error}") from error
        finally:
            if lease:
                lease.release()

    async def _empty(self, place: Place, owner: limits.Account) -> None:
        installation = await self.check()
        binds = {f"/files/{path.name}": path for path in (place.workspace, place.home) if path.is_dir()}
        argv = ["find", *binds, "-mindepth", "1", "-delete"]
        emptier = await start_caretaker(installation, owner, binds, argv, Pipes())
        code, _, errors = await finish(emptier, seconds=_TREE_SECONDS)
        if code != 0:
            raise SandboxFailed(f"the files of the sandbox {place.key} cannot be removed: {errors}")
