"""The snapshot holds what a run needs, is built once, and comes back when Daytona has put it away."""

import asyncio
import importlib.util
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.command import PROGRAM
from bot.daytona import building
from bot.daytona.cloud import Cloud, connect
from bot.daytona.failures import BuildFailed
from bot.daytona.prices import usd, usd_per_hour
from bot.daytona.snapshot import CLAUDE_VERSION, DEFINITION, Definition
from bot.sandbox import HOME, REPO
from tests.fakes.daytona import FakeDaytona, Fault, fake_daytona

SMALL = Definition(base="debian:13", steps=("RUN true", "USER agent"), cpu=1, memory_gib=1, disk_gib=3)
NAME = SMALL.name


# --- what is in it


def test_it_has_the_claude_code_that_the_extra_ships() -> None:
    """The module says which one it bundles; it is read as text, for importing the package takes a second."""
    found = importlib.util.find_spec("claude_agent_sdk")
    assert found is not None
    assert found.origin is not None
    text = Path(found.origin).with_name("_cli_version.py").read_text()
    assert re.findall(r'^__cli_version__ = "(.+)"$', text, re.MULTILINE) == [CLAUDE_VERSION]
    assert f"@anthropic-ai/claude-code@{CLAUDE_VERSION}" in DEFINITION.dockerfile


def test_it_ends_as_an_unprivileged_user_with_our_paths() -> None:
    steps = [step.split(maxsplit=1) for step in DEFINITION.steps]
    users = [words for instruction, words in steps if instruction == "USER"]
    assert users[-1] == "agent"
    last_user = max(number for number, (instruction, _) in enumerate(steps) if instruction == "USER")
    assert not [words for instruction, words in steps[last_user:] if instruction == "RUN"]
    for path in (REPO, HOME, PROGRAM):
        assert str(path) in DEFINITION.dockerfile


@pytest.mark.parametrize("program", ["git", "curl", "ripgrep", "python3", "python3-venv", "build-essential", "procps"])
def test_it_has_the_tools_that_work_needs(program: str) -> None:
    (install,) = [step for step in DEFINITION.steps if "apt-get install" in step]
    assert program in install.split()


@pytest.mark.parametrize(
    "other",
    [
        replace(SMALL, base="debian:12"),
        replace(SMALL, steps=("RUN false", "USER agent")),
        replace(SMALL, cpu=2),
        replace(SMALL, memory_gib=2),
        replace(SMALL, disk_gib=5),
    ],
    ids=["base", "steps", "cpu", "memory", "disk"],
)
def test_another_definition_has_another_name(other: Definition) -> None:
    assert other.name != NAME
    assert replace(SMALL).name == NAME
    assert re.fullmatch(r"backspace-[0-9a-f]{12}", NAME)


@pytest.mark.parametrize(
    ("cpu", "memory_gib", "disk_gib", "dollars"),
    [(1, 0, 0, 0.0504), (0, 1, 0, 0.0162), (0, 0, 5, 0.0), (0, 0, 15, 0.00108), (2, 4, 10, 0.16614)],
)
def test_an_hour_costs_what_its_size_does(cpu: float, memory_gib: float, disk_gib: float, dollars: float) -> None:
    per_hour = usd_per_hour(cpu=cpu, memory_gib=memory_gib, disk_gib=disk_gib)
    assert per_hour == pytest.approx(dollars)
    assert usd(seconds=1800, per_hour=per_hour) == pytest.approx(dollars / 2)


# --- how it comes to be there


@pytest.fixture
def fake() -> Iterator[FakeDaytona]:
    with fake_daytona() as fake:
        fake.build_takes(0.05)
        yield fake
        fake.assert_clean()


class Told(list[str]):
    """What was said, and no pause that was asked for."""

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0.01)


async def make_ready(fake: FakeDaytona, definition: Definition = SMALL) -> str:
    told = Told()

    async def work(cloud: Cloud) -> None:
        await building.make_ready(cloud, definition, told.append, sleep=told.sleep)

    async with connect(
        api_key=fake.api_key,
        api_url=fake.api_url,
        target=None,
        deployment="",
        new_id=secrets.token_hex,
        sleep=told.sleep,
    ) as cloud:
        await work(cloud)
    return "\n".join(told)


async def test_it_is_built_with_its_size_and_the_build_can_be_watched(fake: FakeDaytona) -> None:
    told = await make_ready(fake)
    assert fake.snapshots()[NAME] == "active"
    (order,) = [request.body for request in fake.requests if request.call == "POST /snapshots"]
    assert isinstance(order, dict)
    assert (order["cpu"], order["memory"], order["disk"]) == (1, 1, 3)
    assert order["buildInfo"]["dockerfileContent"] == SMALL.dockerfile
    assert "RUN true" in told


async def test_what_is_there_is_not_built_again(fake: FakeDaytona) -> None:
    fake.add_snapshot(NAME)
    assert "there already" in await make_ready(fake)
    assert "POST /snapshots" not in [request.call for request in fake.requests]


async def test_one_that_daytona_put_away_is_woken(fake: FakeDaytona) -> None:
    fake.add_snapshot(NAME, state="inactive")
    assert "inactive" in await make_ready(fake)
    assert fake.snapshots()[NAME] == "active"


async def test_a_failed_build_says_why_and_the_next_one_may_do(fake: FakeDaytona) -> None:
    fake.fail(Fault.BUILD_FAILS)
    with pytest.raises(BuildFailed, match="a command of the Dockerfile ended with 100"):
        await make_ready(fake)
    assert "building it anew" in await make_ready(fake)
    assert fake.snapshots()[NAME] == "active"


async def test_a_build_whose_answer_is_lost_is_waited_for(fake: FakeDaytona) -> None:
    fake.fail(Fault.DROP_AFTER, match="POST /snapshots")
    await make_ready(fake)
    assert fake.snapshots()[NAME] == "active"
