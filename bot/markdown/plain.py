"""Markdown as plain text, for titles and commit messages. No I/O."""

from collections.abc import Iterator

from markdown_it.tree import SyntaxTreeNode

from bot.markdown.characters import strip_unsafe_characters
from bot.markdown.html_text import html_text, image_note
from bot.markdown.parsing import tree
from bot.markdown.pieces import one_line, without_markers
from bot.markdown.references import Found, Kind, Where, live

_TITLE_CHARACTERS = 120


def plain_title(text: str, limit: int = _TITLE_CHARACTERS) -> str:
    """The first line that says something, without markup; empty when there is none."""
    title = next((line for line in _lines(text) if line.strip()), "")
    return one_line(_without_references(one_line(title, limit)), limit)


def plain(text: str, limit: int, *, before: str = "") -> str:
    """Line by line, cut at the end of a line where `limit` characters are not enough.

    `before` will stand in front of it, and may end with a closing word.
    """
    safe = without_markers(_without_references("\n".join(_lines(text)).strip(), before))
    if len(safe) <= limit:
        return safe
    return (safe[: max(0, limit - 2)].rpartition("\n")[0] + "\n…")[:limit]


def _lines(text: str) -> Iterator[str]:
    for number, block in enumerate(tree(strip_unsafe_characters(text)).children):
        if number:
            yield ""
        for line in _block(block).split("\n"):
            yield " ".join(strip_unsafe_characters(line).split()) if block.type not in {"fence", "code_block"} else line


def _block(node: SyntaxTreeNode) -> str:
    match node.type:
        case "inline":
            return "".join(_inline(child) for child in node.children)
        case "fence" | "code_block":
            return str(node.content).rstrip("\n")
        case "html_block":
            return html_text(node.content).strip()
        case "list_item":
            return "- " + "\n".join(_block(child) for child in node.children)
        case "tr":
            return " | ".join(_block(child) for child in node.children)
        case _:
            return "\n".join(_block(child) for child in node.children)


def _inline(node: SyntaxTreeNode) -> str:
    match node.type:
        case "text" | "code_inline":
            return str(node.content)
        case "softbreak" | "hardbreak":
            return "\n"
        case "html_inline":
            return html_text(node.content)
        case "image":
            return image_note(node.content)
        case _:
            return "".join(_inline(child) for child in node.children)


def _without_references(text: str, before: str = "") -> str:
    """In plain text nothing can be put into code: names lose their @, issues are named in words."""
    safe, done = "", 0
    for found in live(text, where=Where.PULL_REQUEST, repo="", before=before, at_line_start=False):
        between = text[done : found.start]
        # Without its @ a name must not meet another one: `@@name`.
        safe += between.rstrip("@") if found.kind is Kind.MENTION else between
        safe += _in_words(text[found.start : found.end], found)
        done = found.end
    return safe + text[done:]


def _in_words(text: str, found: Found) -> str:
    match found.kind:
        case Kind.MENTION:
            return text.lstrip("@")
        case Kind.ISSUE:
            return f"{found.repo} issue {found.number}".strip()
        case Kind.COMMAND:
            return text
