"""`backspace daytona snapshot`, as it is typed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.daytona.snapshot import DEFINITION
from tests.fakes.daytona import FakeDaytona, Fault, fake_daytona


@pytest.fixture
def fake() -> Iterator[FakeDaytona]:
    with fake_daytona() as fake:
        fake.build_takes(0.05)
        yield fake


def typed(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bot", "daytona", "snapshot"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_shows_the_build_then_the_name_and_the_price(fake: FakeDaytona, tmp_path: Path) -> None:
    ended = typed(
        tmp_path, DAYTONA_API_KEY=fake.api_key, DAYTONA_API_URL=fake.api_url, BACKSPACE_PUBLIC_URL="http://127.0.0.1:1"
    )
    assert ended.returncode == 0, ended.stderr
    name, price = ended.stdout.splitlines()
    assert name == DEFINITION.name
    assert "$0.17" in price
    assert "WORKDIR /workspace" in ended.stderr
    assert fake.snapshots()[name] == "active"


@pytest.mark.parametrize(
    ("fault", "words"),
    [(Fault.BUILD_FAILS, "a command of the Dockerfile ended with 100"), (Fault.UNAUTHORIZED, "DAYTONA_API_KEY")],
)
def test_a_failure_ends_with_1_and_says_which(fake: FakeDaytona, tmp_path: Path, fault: Fault, words: str) -> None:
    fake.fail(fault)
    ended = typed(
        tmp_path, DAYTONA_API_KEY=fake.api_key, DAYTONA_API_URL=fake.api_url, BACKSPACE_PUBLIC_URL="http://127.0.0.1:1"
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_key_ends_with_2_and_names_the_setting(tmp_path: Path) -> None:
    ended = typed(tmp_path)
    assert ended.returncode == 2
    assert "DAYTONA_API_KEY is not set" in ended.stderr
