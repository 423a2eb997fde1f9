"""No secret is left in a text, however it got there."""

import base64
import json
import threading
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.redaction import REDACTED, Redactor

_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_WORDS = st.text(alphabet=_BASE64URL, min_size=100, max_size=260)
_NEW_TOKENS = st.builds(
    lambda app, a, b, c: f"ghs_{app}_{a}.{b}.{c}", st.integers(1, 9_999_999), _WORDS, _WORDS, _WORDS
)
_SECRETS = st.text(alphabet=_BASE64URL + "+/=.!%& ", min_size=12, max_size=80).filter(lambda s: len(s.strip()) >= 12)


@settings(deadline=None)
@given(
    _NEW_TOKENS,
    st.sampled_from(["", "token: ", "https://x-access-token:", '"', "x"]),
    st.sampled_from(["", "@h", '"', " x", "\n"]),
)
def test_no_tail_of_a_new_github_token_is_left(token: str, before: str, behind: str) -> None:
    left = Redactor().redact(before + token + behind)
    assert not any(token[at : at + 8] in left for at in range(len(token) - 8))
    assert REDACTED in left


_PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabcd\n-----END RSA PRIVATE KEY-----"
_JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxMjM0NTYifQ.c2lnbmF0dXJl-_x"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        pytest.param("ghp_" + "a1B2" * 9 + " rest", "[redacted] rest", id="personal-token"),
        pytest.param("ghs_" + "a" * 36 + ", rest", "[redacted], rest", id="old-installation-token"),
        pytest.param("ghr_" + "a" * 76, "[redacted]", id="refresh-token"),
        pytest.param("github_pat_" + "a1_" * 27, "[redacted]", id="fine-grained-token"),
        pytest.param("key=sk-ant-api03-" + "aB-_" * 20, "key=[redacted]", id="model-key"),
        pytest.param("sk-proj-" + "aB3" * 15, "[redacted]", id="other-model-key"),
        pytest.param("AKIAIOSFODNN7EXAMPLE", "[redacted]", id="cloud-key"),
        pytest.param(f"key:\n{_PEM}\nend", "key:\n[redacted]\nend", id="private-key"),
        pytest.param(f"key:\n{_PEM[:60]}", "key:\n[redacted]", id="private-key-cut-off"),
        pytest.param(f"got {_JWT} here", "got [redacted] here", id="jwt"),
        pytest.param("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]", id="header"),
        pytest.param("authorization: basic eC1hY2Nlc3M6eA==", "authorization: basic [redacted]", id="basic-header"),
        pytest.param('{"x-api-key": "abcd1234"}', '{"x-api-key": "[redacted]"}', id="header-in-json"),
        pytest.param("https://x-access-token:abc@github.com/o/r", "https://[redacted]@github.com/o/r", id="url"),
        pytest.param("postgresql://bot:hunter2@db/x", "postgresql://[redacted]@db/x", id="database-url"),
        pytest.param("the task-force has risk-averse-people-2024-ok", None, id="no-key"),
        pytest.param("asiapacificsoutheast2 and AKIA", None, id="no-cloud-key"),
        pytest.param("https://e.example:8080/a@b", None, id="port-is-no-password"),
        pytest.param("git@github.com:o/r.git", None, id="ssh-remote"),
        pytest.param("authorization is needed", None, id="word"),
    ],
)
def test_known_shapes_go_and_the_rest_stays(text: str, redacted: str | None) -> None:
    assert Redactor().redact(text) == (redacted if redacted is not None else text)


@settings(deadline=None)
@given(_SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_a_known_secret_goes_in_every_spelling(secret: str, before: str, behind: str) -> None:
    redactor = Redactor([secret])
    secret = secret.strip()
    for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode()):
        left = redactor.redact(f"{before} {form} {behind}")
        assert form[: len(form) // 3 * 2] not in left.replace(before, "").replace(behind, "")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_redacting_twice_changes_nothing_and_never_fails(text: str) -> None:
    redactor = Redactor(["a-known-secret"])
    once = redactor.redact(text + "a-known-secret")
    assert redactor.redact(once) == once


def test_a_secret_within_another_text_in_base64() -> None:
    secret = "an-installation-token-of-some-length"
    for user in ("x:", "xy:", "xyz:", "x-access-token:"):
        encoded = base64.b64encode((user + secret).encode()).decode()
        assert "aW5zdGFsbGF0aW9u" not in Redactor([secret]).redact(f"header {encoded}")


def test_each_line_of_a_key_goes_also_when_it_is_indented() -> None:
    key = "line-one-of-a-long-secret\nline-two-of-a-long-secret"
    assert Redactor([key]).redact("  line-two-of-a-long-secret") == "  [redacted]"


def test_short_values_are_no_secrets() -> None:
    assert Redactor(["main", ""]).redact("the main branch") == "the main branch"


def test_later_secrets_make_room_for_newer_ones_but_first_ones_stay() -> None:
    redactor = Redactor(["secret-of-the-start"])
    for number in range(300):
        redactor.add(f"token-number-{number:04d}")
    assert redactor.redact("secret-of-the-start token-number-0299") == "[redacted] [redacted]"
    assert redactor.redact("token-number-0001") == "token-number-0001"


def test_many_threads_may_add_and_redact() -> None:
    redactor = Redactor()
    tokens = [f"token-number-{number:04d}" for number in range(200)]

    def work(mine: list[str]) -> None:
        for token in mine:
            redactor.add(token)
            assert redactor.redact(token) == REDACTED

    threads = [threading.Thread(target=work, args=(tokens[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(redactor.redact(token) == REDACTED for token in tokens)


@pytest.mark.parametrize(
    "hostile",
    [
        "https://" * 20_000,
        "eyJ" * 50_000,
        "ghs_" * 50_000,
        "sk-" * 50_000,
        "-----BEGIN PRIVATE KEY" * 5_000,
        "a:" * 80_000,
    ],
    ids=lambda text: text[:8],
)
@pytest.mark.timeout(20)
def test_hostile_text_takes_no_unreasonable_time(hostile: str) -> None:
    assert Redactor(["a-known-secret"]).redact(hostile) is not None
