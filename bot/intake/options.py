"""The options of a command line, as in `/backspace --base dev <prompt>`. No I/O.

They stand between the command and the first word that is none, so that a prompt may speak of `--verbose`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.intake import branches
from bot.markdown import code_span, one_line
from bot.model import Options

# A phone's keyboard makes one long dash of two short ones.
_DASHES = re.compile("--|[—–]")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}")
_DOLLARS = re.compile(r"\$?([0-9]{1,6}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})")
_SHOWN_CHARACTERS = 40
_HELP = "help"


@dataclass(frozen=True)
class Mistake:
    """A command line that cannot be read, and why: one or two sentences of Markdown for people."""

    words: str


@dataclass(frozen=True)
class CommandLine:
    options: Options
    further: bool
    """What is said is for the agent that is at work on the thread."""
    help: bool
    any_given: bool
    rest: str
    """What follows the options on the line."""


@dataclass(frozen=True)
class _Option:
    shown: str
    fits: Callable[[str], bool] | None = None
    """None: it takes no value."""
    must_be: str = ""


def _is_budget(value: str) -> bool:
    match = _DOLLARS.fullmatch(value)
    return match is not None and float(match[1]) > 0


_OPTIONS: Mapping[str, _Option] = {
    "base": _Option("--base <branch>", branches.is_name, "the name of a branch"),
    "model": _Option("--model <name>", lambda value: bool(_MODEL.fullmatch(value)), "the name of a model"),
    "budget": _Option("--budget <dollars>", _is_budget, "an amount of dollars above 0, such as `3` or `3.50`"),
    "draft": _Option("--draft"),
    "add": _Option("--add"),
}

KNOWN = tuple(_OPTIONS)
"""Their names, without dashes."""

PROMPT_MISSING = Mistake("The prompt is missing: say after the options what to do.")


def read(line: str) -> CommandLine | Mistake:
    """`line` is what stands behind the command."""
    given: dict[str, str] = {}
    rest = line.strip()
    while dashes := _DASHES.match(rest):
        word, rest = _first_word(rest)
        name, equals, value = word[dashes.end() :].partition("=")
        if not (name or equals):
            break
        name = name.lower()
        if name == _HELP:
            return CommandLine(Options(), further=False, help=True, any_given=True, rest=rest)
        option = _OPTIONS.get(name)
        if option is None:
            return _unknown(name)
        if option.fits is not None and not equals and not _DASHES.match(rest):
            value, rest = _first_word(rest)
        mistake = _mistake(name, option, value, valued=bool(equals), twice=name in given)
        if mistake:
            return Mistake(mistake)
        given[name] = value
    return CommandLine(_options(given), further="add" in given, help=False, any_given=bool(given), rest=rest)


def _first_word(text: str) -> tuple[str, str]:
    word, rest, *_ = [*text.split(maxsplit=1), "", ""]
    return word, rest


def _mistake(name: str, option: _Option, value: str, *, valued: bool, twice: bool) -> str:
    if twice:
        return f"`--{name}` is given twice."
    if option.fits is None:
        return f"`--{name}` takes no value." if valued else ""
    if not value:
        return f"`--{name}` needs a value: `{option.shown}`."
    return "" if option.fits(value) else f"`--{name}` must be {option.must_be}, and {_quoted(value)} is not."


def _unknown(name: str) -> Mistake:
    known = ", ".join(f"`{option.shown}`" for option in _OPTIONS.values())
    return Mistake(
        f"{_quoted(f'--{name}')} is not an option; the known ones are {known}. "
        "Put `--` before a prompt that begins with dashes."
    )


def _quoted(text: str) -> str:
    return code_span(one_line(text, _SHOWN_CHARACTERS)) or "what stands there"


def _options(given: Mapping[str, str]) -> Options:
    return Options(
        base=given.get("base", ""),
        model=given.get("model", ""),
        budget_usd=float(given["budget"].removeprefix("$")) if "budget" in given else None,
        draft="draft" in given,
    )
