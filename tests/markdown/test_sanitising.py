"""What an agent writes is posted so that it can only be read: nobody pinged, nothing closed, nothing forged."""

import re
from collections.abc import Iterator

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.intake import commands
from bot.markdown import Where, cut, plain, plain_title, sanitise, sanitise_line

REPO = "octo/here"

# A reader of our own, apart from the code under test: GitHub's rules on the parser's tokens.
_READER = MarkdownIt("gfm-like")
_MENTION = re.compile(r"(?:^|[^A-Za-z0-9_])@[A-Za-z0-9]", re.ASCII)
_ISSUE = r"(?:#\d|GH-\d|[\w-]+/[\w.-]+#\d|https?://\S+/(?:issues|pull)/\d)"
_CLOSING = re.compile(rf"(?:^|\W)(?:close[sd]?|fix(?:es|ed)?|resolve[sd]?)\s*:?\s+{_ISSUE}", re.IGNORECASE | re.ASCII)
_ELSEWHERE = re.compile(r"(?<![\w/-])(?!octo/here#)[A-Za-z0-9][\w-]*/[\w.-]+#\d", re.ASCII)
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def _inlines(text: str) -> Iterator[list[Token]]:
    for token in _READER.parse(text):
        if token.type == "inline":
            yield token.children or []


def _read(children: list[Token]) -> str:
    """The text in which GitHub looks for names and issues: code and links are left out of it."""
    text, links = "", 0
    for token in children:
        links += token.nesting if token.type.startswith("link_") else 0
        if token.type == "text" and not links:
            text += token.content
        elif token.type in {"softbreak", "hardbreak"}:
            text += "\n"
        elif token.type == "code_inline":
            text += "\0"
    return text


def _assert_only_readable(text: str, where: Where) -> None:
    tokens = list(_READER.parse(text))
    assert not [t for t in tokens if t.type == "html_block"]
    for children in _inlines(text):
        assert not [t for t in children if t.type in {"html_inline", "image"}]
        links = [t.attrs["href"] for t in children if t.type == "link_open"]
        assert all(re.match(r"(?:https?://|mailto:)", str(href)) for href in links), links
        read = _read(children)
        assert not _MENTION.search(read), read
        assert not _ELSEWHERE.search(read), read
        if where is Where.PULL_REQUEST:
            assert not _CLOSING.search(read), read
    assert commands.find(text, command="/backspace") is None
    assert "backspace:run=" not in text.lower()
    assert not _UNSEEN.search(text)


_SHARDS = st.sampled_from(
    [
        *("@octocat", "&#64;hubot", "&commat;hubot", "\\@hubot", "@octo/team", "a@b.example", "@@x", "@<b></b>x"),
        *("Fixes #12", "fixes: GH-3", "**Closes** #4", "resolved\n#5", "closes other/repo#6", "#7", "fix\\#8"),
        *(
            "https://github.com/other/repo/issues/9",
            "<https://github.com/other/repo/pull/9>",
            "[x](https://a.b/o/r/pull/1)",
        ),
        *("/backspace go", "\n/backspace stop", "> /backspace x", "`/backspace`", "\n\n/backspace"),
        *(
            "<!-- backspace:run=1 -->",
            "<!--",
            "-->",
            "<img src=x alt=@y>",
            "<details>",
            "</details>",
            "<b",
            "<a href='",
        ),
        *("![alt](https://e.x/i.png)", "![", "](", "[x](javascript:alert(1))", "[y](data:text/html,x)", "[z](../a)"),
        *(
            "`",
            "``",
            "```",
            "~~~",
            "```py\n",
            "\n```\n",
            "\n~~~~\n",
            "\\",
            "\\`",
            "|",
            "\n| a | b |\n| - | - |\n",
            "||",
        ),
        *(
            "- ",
            "\n- ",
            "\n1. ",
            "\n  ",
            "\n    ",
            "\n\n",
            "\n",
            " ",
            "# ",
            "\n===\n",
            "\n---\n",
            "> ",
            "* ",
            "+ ",
            "\t",
        ),
        *(
            "*",
            "**",
            "_",
            "__",
            "~~",
            "$",
            "&",
            "&amp;",
            "&#10;",
            "&lt;",
            "&nbsp;",
            "!",
            "[",
            "]",
            "(",
            ")",
            ":-:",
            "[ ] ",
        ),
        *(
            "\u200b",
            "\u202e",
            "\x1b[31m",
            "\r",
            "\x00",
            "\ud800",
            "é",
            "word",
            "x_y",
            "Vec<String>",
            "[^1]: @x",
            "www.e.x",
        ),
    ]
)
_TEXTS = st.one_of(st.lists(_SHARDS, max_size=30).map("".join), st.text(max_size=200))
_GENTLE = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_GENTLE
@given(_TEXTS, st.sampled_from(Where))
@example("``@evil``@octocat", Where.COMMENT)
@example("| a |\n| - |\n| `\\|` @x |", Where.COMMENT)
@example("![x][y]!\n\n[y]: https://e.x", Where.COMMENT)
def test_whatever_is_written_can_only_be_read(text: str, where: Where) -> None:
    safe = sanitise(text, where=where, repo=REPO)
    _assert_only_readable(safe, where)
    _assert_only_readable(sanitise(safe, where=where, repo=REPO), where)


@_GENTLE
@given(_TEXTS)
def test_a_line_stays_a_line_and_can_only_be_read(text: str) -> None:
    line = sanitise_line(text, 100, where=Where.PULL_REQUEST, repo=REPO)
    assert "\n" not in line
    _assert_only_readable(f"- {line}", Where.PULL_REQUEST)


@_GENTLE
@given(_TEXTS, st.integers(min_value=0, max_value=400))
def test_a_cut_text_keeps_to_its_limit_and_can_only_be_read(text: str, limit: int) -> None:
    shortened = cut(sanitise(text * 3, where=Where.PULL_REQUEST, repo=REPO), limit)
    assert len(shortened) <= limit
    _assert_only_readable(shortened, Where.PULL_REQUEST)


@_GENTLE
@given(_TEXTS)
def test_titles_and_commit_messages_name_nobody_and_close_nothing(text: str) -> None:
    title, message = plain_title(text), plain(text, 300)
    assert "\n" not in title
    assert len(title) <= 120
    assert len(message) <= 300
    for part in (title, message):
        assert not _MENTION.search(part), part
        assert not _CLOSING.search(part), part
        assert not _UNSEEN.search(part)
