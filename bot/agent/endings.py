"""The ways in which an agent's work ends, and what people are told about each. No I/O."""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    DONE = "done"
    NEEDS_INPUT = "needs_input"
    TURN_LIMIT = "turn-limit"
    BUDGET = "budget-used-up"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed_out"
    IDLE = "agent-idle"
    KILLED = "agent-killed"
    OUT_OF_MEMORY = "out-of-memory"
    OUT_OF_DISK = "out-of-disk"
    SESSION_UNKNOWN = "session-unknown"
    SESSION_IN_USE = "session-in-use"
    STARTUP_REFUSED = "agent-did-not-start"
    NO_RESULT = "agent-said-nothing"
    RATE_LIMIT = "model-rate-limit"
    OVERLOADED = "model-overloaded"
    SERVER = "model-server-error"
    CREDENTIALS = "model-credentials"
    REFUSED = "model-refused"
    CANCELLED = "run-cancelled"
    BILLING = "model-billing"
    CREDIT = "model-credit"
    INVALID_REQUEST = "model-invalid-request"
    MODEL_NOT_FOUND = "model-not-found"
    TOO_LARGE = "model-request-too-large"
    CONNECTION = "model-connection"
    CONTEXT_FULL = "model-context-full"
    EMPTY_ANSWER = "model-empty-answer"
    PERMISSION_DENIED = "agent-permission-denied"
    STREAM_CLOSED = "agent-stream-closed"
    FOREIGN_CONFIGURATION = "foreign-configuration"
    UNKNOWN = "agent-failed"


@dataclass(frozen=True)
class Ending:
    """How the agent ended. `answer` is its last text, or its question; `detail` is for the log only.

    `retry_helps`: the same session may simply go on later.
    """

    code: Code
    answer: str = ""
    public: str = ""
    next_step: str = ""
    retry_helps: bool = False
    detail: str = ""

    @property
    def done(self) -> bool:
        return self.code is Code.DONE


@dataclass(frozen=True)
class _Words:
    public: str
    next_step: str
    retry_helps: bool = False


_RETRY = "Comment `/backspace retry`: it goes on from the work so far."
_OPERATOR = "Whoever runs this Backspace"

_WORDS: dict[Code, _Words] = {
    Code.TURN_LIMIT: _Words(
        "The agent reached its limit of turns before it was done.",
        f"{_RETRY} Or ask for a smaller part of the task.",
    ),
    Code.BUDGET: _Words(
        "The run's budget is used up.",
        "Raise `budget_usd` in `.github/backspace.yml`, or ask for a smaller part of the task.",
    ),
    Code.INTERRUPTED: _Words("The agent was stopped.", _RETRY),
    Code.TIMED_OUT: _Words(
        "The run's time was over before the agent was done.",
        f"Raise `timeout_minutes` in `.github/backspace.yml`. {_RETRY}",
    ),
    Code.IDLE: _Words("The agent said nothing for so long that it was ended.", _RETRY, retry_helps=True),
    Code.KILLED: _Words("The agent's process was killed.", _RETRY, retry_helps=True),
    Code.OUT_OF_MEMORY: _Words(
        "The work needed more memory than a sandbox has, so it was ended.",
        "Ask for a smaller part of the task, or let the command that needs so much do less.",
    ),
    Code.OUT_OF_DISK: _Words(
        "The work filled the sandbox's disk, so it was ended.",
        "See which command writes so much; `setup` in `.github/backspace.yml` counts as well.",
    ),
    Code.SESSION_UNKNOWN: _Words(
        "The agent's earlier conversation was not found.", "A retry starts a new one.", retry_helps=True
    ),
    Code.SESSION_IN_USE: _Words("The agent's conversation is in use by another process.", _RETRY, retry_helps=True),
    Code.STARTUP_REFUSED: _Words(
        "The agent program did not start.",
        f"{_OPERATOR} finds its words in the log; `backspace doctor` checks the installation.",
    ),
    Code.NO_RESULT: _Words("The agent program ended without a result.", _RETRY, retry_helps=True),
    Code.RATE_LIMIT: _Words(
        "The model API limits the rate of requests and did not let this run through.",
        "Wait a few minutes, then comment `/backspace retry`.",
        retry_helps=True,
    ),
    Code.OVERLOADED: _Words(
        "The model API is overloaded.",
        "Wait a few minutes, then comment `/backspace retry`.",
        retry_helps=True,
    ),
    Code.SERVER: _Words(
        "The model API failed with an error of its own.",
        "Wait a few minutes, then comment `/backspace retry`.",
        retry_helps=True,
    ),
    Code.CREDENTIALS: _Words(
        "The model API did not accept this installation's key.",
        f"{_OPERATOR} has to put a valid key into `ANTHROPIC_API_KEY`.",
    ),
    Code.REFUSED: _Words(
        "The model API refused the request.",
        f"{_OPERATOR} has to check what the key in `ANTHROPIC_API_KEY` may use, and `model`.",
    ),
    Code.CANCELLED: _Words("The run was cancelled while the agent worked.", _RETRY),
    Code.BILLING: _Words("The model API asks for payment.", f"{_OPERATOR} has to look at the account's billing."),
    Code.CREDIT: _Words(
        "The account at the model API is out of credit.",
        f"{_OPERATOR} has to add credit to the account of `ANTHROPIC_API_KEY`; then `/backspace retry`.",
    ),
    Code.INVALID_REQUEST: _Words(
        "The model API called the request invalid.",
        f"{_OPERATOR} finds its words in the log; a new request (not a retry) starts a fresh conversation.",
    ),
    Code.MODEL_NOT_FOUND: _Words(
        "The model API does not know the model, or the key may not use it.",
        "Correct `model` in `.github/backspace.yml` (or `BACKSPACE_MODEL` of the installation).",
    ),
    Code.TOO_LARGE: _Words(
        "The conversation became larger than the model API takes.",
        "Ask for a smaller part of the task, without large files or images.",
    ),
    Code.CONNECTION: _Words(
        "The connection to the model API failed again and again.",
        f"{_RETRY} If it stays: {_OPERATOR.lower()} has to check the network and `ANTHROPIC_BASE_URL`.",
        retry_helps=True,
    ),
    Code.CONTEXT_FULL: _Words(
        "The task filled the model's context again right after each summary.",
        "Ask for a smaller part of the task; a very large file or command output is the usual cause.",
    ),
    Code.EMPTY_ANSWER: _Words(
        "The model API answered without an answer: something between us and it interferes.",
        f"{_OPERATOR} has to check `ANTHROPIC_BASE_URL` and any proxy on the way.",
    ),
    Code.PERMISSION_DENIED: _Words(
        "The agent was not permitted to change anything.",
        f"{_OPERATOR} should report this: the agent runs with all permissions inside its sandbox.",
    ),
    Code.STREAM_CLOSED: _Words(
        "The agent's tools were refused because its input was closed too early.", _RETRY, retry_helps=True
    ),
    Code.FOREIGN_CONFIGURATION: _Words(
        "The agent loaded configuration that is not Backspace's, so it was ended.",
        f"{_OPERATOR} finds in the log what it was; nothing of this run was published.",
    ),
    Code.UNKNOWN: _Words(
        "The agent failed in a way that is not known here.",
        f"{_RETRY} {_OPERATOR} finds its words in the log.",
        retry_helps=True,
    ),
}


def failure(code: Code, *, answer: str = "", detail: str = "") -> Ending:
    words = _WORDS[code]
    return Ending(code, answer, words.public, words.next_step, words.retry_helps, detail)
