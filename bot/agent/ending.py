"""What the end of an agent's stream means: done, or which failure, in words that help. No I/O."""

from dataclasses import dataclass
from enum import StrEnum

from bot.agent.endings import Code, Ending, failure
from bot.agent.marker import question_in
from bot.agent.messages import Result
from bot.agent.stream import Facts


class Cut(StrEnum):
    """Why we ended the agent ourselves."""

    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    IDLE = "idle"
    FOREIGN = "foreign"
    """Configuration that is not ours was loaded."""


@dataclass(frozen=True)
class Exit:
    """How the process ended. `code` None: it was not seen to end. `limit`: `memory` or `disk`, where one did it."""

    code: int | None
    stderr: str = ""
    limit: str = ""


_SIGNALS = 128
"""A shell's way to say by which signal a program ended: 128 and its number."""
_BY_STATUS = {
    400: Code.INVALID_REQUEST,
    401: Code.CREDENTIALS,
    404: Code.MODEL_NOT_FOUND,
    413: Code.TOO_LARGE,
    429: Code.RATE_LIMIT,
    529: Code.OVERLOADED,
}
_BY_ERROR = {
    "authentication_failed": Code.CREDENTIALS,
    "billing_error": Code.CREDIT,
    "invalid_request": Code.INVALID_REQUEST,
    "model_not_found": Code.MODEL_NOT_FOUND,
    "rate_limit": Code.RATE_LIMIT,
    "server_error": Code.SERVER,
}
_LIMITS = {"memory": Code.OUT_OF_MEMORY, "disk": Code.OUT_OF_DISK}
_CUTS = {
    Cut.STOPPED: Code.INTERRUPTED,
    Cut.TIMED_OUT: Code.TIMED_OUT,
    Cut.IDLE: Code.IDLE,
    Cut.FOREIGN: Code.FOREIGN_CONFIGURATION,
}


def conclude(facts: Facts, ended: Exit, cut: Cut | None = None) -> Ending:
    """The last result line, the exit and what we did ourselves, judged together; never `subtype` alone."""
    if facts.foreign or cut is Cut.FOREIGN:
        return failure(Code.FOREIGN_CONFIGURATION, detail=", ".join(facts.foreign))
    if cut is not None:
        return failure(_CUTS[cut])
    if ended.limit in _LIMITS:
        return failure(_LIMITS[ended.limit])
    if facts.result is None:
        return _without_result(facts, ended)
    if facts.result.is_error or facts.result.subtype != "success":
        return _failed(facts.result, facts)
    return _succeeded(facts.result, facts, ended)


def _without_result(facts: Facts, ended: Exit) -> Ending:
    said = ended.stderr.strip()
    if "already in use" in said:
        return failure(Code.SESSION_IN_USE, detail=said)
    if ended.code is None or ended.code < 0 or ended.code >= _SIGNALS:
        return failure(Code.KILLED, detail=f"exit {ended.code} {said}".strip())
    if ended.code == 0 or facts.session_id:
        return failure(Code.NO_RESULT, detail=f"exit {ended.code} {said}".strip())
    return failure(Code.STARTUP_REFUSED, detail=said)


def _succeeded(result: Result, facts: Facts, ended: Exit) -> Ending:
    if facts.stream_closed:
        return failure(Code.STREAM_CLOSED, answer=result.text)
    if facts.denials and not facts.changes:
        return failure(Code.PERMISSION_DENIED, answer=result.text)
    if ended.code not in {0, None}:
        return failure(Code.KILLED, answer=result.text, detail=f"exit {ended.code} after a good result")
    if question := question_in(result.text):
        return Ending(Code.NEEDS_INPUT, answer=question)
    return Ending(Code.DONE, answer=result.text)


def _failed(result: Result, facts: Facts) -> Ending:
    match result.subtype:
        case "error_max_turns":
            return failure(Code.TURN_LIMIT, detail=_errors(result))
        case "error_max_budget_usd":
            return failure(Code.BUDGET, detail=_errors(result))
        case "success":
            return _api_failure(result, facts)
        case _ if any("No conversation found" in error for error in result.errors):
            return failure(Code.SESSION_UNKNOWN, detail=_errors(result))
        case _ if result.terminal_reason.startswith("aborted"):
            return failure(Code.INTERRUPTED, detail=_errors(result))
        case _:
            return failure(Code.UNKNOWN, detail=f"{result.subtype} {_errors(result)}")


def _api_failure(result: Result, facts: Facts) -> Ending:
    said = facts.failure.text if facts.failure else result.text
    error = facts.failure.error if facts.failure else ""
    code = _api_code(result, error, said)
    return failure(code, detail=said)


def _api_code(result: Result, error: str, said: str) -> Code:
    status = result.api_error_status
    if status is None:
        return _code_without_status(result, error)
    if status == 402:
        return Code.BUDGET if "budget" in said else Code.BILLING
    if status == 403:
        return Code.CANCELLED if "run cancelled" in said else Code.REFUSED
    if error == "billing_error":
        return Code.CREDIT
    other = Code.SERVER if status >= 500 else _BY_ERROR.get(error, Code.INVALID_REQUEST)
    return _BY_STATUS.get(status, other)


def _code_without_status(result: Result, error: str) -> Code:
    if result.api_error == "connection_failed":
        return Code.CONNECTION
    if result.terminal_reason == "rapid_refill_breaker" or result.api_error == "autocompact_thrashing":
        return Code.CONTEXT_FULL
    if result.terminal_reason == "image_error":
        return Code.TOO_LARGE
    if "empty or malformed response" in result.text:
        return Code.EMPTY_ANSWER
    return _BY_ERROR.get(error, Code.UNKNOWN)


def _errors(result: Result) -> str:
    return "; ".join(result.errors)
