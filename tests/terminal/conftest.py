"""The command line as its own process, against a real server."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deployment import Backspace, Deployment, deployed, until

_SECONDS = 90.0


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str


@dataclass
class Begun:
    """A command that still runs; what it has printed is in files."""

    process: "subprocess.Popen[bytes]"
    out_file: Path
    err_file: Path

    @property
    def out(self) -> str:
        return self.out_file.read_text()

    def says(self, words: str) -> None:
        until(lambda: words in self.out or self.process.poll() is not None, what=f"{words!r} in:\n{self.out}")
        assert words in self.out, self.err_file.read_text()

    def interrupt(self) -> Ended:
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> Ended:
        code = self.process.wait(_SECONDS)
        return Ended(code, self.out, self.err_file.read_text())


@dataclass
class Terminal:
    """A shell without a terminal, in which `backspace` is typed."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    _begun: list[Begun] = field(default_factory=list)

    def begin(self, *words: str) -> Begun:
        number = len(self._begun)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8", **self.environment}
        with out.open("wb") as out_stream, err.open("wb") as err_stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "bot", *words],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out_stream,
                stderr=err_stream,
            )
        begun = Begun(process, out, err)
        self._begun.append(begun)
        return begun

    def run(self, *words: str) -> Ended:
        return self.begin(*words).end()

    def close(self) -> None:
        for begun in self._begun:
            if begun.process.poll() is None:
                begun.process.kill()
                begun.process.wait()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    with deployed() as deployment:
        yield deployment


def made_key(backspace: Backspace, *options: str) -> str:
    """A new API key for `acme/*`."""
    made = subprocess.run(
        [sys.executable, "-m", "bot", "keys", "add", "--name", "tests", "--repo", "acme/*", *options],
        cwd=backspace.home,
        env=backspace.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    ).stdout
    return made.split()[-1]
