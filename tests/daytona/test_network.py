"""What a sandbox may reach, how that is tried from inside, and what follows."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.daytona import network, probe
from bot.daytona.network import Findings
from bot.errors import StageFailed
from bot.sandbox import SandboxFailed
from tests.sandbox.backends import backspace_address

BROKER = "https://Backspace.example:8443/there"
CLOSED, OPEN = Findings("", ()), Findings("", ("github.com:443",))


def test_the_brokers_host_is_always_among_the_names() -> None:
    assert network.allowed(BROKER, ["*.crates.example", "Backspace.example"]) == [
        "backspace.example",
        "*.crates.example",
    ]


def test_more_names_than_daytona_takes_are_refused_with_the_setting_to_shorten() -> None:
    hosts = [f"{number}.example" for number in range(9)]
    assert len(network.allowed(BROKER, hosts)) == 10
    with pytest.raises(network.TooManyHosts, match=r"network\.allow.*BACKSPACE_EGRESS_ALLOW"):
        network.allowed(BROKER, [*hosts, "more.example"])


@pytest.mark.parametrize(
    ("hosts", "left"),
    [
        ([], ["1.1.1.1:443", "github.com:443", "example.com"]),
        (["github.com"], ["1.1.1.1:443", "example.com"]),
        (["*.github.com", "*.com"], ["1.1.1.1:443"]),
        (["notgithub.com", "*.hub.com"], ["1.1.1.1:443", "github.com:443", "example.com"]),
    ],
    ids=["nothing", "one of them", "all below", "others"],
)
def test_what_is_allowed_is_not_held_against_the_network(hosts: Sequence[str], left: list[str]) -> None:
    assert network.targets(hosts) == left


@pytest.mark.parametrize(
    ("findings", "private", "accept_open", "code"),
    [
        (CLOSED, True, False, ""),
        (CLOSED, False, False, ""),
        (OPEN, False, False, ""),
        (OPEN, True, False, "sandbox-network-open"),
        (OPEN, True, True, ""),
        (Findings("refused", ()), False, True, "broker-unreachable"),
        (Findings("refused", ("github.com:443",)), True, False, "broker-unreachable"),
    ],
    ids=["closed", "closed, public", "open, public", "open, private", "open, accepted", "no broker", "neither"],
)
def test_the_verdict(findings: Findings, private: bool, accept_open: bool, code: str) -> None:  # noqa: FBT001 - a table
    expected = pytest.raises(StageFailed, match=code) if code else contextlib.nullcontext()
    with expected:
        network.judge(findings, broker_url=BROKER, private=private, accept_open=accept_open)


@pytest.mark.parametrize("findings", [Findings("refused", ()), OPEN], ids=["no broker", "open"])
def test_a_refusal_names_the_setting_that_mends_it(findings: Findings) -> None:
    with pytest.raises(StageFailed) as refused:
        network.judge(findings, broker_url=BROKER, private=True, accept_open=False)
    assert "`BACKSPACE_" in refused.value.next_step


@pytest.mark.parametrize(
    ("code", "said"),
    [(0, ""), (1, '{"url": "", "reached": []}'), (0, "{nonsense"), (0, '{"url": 3}')],
    ids=["nothing", "failed", "no JSON", "another shape"],
)
def test_a_probe_that_says_nothing_clear_is_no_proof(code: int, said: str) -> None:
    with pytest.raises(SandboxFailed):
        network.read(code, said)


def tried(url: str, *targets: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", probe.__file__, "5", "5", url, *targets],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=20,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_probe_tells_what_answers_from_what_does_not() -> None:
    with backspace_address() as port:
        open_target = f"127.0.0.1:{port}"
        found = tried(f"http://{open_target}/healthz", open_target, f"127.0.0.1:{closed_port()}", "localhost")
    assert found == {"url": "", "reached": [open_target, "localhost"]}


def test_the_probe_says_why_backspace_does_not_answer() -> None:
    assert "refused" in str(tried(f"http://127.0.0.1:{closed_port()}/healthz")["url"]).lower()


def test_the_command_survives_a_shell(tmp_path: Path) -> None:
    program = tmp_path / "a 'probe'.py"
    program.write_text("import sys; print(sys.argv[1:])")
    line = network.command("python3", program, "http://x/;exit 3/", ["github.com"])  # type: ignore[arg-type] # a host path
    done = subprocess.run(["sh", "-c", line], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "['10', '3', 'http://x/;exit 3/healthz', '1.1.1.1:443', 'example.com']"
