"""Takes out of Markdown what GitHub does not show, so that the agent reads what people read. No I/O."""

import re
import unicodedata
from dataclasses import dataclass

from markdown_it import MarkdownIt

_PARSER = MarkdownIt("gfm-like", {"linkify": False})
_CODE_TOKENS = frozenset({"fence", "code_block"})

_CODE_SPAN = r"(?P<code>(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
_COMMENT = re.compile(rf"{_CODE_SPAN}|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)", re.DOTALL)
_IMAGE = re.compile(rf"""{_CODE_SPAN}|!\[(?P<alt>(?:[^\[\]]|\[[^\[\]]*\])*)\](?=\(|\[|(?!:))""", re.DOTALL)
_LINK_TITLE = re.compile(
    rf"""{_CODE_SPAN}|(?P<before>\]\(\s*(?:<[^<>\n]*>|[^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*))"""
    r"""\s+(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\))(?P<after>\s*\))""",
    re.DOTALL,
)
_DEFINITION = re.compile(
    r"""^(?P<before>[ ]{0,3}\[(?P<label>(?:[^\[\]\\]|\\.)+)\]:[ \t]*\n?[ \t]*(?P<target><[^<>\n]*>|\S+))"""
    r"""(?P<title>[ \t]*\n?[ \t]*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\)))?[ \t]*$""",
    re.MULTILINE,
)
_TAG = re.compile(rf"{_CODE_SPAN}|<[a-zA-Z][^<>]*>", re.DOTALL)
_ATTRIBUTE = re.compile(
    r"""\s+(?:alt|title|aria-[\w-]+|data-[\w-]+|placeholder|label|name|id|value|summary|content)"""
    r"""\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+)""",
    re.IGNORECASE,
)
_VARIATION = re.compile("[\ufe00-\ufe0f]{2,}|[\U000e0100-\U000e01ef]+")
_SHOWN_FORMATS = frozenset("\u200d")
"""The joiner inside an emoji; alone it stands for nothing, and a run of it goes."""


@dataclass(frozen=True)
class Shown:
    """The text as people see it, and how many hidden spans were taken out of it."""

    text: str
    hidden_spans: int


def shown(text: str) -> Shown:
    visible, count = _without_invisible(text.replace("\r\n", "\n"))
    pieces = []
    for piece, is_code in _pieces(visible):
        if is_code:
            pieces.append(piece)
            continue
        stripped, hidden = _without_hidden(piece)
        pieces.append(stripped)
        count += hidden
    return Shown("".join(pieces), count)


def _without_invisible(text: str) -> tuple[str, int]:
    """Zero-width, bidi, tag and other characters without a picture; a run of them counts once."""
    kept: list[str] = []
    count = 0
    hiding = False
    for index, char in enumerate(text):
        if _is_invisible(text, index, char):
            count += not hiding
            hiding = True
        else:
            kept.append(char)
            hiding = False
    cleaned, more = _VARIATION.subn("", "".join(kept))
    return cleaned, count + more


def _is_invisible(text: str, index: int, char: str) -> bool:
    if char in "\n\t":
        return False
    if char in _SHOWN_FORMATS:
        neighbours = text[index - 1 : index], text[index + 1 : index + 2]
        return not all(unicodedata.category(near) in {"So", "Sk", "Mn"} for near in neighbours if near) or not all(
            neighbours
        )
    return unicodedata.category(char) in {"Cf", "Cc", "Cs", "Co"} or char in "\u115f\u1160\u3164\uffa0\u2800\u034f"


def _pieces(text: str) -> list[tuple[str, bool]]:
    """The text cut into code blocks, in which everything is shown, and the rest."""
    lines = text.splitlines(keepends=True)
    pieces: list[tuple[str, bool]] = []
    done = 0
    for token in _PARSER.parse(text):
        if token.type in _CODE_TOKENS and token.map and token.map[0] >= done:
            start, end = token.map
            pieces += [("".join(lines[done:start]), False), ("".join(lines[start:end]), True)]
            done = end
    return [*pieces, ("".join(lines[done:]), False)]


def _without_hidden(text: str) -> tuple[str, int]:
    count = 0

    def drop(match: re.Match[str], kept: str = "") -> str:
        nonlocal count
        if match["code"]:
            return match[0]
        count += 1
        return kept

    text = _COMMENT.sub(drop, text)
    text = _IMAGE.sub(lambda match: drop(match, "![]") if match["code"] or match["alt"].strip() else match[0], text)
    text = _LINK_TITLE.sub(lambda match: drop(match, "" if match["code"] else match["before"] + match["after"]), text)

    def definition(match: re.Match[str]) -> str:
        nonlocal count
        used = len(re.findall(re.escape(f"[{match['label']}]"), text)) > 1
        if used and not match["title"]:
            return match[0]
        count += 1
        return match["before"] if used else ""

    text = _DEFINITION.sub(definition, text)

    def tag(match: re.Match[str]) -> str:
        nonlocal count
        if match["code"]:
            return match[0]
        stripped, hidden = _ATTRIBUTE.subn("", match[0])
        count += hidden
        return stripped

    return _TAG.sub(tag, text), count
