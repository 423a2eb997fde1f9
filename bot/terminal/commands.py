"""`backspace run` and `backspace runs`: arguments in, exit code out."""

import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from bot.errors import BackspaceError
from bot.events import Complete
from bot.markdown import one_line, strip_unsafe_characters
from bot.model import Outcome, RunId, RunState
from bot.terminal import lines
from bot.terminal.answers import Run, event_of
from bot.terminal.client import Cut, Message, Refused, Server
from bot.terminal.show import shown

_FAILED = 1
_USAGE = 2
_INTERRUPTED = 130
_DONE = frozenset({Outcome.PULL_REQUEST, Outcome.COMMITS_PUSHED, Outcome.NO_CHANGES})
_CALLERS_TO_MEND = frozenset({400, 401, 403, 413, 415, 422})
_PATH = re.compile(r"[./~]")

_WHAT_TO_DO: dict[int | str, str] = {
    401: "Set BACKSPACE_KEY to an API key of that server; `backspace keys add` makes one there.",
    403: "`backspace keys list` on the server says what each key may do.",
    "no-such-run": "`backspace runs list` shows the runs that you may see.",
}


class _RunIdType(click.ParamType[RunId]):
    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RunId:  # noqa: ANN401 -- click's
        """A run's id, or the address of its page."""
        found = re.fullmatch(r"(?:https?://.*/runs/)?([0-9A-Za-z-]{1,64})/?", str(value))
        if not found:
            self.fail(f"{value!r} is no run's id, such as `backspace runs list` shows.", param, ctx)
        return RunId(found[1])


_RUN = click.argument("run_id", metavar="RUN", type=_RunIdType())
_JSON = click.option("--json", "as_json", is_flag=True, help="Print what the server sends: one JSON value a line.")


def _of_server(command: Callable[..., None]) -> Callable[..., None]:
    key = click.option(
        "--key",
        envvar="BACKSPACE_KEY",
        show_envvar=True,
        default="",
        help="An API key of the server. In the environment nobody else on this machine can read it.",
    )
    url = click.option(
        "--url", envvar="BACKSPACE_PUBLIC_URL", show_envvar=True, default="", help="Where that Backspace is."
    )
    return url(key(command))


@click.command()
@_of_server
@click.option("--repo", required=True, metavar="REPOSITORY", help="owner/name, or the repository's address on GitHub.")
@click.option("--base", help="The branch that the pull request goes to.")
@click.option("--model", help="Which model works.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="The most it may cost.")
@_JSON
@click.argument("prompt")
def run(
    *,
    url: str,
    key: str,
    repo: str,
    base: str | None,
    model: str | None,
    budget: float | None,
    as_json: bool,
    prompt: str,
) -> None:
    """Start a run on a server and follow it to its end.

    Ends with 0 when there is a pull request, new commits, or nothing to change; with 1 when it ended otherwise. Ctrl-C
    ends only the watching.
    """
    if not url:
        _usage("runs without a server are not there yet. Name one with --url, or in BACKSPACE_PUBLIC_URL.")
    if _PATH.match(repo) or Path(repo).is_absolute():
        _usage(f"{repo} is a path; a server takes --repo owner/name, or the repository's address on GitHub.")
    asked = {"repo_url": repo, "prompt": prompt, "base": base, "model": model, "budget_usd": budget}
    with _talking_to(url, key) as server:
        started = server.start(
            {name: value for name, value in asked.items() if value is not None}, idempotency_key=secrets.token_hex(16)
        )
        click.echo(f"Run {started.request_id}: {_clean(started.run_url)}", err=as_json)
        _watch(server, started.request_id, as_json=as_json)


@click.group()
def runs() -> None:
    """The runs of a server: list, show, watch, stop, retry."""


@runs.command("list")
@_of_server
@click.option("--repo", default="", metavar="OWNER/NAME", help="Only of this repository.")
@click.option("--state", default="", help=f"Only in this state: {', '.join(RunState)}.")
@click.option("--actor", default="", metavar="LOGIN", help="Only what this person, or this key, asked for.")
@click.option("--most", default=30, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@_JSON
def list_runs(*, url: str, key: str, repo: str, state: str, actor: str, most: int, as_json: bool) -> None:
    """The runs that you may see, newest first."""
    filters = {"repo": repo, "state": state, "actor": actor}
    with _talking_to(url, key) as server:
        for found in server.runs({name: value for name, value in filters.items() if value}, most=most):
            click.echo(found.model_dump_json() if as_json else lines.of_runs(found))


@runs.command()
@_of_server
@_JSON
@_RUN
def show(*, url: str, key: str, as_json: bool, run_id: RunId) -> None:
    """One run: who asked, how it stands, what it cost."""
    with _talking_to(url, key) as server:
        found = server.run(run_id)
        if as_json:
            click.echo(found.model_dump_json())
            return
        for line in lines.of_run(found, _ending(server, found)):
            click.echo(line)


@runs.command()
@_of_server
@_JSON
@_RUN
def watch(*, url: str, key: str, as_json: bool, run_id: RunId) -> None:
    """Follow a run from its first event to its end; exit code as of `run`."""
    with _talking_to(url, key) as server:
        _watch(server, run_id, as_json=as_json)


@runs.command()
@_of_server
@_RUN
def stop(*, url: str, key: str, run_id: RunId) -> None:
    """Stop a run; what it has done so far is kept."""
    with _talking_to(url, key) as server:
        server.stop(run_id)
        found = server.run(run_id)
        click.echo(
            f"{run_id} has ended: {lines.state(found)}"
            if found.finished_at
            else f"{run_id} is being stopped; what it has done so far is kept."
        )


@runs.command()
@_of_server
@_JSON
@_RUN
def retry(*, url: str, key: str, as_json: bool, run_id: RunId) -> None:
    """Start an ended run again, and follow it as `run` does."""
    with _talking_to(url, key) as server:
        started = server.retry(run_id, idempotency_key=secrets.token_hex(16))
        click.echo(f"Run {started.request_id}: {_clean(started.run_url)}", err=as_json)
        _watch(server, started.request_id, as_json=as_json)


@contextmanager
def _talking_to(url: str, key: str) -> Iterator[Server]:
    """Ends the program with what went wrong, and what to do."""
    if not url:
        _usage("name the server with --url, or in BACKSPACE_PUBLIC_URL.")
    if not re.fullmatch(r"https?://[^\s/?#]+(?:/[^\s?#]*)?", url):
        _usage("--url is not an address such as https://backspace.example.com.")
    if not re.fullmatch(r"[!-~]*", key):
        _usage("the key has characters that no key has; look at BACKSPACE_KEY.")
    server = Server(url.rstrip("/"), key)
    try:
        yield server
    except Refused as error:
        what_to_do = _WHAT_TO_DO.get(error.code) or _WHAT_TO_DO.get(error.status, "")
        if error.retry_after:
            what_to_do = f"Try again in {error.retry_after} s."
        _complain(f"{error.detail} {what_to_do}".strip())
        sys.exit(_USAGE if error.status in _CALLERS_TO_MEND else _FAILED)
    except Cut as error:
        _complain(str(error))
        sys.exit(_FAILED)
    except BackspaceError as error:
        _complain(str(error))
        sys.exit(_FAILED)
    except KeyboardInterrupt:
        _complain("interrupted. `backspace runs list` shows whether a run has begun.")
        sys.exit(_INTERRUPTED)
    finally:
        server.close()


def _watch(server: Server, run_id: RunId, *, as_json: bool) -> NoReturn:
    """Ends the program as the run ends, or when it is interrupted."""
    ended: Complete | None = None
    try:
        with shown(sys.stdout, sys.stderr, as_json=as_json) as show:
            for item in server.follow(run_id):
                if isinstance(item, Message):
                    event = show.message(item)
                    ended = event if isinstance(event, Complete) else ended
                else:
                    show.lost(item)
    except KeyboardInterrupt:
        _say_that_it_goes_on(server, run_id)
        sys.exit(_INTERRUPTED)
    except Cut as error:
        _complain(str(error))
        _say_that_it_goes_on(server, run_id)
        sys.exit(_FAILED)
    sys.exit(0 if ended and ended.outcome in _DONE else _FAILED)


def _say_that_it_goes_on(server: Server, run_id: RunId) -> None:
    where = f"--url {server.url} {run_id}"
    click.echo(
        f"The run goes on.\n  to follow it: backspace runs watch {where}\n  to stop it:   backspace runs stop {where}",
        err=True,
    )


def _ending(server: Server, run: Run) -> Complete | None:
    if run.finished_at is None:
        return None
    for item in server.follow(run.request_id, after=run.last_event - 1):
        if isinstance(item, Message) and (stored := event_of(item.seq, item.data)):
            return stored.event if isinstance(stored.event, Complete) else None
    return None


def _usage(words: str) -> NoReturn:
    _complain(words)
    sys.exit(_USAGE)


def _complain(words: str) -> None:
    click.echo(f"backspace: {strip_unsafe_characters(words)}", err=True)


def _clean(text: str) -> str:
    return one_line(text, 500)
