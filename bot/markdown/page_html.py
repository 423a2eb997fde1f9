"""What people and agents wrote, as HTML for our pages: none of their markup, no images, links to the web. No I/O."""

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_WEB = ("https://", "http://")


def _link(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    if not str(token.attrGet("href") or "").lower().startswith(_WEB):
        token.attrs = {}
    else:
        token.attrSet("rel", "nofollow noopener noreferrer")
    return self.renderToken(tokens, index, options, env)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    # A heading in somebody's words must not stand among the page's own.
    parser.disable(["heading", "lheading"])
    parser.add_render_rule("link_open", _link)
    return parser


_PARSER = _parser()
_MOST_CHARACTERS = 20_000


def page_html(text: str) -> str:
    """Safe to put into a page as it is. Longer texts than a screen can hold are shown as they are, cut."""
    if len(text) > _MOST_CHARACTERS:
        text = text[:_MOST_CHARACTERS] + "\n\n[cut]"
    rendered: Any = _PARSER.render(text)
    return str(rendered)
