"""`make demo`: in a pipe it ends by itself, its last line the pull request's address; on a terminal it stays up."""

import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from tests.deployment import MODEL_KEY, PROJECT, until
from tests.fakes.model.server import fake_model
from tests.loopback import LOOPBACK

pytestmark = pytest.mark.slow
_SECONDS = 90
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def demo(**more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        cwd=PROJECT,
        env={**_ENVIRONMENT, "CI": "true", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("sandbox", ["", "daytona"], ids=["here", "daytona"])
def test_the_scripted_model_fixes_the_sample(sandbox: str) -> None:
    shown = demo(SANDBOX=sandbox)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    lines = shown.stdout.splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/acme/calc/pull/2", lines[-1])
    assert any("check after: python3 -m unittest -q → exit code 0" in line for line in lines)
    assert shown.stderr == ""


def test_a_key_and_a_prompt_go_to_the_model_that_is_named() -> None:
    with fake_model("no-changes") as model:
        shown = demo(ANTHROPIC_API_KEY=MODEL_KEY, ANTHROPIC_BASE_URL=model.url, PROMPT="Say hello. scenario:fix-calc")
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert "/backspace Say hello. scenario:fix-calc" in shown.stdout
        assert any("Say hello." in request.text for request in model.requests)
    assert MODEL_KEY not in shown.stdout + shown.stderr


def test_on_a_terminal_it_stays_up_with_addresses_that_work() -> None:
    ours, its = pty.openpty()
    os.set_blocking(ours, False)
    environment = {**_ENVIRONMENT, "TERM": "dumb", "COLUMNS": "200"}
    shown = bytearray()

    def stays() -> bool:
        try:
            shown.extend(os.read(ours, 65536))
        except BlockingIOError:
            assert process.poll() is None, shown.decode()
        return b"Ctrl-C" in shown

    with subprocess.Popen(
        [sys.executable, "-m", "tests.demo"], cwd=PROJECT, env=environment, stdin=its, stdout=its, stderr=its
    ) as process:
        try:
            os.close(its)
            until(stays, seconds=_SECONDS, what="the demo stays up")
            named = dict(
                re.findall(r"^(The thread|The run|All runs|The pull request): +(http\S+)", shown.decode(), re.MULTILINE)
            )
            assert len(named) == 4, shown.decode()
            answers = {name: LOOPBACK.get(address) for name, address in named.items()}
            assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(named, 200)
            assert all(answer.headers["content-type"].startswith("text/html") for answer in answers.values())
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_SECONDS)
            os.close(ours)
    assert process.returncode == 0
