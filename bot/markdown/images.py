"""The images in a text: which they are, and other text put in their place. No I/O."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, html_inline, image
from markdown_it.token import Token

from bot.markdown.assets import asset_id
from bot.markdown.parsing import MAX_CHARACTERS

_SPAN = "span"
_LINE_END = re.compile(r"\r\n?|\n")
"""https://spec.commonmark.org/0.31.2/#line-ending"""


@dataclass(frozen=True)
class Reference:
    """An image that GitHub shows with the text."""

    url: str
    """As written."""
    asset: str
    """The attachment's UUID; empty when the image is no attachment of this GitHub."""


def references(text: str, web_url: str) -> list[Reference]:
    """Markdown images and `<img>` tags in the order in which they are shown, each address once.

    What stands in code or in an HTML comment is no image. `web_url` is where this GitHub has its pages.
    """
    urls = dict.fromkeys(found.url for found in _images(text))
    return [Reference(url, asset_id(url, web_url)) for url in urls]


def image_urls(html: str) -> list[str]:
    """The addresses of the `<img>` tags in GitHub's own HTML."""
    return [found.url for found in _Tags().read(html)]


def replaced(text: str, by_url: Mapping[str, str]) -> str:
    """The text with the whole markup of each image swapped for what `by_url` has for its address."""
    pieces: list[str] = []
    done = 0
    for found in _images(text):
        if found.url in by_url and done <= found.start < found.end:
            pieces += [text[done : found.start], by_url[found.url]]
            done = found.end
    return "".join([*pieces, text[done:]])


@dataclass(frozen=True)
class _Image:
    url: str
    start: int
    end: int
    """Of the markup in the text; -1 where that cannot be told."""


def _images(text: str) -> Iterator[_Image]:
    source = _Source(text[:MAX_CHARACTERS])
    tags = _Tags()
    for block in _parser().parse(source.text):
        if block.type not in {"inline", "html_block"}:
            continue
        place = source.place(block)
        for piece in [block] if block.type == "html_block" else block.children or []:
            start, end = piece.meta.get(_SPAN, (0, 0))
            if piece.type == "image" and not tags.in_comment:
                yield _Image(str(piece.attrs.get("src", "")), place(start), place(end))
            elif piece.type in {"html_inline", "html_block"}:
                for tag in tags.read(piece.content):
                    yield _Image(tag.url, place(start + tag.start), place(start + tag.end))


@cache
def _parser() -> MarkdownIt:
    """GitHub's Markdown, with the span in its block's content noted on each image and tag."""
    markdown = MarkdownIt("gfm-like", {"linkify": False})
    markdown.inline.ruler.at("image", _spanned(image))
    markdown.inline.ruler.at("html_inline", _spanned(html_inline))
    return markdown


def _spanned(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    def spanned(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  the parser's own signature
        start = state.pos
        matched = rule(state, silent)
        if matched and not silent:
            state.tokens[-1].meta[_SPAN] = (start, state.pos)
        return matched

    return spanned


class _Source:
    """Finds where in the text a block's content is: the parser takes list markers and indentation off it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(end.end() for end in _LINE_END.finditer(text))]
        self._lines = _LINE_END.split(text.replace("\0", "\ufffd"))
        self._done: dict[int, int] = {}
        """How much of a line has been found: the cells of a table share one."""

    def place(self, block: Token) -> Callable[[int], int]:
        """From a position in the content to the one in the text; -1 where that cannot be told."""
        in_content, in_text = [0], []
        for number, line in enumerate(block.content.split("\n"), block.map[0] if block.map else 0):
            in_content.append(in_content[-1] + len(line) + 1)
            in_text.append(self._find(number, line))

        def place(position: int) -> int:
            row = min(bisect_right(in_content, position), len(in_text)) - 1
            start = in_text[row]
            return -1 if start is None else start + position - in_content[row]

        return place

    def _find(self, number: int, line: str) -> int | None:
        """Where the line would begin in the text, had its indentation not been changed."""
        words = line.strip()
        if number >= len(self._lines):
            return None
        column = self._lines[number].find(words, self._done.get(number, 0))
        if column < 0:
            return None
        self._done[number] = column + len(words)
        return self._starts[number] + column - (len(line) - len(line.lstrip()))


class _Tags(HTMLParser):
    """The `<img>` tags in pieces of one document's HTML."""

    def __init__(self) -> None:
        super().__init__()
        self._piece = ""
        self._done = 0
        self._found: list[_Image] = []

    @property
    def in_comment(self) -> bool:
        """A comment that one block began and a later one ends hides what is between."""
        return self.rawdata.startswith("<!--")

    def read(self, piece: str) -> list[_Image]:
        """The tags' addresses, and where they are in the piece."""
        if self.in_comment and "--" not in piece:
            return []
        self._piece, self._done, self._found = piece, 0, []
        self.feed(piece)
        if self.rawdata and not self.in_comment:
            self.reset()
        return self._found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        markup = self.get_starttag_text() or ""
        start = self._piece.find(markup, self._done)
        if start < 0:
            return
        self._done = start + len(markup)
        url = next((value for name, value in attrs if name == "src"), None)
        if tag == "img" and url:
            self._found.append(_Image(url.strip(), start, self._done))
