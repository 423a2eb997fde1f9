"""`backspace runs watch` and `show`: live, afterwards, across a restart of the server, interrupted, on a terminal."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from inline_snapshot import snapshot

from tests.deployment import Deployment, deployed, until
from tests.fakes.model.state import Gate
from tests.terminal.conftest import Terminal

pytestmark = pytest.mark.slow

_THINKING = Gate("fix-calc", 2)
_ANSWER = re.compile(r"Fixed `add` in calc\.py: .* passes now\.")


@contextlib.contextmanager
def held(deployment: Deployment) -> Iterator[str]:
    """A run whose model thinks about its third answer until the end of this."""
    deployment.model.hold(_THINKING)
    run_id = deployment.run_id(deployment.ask(deployment.issue()))
    until(lambda: _THINKING in deployment.model.waiting, what="the model thinks")
    try:
        yield run_id
    finally:
        deployment.model.release(_THINKING)
        deployment.finished(run_id)


@pytest.fixture(scope="module")
def ended_run(running: Deployment) -> str:
    run_id = running.run_id(running.ask(running.issue()))
    running.finished(run_id)
    return run_id


@pytest.fixture
def run(running: Deployment, terminal: Terminal) -> Callable[..., tuple[int, str]]:
    """A command's exit code and what it printed, without what differs each time."""

    def go(*words: str) -> tuple[int, str]:
        ended = terminal.run(*words, "--url", running.backspace.url)
        assert ended.err == ""
        return ended.code, steady(ended.out, running)

    return go


def steady(text: str, deployment: Deployment) -> str:
    text = text.replace(deployment.github.web_url, "https://github.example").replace(
        deployment.backspace.url, "https://backspace.example"
    )
    text = _ANSWER.sub("ANSWER", text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "RUN", text)
    text = re.sub(r"(?<=subtracts-)[0-9a-f]{8}", "RUN", text)
    text = re.sub(r"(?<=acme/calc#)\d+|(?<=calc/pull/)\d+|(?<=backspace/)\d+(?=-)", "1", text)
    text = re.sub(r"(?m)^ *\d+m? ?\d*s(?=  )", "     0s", text)
    text = re.sub(r"after \d+s", "after 0s", text)
    return re.sub(r"took          \d+s", "took          0s", text)


# What comes when depends on which of two programs is faster.
_AT_ITS_OWN_PACE = re.compile(r"(?m)^ *0s  (?:check before|to do) .*\n")


def test_a_run_that_has_ended(run: Callable[..., tuple[int, str]], ended_run: str) -> None:
    code, out = run("runs", "watch", ended_run)
    assert code == 0
    assert "to do         2 of 2 done" in out
    assert "check before  python3 -m unittest -q → exit code 1" in out
    assert _AT_ITS_OWN_PACE.sub("", out) == snapshot("""\
     0s  asked         octo in acme/calc: Please fix this.
     0s  authorizing   Checking what octo may do
     0s  cloning       Cloning acme/calc
     0s  analyzing     Preparing the sandbox
     0s  coding        The agent is at work
     0s  says          I'll look at calc.py.
     0s  read          calc.py
     0s  says          Here is the plan.
     0s  says          `add` subtracts; it has to add.
     0s  edited        calc.py
     0s  says          Now the tests.
     0s  ran           python3 -m unittest -q
     0s  says          ANSWER
     0s  verifying     Running the repository's checks on the result
     0s  check after   python3 -m unittest -q → exit code 0
     0s  committing    Looking through the changes
     0s  pushing       Pushing 1 changed file(s) to backspace/1-add-subtracts-RUN
     0s  pr_creation   Opening the pull request from https://github.example/acme/calc/tree/backspace/1-add-subtracts-RUN
     0s  pull request  https://github.example/acme/calc/pull/1
     0s  changed       1 file changed, +1 −1
     0s  answer        ANSWER
     0s  pull_request  after 0s, $0.03
""")


def test_programs_get_what_the_server_sends(running: Deployment, terminal: Terminal, ended_run: str) -> None:
    ended = terminal.run("runs", "watch", "--json", "--url", running.backspace.url, ended_run)
    assert [json.loads(line) for line in ended.out.splitlines()] == running.events(ended_run)
    assert ended.code == 0


def test_live(running: Deployment, terminal: Terminal) -> None:
    with held(running) as run_id:
        watching = terminal.begin("runs", "watch", "--url", running.backspace.url, run_id)
        watching.says("coding        The agent is at work")
        watching.says("I'll look at calc.py.")
    ended = watching.end()
    assert ended.code == 0
    assert "pull_request" in ended.out


def test_the_server_restarts_in_the_middle(terminal: Terminal) -> None:
    with deployed() as deployment:
        with held(deployment) as run_id:
            watching = terminal.begin("runs", "watch", "--json", "--url", deployment.backspace.url, run_id)
            watching.says("I'll look at calc.py.")
            deployment.backspace.stop()
            deployment.backspace.start()
        ended = watching.end()
        assert [json.loads(line) for line in ended.out.splitlines()] == deployment.events(run_id)
    assert "The connection is gone" in ended.err
    assert ended.code == 0


def test_interrupted_it_leaves_the_run_alone(running: Deployment, terminal: Terminal) -> None:
    with held(running) as run_id:
        watching = terminal.begin("runs", "watch", "--url", running.backspace.url, run_id)
        watching.says("I'll look at calc.py.")
        ended = watching.interrupt()
        assert ended.code == 130
        where = f"--url {running.backspace.url} {run_id}"
        assert ended.err.splitlines() == [
            "The run goes on.",
            f"  to follow it: backspace runs watch {where}",
            f"  to stop it:   backspace runs stop {where}",
        ]
    assert running.run(run_id)["outcome"] == "pull_request"


def test_on_a_terminal_it_is_drawn(running: Deployment, terminal: Terminal, ended_run: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "runs", "watch", "--url", running.backspace.url, ended_run],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(terminal.folder),
            "TERM": "xterm",
            "COLUMNS": "100",
            "LANG": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    # Linux tells of the other side's end so.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            drawn += piece
    os.close(ours)
    assert process.wait(30) == 0
    words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
    assert "\x1b[" in drawn.decode()
    assert "`add` subtracts; it has to add." in words
    assert "pull request" in words
    assert "thinks" in words


def test_showing_it(run: Callable[..., tuple[int, str]], ended_run: str) -> None:
    code, out = run("runs", "show", ended_run)
    assert code == 0
    assert re.sub(r"(?m)^created .*$", "created", out) == snapshot("""\
run           RUN
asked         octo in acme/calc#1: Please fix this.
state         pull_request
created
took          0s
model         claude-sonnet-5-5
cost          used $0.03 of $5.00
branch        backspace/1-add-subtracts-RUN
pull request  https://github.example/acme/calc/pull/1 open
answer        ANSWER
""")
