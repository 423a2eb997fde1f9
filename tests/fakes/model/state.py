"""What the scripted model was told to do, and what it saw; shared by its server's thread and the test's."""

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from tests.fakes.model.script import Conversation


class FaultKind(StrEnum):
    STATUS = "status"
    DROP_BEFORE = "drop_before"
    """The connection ends before the headers."""
    DROP_MID = "drop_mid"
    """The connection ends in the middle of the answer."""
    SSE_ERROR = "sse_error"
    BROKEN_JSON = "broken_json"
    EOF_MID = "eof_mid"
    """A clean end in the middle of the message."""
    SILENCE = "silence"
    """The first event, and then nothing until the client goes away."""
    NO_HEADERS = "no_headers"
    """Nothing at all until the client goes away."""
    EMPTY_200 = "empty_200"
    HTML_200 = "html_200"


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of a scenario's step (any step, where None)."""

    kind: FaultKind
    times: int = 1
    scenario: str = ""
    step: int | None = None
    status: int = 500
    error_type: str = "api_error"
    message: str = "scripted fault"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One request as it arrived; `arrived` in seconds since the epoch."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    arrived: float
    scenario: str = ""
    step: int = 0

    @property
    def text(self) -> str:
        """All that the agent was shown, as one text."""
        return str(self.body)


@dataclass(frozen=True)
class Gate:
    """A place where the model waits until it is released."""

    scenario: str
    step: int
    midway: bool = False
    """After the first piece of the answer, not before it."""


class State:
    def __init__(self, default_scenario: str) -> None:
        self.default_scenario = default_scenario
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults: list[Fault] = []
        self._gates: dict[Gate, threading.Event] = {}
        self._waiting: list[Gate] = []

    def note(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    @property
    def requests(self) -> list[Request]:
        with self._lock:
            return list(self._requests)

    def fail(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def take_fault(self, scenario: str, conversation: Conversation) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and fault.scenario in {"", scenario} and fault.step in {None, conversation.answers}:
                    fault.times -= 1
                    return fault
        return None

    def hold(self, gate: Gate) -> None:
        with self._lock:
            self._gates.setdefault(gate, threading.Event())

    def release(self, gate: Gate) -> None:
        with self._lock:
            event = self._gates.pop(gate, None)
        if event:
            event.set()

    def closed(self, gate: Gate) -> bool:
        with self._lock:
            return gate in self._gates

    def arrive(self, gate: Gate) -> None:
        with self._lock:
            self._waiting.append(gate)

    def leave(self, gate: Gate) -> None:
        with self._lock:
            self._waiting.remove(gate)

    @property
    def waiting(self) -> list[Gate]:
        """The gates at which a request stands now."""
        with self._lock:
            return list(self._waiting)

    def reset(self) -> None:
        with self._lock:
            self._requests.clear()
            self._faults.clear()
            for event in self._gates.values():
                event.set()
            self._gates.clear()


def now() -> float:
    return time.time()


def request_as_json(request: Request) -> dict[str, Any]:
    return asdict(request)
