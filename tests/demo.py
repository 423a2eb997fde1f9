"""`make demo`: a comment becomes a pull request in front of you. GitHub is a stand-in on loopback, the rest is real.

With ANTHROPIC_API_KEY and PROMPT in the environment the real model does the work instead of the script.
"""

import contextlib
import os
import sys
import time
from collections.abc import Mapping

import httpx
from rich.console import Console

from tests.deployment import SANDBOXES, Deployment, deployed, until

_REAL_MODEL_URL = "https://api.anthropic.com"
_SCRIPTED_SECONDS = 120.0
_REAL_SECONDS = 1800.0
_DEFAULT_PROMPT = "Please make add() add: it subtracts."


def main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    real = bool(os.environ.get("ANTHROPIC_API_KEY") and os.environ.get("PROMPT"))
    sandbox = os.environ.get("SANDBOX") or "bubblewrap"
    if sandbox not in SANDBOXES:
        console.print(f"SANDBOX={sandbox} is none: say {' or '.join(SANDBOXES)}.")
        return 2
    settings = _real_model() if real else {}
    prompt = os.environ.get("PROMPT") or _DEFAULT_PROMPT
    stand_ins = ["GitHub", *(["Daytona"] if sandbox == "daytona" else [])]
    model = "" if real else ", and a scripted model"
    console.print(f"[bold]Starting Backspace[/] with a stand-in for {' and one for '.join(stand_ins)}{model}")
    with deployed(settings=settings, sandbox=sandbox) as deployment:
        run_id, issue_url = _ask(deployment, prompt, console)
        outcome = _follow(deployment, run_id, console, _REAL_SECONDS if real else _SCRIPTED_SECONDS)
        run = deployment.finished(run_id, seconds=30)
        pages = deployment.backspace.url
        console.print(f"\nThe thread:        {issue_url}\nThe run:           {pages}/runs/{run_id}")
        if sys.stdout.isatty() and not os.environ.get("CI"):
            console.print(f"All runs:          {pages}/")
            console.print(f"The pull request:  {run['pr_url'] or 'none'}")
            console.print("\nComment there as somebody with write access to try more. Ctrl-C ends all of it.")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
        elif run["pr_url"]:
            console.print(f"The pull request:\n{run['pr_url']}")
    return 0 if outcome == "pull_request" else 1


def _real_model() -> Mapping[str, str]:
    """What the broker needs to reach the real model; the sandbox still gets none of it."""
    return {
        "ANTHROPIC_API_KEY": os.environ["ANTHROPIC_API_KEY"],
        "ANTHROPIC_BASE_URL": os.environ.get("ANTHROPIC_BASE_URL", _REAL_MODEL_URL),
    }


def _ask(deployment: Deployment, prompt: str, console: Console) -> tuple[str, str]:
    issue = deployment.issue()
    url = f"{deployment.github.web_url}/acme/calc/issues/{issue.number}"
    console.print(f"octo opens an issue:    {url}\nocto comments:          /backspace {prompt}\n")
    delivery = deployment.ask(issue, f"/backspace {prompt}")
    return deployment.run_id(delivery), url


def _follow(deployment: Deployment, run_id: str, console: Console, seconds: float) -> str:
    """Print the run's events as they come; returns the outcome."""
    shown = 0

    def look() -> str | None:
        nonlocal shown
        with contextlib.suppress(httpx.HTTPError):
            if deployment.run(run_id)["last_event"] == shown:
                return None
            for event in deployment.events_so_far(run_id, shown):
                shown = event["id"]
                line = _line(event)
                if line:
                    console.print(line)
                if event["type"] == "complete":
                    return str(event["outcome"])
        return None

    return until(look, seconds=seconds, what="the run ends")


def _line(event: Mapping[str, object]) -> str:  # noqa: PLR0911 -- one return per kind of event
    match event["type"]:
        case "progress":
            return f"[bold]{event['stage']:<12}[/] {event['message']}"
        case "AI Message" if not event["thinking"]:
            return f"{'':12} [italic]{event['message']}[/]"
        case "Tool: Bash":
            return f"{'':12} ran {event['command']} (exit code {event['exit_code']})"
        case "Tool: Edit" | "Tool: Write":
            return f"{'':12} changed {event['filepath']}"
        case "check":
            return f"{'':12} check {event['when']}: {event['command']} → exit code {event['exit_code']}"
        case "pr_created":
            return f"[bold green]{'done':<12}[/] {event['pr_url']}"
        case "error":
            return f"[red]{event['error_type']:<12}[/] {event['message']}"
        case "complete":
            return f"[bold]{event['outcome']}[/] after {event['duration_seconds']} s, ${event['cost_usd']}"
        case _:
            return ""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
