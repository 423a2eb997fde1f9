"""What changed between two commits: paths, modes, sizes, the patch and the lines that it adds. No I/O."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.model import Sha

SYMLINK = "120000"
SUBMODULE = "160000"
ABSENT = "000000"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)


@dataclass(frozen=True)
class Change:
    path: str
    odd_path: bool
    """Not UTF-8, or with control or invisible characters; `path` is a readable stand-in then."""
    old_mode: str
    mode: str
    """`000000` where the path does not exist on that side."""
    sha: Sha | None
    """The new content; None for a deleted path."""
    status: str
    """git's letter: A, M, D or T."""
    added: int
    deleted: int
    """Lines; 0 for binary files."""
    binary: bool
    size: int = 0
    """Bytes of the new content."""
    link_target: str | None = None
    """Where a symlink leads."""

    @property
    def gone(self) -> bool:
        return self.mode == ABSENT


@dataclass(frozen=True)
class Diff:
    changes: tuple[Change, ...]
    patch: bytes
    """For `git apply`; cut, and so not to be applied, unless `patch_complete`."""
    patch_complete: bool

    @property
    def additions(self) -> int:
        return sum(change.added for change in self.changes)

    @property
    def deletions(self) -> int:
        return sum(change.deleted for change in self.changes)


@dataclass(frozen=True)
class AddedLine:
    path: str
    number: int
    text: str


def parse_changes(listing: bytes) -> list[Change]:
    """The output of `git diff-tree -r -z --raw --numstat --no-renames`.

    https://git-scm.com/docs/git-diff-tree#_raw_output_format
    """
    fields = iter(listing.split(b"\0")[:-1])
    raw: list[tuple[list[str], bytes]] = []
    counts: dict[bytes, tuple[bytes, bytes]] = {}
    for item in fields:
        if item.startswith(b":"):
            raw.append((item[1:].decode("ascii").split(" "), next(fields)))
        else:
            added, deleted, path = item.split(b"\t", 2)
            counts[path] = (added, deleted)
    return [_change(facts, path, counts.get(path, (b"0", b"0"))) for facts, path in raw]


def _change(facts: list[str], path: bytes, counts: tuple[bytes, bytes]) -> Change:
    old_mode, mode, _, sha, status = facts
    text, odd = _readable(path)
    binary = counts[0] == b"-"
    return Change(
        path=text,
        odd_path=odd,
        old_mode=old_mode,
        mode=mode,
        sha=None if mode == ABSENT else Sha(sha),
        status=status[:1],
        added=0 if binary else int(counts[0]),
        deleted=0 if binary else int(counts[1]),
        binary=binary,
    )


def _readable(path: bytes) -> tuple[str, bool]:
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        text = path.decode("utf-8", errors="backslashreplace")
        return _CONTROL.sub("\ufffd", text), True
    return _CONTROL.sub("\ufffd", text), bool(_CONTROL.search(text))


def added_lines(patch: bytes) -> Iterator[AddedLine]:
    """Counts each hunk's lines, so that content that looks like a header is not taken for one."""
    path = ""
    lines = iter(patch.split(b"\n"))
    for line in lines:
        if line.startswith(b"+++ "):
            path = _target(line[4:])
        elif hunk := _HUNK.match(line):
            old, start, new = (int(group) if group is not None else 1 for group in hunk.groups())
            yield from _hunk(lines, path, old, start, new)


def _hunk(lines: Iterator[bytes], path: str, old: int, number: int, new: int) -> Iterator[AddedLine]:
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None:
            return
        kind = line[:1]
        if kind == b"+":
            yield AddedLine(path, number, line[1:].decode("utf-8", errors="replace"))
        if kind in (b"+", b" "):
            number, new = number + 1, new - 1
        if kind in (b"-", b" "):
            old -= 1


def _target(name: bytes) -> str:
    """The path of a `+++` line, which git quotes like a C string when it has to."""
    name = name.rstrip(b"\t")
    if name.startswith(b'"'):
        name = _ESCAPED.sub(_unescape, name.strip(b'"'))
    return _readable(name.removeprefix(b"b/"))[0]


def _unescape(match: "re.Match[bytes]") -> bytes:
    what = match.group(1)
    return bytes([int(what, 8) & 0xFF]) if len(what) == 3 else _ESCAPES.get(what, what)
