"""Secrets in the lines that a diff adds: found by detect-secrets' rules, named by file and line only."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.keyword import (
    QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP,
    REGEX_BY_FILETYPE,
    KeywordDetector,
)
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector
from detect_secrets.util.filetype import FileType, determine_file_type

from bot.github.diff import AddedLine, added_lines
from bot.github.gates import Rule, Violation

_KEY_HEADER_LINES = 6
_KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/=]{40,}")
_LONGEST_LINE = 20_000
_MOST_FOUND = 20
_SHORTEST_RANDOM = 20
_RANDOM_BITS = 4.0
"""Of entropy per character; words and paths stay below, random base64 of 32 characters is above 4.5."""
_PLACEHOLDER = re.compile(r"example|x{6}|\.\.\.|placeholder|your[-_ ]|changeme|<[^>]+>|\$\{|\{\{", re.IGNORECASE)


class _GitHubTokens(RegexBasedDetector):
    """Also the form `ghs_<app id>_<JWT>`, which the library's rule does not know."""

    secret_type = "GitHub token"  # noqa: S105  a kind of secret
    denylist = (re.compile(r"gh[opsur]_[A-Za-z0-9._-]{36,}"), re.compile(r"github_pat_[A-Za-z0-9_]{22,}"))


class _ModelKeys(RegexBasedDetector):
    secret_type = "model API key"  # noqa: S105  a kind of secret
    denylist = (re.compile(r"sk-ant-[A-Za-z0-9_-]{20,}"), re.compile(r"AIza[0-9A-Za-z_-]{35}"))


@dataclass(frozen=True)
class _Detector:
    name: str
    plugin: BasePlugin


_TOKENS = (
    _Detector("GitHub token", _GitHubTokens()),
    _Detector("model API key", _ModelKeys()),
    _Detector("model API key", OpenAIDetector()),
    _Detector("AWS key", AWSKeyDetector()),
    _Detector("Azure storage key", AzureStorageKeyDetector()),
    _Detector("Discord bot token", DiscordBotTokenDetector()),
    _Detector("GitLab token", GitLabTokenDetector()),
    _Detector("Mailchimp key", MailchimpDetector()),
    _Detector("npm token", NpmDetector()),
    _Detector("PyPI token", PypiTokenDetector()),
    _Detector("SendGrid key", SendGridDetector()),
    _Detector("Slack token", SlackDetector()),
    _Detector("Square token", SquareOAuthDetector()),
    _Detector("Stripe key", StripeDetector()),
    _Detector("Telegram bot token", TelegramBotTokenDetector()),
    _Detector("Twilio key", TwilioKeyDetector()),
    _Detector("JSON web token", JwtTokenDetector()),
)
_PRIVATE_KEY = PrivateKeyDetector()
_KEYWORDS = KeywordDetector()
_ENTROPY = Base64HighEntropyString()


def scan(patch: bytes) -> tuple[Violation, ...]:
    """The first few secrets that the patch adds. It is arithmetic over the whole patch: call it in a thread."""
    return tuple(islice(_violations(patch), _MOST_FOUND))


def _violations(patch: bytes) -> Iterator[Violation]:
    lines = list(added_lines(patch))
    for index, line in enumerate(lines):
        kind = _token(line.text) or _private_key(lines[index : index + _KEY_HEADER_LINES]) or _random(line)
        if kind:
            yield Violation(line.path, Rule.SECRET, f"looks like a secret ({kind})", line.number)


def _token(text: str) -> str | None:
    for detector in _TOKENS:
        if any(not _PLACEHOLDER.search(found) for found in detector.plugin.analyze_string(text)):
            return detector.name
    return None


def _private_key(lines: list[AddedLine]) -> str | None:
    """The first line opens a key whose material follows; code that only looks for the opening is no key."""
    if not any(_PRIVATE_KEY.analyze_string(lines[0].text)):
        return None
    opening, *rest = (line.text for line in lines if line.path == lines[0].path)
    behind = opening.partition("PRIVATE KEY")[2]
    return "private key" if any(map(_KEY_MATERIAL.search, (behind, *rest))) else None


def _random(line: AddedLine) -> str | None:
    found = any(map(_is_random, _named_values(line)))
    return "random value with a telling name" if found else None


def _named_values(line: AddedLine) -> Iterator[str]:
    """Values given to names such as `password` or `api_key`; a random string without such a name is a hash to us.

    Only in configuration may they stand without quotes: in code that is another name.
    """
    name = line.path.rpartition("/")[2]
    kind = FileType.CONFIG if name.startswith(".env") or name.endswith(".env") else determine_file_type(name)
    rules = REGEX_BY_FILETYPE.get(kind, QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP)
    yield from _KEYWORDS.analyze_string(line.text[:_LONGEST_LINE], denylist_regex_to_group=rules)


def _is_random(value: str) -> bool:
    """Written, not computed: long, of one piece, letters and digits mixed, and as varied as a random string."""
    return (
        len(value) >= _SHORTEST_RANDOM
        and re.fullmatch(r"[A-Za-z0-9+/=_.~!@#%^&*-]+", value) is not None
        and any(c.isdigit() for c in value)
        and any(c.isalpha() for c in value)
        and not _PLACEHOLDER.search(value)
        and _ENTROPY.calculate_shannon_entropy(value) >= _RANDOM_BITS
    )
