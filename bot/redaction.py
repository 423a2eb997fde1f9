"""Secrets taken out of text by value and by pattern, before it is stored, posted or logged. No I/O."""

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator
from urllib.parse import quote

REDACTED = "[redacted]"

_MAX_ADDED = 256
_MIN_SECRET_CHARACTERS = 8
_MIN_LINE_CHARACTERS = 20
_MIN_BASE64_CHARACTERS = 16

# Tokens of GitHub may have `.`, `_` and `-`, and 520 characters: no upper bound, no word boundary behind.
# https://github.blog/changelog/2026-05-15-github-app-installation-tokens-per-request-override-header/
_PATTERNS = re.compile(
    r"(?P<whole>"
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|gh[oprsu]_[A-Za-z0-9._-]{36,}"
    r"|github_pat_[A-Za-z0-9._-]{20,}"
    r"|(?<![A-Za-z0-9])sk-ant-[A-Za-z0-9_-]{16,}"
    r"|(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{20,}"
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}"
    r"|(?<![A-Za-z0-9])(?:glpat-|npm_|dtn_|pypi-)[A-Za-z0-9_-]{20,}"
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"
    r")"
    r"|(?P<header>\b(?i:(?:proxy-)?authorization|x-api-key|private-token)\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?"
    r"(?i:(?:bearer|basic|token|digest)\s{1,4})?)(?P<value>[^\s\"',;\\]{4,})"
    r"|(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{1,15}://)[^\s/@:\"'<>]{0,200}:[^\s/@\"'<>]{1,4000}@"
    r"|(?P<basic>x-access-token:)[^\s/@\"'<>]{4,}",
    re.DOTALL,
)


class Redactor:
    """Knows the secrets in use; safe to use from many threads.

    Those given at the start are known for good; of those added later, which are tokens of an hour, the last 256.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._lasting = frozenset(form for secret in secrets for form in _forms(secret))
        self._added: dict[str, frozenset[str]] = {}
        self._literals = self._longest_first()

    def add(self, secret: str) -> None:
        """From now on this value is redacted, also quoted and in base64. Under 8 characters it is ignored."""
        with self._lock:
            self._added.pop(secret, None)
            self._added[secret] = frozenset(_forms(secret))
            while len(self._added) > _MAX_ADDED:
                del self._added[next(iter(self._added))]
            self._literals = self._longest_first()

    def _longest_first(self) -> tuple[str, ...]:
        return tuple(sorted(self._lasting.union(*self._added.values()), key=len, reverse=True))

    def redact(self, text: str) -> str:
        for literal in self._literals:
            if literal in text:
                text = text.replace(literal, REDACTED)
        return _PATTERNS.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    if match["header"]:
        return match[0] if match["value"].startswith(REDACTED[:-1]) else match["header"] + REDACTED
    if match["scheme"]:
        return f"{match['scheme']}{REDACTED}@"
    return (match["basic"] or "") + REDACTED


def _forms(secret: str) -> Iterator[str]:
    """How the value may stand in a text: as it is, line by line, in a URL, in JSON, within base64."""
    secret = secret.strip()
    if len(secret) < _MIN_SECRET_CHARACTERS:
        return
    yield secret
    yield from (line for line in map(str.strip, secret.splitlines()) if len(line) >= _MIN_LINE_CHARACTERS)
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    raw = secret.encode("utf-8", "surrogatepass")
    for shift in range(3):
        # Of a text encoded together with what stands around it, only whole groups of three bytes look the same.
        inner = raw[shift : shift + (len(raw) - shift) // 3 * 3]
        encoded = base64.b64encode(inner).decode()
        if len(encoded) >= _MIN_BASE64_CHARACTERS:
            yield encoded
            yield encoded.translate(str.maketrans("+/", "-_"))
