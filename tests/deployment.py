"""A whole Backspace as its own process, between a GitHub stand-in and a scripted model, all on loopback."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[1]
MODEL_KEY = "sk-ant-dummy-0000000000000000"
WEBHOOK_SECRET = "It's a Secret to Everybody"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


def until(fact: Callable[[], T | bool | None], *, seconds: float = 60.0, what: str = "") -> T:
    """Wait for a fact; what it returns when it is one. Fails with `what` when it does not come about."""
    end = time.monotonic() + seconds
    while True:
        found = fact()
        if found is not None and found is not False:
            return found  # type: ignore[return-value]  # True stands for a fact without a value
        if time.monotonic() > end:
            raise AssertionError(f"did not come about in {seconds} s: {what or fact}")
        time.sleep(0.02)  # between two looks at a fact of another process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Backspace:
    """`backspace serve` with settings of its own; nothing of this process's environment reaches it."""

    settings: Mapping[str, str]
    home: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.home / "serve.log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "BACKSPACE_HOME": str(self.home / "data"),
            "BACKSPACE_PORT": str(self.port),
            "BACKSPACE_PUBLIC_URL": self.url,
            "BACKSPACE_SANDBOX": "bubblewrap",
            "BACKSPACE_REQUIRE_AUTH": "false",
            "BACKSPACE_LOG": "json",
            **self.settings,
        }

    def start(self, *, wait: bool = True) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bot", "serve"],
                cwd=self.home,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            until(self.ready, seconds=_START_SECONDS, what="Backspace is ready")

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"Backspace ended:\n{self.log[-4000:]}"
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        return False

    def kill(self) -> None:
        """kill -9, as a machine's memory killer would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(_STOP_SECONDS)

    def stop(self) -> int | None:
        """End it as a service manager would; its exit status."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_STOP_SECONDS)
            raise


@contextlib.contextmanager
def passable_folder() -> Iterator[Path]:
    """A temporary folder that the sandbox's user can pass through, which pytest's own are not for root."""
    folder = Path(tempfile.mkdtemp(prefix="backspace-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder: what a Backspace there, or its sandboxes, left running."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if os.fsencode(folder) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found
