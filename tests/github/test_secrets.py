"""Secrets in added lines are found and never repeated; ordinary code is let through.

The samples are put together at run time, so that no scanner takes this file for a leak.
"""

import secrets
import string
from pathlib import Path

import pytest

from bot.github.gates import Rule
from bot.github.secrets import scan

_ALNUM = string.ascii_letters + string.digits


def _random(count: int, alphabet: str = _ALNUM) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))


def _patch(*lines: str, path: str = "src/config.py") -> bytes:
    body = "".join(f"+{line}\n" for line in lines)
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n{body}".encode()


_KNOWN = {
    "github classic": lambda: "ghp_" + _random(36),
    "github installation": lambda: "ghs_" + _random(36),
    "github installation, long": lambda: f"ghs_12345_eyJ{_random(60)}.eyJ{_random(200)}.{_random(80)}-_x",
    "github fine-grained": lambda: "github_pat_" + _random(22) + "_" + _random(59),
    "anthropic": lambda: "sk-ant-api03-" + _random(90) + "-AA",
    "aws": lambda: "AKIA" + _random(16, string.ascii_uppercase + string.digits),
    "stripe": lambda: "sk_live_" + _random(24),
    "slack": lambda: "xoxb-" + _random(12, string.digits) + "-" + _random(12, string.digits) + "-" + _random(24),
    "google": lambda: "AIza" + _random(35),
}


@pytest.mark.parametrize("kind", _KNOWN)
@pytest.mark.parametrize("line", ["KEY = '{}'", "{}", "export X={}", "  - run: curl -H 'token {}' https://a.example"])
def test_known_tokens_are_found_wherever_they_stand(kind: str, line: str) -> None:
    secret = _KNOWN[kind]()
    [found] = scan(_patch("import os", line.format(secret)))
    assert (found.path, found.line, found.rule) == ("src/config.py", 2, Rule.SECRET)
    assert secret not in repr(found)
    assert secret[-12:] not in repr(found)


@pytest.mark.parametrize(
    "line",
    [
        'password = "{}"',
        "API_KEY={}",
        '"client_secret": "{}",',
        "db_password: {}",
    ],
)
def test_random_values_with_a_telling_name_are_found(line: str) -> None:
    value = "q7" + _random(38)
    [found] = scan(_patch(line.format(value), path="settings.yaml"))
    assert found.line == 1
    assert value not in repr(found)


@pytest.mark.parametrize("path", [".env", "deploy/prod.env", "app.ini"])
def test_configuration_needs_no_quotes(path: str) -> None:
    assert scan(_patch("API_KEY=q7" + _random(38), path=path))


def test_a_private_key_is_found() -> None:
    material = [_random(64) for _ in range(3)]
    opening = "-----BEGIN RSA PRIVATE " + "KEY-----"
    assert [v.line for v in scan(_patch("", opening, *material, path="id_rsa"))] == [2]
    assert scan(_patch(f'KEY = "{opening}\\n{material[0]}\\n"'))


def test_code_about_keys_is_no_key() -> None:
    opening = "-----BEGIN RSA PRIVATE " + "KEY-----"
    assert scan(_patch(f'if text.startswith("{opening}"):', "    return load(text)")) == ()


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunter2"',
        'password = os.environ["DATABASE_PASSWORD"]',
        "def token(self, installation_id: int, repository_id: int) -> str:",
        "secret_key = get_secret_from_the_vault(name='production/web')",
        'API_KEY = "your-api-key-goes-here-1234567890"',
        'password: "${DATABASE_PASSWORD_OF_THE_SERVICE_1}"',
        'token = "{{ secrets.GITHUB_TOKEN_FOR_RELEASE_2 }}"',
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        '    "integrity": "sha512-kXQ2bUuYqA7v9dWn3Zc1LrTfGhJmPsEoViByN8t4R6a0wCxM5lHpKzDjQeUgFiSbOy2T7n1XvA==",',
        "    --hash=sha256:4b1d1f2bd2a2c0d6a0a1e3e5b0f9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1 \\",
        'COMMIT = "9fceb02d0ae598e95dc970b74767f19372d61af8"',
        "url = 'https://user:pass@localhost:5432/db'",
        "from app.auth.tokens import ApplicationTokenFactory, RefreshTokenRepository",
        "assert response.headers['authorization'] == 'Bearer ' + access_token",
        "id: 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    ],
)
def test_ordinary_code_is_let_through(line: str) -> None:
    assert scan(_patch(line)) == ()


def test_our_own_code_is_let_through() -> None:
    root = Path(__file__).resolve().parents[2] / "bot" / "github"
    lines = [line for file in sorted(root.rglob("*.py")) for line in file.read_text().splitlines()]
    assert len(lines) > 1000
    assert scan(_patch(*lines)) == ()


def test_what_goes_away_is_no_matter() -> None:
    line = "ghp_" + _random(36)
    patch = f"--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n-{line}\n kept {line}\n"
    assert scan(patch.encode()) == ()


def test_the_list_has_an_end() -> None:
    assert len(scan(_patch(*("ghp_" + _random(36) for _ in range(500))))) == 20


def test_a_secret_in_a_very_long_line_is_found() -> None:
    assert scan(_patch("x" * 200_000 + " ghp_" + _random(36)))
