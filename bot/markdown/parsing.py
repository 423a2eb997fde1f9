"""GitHub's Markdown as tokens; the owner of the parser. No I/O."""

from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

_MAX_CHARACTERS = 200_000


@cache
def parser() -> MarkdownIt:
    markdown = MarkdownIt("gfm-like")
    assert markdown.linkify is not None
    # Bare `example.com` is no link on GitHub.
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    return markdown


def tree(text: str) -> SyntaxTreeNode:
    """The blocks of the first 200,000 characters: more is never shown, and would take long to read."""
    return SyntaxTreeNode(parser().parse(text[:_MAX_CHARACTERS]))


def inline_tree(line: str) -> SyntaxTreeNode:
    """One line, in which nothing starts a block."""
    return SyntaxTreeNode(parser().parseInline(line[:_MAX_CHARACTERS]))


def text_node(text: str) -> SyntaxTreeNode:
    return SyntaxTreeNode([Token("text", "", 0, content=text)]).children[0]
