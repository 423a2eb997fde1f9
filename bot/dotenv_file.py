"""The `.env` file as we write it: new settings at its end, all else as it was, for its owner's eyes only."""

import io
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from bot.errors import BackspaceError

_BARE = re.compile(r"[A-Za-z0-9_.~+/=\\-](?:[A-Za-z0-9_.~+/=\\ -]*[A-Za-z0-9_.~+/=\\-])?")
"""Needs no quotes, which Docker's `--env-file` would take for a part of the value."""


class NotWritten(BackspaceError):
    """The file stays as it was."""


class AlreadySet(NotWritten):
    """The file has values for these settings."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(f"it has values already: {', '.join(sorted(names))}")
        self.names = tuple(sorted(names))


def valued(path: Path, names: Collection[str]) -> list[str]:
    """Those of the settings that the file gives a value. Raises NotWritten for a file that cannot be read."""
    bindings = parse_stream(io.StringIO(_text(path)))
    return sorted({one.key for one in bindings if one.key and one.key in names and one.value})


def lines(values: Mapping[str, str]) -> str:
    """As they stand in the file, one line each."""
    return "".join(f"{name}={_written(value)}\n" for name, value in values.items())


def add(path: Path, values: Mapping[str, str], *, heading: str, replaced: Collection[str], replace: bool) -> None:
    """Puts them at the end of the file, in one step. `replaced`: settings whose lines go.

    Raises AlreadySet when one of those has a value and is not to be replaced, and NotWritten.
    """
    if not replace and (present := valued(path, replaced)):
        raise AlreadySet(present)
    kept = "".join(one.original.string for one in parse_stream(io.StringIO(_text(path))) if one.key not in replaced)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    new = f"{kept}{chr(10) if kept else ''}# {' '.join(heading.split())}\n{lines(values)}"
    try:
        _put(path.resolve(), new)
    except OSError as error:
        raise NotWritten(f"it cannot be written: {error.strerror or type(error).__name__}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise NotWritten("it cannot be read as UTF-8 text") from error


def _put(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    new = Path(name)
    try:
        # mkstemp made it readable by its owner alone.
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
            if path.exists():
                was, now = path.stat(), new.stat()
                if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
                    os.fchown(descriptor, was.st_uid, was.st_gid)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _written(value: str) -> str:
    if _BARE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
