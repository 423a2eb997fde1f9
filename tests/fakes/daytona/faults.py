"""Faults on demand: which requests go wrong, how, how often and for how long."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Fault(StrEnum):
    """What goes wrong. The comment says which requests it hits when `match` says nothing."""

    SERVER_ERROR = "500"
    """Answers 500 and does nothing. Every request."""
    SERVER_ERROR_AFTER = "500_after"
    """Does the work, then answers 500: the caller cannot know. The create call."""
    BAD_GATEWAY = "502"
    """Answers 502 and does nothing, as the proxy does while the daemon is away. Toolbox calls."""
    BAD_GATEWAY_AFTER = "502_after"
    """Does the work, then answers 502. Toolbox calls."""
    TOO_MANY = "429"
    """Answers 429 with Retry-After and does nothing. Calls of the control plane."""
    UNAUTHORIZED = "401"
    """Every request."""
    SLOW = "slow"
    """Does the work and answers `seconds` later. Every request."""
    LATE = "late"
    """Does the work `seconds` later, also when nobody waits for the answer any more. Every request."""
    DROP = "drop"
    """Closes the connection without a word and does nothing. Every request."""
    DROP_AFTER = "drop_after"
    """Does the work, then closes the connection without a word. Every request."""
    WITHOUT_KVM = "without_kvm"
    """Answers without `kvm`, as an older server: the SDK cannot read it. The create call."""
    WITHOUT_TTL = "without_ttl"
    """Knows no `ttlMinutes` and answers without `autoDestroyAt`, as an older server. The create call."""
    STARTS_LATE = "starts_late"
    """Answers `creating`; started `seconds` later. The create call."""
    START_FAILS = "start_fails"
    """Answers `creating`, and ends in `error`. The create call."""
    POLICY_REFUSED = "policy_refused"
    """400 on `domainAllowList`, as in tiers 1 and 2. The create call."""
    DELETE_STUCK = "delete_stuck"
    """Answers `destroying` and stays so; its programs and its name live on. The delete call."""
    RANGE_IGNORED = "range_ignored"
    """Answers 200 with the whole file. Raw downloads."""
    STOPS = "stops"
    """The sandbox stops just before the request is looked at. Toolbox calls."""
    DAEMON_DIES = "daemon_dies"
    """Everything in the sandbox dies, the state stays `started`, its toolbox answers 502. Toolbox calls."""
    BUILD_FAILS = "build_fails"
    """The snapshot ends in `build_failed`. The create call of a snapshot."""


_ALWAYS = "*"
_CREATE = "POST /sandbox"
_TOOLBOX = "* /toolbox/*"
_USUAL = {
    Fault.SERVER_ERROR_AFTER: _CREATE,
    Fault.BAD_GATEWAY: _TOOLBOX,
    Fault.BAD_GATEWAY_AFTER: _TOOLBOX,
    Fault.TOO_MANY: "* /sandbox*",
    Fault.WITHOUT_KVM: _CREATE,
    Fault.WITHOUT_TTL: _CREATE,
    Fault.STARTS_LATE: _CREATE,
    Fault.START_FAILS: _CREATE,
    Fault.POLICY_REFUSED: _CREATE,
    Fault.DELETE_STUCK: "DELETE /sandbox/*",
    Fault.RANGE_IGNORED: "GET /toolbox/*/files/download",
    Fault.STOPS: _TOOLBOX,
    Fault.DAEMON_DIES: _TOOLBOX,
    Fault.BUILD_FAILS: "POST /snapshots",
}


@dataclass
class Plan:
    fault: Fault
    match: str
    sandbox: str
    remaining: int
    """How many requests are still to be hit; negative: all of them."""
    skip: int
    """How many matching requests pass first."""
    seconds: float
    until: float | None
    """On the monotonic clock: not hit any more from then on."""

    def hits(self, call: str, sandbox: str) -> bool:
        over = self.until is not None and time.monotonic() > self.until
        return not over and self.remaining != 0 and fnmatchcase(call, self.match) and fnmatchcase(sandbox, self.sandbox)


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: list[Plan] = []
        self.struck: list[Plan] = []
        """Those that hit, once for each request."""

    def add(
        self,
        fault: Fault,
        *,
        match: str | None = None,
        sandbox: str = "*",
        times: int = 1,
        skip: int = 0,
        seconds: float = 1.0,
        lasting_seconds: float | None = None,
    ) -> Plan:
        """`match` is held against "POST /sandbox", "DELETE /sandbox/<name>", "GET /toolbox/<name>/files/download";
        `sandbox` against the name. Both with * and ?."""
        until = None if lasting_seconds is None else time.monotonic() + lasting_seconds
        count = -1 if lasting_seconds is not None else times
        plan = Plan(fault, match or _USUAL.get(fault, _ALWAYS), sandbox, count, skip, seconds, until)
        with self._lock:
            self._plans.append(plan)
        return plan

    def take(self, call: str, sandbox: str) -> Plan | None:
        with self._lock:
            for plan in self._plans:
                if not plan.hits(call, sandbox):
                    continue
                if plan.skip > 0:
                    plan.skip -= 1
                    continue
                if plan.remaining > 0:
                    plan.remaining -= 1
                self.struck.append(plan)
                return plan
        return None

    def pending(self) -> list[Plan]:
        """Those that were to hit a number of requests and have not yet."""
        with self._lock:
            return [plan for plan in self._plans if plan.remaining > 0]

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()
