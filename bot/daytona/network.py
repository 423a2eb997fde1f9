"""What a sandbox on Daytona may reach: the policy that we ask for, and whether we got what was meant. No I/O."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from bot.errors import StageFailed
from bot.sandbox import SandboxFailed

MOST_HOSTS = 10
"""https://www.daytona.io/docs/en/network-limits"""
_BROKER_SECONDS = 10.0
# A network that is closed may be so by silence, and each run waits for this.
_OUTSIDE_SECONDS = 3.0
_OUTSIDE = ("1.1.1.1:443", "github.com:443")
_UNLISTED = "example.com"


class TooManyHosts(SandboxFailed):
    """The list of names that a run may reach is longer than Daytona takes."""

    code = "daytona-too-many-hosts"

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.public = words


@dataclass(frozen=True)
class Findings:
    """`broker`: why it does not answer from inside; empty when it does. `reached`: what should not have been."""

    broker: str
    reached: tuple[str, ...]

    @property
    def closed(self) -> bool:
        return not self.reached


class _Told(BaseModel):
    url: str
    reached: list[str]


def allowed(broker_url: str, hosts: Sequence[str]) -> list[str]:
    """The names for `domainAllowList`: the broker's and those that a run asks for. Raises TooManyHosts."""
    names = list(dict.fromkeys(name.lower() for name in (urlsplit(broker_url).hostname or "", *hosts) if name))
    if len(names) > MOST_HOSTS:
        raise TooManyHosts(
            f"Daytona takes {MOST_HOSTS} names that a sandbox may reach, and here are {len(names)}: "
            f"{', '.join(names)}. Shorten `network.allow` in `.github/backspace.yml` or BACKSPACE_EGRESS_ALLOW."
        )
    return names


def _covered(host: str, hosts: Sequence[str]) -> bool:
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in hosts)


def targets(hosts: Sequence[str]) -> list[str]:
    """What must not be reachable when only `hosts` may be."""
    return [target for target in (*_OUTSIDE, _UNLISTED) if not _covered(target.partition(":")[0], hosts)]


def command(python: str, probe: PurePosixPath, broker_url: str, hosts: Sequence[str]) -> str:
    """For a shell inside."""
    seconds = f"{_BROKER_SECONDS:g}", f"{_OUTSIDE_SECONDS:g}"
    words = [str(probe), *seconds, f"{broker_url.rstrip('/')}/healthz", *targets(hosts)]
    return f"{python} {shlex.join(words)} </dev/null"


def read(code: int, said: str) -> Findings:
    """What `command` printed. Raises SandboxFailed."""
    answers = [line for line in said.splitlines() if line.startswith("{")]
    try:
        told = _Told.model_validate_json(answers[-1] if code == 0 and answers else "")
    except ValidationError as error:
        raise SandboxFailed(f"the network of a sandbox cannot be tried: exit {code} {said[-500:]}") from error
    return Findings(told.url, tuple(told.reached))


def judge(findings: Findings, *, broker_url: str, private: bool, accept_open: bool) -> None:
    """Raises StageFailed when a run must not begin in such a network."""
    if findings.broker:
        raise StageFailed(
            "broker-unreachable",
            "The sandbox on Daytona cannot reach Backspace, so the agent would have no model.",
            "Whoever runs Backspace makes `BACKSPACE_PUBLIC_URL` reachable from Daytona; its organization there needs "
            "tier 3 or higher for that. `backspace doctor` tries it.",
            detail=f"{broker_url}: {findings.broker}",
        )
    if private and not findings.closed and not accept_open:
        raise StageFailed(
            "sandbox-network-open",
            "This repository is private, and the network of the sandbox on Daytona is open: code that runs there could "
            "send the repository anywhere.",
            "Whoever runs Backspace raises the tier of its organization on Daytona to 3 or higher, or accepts this "
            "with `BACKSPACE_DAYTONA_ACCEPT_OPEN_NETWORK=true`.",
            detail=f"reached {', '.join(findings.reached)}",
        )
