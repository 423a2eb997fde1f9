"""What stands in a line: text, code, emphasis and links, written back as Markdown. No I/O."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from markdown_it.tree import SyntaxTreeNode

from bot.markdown.characters import strip_unsafe_characters
from bot.markdown.html_text import html_text, image_note
from bot.markdown.pieces import code_span, escape
from bot.markdown.references import Where, end_of_word, is_live_link, live

_SCHEMES = {"http", "https", "mailto"}
_HREF = str.maketrans({c: f"%{ord(c):02X}" for c in "()<>[]\\`| \"'"})
_ENTITY = re.compile(r"(&#?\w+);", re.ASCII)


@dataclass(frozen=True)
class Setting:
    where: Where
    repo: str
    in_table: bool = False
    struck: bool = False
    """Within struck-out text, where another `~~` could become a fence."""


@dataclass(frozen=True)
class _Text:
    text: str


_Item: TypeAlias = _Text | SyntaxTreeNode


class _Line:
    """What is written so far, and what a reader sees of it."""

    def __init__(self, seen: str, *, at_start: bool) -> None:
        self.written = ""
        self.seen = seen
        self._at_start = at_start

    @property
    def at_start(self) -> bool:
        last = self.written.rpartition("\n")
        return not last[2].strip() and (self._at_start or bool(last[1]))

    def add(self, piece: str, seen: str) -> None:
        # Two code spans side by side would be read as one, or as none.
        between = " " if self.written.endswith("`") and piece.startswith("`") else ""
        self.written += between + piece
        self.seen += seen


def inline(nodes: Sequence[SyntaxTreeNode], setting: Setting) -> str:
    """Lines without blank ones between them; nothing but newlines breaks them."""
    line = _Line("", at_start=True)
    _write(nodes, setting, line)
    return "\n".join(stripped for part in line.written.split("\n") if (stripped := part.strip()))


def _write(nodes: Sequence[SyntaxTreeNode], setting: Setting, line: _Line) -> None:
    for item in _items(nodes):
        if isinstance(item, _Text):
            _write_text(item.text, setting, line)
        elif item.type == "code_inline":
            line.add(code_span(item.content, in_table=setting.in_table), item.content)
        elif item.type == "link":
            _write_link(item, setting, line)
        elif item.type in {"em", "strong", "s"}:
            _write_emphasis(item, setting, line)


def _items(nodes: Sequence[SyntaxTreeNode]) -> Iterator[_Item]:
    """Texts that stand side by side once tags and images are gone are one text: `@<b></b>name`."""
    text = ""
    for node in nodes:
        found = _as_text(node)
        if found is not None:
            text += found
            continue
        if text:
            yield _Text(text)
            text = ""
        yield node
    if text:
        yield _Text(text)


def _as_text(node: SyntaxTreeNode) -> str | None:
    match node.type:
        case "text":
            return strip_unsafe_characters(node.content).replace("\n", " ")
        case "softbreak" | "hardbreak":
            return "\n"
        case "html_inline":
            return html_text(node.content)
        case "image":
            return image_note(strip_unsafe_characters(node.content))
        case "link" if not _followable(node) and all(child.type == "text" for child in node.children):
            return "".join(strip_unsafe_characters(child.content) for child in node.children)
        case _:
            return None


def _write_text(text: str, setting: Setting, line: _Line) -> None:
    for number, part in enumerate(text.split("\n")):
        if number:
            line.add("\n", " ")
        _write_one_line(part.lstrip() if line.at_start else part, setting, line)


def _write_one_line(text: str, setting: Setting, line: _Line) -> None:
    done = 0
    before, at_start = line.seen, line.at_start
    for found in live(text, where=setting.where, repo=setting.repo, before=before, at_line_start=at_start):
        if found.start < done:
            continue
        line.add(escape(text[done : found.start], in_table=setting.in_table), text[done : found.start])
        done = end_of_word(text, found.end)
        line.add(code_span(text[found.start : done], in_table=setting.in_table), text[found.start : done])
    line.add(escape(text[done:], in_table=setting.in_table), text[done:])


def _write_emphasis(node: SyntaxTreeNode, setting: Setting, line: _Line) -> None:
    mark = {"em": node.markup, "strong": node.markup, "s": "" if setting.struck else "~~"}[node.type]
    within = Setting(setting.where, setting.repo, setting.in_table, setting.struck or node.type == "s")
    inner = _Line(line.seen, at_start=line.at_start)
    _write(node.children, within, inner)
    seen = inner.seen[len(line.seen) :]
    body = inner.written.strip()
    if not body:
        line.add(" ", seen)
        return
    lead = " " if inner.written[0].isspace() else ""
    trail = " " if inner.written[-1].isspace() else ""
    line.add(f"{lead}{mark}{body}{mark}{trail}" if lead or mark else body + trail, seen)


def _write_link(node: SyntaxTreeNode, setting: Setting, line: _Line) -> None:
    href = str(node.attrs.get("href", ""))
    inner = _Line(line.seen, at_start=line.at_start)
    _write(node.children, setting, inner)
    seen = inner.seen[len(line.seen) :]
    text = inner.written.strip()
    if not text:
        return
    acts = is_live_link(href, where=setting.where, repo=setting.repo, before=line.seen)
    bare = node.info == "auto"
    if bare and acts:
        line.add(code_span(href, in_table=setting.in_table), seen)
    elif acts:
        line.add(f"{text} ({code_span(href, in_table=setting.in_table)})", seen)
    elif not _followable(node):
        line.add(text, seen)
    elif bare:
        line.add(f"<{_target(href)}>", seen)
    else:
        line.add(f"[{text}]({_target(href)})", seen)


def _followable(node: SyntaxTreeNode) -> bool:
    href = str(node.attrs.get("href", ""))
    try:
        parts = urlsplit(href)
    except ValueError:
        return False
    if node.info == "auto" and parts.scheme == "mailto":
        return False
    return parts.scheme in _SCHEMES and bool(parts.netloc or parts.scheme == "mailto")


def _target(href: str) -> str:
    return _ENTITY.sub(r"\1%3B", href.translate(_HREF))
