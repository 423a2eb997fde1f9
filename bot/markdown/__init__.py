"""Text of agents and people made safe to post: read with a real Markdown parser, written back by us. No I/O."""

from bot.markdown.characters import strip_unsafe_characters
from bot.markdown.cutting import cut
from bot.markdown.linked import linked_issues
from bot.markdown.pieces import code_span, fence, one_line, without_markers
from bot.markdown.plain import plain, plain_title
from bot.markdown.references import Where
from bot.markdown.sanitising import sanitise, sanitise_line

__all__ = [
    "Where",
    "code_span",
    "cut",
    "fence",
    "linked_issues",
    "one_line",
    "plain",
    "plain_title",
    "sanitise",
    "sanitise_line",
    "strip_unsafe_characters",
    "without_markers",
]
