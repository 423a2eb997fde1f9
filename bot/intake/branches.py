"""What may be the name of a branch. No I/O."""

import re

_MOST_CHARACTERS = 200

# What git refuses in the name of a ref: https://git-scm.com/docs/git-check-ref-format
_BAD = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-./]|[./]$|\.lock$|/\.")


def is_name(text: str) -> bool:
    return 0 < len(text) <= _MOST_CHARACTERS and not _BAD.search(text)
