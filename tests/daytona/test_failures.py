"""What Daytona's refusals mean to us."""

import pytest

from bot.daytona import failures
from bot.daytona.failures import (
    CommandTimedOut,
    DaytonaFailed,
    KeyRefused,
    Missing,
    NameTaken,
    PolicyRefused,
    QuotaReached,
    Unanswered,
)

RESTRICTED = (
    "Failed to create sandbox: Network access is restricted and cannot be overridden at the sandbox level. "
    "Remove domainAllowList from the request."
)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, RESTRICTED, PolicyRefused),
        (400, "Total CPU limit exceeded. Maximum allowed: 10.", QuotaReached),
        (403, "Total memory limit exceeded. Maximum allowed: 10GiB.", QuotaReached),
        (400, "bad request: no IP address found. Is the Sandbox started?", Unanswered),
        (400, "at most 10 entries are allowed", DaytonaFailed),
        (401, "Unauthorized", KeyRefused),
        (403, "Forbidden", KeyRefused),
        (404, "Sandbox not found", Missing),
        (408, "command execution timeout", CommandTimedOut),
        (408, "Request Timeout", Unanswered),
        (409, "Sandbox with name x already exists", NameTaken),
        (429, "Too Many Requests", Unanswered),
        (500, "Internal server error", Unanswered),
        (504, "", Unanswered),
        (None, "1 validation error for Sandbox", DaytonaFailed),
    ],
)
def test_an_answer_is_known_by_its_status_and_its_words(
    status: int | None, message: str, kind: type[DaytonaFailed]
) -> None:
    found = failures.of_answer(status, message)
    assert type(found) is kind
    assert found.status == status
    assert found.retry_helps is kind.retry_helps
    assert str(found)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": "1", "Retry-After-Sandbox-Create": "12.5"}, 12.5),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "X-RateLimit-Remaining-authenticated": "0"}, None),
        ({}, None),
    ],
)
def test_the_longest_pause_that_is_asked_for_counts(headers: dict[str, str], seconds: float | None) -> None:
    found = failures.of_answer(429, "Too Many Requests", headers=headers)
    assert isinstance(found, Unanswered)
    assert found.retry_after_seconds == seconds


def test_only_the_sandbox_itself_can_say_that_a_file_is_missing() -> None:
    inside = failures.of_answer(404, "not found", code="FILE_NOT_FOUND")
    outside = failures.of_answer(404, "Sandbox not found")
    assert isinstance(inside, Missing)
    assert isinstance(outside, Missing)
    assert (inside.surely_inside, outside.surely_inside) == (True, False)
