"""Endings that no recording shows."""

import pytest

from bot.agent.ending import Cut, Exit, conclude
from bot.agent.endings import Code, failure
from bot.agent.messages import ApiFailure, Result
from bot.agent.stream import Facts
from bot.model import Usage


def _result(
    text: str = "Done.",
    *,
    subtype: str = "success",
    is_error: bool = False,
    status: int | None = None,
    errors: tuple[str, ...] = (),
    api_error: str = "",
) -> Result:
    return Result(
        subtype=subtype,
        is_error=is_error,
        text=text,
        errors=errors,
        terminal_reason="",
        api_error_status=status,
        api_error=api_error,
        denials=0,
        turns=1,
        session_id="s",
        usage=Usage(),
        queued_turns=0,
    )


_NOTHING = Facts()
_GOOD = Facts(result=_result())


def _api(status: int | None, text: str = "", error: str = "unknown") -> Facts:
    return Facts(result=_result(text, is_error=True, status=status), failure=ApiFailure(error, text))


@pytest.mark.parametrize(
    ("facts", "ended", "cut", "code"),
    [
        (_NOTHING, Exit(1, "Session ID x is already in use."), None, Code.SESSION_IN_USE),
        (_NOTHING, Exit(1, "cannot be used with root"), None, Code.STARTUP_REFUSED),
        (_NOTHING, Exit(127, "no such file"), None, Code.STARTUP_REFUSED),
        (_NOTHING, Exit(0), None, Code.NO_RESULT),
        (Facts(session_id="s"), Exit(1, "panic"), None, Code.NO_RESULT),
        (_NOTHING, Exit(137), None, Code.KILLED),
        (_NOTHING, Exit(-9), None, Code.KILLED),
        (_NOTHING, Exit(137, limit="memory"), None, Code.OUT_OF_MEMORY),
        (_NOTHING, Exit(137, limit="disk"), None, Code.OUT_OF_DISK),
        (_NOTHING, Exit(-9), Cut.STOPPED, Code.INTERRUPTED),
        (_NOTHING, Exit(-9), Cut.TIMED_OUT, Code.TIMED_OUT),
        (_NOTHING, Exit(-9), Cut.IDLE, Code.IDLE),
        (_NOTHING, Exit(-9), Cut.FOREIGN, Code.FOREIGN_CONFIGURATION),
        (_GOOD, Exit(0), None, Code.DONE),
        (_GOOD, Exit(None), None, Code.DONE),
        (_GOOD, Exit(1), None, Code.KILLED),
        (_GOOD, Exit(0), Cut.STOPPED, Code.INTERRUPTED),
        (_api(529), Exit(1), None, Code.OVERLOADED),
        (_api(502), Exit(1), None, Code.SERVER),
        (_api(402, "API Error: 402 pay first"), Exit(1), None, Code.BILLING),
        (_api(403, "API Error: 403 model x is not allowed"), Exit(1), None, Code.REFUSED),
        (_api(410), Exit(1), None, Code.INVALID_REQUEST),
        (_api(None, error="server_error"), Exit(1), None, Code.SERVER),
        (_api(None), Exit(1), None, Code.UNKNOWN),
        (Facts(result=_result(subtype="error_from_the_future", is_error=True)), Exit(1), None, Code.UNKNOWN),
        (Facts(result=_result(), foreign=("hook x",)), Exit(0), None, Code.FOREIGN_CONFIGURATION),
        (Facts(result=_result(), denials=1, changes=3), Exit(0), None, Code.DONE),
    ],
)
def test_conclusion(facts: Facts, ended: Exit, cut: Cut | None, code: Code) -> None:
    assert conclude(facts, ended, cut).code is code


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("BACKSPACE-NEEDS-INPUT: Which one?", "Which one?"),
        ("Two ways.\n\n**BACKSPACE-NEEDS-INPUT: Which one?**", "Two ways.\n\nWhich one?"),
        ("> BACKSPACE-NEEDS-INPUT: Which?\n1. this\n2. that", "Which?\n1. this\n2. that"),
    ],
    ids=["alone", "after-words", "several-lines"],
)
def test_a_marked_question_needs_a_person(answer: str, question: str) -> None:
    ending = conclude(Facts(result=_result(answer)), Exit(0))
    assert (ending.code, ending.answer) == (Code.NEEDS_INPUT, question)


def test_the_marker_inside_a_sentence_asks_nothing() -> None:
    answer = "I did not need BACKSPACE-NEEDS-INPUT: all was clear."
    assert conclude(Facts(result=_result(answer)), Exit(0)).done


@pytest.mark.parametrize("code", [code for code in Code if code not in {Code.DONE, Code.NEEDS_INPUT}])
def test_every_failure_has_words(code: Code) -> None:
    ending = failure(code)
    assert ending.public.endswith(".")
    assert ending.next_step
