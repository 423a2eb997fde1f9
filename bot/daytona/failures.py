"""What goes wrong on Daytona, each with a code and words that say what to do. No I/O."""

import re
from collections.abc import Mapping

from bot.errors import BackspaceError
from bot.sandbox import SandboxFailed, SandboxLost


class DaytonaMissing(BackspaceError):
    """The Daytona SDK is not installed: install Backspace with its extra `daytona`."""


class DaytonaFailed(SandboxFailed):
    """Daytona refused a call. `status` is HTTP's; None where there was no answer that could be read."""

    code = "daytona-failed"

    def __init_subclass__(cls, *, for_people: bool = False) -> None:
        """`for_people`: the docstring says to those who asked for a run why there is none."""
        super().__init_subclass__()
        cls.public = (cls.__doc__ or "").strip() if for_people else ""

    def __init__(self, message: str | None = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unanswered(DaytonaFailed, for_people=True):
    """Daytona did not answer, or was too busy or in no state to; the same call may do later."""

    code = "daytona-unanswered"
    retry_helps = True

    def __init__(
        self, message: str | None = None, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after_seconds = retry_after_seconds


class QuotaReached(Unanswered, for_people=True):
    """Daytona runs no further sandbox for this organization now; its tier, or BACKSPACE_MAX_RUNS, is what to change."""

    code = "daytona-quota"


class Missing(DaytonaFailed):
    """What was asked for does not exist. `surely_inside`: said by the sandbox itself, so the sandbox does exist."""

    code = "daytona-missing"

    def __init__(self, message: str | None = None, *, status: int | None = None, surely_inside: bool = False) -> None:
        super().__init__(message, status=status)
        self.surely_inside = surely_inside


class NameTaken(DaytonaFailed):
    """A sandbox or snapshot of that name exists, and goes on existing."""

    code = "daytona-name-taken"
    retry_helps = True


class KeyRefused(DaytonaFailed, for_people=True):
    """Daytona refuses DAYTONA_API_KEY: set it to a key that may write sandboxes and snapshots."""

    code = "daytona-key-refused"


class PolicyRefused(DaytonaFailed):
    """Daytona takes no list of domains from this organization: its tier is too low for that."""

    code = "daytona-policy-refused"


class SnapshotUnusable(DaytonaFailed, for_people=True):
    """The snapshot that sandboxes are made from cannot be used: run `backspace daytona snapshot`."""

    code = "daytona-snapshot-unusable"


class BuildFailed(DaytonaFailed):
    """The snapshot could not be built."""

    code = "daytona-build-failed"


class NoTimeToLive(DaytonaFailed, for_people=True):
    """This Daytona does not destroy a sandbox at a time set for it, so one left behind would be paid for for ever."""

    code = "daytona-no-ttl"


class TooManySandboxes(DaytonaFailed, for_people=True):
    """As many sandboxes exist as BACKSPACE_DAYTONA_MAX_SANDBOXES allows, and none of them went away in time."""

    code = "daytona-ceiling"
    retry_helps = True


class CommandTimedOut(DaytonaFailed):
    """A command in the sandbox took longer than it was given; it has been killed."""

    code = "daytona-command-timeout"


class SandboxGone(SandboxLost):
    """The sandbox does not run any more. `state` is Daytona's word for it; empty when it does not exist."""

    code = "daytona-gone"

    def __init__(self, message: str | None = None, *, state: str = "") -> None:
        super().__init__(message)
        self.state = state


_LATER = frozenset({408, 429, 500, 502, 503, 504})
_NO_ADDRESS = "no IP address found"
# https://github.com/daytonaio/daytona/issues/5163
_POLICY_WORDS = ("domainAllowList", "Network access is restricted")
# "Total memory limit exceeded. Maximum allowed: 10GiB.": what runs already is more than the tier has room for.
_QUOTA = re.compile(r"\b(?:limit|quota) (?:exceeded|reached)\b", re.IGNORECASE)
_QUOTA_PAUSE_SECONDS = 15.0
_COMMAND_TIMEOUT = "execution timeout"
_FILE_CODES = frozenset({"FILE_NOT_FOUND"})
_DAEMON = "DAYTONA_DAEMON"


def of_answer(
    status: int | None, message: str, *, headers: Mapping[str, object] | None = None, code: str = "", source: str = ""
) -> DaytonaFailed:
    """What an answer other than the one hoped for means. `status` None: it could not be read."""
    if status == 408 and (_COMMAND_TIMEOUT in message or code == "PROCESS_EXECUTION_TIMEOUT"):
        return CommandTimedOut(status=status)
    # A sandbox that is between two states has no address yet: https://github.com/daytonaio/daytona/pull/4142
    if status in _LATER or (status == 400 and _NO_ADDRESS in message):
        return Unanswered(message, status=status, retry_after_seconds=_retry_after(headers or {}))
    return _refusal(status, message, code=code, source=source)


def _refusal(status: int | None, message: str, *, code: str, source: str) -> DaytonaFailed:
    match status:
        case 400 | 403 if _QUOTA.search(message):
            found: DaytonaFailed = QuotaReached(message, status=status, retry_after_seconds=_QUOTA_PAUSE_SECONDS)
        case 400 if any(words in message for words in _POLICY_WORDS):
            found = PolicyRefused(status=status)
        case 401 | 403 if source != _DAEMON:
            found = KeyRefused(status=status)
        case 404:
            found = Missing(message, status=status, surely_inside=code in _FILE_CODES)
        case 409:
            found = NameTaken(message, status=status)
        case _:
            found = DaytonaFailed(message, status=status)
    return found


def _retry_after(headers: Mapping[str, object]) -> float | None:
    """Daytona says it in several headers, one for each limit; the longest counts."""
    found = [str(value) for name, value in headers.items() if name.lower().startswith("retry-after")]
    return max((float(value) for value in found if value.replace(".", "", 1).isdigit()), default=None)
