"""Markdown as a page may show it: rendered by markdown-it, foreign HTML turned into text. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_TAG = re.compile(r"(</?(?:details|summary|sub|sup|kbd|br|hr)\s*/?>)")
"""Only these, and only without attributes, are left as tags."""

_BOXES = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}  # GitHub draws boxes here


def _permitted(html: str) -> str:
    pieces = _TAG.split(_COMMENT.sub("", html))
    return "".join(piece if index % 2 else escape(piece, quote=False) for index, piece in enumerate(pieces))


class _Renderer(RendererHTML):
    def html_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _permitted(tokens[idx].content)

    def html_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _permitted(tokens[idx].content)


def _draw_boxes(state: StateCore) -> None:
    for at, token in enumerate(state.tokens):
        if token.type != "inline" or not token.children or state.tokens[at - 2].type != "list_item_open":
            continue
        first = token.children[0]
        box = _BOXES.get(first.content[:4])
        if box:
            first.content = box + first.content[4:]


def _parser() -> MarkdownIt:
    parser = MarkdownIt("gfm-like", {"html": True, "linkify": True, "breaks": True}, renderer_cls=_Renderer)
    assert parser.linkify is not None
    parser.linkify.set({"fuzzy_link": False})  # GitHub does not take `calc.py` for an address
    parser.disable("image")  # a page loads nothing from elsewhere
    parser.core.ruler.push("boxes", _draw_boxes)
    return parser


_PARSER = _parser()


def render(text: str) -> Markup:
    return Markup(_PARSER.render(text))  # escaped by the renderer, tags by `_permitted`
