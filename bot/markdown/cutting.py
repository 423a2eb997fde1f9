"""Markdown cut so that what is left is still whole. No I/O."""

from collections.abc import Iterator

from bot.markdown.parsing import tree
from bot.markdown.pieces import missing_note
from bot.markdown.references import Where
from bot.markdown.sanitising import sanitise

_MIN_PART_CHARACTERS = 80
_TRIES = 6


def cut(text: str, limit: int, *, beyond: int = 0) -> str:
    """At most `limit` characters: whole blocks, then the beginning of the next one, then how much is missing.

    For sanitised text; `<details>` of our own stay whole or go as a whole. `beyond`: characters that were
    left out before.
    """
    if len(text) <= limit and not beyond:
        return text
    room = limit - len(missing_note(len(text) + beyond)) - 2
    kept = ""
    for unit, is_html in _units(text):
        joined = f"{kept}\n\n{unit}" if kept else unit
        if len(joined) > room:
            part = "" if is_html else _beginning(unit, room - len(kept) - 2)
            kept = "\n\n".join(filter(None, [kept, part]))
            break
        kept = joined
    notice = missing_note(len(text) - len(kept) + beyond)
    return f"{kept}\n\n{notice}".lstrip("\n") if len(notice) <= limit else "…"[:limit]


def _units(text: str) -> Iterator[tuple[str, bool]]:
    """The blocks of the text and whether each has HTML; from `<details>` to its end is one."""
    lines = text.split("\n")
    start, depth, html = 0, 0, False
    nodes = tree(text).children
    for number, node in enumerate(nodes):
        following = nodes[number + 1].map if number + 1 < len(nodes) else None
        end = following[0] if following else len(lines)
        if node.type == "html_block":
            html = True
            depth += node.content.count("<details") - node.content.count("</details")
        if depth <= 0:
            yield "\n".join(lines[start:end]).strip("\n"), html
            start, depth, html = end, 0, False
    if start < len(lines):
        yield "\n".join(lines[start:]).strip("\n"), True


def _beginning(unit: str, room: int) -> str:
    """What of a block fits. It is sanitised again, for what a cut leaves open could come alive."""
    allowed = room
    for _ in range(_TRIES):
        if allowed < _MIN_PART_CHARACTERS:
            return ""
        part = sanitise(_whole_words(unit, allowed), where=Where.PULL_REQUEST, repo="")
        if len(part) <= room:
            return part
        allowed -= len(part) - room + _MIN_PART_CHARACTERS // 4
    return ""


def _whole_words(unit: str, allowed: int) -> str:
    part = unit[:allowed]
    for separator in ("\n", " "):
        head = part.rpartition(separator)[0]
        if len(head) >= allowed // 2:
            return head
    return part.rpartition(" ")[0]
