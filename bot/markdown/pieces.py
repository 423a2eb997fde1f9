"""Single pieces of Markdown that hold any text: code spans, fences, escaped text. No I/O."""

import re

from bot.markdown.characters import strip_unsafe_characters

_BACKTICKS = re.compile("`+")
_WHITESPACE = re.compile(r"\s+")
# Readers of tables do not agree what `\\|` is in code: a backslash, then the end of the cell, for some.
_PIPE = re.compile(r"\\*\|")
_MARKER = re.compile(r"(<!-*\s*backspace|backspace:run)(?=[:=])", re.IGNORECASE)
_INFO = re.compile(r"[A-Za-z0-9_+#-]{1,20}")
# GitHub draws these, or turns them into a button, instead of showing them.
_ACTIVE_INFOS = {"geojson", "math", "mermaid", "stl", "suggestion", "topojson"}

_SPECIAL = re.compile(
    r"[\\`*\[\]<>|~$]"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
    r"|\#(?![A-Za-z0-9])"
    r"|&(?=[#A-Za-z])"
    r"|!\Z"  # a link may follow, and make it an image
)
_LINE_START = re.compile(r"^([+=:-]|\d{1,9}(?=[.)]))")


def without_markers(text: str) -> str:
    """Our comments are found again by `<!-- backspace:run=… -->`; nobody else's text may hold that."""
    return _MARKER.sub(r"\1 ", text)


def escape(text: str, *, in_table: bool = False) -> str:
    """As one line of text that renders as itself, also at the start of a line."""
    whole = _WHITESPACE.sub(" ", text)
    escaped = _SPECIAL.sub(lambda m: "&#124;" if in_table and m[0] == "|" else "\\" + m[0], whole)
    return _LINE_START.sub(_escape_line_start, escaped)


def _escape_line_start(match: re.Match[str]) -> str:
    found = match[0]
    # `1\.` is text where `1.` starts a list; a digit itself cannot be escaped.
    return found + "\\" if found[0].isdigit() else "\\" + found


def code_span(text: str, *, in_table: bool = False) -> str:
    """One line of code; empty for empty text."""
    content = _WHITESPACE.sub(" ", without_markers(strip_unsafe_characters(text))).strip()
    if not content:
        return ""
    longest = max((len(run) for run in _BACKTICKS.findall(content)), default=0)
    delimiter = "`" * (longest + 1)
    space = " " if content[0] == "`" or content[-1] == "`" else ""
    if in_table:
        content = _PIPE.sub(r"\\|", content)
    return f"{delimiter}{space}{content}{space}{delimiter}"


def fence(text: str, info: str = "") -> str:
    """A code block that no content can close."""
    content = without_markers(strip_unsafe_characters(text)).strip("\n")
    longest = max((len(run) for run in _BACKTICKS.findall(content)), default=0)
    ticks = "`" * max(3, longest + 1)
    match = _INFO.match(info.strip())
    language = match[0] if match and match[0].lower() not in _ACTIVE_INFOS else ""
    return f"{ticks}{language}\n{content}\n{ticks}" if content else f"{ticks}{language}\n{ticks}"


def one_line(text: str, limit: int) -> str:
    """Unsafe characters and line ends taken out, cut to `limit` characters; not escaped."""
    line = _WHITESPACE.sub(" ", strip_unsafe_characters(text)).strip()
    return line if len(line) <= limit else line[: max(0, limit - 1)].rstrip() + "…"


def missing_note(characters: int) -> str:
    return f"_… {characters:,} more characters are not shown here._"
