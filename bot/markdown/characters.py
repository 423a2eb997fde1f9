"""Characters that a reader does not see, or that change what he sees. No I/O."""

import re

# CSI, OSC (ended by BEL or ST, or cut off) and the two-character escapes: https://www.ecma-international.org/publications-and-standards/standards/ecma-48/
_ANSI = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters but tab and newline
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f"  # zero width, and what turns the direction of text
    "\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"  # tags and variation selectors, which can carry whole hidden texts
    "]"
)
_UNPAIRED_SURROGATES = re.compile("[\ud800-\udfff]")


def strip_unsafe_characters(text: str) -> str:
    """Without ANSI codes, control, zero-width and bidi characters; line ends are all newlines."""
    text = _LINE_ENDS.sub("\n", _ANSI.sub("", text))
    return _UNPAIRED_SURROGATES.sub("\ufffd", _UNSEEN.sub("", text))
