"""GitHub's Markdown as tokens; the owner of the parser. No I/O."""

from collections.abc import Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

MAX_CHARACTERS = 65_536
"""The most that GitHub takes; more would never be seen, and would take long to read."""


@cache
def parser() -> MarkdownIt:
    markdown = MarkdownIt("gfm-like")
    assert markdown.linkify is not None
    # Bare `example.com` is no link on GitHub.
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    return markdown


def tree(text: str) -> SyntaxTreeNode:
    """The blocks of what could be posted of the text."""
    return SyntaxTreeNode(parser().parse(text[:MAX_CHARACTERS]))


def inline_tree(line: str) -> SyntaxTreeNode:
    """One line, in which nothing starts a block."""
    return SyntaxTreeNode(parser().parseInline(line[:MAX_CHARACTERS]))


def text_nodes(lines: Sequence[str]) -> Sequence[SyntaxTreeNode]:
    """Lines of text as a paragraph holds them."""
    tokens: list[Token] = []
    for line in lines:
        tokens += [Token("text", "", 0, content=line), Token("softbreak", "br", 0)]
    return SyntaxTreeNode(tokens).children
