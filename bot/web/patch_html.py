"""Patches and edits as HTML: a part for each file, its lines coloured as what its name says they are. No I/O."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_for_filename
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType, is_token_subtype
from pygments.util import ClassNotFound

_MOST_CHARACTERS = 200_000
_MOST_COLOURED_CHARACTERS = 100_000
"""Each coloured word is an element of the page."""
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_SAID = re.compile(
    r"(?:new file|deleted file|old|new) mode |rename (?:from|to) |Binary files |GIT binary patch|\\ No newline"
)
_KINDS = {"+": "added", "-": "removed", " ": "same"}
_CLASSES = (
    (Comment, "comment"),
    (String, "string"),
    (Number, "number"),
    (Keyword, "keyword"),
    (Name.Function, "name"),
    (Name.Class, "name"),
    (Name.Tag, "name"),
    (Name.Decorator, "name"),
)


@dataclass(frozen=True)
class FilePatch:
    path: str
    added: int
    removed: int
    html: Markup


@dataclass(frozen=True)
class PatchPage:
    files: tuple[FilePatch, ...]
    cut: bool
    """The rest is only in the patch itself."""


@dataclass
class _File:
    path: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    """Kind and text; the kinds are those of `_KINDS`, `hunk` and `note`."""


def page_of(patch: bytes) -> PatchPage:
    text = patch.decode("utf-8", "replace").replace("\r", "")
    cut = len(text) > _MOST_CHARACTERS
    if cut:
        text = text[:_MOST_CHARACTERS].rpartition("\n")[0]
    left = _MOST_COLOURED_CHARACTERS
    shown = []
    for file in _files(text.split("\n")):
        size = sum(len(line) for _, line in file.lines)
        lexer = _lexer(file.path) if size <= left else None
        left -= size if lexer else 0
        kinds = [kind for kind, _ in file.lines]
        shown.append(FilePatch(file.path, kinds.count("added"), kinds.count("removed"), _html(file, lexer)))
    return PatchPage(tuple(shown), cut)


def edit_html(path: str, old: str, new: str, *, coloured: bool) -> Markup:
    """What an edit took away and what it put there."""
    before, after = old.replace("\r", "").splitlines(), new.replace("\r", "").splitlines()
    lines: list[tuple[str, str]] = []
    for what, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after).get_opcodes():
        if what == "equal":
            lines += [("same", line) for line in before[i1:i2]]
        else:
            lines += [("removed", line) for line in before[i1:i2]]
            lines += [("added", line) for line in after[j1:j2]]
    return Markup("\n").join(_hunk(lines, _lexer(path) if coloured else None))


def _files(lines: Iterable[str]) -> Iterator[_File]:
    file: _File | None = None
    lines = iter(lines)
    for line in lines:
        if line.startswith("diff --git "):
            if file is not None:
                yield file
            file = _File(_named(line.removeprefix("diff --git ")))
        elif file is not None and (hunk := _HUNK.match(line)):
            file.lines.append(("hunk", line))
            old, new = (int(count) if count is not None else 1 for count in hunk.groups())
            file.lines += _lines(lines, old, new)
        elif file is not None:
            _head(file, line)
    if file is not None:
        yield file


def _lines(lines: Iterator[str], old: int, new: int) -> Iterator[tuple[str, str]]:
    """Of a hunk, whose head has counted them: `--- a` may be a line that was taken away."""
    while (old > 0 or new > 0) and (line := next(lines, None)) is not None:
        kind = _KINDS.get(line[:1], "note")
        old -= kind in {"removed", "same"}
        new -= kind in {"added", "same"}
        yield kind, line if kind == "note" else line[1:]


def _head(file: _File, line: str) -> None:
    """What git says of a file before its first hunk, and of one that is no text."""
    if line.startswith("+++ ") and line != "+++ /dev/null":
        file.path = _plain(line.removeprefix("+++ ").removesuffix("\t"))
    elif line.startswith("rename to "):
        file.path = line.removeprefix("rename to ")
    if _SAID.match(line):
        file.lines.append(("note", line))


def _named(names: str) -> str:
    """Of `a/path b/path`; a name with spaces is known from a later line."""
    return _plain(names.rpartition(" ")[2])


def _plain(name: str) -> str:
    return re.sub(r"^[ab]/", "", name.strip('"'))


def _lexer(path: str) -> Lexer | None:
    try:
        lexer: Lexer = get_lexer_for_filename(path.rpartition("/")[2], stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    return lexer


def _html(file: _File, lexer: Lexer | None) -> Markup:
    found: list[Markup] = []
    hunk: list[tuple[str, str]] = []
    for kind, text in file.lines:
        if kind in _KINDS.values():
            hunk.append((kind, text))
            continue
        found += _hunk(hunk, lexer)
        hunk = []
        found.append(Markup('<span class="{}">{}</span>').format(kind, text))
    found += _hunk(hunk, lexer)
    return Markup("\n").join(found)


def _hunk(lines: Sequence[tuple[str, str]], lexer: Lexer | None) -> Iterator[Markup]:
    """What was and what is are two texts: a string that begins in one does not go on in the other."""
    before = iter(_coloured([text for kind, text in lines if kind != "added"], lexer))
    after = iter(_coloured([text for kind, text in lines if kind != "removed"], lexer))
    for kind, _ in lines:
        html = next(before) if kind != "added" else Markup()
        html = next(after) if kind != "removed" else html
        sign = {"added": "+", "removed": "−"}.get(kind, " ")
        yield Markup('<span class="{}"><span class="sign">{}</span>{}</span>').format(kind, sign, html)


def _coloured(lines: Sequence[str], lexer: Lexer | None) -> list[Markup]:
    if lexer is None:
        return [escape(line) for line in lines]
    found = [Markup()]
    for token, value in lexer.get_tokens("\n".join(lines)):
        for number, part in enumerate(value.split("\n")):
            if number:
                found.append(Markup())
            found[-1] += _word(token, part)
    # Whatever a lexer makes of the end, each line has its place.
    return (found + [Markup()] * len(lines))[: len(lines)]


def _word(token: _TokenType, text: str) -> Markup:
    kind = next((name for kind, name in _CLASSES if is_token_subtype(token, kind)), "")
    return Markup('<i class="{}">{}</i>').format(kind, text) if kind and text.strip() else escape(text)
