"""A whole Backspace as its own process, between a GitHub stand-in and a scripted model, all on loopback."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

from bot.agent.claude import claude_program
from bot.daytona.snapshot import DEFINITION
from tests.fakes.daytona import FakeDaytona, fake_daytona
from tests.fakes.github import Delivery, FakeGitHub, Issue, Repository, serve
from tests.fakes.model.scenarios import CALC_FILES
from tests.fakes.model.server import FakeModel, fake_model
from tests.loopback import LOOPBACK

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[1]
MODEL_KEY = "sk-ant-dummy-0000000000000000"
WEBHOOK_SECRET = "It's a Secret to Everybody"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_DYING_SECONDS = 5.0
_PAUSE_SECONDS = 0.04
_LONG_PAUSE_SECONDS = 0.12
"""For what takes seconds, and a request to look at."""


def until(
    fact: Callable[[], T | bool | None], *, seconds: float = 60.0, what: str = "", pause_seconds: float = _PAUSE_SECONDS
) -> T:
    """Wait for a fact; what it returns when it is one. Fails with `what` when it does not come about."""
    end = time.monotonic() + seconds
    while True:
        found = fact()
        if found is not None and found is not False:
            return found  # type: ignore[return-value]  # True stands for a fact without a value
        if time.monotonic() > end:
            raise AssertionError(f"did not come about in {seconds} s: {what or fact}")
        time.sleep(pause_seconds)  # between two looks at a fact of another process


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
            # Package managers are asked what they are configured for: here, nothing that leaves this machine.
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "npm_config_registry": "http://127.0.0.1:9/",
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
            return LOOPBACK.get(f"{self.url}/readyz", timeout=2).status_code == 200
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


@dataclass
class Deployment:
    """Backspace, its GitHub and its model, with one sample repository and one person in each role."""

    backspace: Backspace
    github: FakeGitHub
    model: FakeModel
    repository: Repository
    installation: int
    daytona: FakeDaytona | None = None
    """Where the sandboxes are, when not on this machine."""
    _opened: list[Issue] = field(default_factory=list)

    def issue(self, scenario: str = "", *, title: str = "add() subtracts", user: str = "octo") -> Issue:
        """A new issue; the scenario that the model plays is named in its text."""
        body = "`add(2, 3)` gives -1, it should give 5."
        text = f"{body}\n\nscenario:{scenario}" if scenario else body
        opened = self.github.open_issue(user, title, text, repo=self.repository)
        self._opened.append(opened)
        return opened

    def elsewhere(self, files: Mapping[str, str | bytes]) -> "Deployment":
        """The same Backspace with the people in a new repository of these files: a start takes seconds, this none."""
        number = len(self.github.installation(self.installation).repositories) + 1
        repository = self.github.add_repo(f"acme/calc-{number}", files)
        _settle(self.github, repository)
        self.github.change_repositories(self.installation, "boss", add=[repository])
        return replace(self, repository=repository, _opened=[])

    def elsewhere_installed(self, files: Mapping[str, str | bytes] | None = None) -> "Deployment":
        """The same Backspace with the people in an organisation of its own, for what happens to an installation."""
        account = f"acme-{self.github.world.next_id()}"
        repository = self.github.add_repo(f"{account}/calc", SAMPLE if files is None else files)
        _settle(self.github, repository)
        installation = self.github.install(account, [repository])
        return replace(self, repository=repository, installation=installation, _opened=[])

    def branch_file(self, path: str, branch: object) -> bytes:
        """Of the repository; nothing when it is not there."""
        return self.github.file(path, str(branch), self.repository) or b""

    def pull(self) -> Issue:
        """The only pull request of the repository."""
        (pull,) = self.github.pulls(self.repository)
        return pull

    def issues(self) -> list[Issue]:
        """Those that people opened here, oldest first."""
        return list(self._opened)

    def ask(self, issue: Issue, words: str = "/backspace Please fix this.", *, user: str = "octo") -> Delivery:
        return self.github.comment(issue, user, words)

    def sandboxes(self) -> list[str]:
        """The names of those that exist."""
        if self.daytona is not None:
            return [box.name for box in self.daytona.sandboxes() if box.state not in ("destroying", "destroyed")]
        return [entry.name for entry in (self.backspace.home / "data" / "sandboxes").iterdir()]

    def run_id(self, delivery: Delivery) -> str:
        return str(json.loads(delivery.body)["run_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = LOOPBACK.get(f"{self.backspace.url}/api/runs/{run_id}", timeout=10).json()
        return found

    def finished(self, run_id: str, *, seconds: float = 90.0) -> dict[str, Any]:
        """Wait until the run has ended and its comment says so."""

        def over() -> dict[str, Any] | None:
            with contextlib.suppress(httpx.HTTPError):
                run = self.run(run_id)
                return run if run.get("outcome") and run.get("reported") else None
            return None

        try:
            return until(over, seconds=seconds, what=f"run {run_id} ends", pause_seconds=_LONG_PAUSE_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.backspace.log[-6000:]}") from None

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """The whole stream of a run that has ended."""
        answer = LOOPBACK.get(f"{self.backspace.url}/api/runs/{run_id}/events", timeout=20)
        lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    def patch(self, run_id: str) -> str:
        return LOOPBACK.get(f"{self.backspace.url}/api/runs/{run_id}/patch", timeout=10).raise_for_status().text

    def events_so_far(self, run_id: str, after: int) -> Iterator[dict[str, Any]]:
        """Events from the one behind `after`, each with its `id`, until the stream has been silent for a moment."""
        url = f"{self.backspace.url}/api/runs/{run_id}/events"
        with (
            contextlib.suppress(httpx.ReadTimeout),
            LOOPBACK.stream("GET", url, params={"after": after}, timeout=httpx.Timeout(5, read=0.3)) as stream,
        ):
            number = 0
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    number = int(line.removeprefix("id: "))
                elif line.startswith("data: "):
                    yield {"id": number, **json.loads(line.removeprefix("data: "))}


def _left_running(folder: Path) -> list[int]:
    """What still lives a moment after Backspace has ended; a sandbox's last breath takes one."""
    with contextlib.suppress(AssertionError):
        until(lambda: not processes_of(folder), seconds=_DYING_SECONDS)
    return processes_of(folder)


def _settle(github: FakeGitHub, repository: Repository) -> None:
    for login, role in (("octo", "write"), ("boss", "admin"), ("lead", "maintain"), ("reader", "read")):
        github.add_user(login, role, repository)


SANDBOXES = ("bubblewrap", "daytona")
SAMPLE_CONFIG = "checks:\n  - python3 -m unittest -q\n"
SAMPLE = {**CALC_FILES, ".github/backspace.yml": SAMPLE_CONFIG}


@contextlib.contextmanager
def _remote(sandbox: str) -> Iterator[FakeDaytona | None]:
    if sandbox != "daytona":
        yield None
        return
    with fake_daytona(claude=claude_program(), snapshots=(DEFINITION.name,)) as daytona:
        yield daytona


def _reached(daytona: FakeDaytona) -> Mapping[str, str]:
    return {
        "BACKSPACE_SANDBOX": "daytona",
        "DAYTONA_API_KEY": daytona.api_key,
        "DAYTONA_API_URL": daytona.api_url,
    }


@contextlib.contextmanager
def deployed(
    *,
    settings: Mapping[str, str] | None = None,
    files: Mapping[str, str | bytes] = SAMPLE,
    scenario: str = "fix-calc",
    described: bool = True,
    start: bool = True,
    sandbox: str = "bubblewrap",
) -> Iterator[Deployment]:
    """All of it, running; at the end nothing is left of it, and GitHub understood all that it was asked."""
    with (
        passable_folder() as folder,
        FakeGitHub.create(folder / "github", described=described) as github,
        serve(github),
        fake_model(scenario) as model,
        _remote(sandbox) as daytona,
    ):
        repository = github.add_repo("acme/calc", files)
        _settle(github, repository)
        github.add_user("stranger")
        installation = github.install("acme", [repository])
        key = folder / "app.pem"
        key.write_text(github.identity.private_key_pem)
        key.chmod(0o600)
        home = folder / "host"
        home.mkdir(mode=0o711)
        backspace = Backspace(
            {
                "GITHUB_APP_ID": str(github.identity.id),
                "GITHUB_PRIVATE_KEY_PATH": str(key),
                "GITHUB_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "GITHUB_CLIENT_ID": github.identity.client_id,
                "GITHUB_CLIENT_SECRET": github.identity.client_secret,
                "GITHUB_API_URL": github.api_url,
                "GITHUB_URL": github.web_url,
                "ANTHROPIC_API_KEY": MODEL_KEY,
                "ANTHROPIC_BASE_URL": model.url,
                **(_reached(daytona) if daytona else {}),
                **(settings or {}),
            },
            home,
        )
        if daytona:
            daytona.allow_host("127.0.0.1", backspace.port)
        github.webhook(f"{backspace.url}/webhook", WEBHOOK_SECRET)
        deployment = Deployment(backspace, github, model, repository, installation, daytona)
        try:
            if start:
                backspace.start()
            yield deployment
        finally:
            backspace.stop()
            left = _left_running(folder)
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        assert not left, f"processes were left running: {left}"
        github.assert_clean()
        if daytona:
            daytona.assert_clean()
