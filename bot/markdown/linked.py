"""Which issues of its own repository a text names, as GitHub would link them. No I/O."""

from collections.abc import Iterator

from markdown_it.tree import SyntaxTreeNode

from bot.markdown.html_text import html_text
from bot.markdown.parsing import tree
from bot.markdown.references import named

_NUMBER_DIGITS = 9
"""Longer ones are no issue's, and a column of GitHub's would not hold them."""


def linked_issues(text: str, page: str) -> list[int]:
    """Each once, in the order of the text. `page` is the repository's address, `https://host/owner/name`."""
    found = (number for part in _plain(tree(text)) for number in named(part, page))
    numbers = dict.fromkeys(int(number) for number in found if len(number) <= _NUMBER_DIGITS)
    return [number for number in numbers if number > 0]


def _plain(node: SyntaxTreeNode) -> Iterator[str]:
    """What is no code, and where links lead."""
    if node.type == "text":
        yield str(node.content)
    elif node.type == "link":
        yield str(node.attrs.get("href", ""))
    elif node.type == "html_block":
        yield html_text(node.content)
    for child in node.children:
        if node.type != "image":
            yield from _plain(child)
