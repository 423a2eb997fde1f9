"""What GitHub makes of plain text: mentions, issue references, closing words, commands. No I/O.

https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Where(StrEnum):
    """Where the text will stand: closing words act in a pull request and its commits, not in a comment."""

    COMMENT = "comment"
    PULL_REQUEST = "pull_request"


_MENTION = r"(?<![A-Za-z0-9_])@[A-Za-z0-9][A-Za-z0-9-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?"
_ISSUE_URL = (
    r"(?<![A-Za-z0-9.-])(?:https?://)?[A-Za-z0-9.-]+(?::\d+)?/(?P<url_repo>[\w.-]+/[\w.-]+)"
    r"/(?:issues|pulls?|discussions)/(?P<url_number>\d+)[^\s<>`]*"
)
_FULL_REFERENCE = r"(?<![A-Za-z0-9-])(?P<repo>[A-Za-z0-9][A-Za-z0-9-]*/[\w.-]+)\#(?P<repo_number>\d+)"
_REFERENCE = r"(?<![A-Za-z0-9_/&])(?:\#|GH-)(?P<number>\d+)"

_FOUND = re.compile(
    f"(?P<url>{_ISSUE_URL})|(?P<full>{_FULL_REFERENCE})|(?P<mention>{_MENTION})|(?P<short>{_REFERENCE})",
    re.IGNORECASE | re.ASCII,
)
_CLOSING_WORD = re.compile(r"(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\s*:?\s*$", re.IGNORECASE | re.ASCII)
_COMMAND = re.compile(r"[/!][A-Za-z][\w-]*(?![\w/.-])", re.ASCII)
_REST_OF_WORD = re.compile(r"[\w@#/.-]*\w", re.ASCII)
_LOOK_BACK_CHARACTERS = 40


class Kind(StrEnum):
    MENTION = "mention"
    ISSUE = "issue"
    COMMAND = "command"


@dataclass(frozen=True)
class Found:
    """A part of a text, `text[start:end]`, on which GitHub or a bot would act."""

    kind: Kind
    start: int
    end: int
    repo: str = ""
    """Of an issue elsewhere: `owner/name`."""
    number: str = ""


def live(text: str, *, where: Where, repo: str, before: str = "", at_line_start: bool = True) -> Iterator[Found]:
    """What must be broken in `text`, from the left. `repo` is the repository that it is posted in.

    `before` is what a reader sees in front of `text`, in which a closing word may stand.
    """
    commands = [m for m in _COMMAND.finditer(text) if _starts_line(text, m.start(), at_line_start=at_line_start)]
    found = [Found(Kind.COMMAND, m.start(), m.end()) for m in commands]
    for match in _FOUND.finditer(text):
        if match["mention"]:
            found.append(Found(Kind.MENTION, match.start(), match.end()))
            continue
        other = match["url_repo"] or match["repo"] or ""
        elsewhere = other.casefold() not in {"", repo.casefold()}
        seen = (before + text[max(0, match.start() - _LOOK_BACK_CHARACTERS) : match.start()])[-_LOOK_BACK_CHARACTERS:]
        closing = where is Where.PULL_REQUEST and _CLOSING_WORD.search(seen) is not None
        if elsewhere or closing:
            number = match["url_number"] or match["repo_number"] or match["number"]
            found.append(Found(Kind.ISSUE, match.start(), match.end(), other, number))
    end = 0
    for item in sorted(found, key=lambda f: f.start):
        if item.start >= end:
            yield item
            end = item.end


def end_of_word(text: str, end: int) -> int:
    """What a word holds behind a broken part could come alive, once that part stands apart: `@one@two`."""
    rest = _REST_OF_WORD.match(text, end)
    return rest.end() if rest else end


def is_live_link(href: str, *, where: Where, repo: str, before: str) -> bool:
    """Whether a link leads to an issue that GitHub would tell about it."""
    return any(found.kind is Kind.ISSUE for found in live(href, where=where, repo=repo, before=before))


def _starts_line(text: str, position: int, *, at_line_start: bool) -> bool:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return not line.strip() and (at_line_start or "\n" in text[:position])


def named(text: str, page: str) -> Iterator[str]:
    """Numbers of one repository's issues and pull requests that plain text names.

    `page` is the repository's address, `https://host/owner/name`.
    """
    site, _, name = page.partition("://")[2].partition("/")
    for match in _FOUND.finditer(text):
        if match["url"]:
            here = f"{site}/{name}/".casefold()
            thread = (match["url"].partition("://")[2] or match["url"]).casefold()
            if thread.startswith((f"{here}issues/", f"{here}pull/")):
                yield match["url_number"]
        elif match["repo"]:
            if match["repo"].casefold() == name.casefold():
                yield match["repo_number"]
        elif match["number"]:
            yield match["number"]
