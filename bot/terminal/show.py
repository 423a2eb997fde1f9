"""A run as it goes on, drawn: live on a terminal, as plain lines elsewhere, as NDJSON for programs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bot import events as ev
from bot.markdown import one_line, strip_unsafe_characters
from bot.runs.view import RunView, fold
from bot.terminal import lines
from bot.terminal.answers import event_of
from bot.terminal.client import Lost, Message

_MOST_TODOS = 8
_MOST_CHARACTERS = 2_000
_REDRAWN_PER_SECOND = 5
_BAR_CHARACTERS = 24
_LABEL_CHARACTERS = 13
_COLOURS = {
    "ran": "cyan",
    "edited": "yellow",
    "wrote": "yellow",
    "error": "red",
    "kept from": "red",
    "pull request": "green",
}
_MARKS = {"completed": "✓", "in_progress": "▸"}


class Show(Protocol):
    """What is made of a run's messages."""

    def message(self, message: Message) -> ev.Event | None:
        """Returns the event, None for one of a type that only a newer version knows."""

    def lost(self, lost: Lost) -> None: ...


@dataclass
class Json:
    """Each event as it came, one a line."""

    out: TextIO
    err: TextIO

    def message(self, message: Message) -> ev.Event | None:
        print(message.data, file=self.out, flush=True)
        stored = event_of(message.seq, message.data)
        return stored.event if stored else None

    def lost(self, lost: Lost) -> None:
        print(_again(lost), file=self.err, flush=True)


@dataclass
class Plain:
    """One line per fact."""

    out: TextIO
    err: TextIO
    _view: RunView = field(default_factory=RunView)

    def message(self, message: Message) -> ev.Event | None:
        stored = event_of(message.seq, message.data)
        if stored is None:
            return None
        self._view = fold(self._view, stored)
        for line in lines.of_event(stored, self._view):
            print(line, file=self.out, flush=True)
        return stored.event

    def lost(self, lost: Lost) -> None:
        print(_again(lost), file=self.err, flush=True)


@dataclass
class Drawn:
    """What happened scrolls by; below it stand the stage, the to-do list, time and cost."""

    console: Console
    _view: RunView = field(default_factory=RunView)
    _seconds: float = 0.0
    """Of the run, at its latest event: by the server's clock, which may differ from this machine's."""
    _heard: float = field(default_factory=time.monotonic)
    _lost: str = ""
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def message(self, message: Message) -> ev.Event | None:
        self._lost = ""
        stored = event_of(message.seq, message.data)
        if stored is None:
            return None
        self._view = fold(self._view, stored)
        self._seconds, self._heard = self._view.elapsed_seconds(stored.timestamp), time.monotonic()
        for label, words in _told(stored.event):
            row = Table.grid(padding=(0, 1))
            row.add_column(width=_LABEL_CHARACTERS, no_wrap=True)
            row.add_column(overflow="fold")
            row.add_row(Text(label, _COLOURS.get(label, "dim")), words)
            self.console.print(row)
        return stored.event

    def lost(self, lost: Lost) -> None:
        self._lost = _again(lost)

    def __rich__(self) -> RenderableType:
        view = self._view
        if view.complete:
            return Text()
        silent = time.monotonic() - self._heard
        head = Table.grid(padding=(0, 1))
        head.add_row(
            self._spinner,
            ProgressBar(100, view.percentage, width=_BAR_CHARACTERS),
            Text(lines.status(view, self._seconds + silent), overflow="ellipsis", no_wrap=True),
        )
        todo = [
            Text(f"  {_MARKS.get(item.state, '·')} {one_line(item.text, 200)}", overflow="ellipsis", no_wrap=True)
            for item in view.todo[:_MOST_TODOS]
        ]
        return Group(*todo, head, *([Text(self._lost, "yellow")] if self._lost else []))


@contextmanager
def shown(out: TextIO, err: TextIO, *, as_json: bool) -> Iterator[Show]:
    """The way to show a run that fits where the output goes."""
    if as_json:
        yield Json(out, err)
        return
    console = Console(file=out, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield Plain(out, err)
        return
    drawn = Drawn(console)
    with Live(drawn, console=console, refresh_per_second=_REDRAWN_PER_SECOND):
        yield drawn


def _told(event: ev.Event) -> Iterator[tuple[str, Text]]:
    match event:
        case ev.AiMessage(message, thinking):
            words = strip_unsafe_characters(message).strip()
            cut = words if len(words) <= _MOST_CHARACTERS else f"{words[:_MOST_CHARACTERS]}…"
            if cut:
                yield ("thinks", Text(cut, "dim italic")) if thinking else ("says", Text(cut))
        case ev.Todo():
            # It stands below.
            return
        case ev.Check():
            for label, words in lines.facts(event):
                yield label, Text(words, "red" if event.exit_code else "green")
        case ev.Complete():
            yield "answer", Text(strip_unsafe_characters(event.summary).strip())
            _, (label, words) = lines.facts(event)
            yield label, Text(words, "bold")
        case _:
            for label, words in lines.facts(event):
                yield label, Text(words)


def _again(lost: Lost) -> str:
    return f"The connection is gone ({one_line(lost.reason, 200)}); trying again in {lost.wait_seconds:g} s."
