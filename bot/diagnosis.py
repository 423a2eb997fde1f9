"""What `doctor` found out about one thing. No I/O."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it is; a warning is for people to judge, and Backspace works all the same."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Diagnosis:
    """`code` stays the same whatever the words; `remedy` says what to do, and is empty only where all is well."""

    verdict: Verdict
    code: str
    words: str
    remedy: str = ""
    seconds: float | None = None


def ok(code: str, words: str) -> Diagnosis:
    return Diagnosis(Verdict.OK, code, words)


def warning(code: str, words: str, remedy: str) -> Diagnosis:
    return Diagnosis(Verdict.WARNING, code, words, remedy)


def wrong(code: str, words: str, remedy: str) -> Diagnosis:
    return Diagnosis(Verdict.WRONG, code, words, remedy)
