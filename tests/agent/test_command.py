"""How the program is called: what is on its command line, in its environment and on its stdin."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bot.agent.command import ModelAccess, Order, argv, environment, interrupt_line, user_line

_ORDER = Order("Fix it.", "claude-sonnet-5-5", "11111111-2222-4333-8444-555555555555", ModelAccess("run-token"))
_ROOT = Path(__file__).parents[2]


def test_nothing_secret_is_on_the_command_line() -> None:
    words = " ".join(argv(_ORDER))
    assert "run-token" not in words
    assert "Fix it." not in words
    assert "run-token" not in repr(_ORDER)


def test_the_repositorys_configuration_is_shut_out() -> None:
    words = argv(_ORDER)
    assert "--setting-sources=" in words
    assert "--strict-mcp-config" in words
    assert "--disable-slash-commands" in words
    assert not [word for word in words if word.startswith(("--add-dir", "--settings", "--max-budget"))]


@pytest.mark.parametrize(
    ("resume", "flag"),
    [(False, f"--session-id={_ORDER.session_id}"), (True, f"--resume={_ORDER.session_id}")],
    ids=["first", "later"],
)
def test_a_session_is_begun_once_and_resumed_later(*, resume: bool, flag: str) -> None:
    order = Order(_ORDER.prompt, _ORDER.model, _ORDER.session_id, _ORDER.access, resume=resume)
    assert [word for word in argv(order) if _ORDER.session_id in word] == [flag]


def test_the_environment_leads_to_the_broker_only() -> None:
    known = environment(_ORDER)
    assert known["ANTHROPIC_UNIX_SOCKET"] == "/run/model.sock"
    assert known["ANTHROPIC_BASE_URL"] == "http://model.invalid"
    assert known["ANTHROPIC_AUTH_TOKEN"] == "run-token"
    assert "ANTHROPIC_API_KEY" not in known
    assert known["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"


def test_by_the_network_there_is_no_socket() -> None:
    access = ModelAccess("t", "https://backspace.invalid/broker", None)
    known = environment(Order("x", "m", "s", access))
    assert known["ANTHROPIC_BASE_URL"] == "https://backspace.invalid/broker"
    assert "ANTHROPIC_UNIX_SOCKET" not in known


def test_each_message_is_one_line() -> None:
    line = user_line("two\nlines \u2028 and /help")
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    body = json.loads(line)
    assert body["message"]["content"] == "two\nlines \u2028 and /help"
    assert body["client_composed"] is True
    assert json.loads(interrupt_line("i1"))["request"] == {"subtype": "interrupt"}


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "from bot.agent.claude import ClaudeMissing, claude_program\n"
        "try:\n    claude_program()\nexcept ClaudeMissing as error:\n    print(error)\n"
    )
    # Without site-packages, as on an install without the extra.
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=_ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "install Backspace with its extra `agent`" in done.stdout
