"""`backspace run` and what else `backspace runs` does, with keys, against a real server."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.deployment import Deployment, deployed
from tests.fakes.model.state import Gate
from tests.terminal.conftest import Ended, Terminal, made_key

pytestmark = pytest.mark.slow

# The discard service's port: nobody listens there, and it is the same for all of pytest's processes.
_NOBODY_THERE = "http://127.0.0.1:9"
_PROMPT = "add() subtracts; make it add."
_THINKING = Gate("fix-calc", 2)


@pytest.fixture(scope="module")
def strict() -> Iterator[Deployment]:
    """A server that asks everyone for a key."""
    with deployed(settings={"BACKSPACE_REQUIRE_AUTH": "true"}) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def key(strict: Deployment) -> str:
    return made_key(strict.backspace)


@pytest.fixture
def typed(strict: Deployment, key: str, terminal: Terminal) -> Callable[..., Ended]:
    """A command with the server and the key in its environment. The key is in nothing that it prints."""
    terminal.environment |= {"BACKSPACE_PUBLIC_URL": strict.backspace.url, "BACKSPACE_KEY": key}

    def go(*words: str) -> Ended:
        ended = terminal.run(*words)
        assert key not in ended.out + ended.err
        return ended

    return go


def run_id_in(words: str) -> str:
    found = re.search(r"^Run ([0-9a-f-]{36}): http", words, re.MULTILINE)
    assert found, words
    return found[1]


def test_to_a_pull_request(strict: Deployment, typed: Callable[..., Ended]) -> None:
    ended = typed("run", "--repo", "acme/calc", _PROMPT)
    assert ended.code == 0, ended.err
    run_id = run_id_in(ended.out)
    lines = ended.out.splitlines()
    assert lines[0] == f"Run {run_id}: {strict.backspace.url}/runs/{run_id}"
    assert lines[1].endswith(f"asked         tests in acme/calc: {_PROMPT}")
    assert re.fullmatch(r" *\d+s  pull_request  after \d+s, \$0\.\d\d", lines[-1])
    assert ended.err == ""


def test_by_the_repositorys_address_for_programs(strict: Deployment, typed: Callable[..., Ended]) -> None:
    ended = typed("run", "--json", "--repo", f"{strict.github.web_url}/acme/calc", f"{_PROMPT} scenario:no-changes")
    assert ended.code == 0, ended.err
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert events[0]["type"] == "start"
    assert events[-1]["outcome"] == "no_changes"
    assert run_id_in(ended.err) == events[0]["request_id"]


def test_a_repository_where_the_app_is_not(typed: Callable[..., Ended]) -> None:
    ended = typed("run", "--repo", "acme/elsewhere", _PROMPT)
    assert ended.code == 1
    assert "error         app-not-installed: " in ended.out
    assert ended.out.splitlines()[-1].split()[1] == "refused"


def test_interrupted_the_run_goes_on(strict: Deployment, key: str, terminal: Terminal) -> None:
    strict.model.hold(_THINKING)
    terminal.environment |= {"BACKSPACE_PUBLIC_URL": strict.backspace.url, "BACKSPACE_KEY": key}
    running = terminal.begin("run", "--repo", "acme/calc", _PROMPT)
    running.says("I'll look at calc.py.")
    interrupted = running.interrupt()
    strict.model.release(_THINKING)
    assert interrupted.code == 130
    run_id = run_id_in(interrupted.out)
    assert f"backspace runs stop --url {strict.backspace.url} {run_id}" in interrupted.err
    assert terminal.run("runs", "watch", run_id).code == 0


def test_stopped_and_started_again(strict: Deployment, typed: Callable[..., Ended], terminal: Terminal) -> None:
    strict.model.hold(_THINKING)
    running = terminal.begin("run", "--repo", "acme/calc", _PROMPT)
    running.says("I'll look at calc.py.")
    run_id = run_id_in(running.out)
    assert typed("runs", "retry", run_id).err == "backspace: The run has not ended yet.\n"
    stopping = typed("runs", "stop", run_id)
    strict.model.release(_THINKING)
    assert stopping.out == f"{run_id} is being stopped; what it has done so far is kept.\n"
    ended = running.end()
    assert ended.code == 1
    assert ended.out.splitlines()[-1].split()[1] == "stopped"
    assert typed("runs", "stop", run_id).out == f"{run_id} has ended: stopped\n"
    again = typed("runs", "retry", run_id)
    assert again.code == 0, again.err
    assert run_id_in(again.out) != run_id


def test_listed(typed: Callable[..., Ended]) -> None:
    first, second = (run_id_in(typed("run", "--repo", "acme/elsewhere", f"{_PROMPT} {n}").out) for n in (1, 2))
    listed = typed("runs", "list", "--repo", "acme/elsewhere", "--most", "2").out.splitlines()
    assert [line.split()[0] for line in listed] == [second, first]
    assert re.search(r"  refused +\$0\.00  acme/elsewhere  add\(\) subtracts; make it add\. 1$", listed[1])
    for_programs = typed("runs", "list", "--json", "--repo", "acme/elsewhere", "--most", "1").out.splitlines()
    assert [json.loads(line)["request_id"] for line in for_programs] == [second]
    assert typed("runs", "list", "--repo", "acme/nothing").out == ""
    assert typed("runs", "list", "--state", "asleep").code == 2


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["runs", "show", "0f1e2d3c"], 1, "There is no such run, or you may not see it. `backspace runs list` shows"),
        (["runs", "watch", "0f1e2d3c"], 1, "There is no such run, or you may not see it."),
        (["runs", "list", "--key", "bsk_wrong"], 2, "Set BACKSPACE_KEY to an API key of that server"),
        (["runs", "list", "--key", ""], 2, "Set BACKSPACE_KEY to an API key of that server"),
        (["runs", "list", "--key", "two words"], 2, "look at BACKSPACE_KEY"),
        (["runs", "list", "--url", _NOBODY_THERE], 1, "Is Backspace running there"),
        (["runs", "list", "--url", "backspace.example.com"], 2, "--url is not an address"),
        (["runs", "list", "--url", ""], 2, "name the server with --url"),
        (["runs", "show", "../../healthz"], 2, "is no run's id"),
        (["run", "--repo", "acme/calc", "--url", "", _PROMPT], 2, "Name one with --url, or in BACKSPACE_PUBLIC_URL"),
        (["run", "--repo", ".", _PROMPT], 2, "is a path"),
        (["run", "--repo", "acme/calc", " "], 2, "prompt"),
        (["run", "--repo", "calc", _PROMPT], 2, "repo"),
        (["run", "--repo", "other/calc", _PROMPT], 2, "`backspace keys list` on the server"),
        (["run", _PROMPT], 2, "Missing option '--repo'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_goes_wrong_is_said_with_what_to_do(
    typed: Callable[..., Ended], words: list[str], code: int, complaint: str
) -> None:
    ended = typed(*words)
    assert ended.code == code
    assert complaint in ended.err
    assert ended.out == ""


def test_a_key_that_only_reads(strict: Deployment, typed: Callable[..., Ended]) -> None:
    reading = made_key(strict.backspace, "--read-only")
    assert typed("runs", "list", "--key", reading).code == 0
    assert typed("run", "--repo", "acme/calc", "--key", reading, _PROMPT).code == 2
