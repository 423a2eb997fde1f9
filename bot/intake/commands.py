"""Where a comment says `/backspace`, and what it asks for. No I/O.

The command counts where a reader sees it start a line: at column 0, outside quotes, code and HTML
comments, by the rules of Markdown and not by pattern. Of several the first counts; what follows it,
further commands included, is its prompt. Between the two there may be options (`bot.intake.options`).
"""

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import dropwhile
from typing import TypeAlias

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from bot.intake import options
from bot.intake.options import Mistake
from bot.model import Options

# https://docs.github.com/en/rest/issues/comments: a longer body is refused with 422.
_MAX_BODY_CHARACTERS = 65_536

_QUOTING_ELEMENTS = {"blockquote", "pre", "code", "samp", "script", "style", "textarea"}
_HTML = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([a-z][a-z0-9]*)[^>]*(?:>|\Z)", re.DOTALL | re.IGNORECASE)


_NO_OPTIONS = Options()


class Word(StrEnum):
    """A command that is one word alone on its line. A command without any prompt asks for help."""

    STOP = "stop"
    RETRY = "retry"
    STATUS = "status"
    HELP = "help"


@dataclass(frozen=True)
class Run:
    prompt: str
    options: Options = _NO_OPTIONS
    further: bool = False
    """For the agent that is at work on the thread, if one is."""


Command: TypeAlias = Run | Word | Mistake

_WORDS = {word.value: word for word in Word}


def find(body: str, *, command: str) -> Command | None:
    """The comment's command, or None. `command` is the word that is looked for: `/backspace`."""
    if len(body) > _MAX_BODY_CHARACTERS:
        return None
    text = body.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    candidates = {number for number, line in enumerate(lines) if _starts(line, command)}
    if not candidates:
        return None
    line = next((n for n in _visible(_parser(command).parse(text), candidates, lines)), None)
    return None if line is None else _asked(lines[line][len(command) :].strip(), lines[line + 1 :])


def _asked(rest: str, following: Iterable[str]) -> Command:
    """`rest` stands behind the command on its line."""
    word = _WORDS.get(rest.lower())
    if word:
        return word
    read = options.read(rest)
    if isinstance(read, Mistake):
        return read
    if read.help:
        return Word.HELP
    prompt = _prompt([read.rest, *following])
    if prompt:
        return Run(prompt, read.options, read.further)
    return options.PROMPT_MISSING if read.any_given else Word.HELP


def _prompt(lines: Iterable[str]) -> str:
    """Without blank lines around it; a code block that begins it keeps its indentation."""
    return "\n".join(dropwhile(lambda line: not line.strip(), lines)).rstrip()


def _starts(line: str, command: str) -> bool:
    return line.startswith(command) and (len(line) == len(command) or line[len(command)].isspace())


@cache
def _parser(command: str) -> MarkdownIt:
    """CommonMark with one more inline token, `command`, at each start of a line of text that has it.

    An inline rule is not asked inside code spans, links' targets and HTML, so what it finds is text.
    """

    def rule(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  markdown-it calls it so
        start, end = state.pos, state.pos + len(command)
        at_line_start = start == 0 or state.src[start - 1] == "\n"
        if not at_line_start or not state.src.startswith(command, start):
            return False
        if not silent:
            state.push("command", "", 0).meta = {"line": state.src.count("\n", 0, start)}
        state.pos = end
        return True

    parser = MarkdownIt("commonmark")
    parser.inline.ruler.before("text", "command", rule)
    return parser


def _visible(tokens: Iterable[Token], candidates: set[int], lines: list[str]) -> Iterator[int]:
    """The candidate lines that a reader sees as the start of a line of text, from the top."""
    quotes = 0
    elements = 0
    for token in tokens:
        if token.type in {"blockquote_open", "blockquote_close"}:
            quotes += token.nesting
        elif token.map is None or quotes:
            continue
        elif token.type == "html_block" and token.level == 0:
            elements = yield from _visible_in_html(lines, token.map[0], token.map[1], candidates, elements)
        elif token.type == "inline" and not elements:
            yield from (line for line in _commands_in(token, token.map[0]) if line in candidates)


def _commands_in(inline: Token, first_line: int) -> Iterator[int]:
    elements = 0
    for child in inline.children or []:
        if child.type == "html_inline":
            elements = _open_after(child.content, elements)
        elif child.type == "command" and not elements:
            yield first_line + child.meta["line"]


def _visible_in_html(
    lines: list[str], first: int, end: int, candidates: set[int], elements: int
) -> Generator[int, None, int]:
    """Candidates in a block of HTML, such as one that begins with an <img>. Returns `elements` after it.

    `elements` counts the quoting elements that are open: they may be opened in one block and closed in another.
    """
    pieces = _HTML.finditer("\n".join(lines[first:end]))
    piece = next(pieces, None)
    hidden_until, start = 0, 0
    for number in range(first, end):
        while piece and piece.start() < start:
            elements = _open_after(piece.group(), elements)
            hidden_until = piece.end()
            piece = next(pieces, None)
        if number in candidates and not elements and start >= hidden_until:
            yield number
        start += len(lines[number]) + 1
    while piece:
        elements = _open_after(piece.group(), elements)
        piece = next(pieces, None)
    return elements


def _open_after(html: str, elements: int) -> int:
    """How many quoting elements are open after a tag or comment, when so many were open before it."""
    match = _HTML.match(html)
    if match is None or (match.group(2) or "").lower() not in _QUOTING_ELEMENTS:
        return elements
    return max(0, elements - 1) if match.group(1) else elements + 1
