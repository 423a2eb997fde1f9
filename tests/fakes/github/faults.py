"""Faults on demand: which requests go wrong, how, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from tests.fakes.github.shapes import Json


class Fault(StrEnum):
    SERVER_ERROR = "500"
    """Answers 500 and does nothing."""
    BAD_GATEWAY_AFTER = "502_after"
    """Does the work, then answers 502: the caller cannot know."""
    TOO_MANY = "429"
    SECONDARY_LIMIT = "secondary"
    """403 with the words of a secondary rate limit."""
    UNAUTHORIZED = "401"
    SLOW = "slow"
    """Answers as ever, `seconds` later."""
    DROP = "drop"
    """Closes the connection without a word and does nothing."""
    DROP_AFTER = "drop_after"
    """Does the work, then closes the connection without a word."""


@dataclass
class Plan:
    fault: Fault
    method: str
    path: str
    remaining: int
    """How many requests are still to be hit; negative: all of them."""
    skip: int
    """How many matching requests pass first."""
    seconds: float
    retry_after_seconds: int | None

    def as_json(self) -> Json:
        return {
            "fault": self.fault.value,
            "method": self.method,
            "path": self.path,
            "remaining": self.remaining,
            "skip": self.skip,
        }


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: list[Plan] = []

    def add(
        self,
        method: str,
        path: str,
        fault: Fault,
        *,
        count: int = 1,
        skip: int = 0,
        seconds: float = 0.0,
        retry_after_seconds: int | None = None,
    ) -> Plan:
        """`path` is matched with * and ? against the path behind the API prefix, or a git path."""
        plan = Plan(fault, method.upper(), path, count, skip, seconds, retry_after_seconds)
        with self._lock:
            self._plans.append(plan)
        return plan

    def take(self, method: str, path: str) -> Plan | None:
        with self._lock:
            for plan in self._plans:
                if plan.remaining == 0 or plan.method not in ("*", method) or not fnmatchcase(path, plan.path):
                    continue
                if plan.skip > 0:
                    plan.skip -= 1
                    continue
                if plan.remaining > 0:
                    plan.remaining -= 1
                return plan
        return None

    def pending(self) -> list[Plan]:
        with self._lock:
            return [plan for plan in self._plans if plan.remaining != 0]

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()
