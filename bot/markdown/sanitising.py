"""Markdown read as tokens and written back so that it can only be read. No I/O.

Kept: headings, emphasis, lists, quotes, tables, code, links. Whatever could act becomes text or code.
"""

import html
import re
from dataclasses import dataclass, replace

from markdown_it.tree import SyntaxTreeNode

from bot.markdown.characters import strip_unsafe_characters
from bot.markdown.html_text import html_text
from bot.markdown.inline import Setting, inline
from bot.markdown.parsing import MAX_CHARACTERS, inline_tree, text_nodes, tree
from bot.markdown.pieces import fence, missing_note, one_line, without_markers
from bot.markdown.references import Where

_FIRST_HEADING = 3
_MAX_NUMBER = 100_000
_ALIGNMENTS = {"text-align:left": ":--", "text-align:center": ":-:", "text-align:right": "--:"}
_TASK = re.compile(r"\A\\\[([ xX])\\\] (?=\S)")
_LINE = re.compile(r"^(?=.)", re.MULTILINE)


def sanitise(text: str, *, where: Where, repo: str) -> str:
    """Safe to post in a comment or pull request of `repo` (`owner/name`); doing it twice changes nothing more."""
    text = strip_unsafe_characters(text)
    parts = [block.text for block in _blocks(tree(text), Setting(where, repo))]
    if len(text) > MAX_CHARACTERS:
        parts.append(missing_note(len(text) - MAX_CHARACTERS))
    return without_markers("\n\n".join(parts))


def sanitise_line(text: str, limit: int, *, where: Where, repo: str) -> str:
    """The same for one line within a block of ours; `limit` counts characters of `text`."""
    root = inline_tree(one_line(text, limit))
    return without_markers(_inline(root, Setting(where, repo)).replace("\n", " "))


@dataclass(frozen=True)
class _Block:
    text: str
    tight: bool = False
    """A paragraph of a list without blank lines."""
    interrupts: bool = False
    """It may follow a paragraph without a blank line."""


def _blocks(parent: SyntaxTreeNode, setting: Setting) -> list[_Block]:
    found: list[_Block] = []
    list_before = ""
    for node in parent.children:
        marker = _marker(node, list_before) if node.type in {"bullet_list", "ordered_list"} else ""
        text = _block(node, setting, marker)
        if text:
            found.append(_Block(text, node.type == "paragraph" and node.hidden, _interrupts(node)))
            list_before = marker
    return found


def _block(node: SyntaxTreeNode, setting: Setting, marker: str) -> str:
    text = ""
    match node.type:
        case "paragraph":
            text = _inline(node, setting)
        case "heading":
            line = _inline(node, setting).replace("\n", " ")
            text = f"{'#' * max(_FIRST_HEADING, int(node.tag[1:]))} {line}" if line else ""
        case "fence":
            text = fence(node.content, node.info)
        case "code_block":
            text = fence(node.content)
        case "html_block":
            text = _from_html(node.content, setting)
        case "blockquote":
            text = "\n".join(f"> {line}".rstrip() for line in _joined(_blocks(node, setting)).split("\n"))
            text = "" if text == ">" else text
        case "bullet_list" | "ordered_list":
            text = _list(node, setting, marker)
        case "table":
            text = _table(node, setting)
        case "hr":
            text = "___"  # behind a list's marker, too, it is no list
    return text


def _inline(node: SyntaxTreeNode, setting: Setting) -> str:
    return "".join(inline(child.children, setting) for child in node.children if child.type == "inline")


def _from_html(content: str, setting: Setting) -> str:
    text = strip_unsafe_characters(html.unescape(html_text(content)))
    return inline(text_nodes(text.split("\n")), setting)


def _interrupts(node: SyntaxTreeNode) -> bool:
    return node.type in {"bullet_list", "fence", "blockquote", "heading"} or (
        node.type == "ordered_list" and node.attrs.get("start", 1) == 1
    )


def _joined(blocks: list[_Block]) -> str:
    text = ""
    for number, block in enumerate(blocks):
        if number:
            text += "\n" if blocks[number - 1].tight and block.interrupts else "\n\n"
        text += block.text
    return text


def _marker(node: SyntaxTreeNode, before: str) -> str:
    """Another marker than the list right before it, or the two would be one list."""
    choices = "-*" if node.type == "bullet_list" else ".)"
    return choices[1] if before == choices[0] else choices[0]


def _list(node: SyntaxTreeNode, setting: Setting, marker: str) -> str:
    number = min(int(node.attrs.get("start", 1)), _MAX_NUMBER)
    items: list[str] = []
    loose = False
    for item in node.children:
        blocks = _blocks(item, setting)
        if not blocks:
            continue
        loose = loose or any(child.type == "paragraph" and not child.hidden for child in item.children)
        lead = f"{number}{marker} " if node.type == "ordered_list" else f"{marker} "
        body = _TASK.sub(r"[\1] ", _joined(blocks))
        items.append(lead + _LINE.sub(" " * len(lead), body)[len(lead) :])
        number += 1
    return ("\n\n" if loose else "\n").join(items)


def _table(node: SyntaxTreeNode, setting: Setting) -> str:
    within = replace(setting, in_table=True)
    rows = [row for part in node.children for row in part.children]
    lines = [
        "| " + " | ".join(_inline(cell, within).replace("\n", " ") for cell in row.children) + " |" for row in rows
    ]
    marks = [_ALIGNMENTS.get(str(cell.attrs.get("style", "")), "---") for cell in rows[0].children]
    return "\n".join([lines[0], "| " + " | ".join(marks) + " |", *lines[1:]])
