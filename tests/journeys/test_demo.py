"""`make demo` in a pipe: it ends by itself, well, and its last line is the pull request's address."""

import re
import subprocess
import sys

import pytest

from tests.deployment import MODEL_KEY, PROJECT
from tests.fakes.model.server import fake_model

pytestmark = pytest.mark.slow
_SECONDS = 90


def demo(**more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "CI": "true"}
    return subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        cwd=PROJECT,
        env={**environment, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def test_the_scripted_model_fixes_the_sample() -> None:
    shown = demo()
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
