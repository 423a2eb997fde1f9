"""The limiter alone: what GitHub's answers mean, and who goes first."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.github.failures import RateLimited
from bot.github.limits import CONTENT, READ, Limits
from bot.model import InstallationId

_NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
_HERE = InstallationId(1)
_ELSEWHERE = InstallationId(2)


class _Time:
    def __init__(self) -> None:
        self.now = _NOW

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def time() -> _Time:
    return _Time()


@pytest.fixture
def limits(time: _Time) -> Limits:
    return Limits(clock=time, sleep=time.sleep)


def _reset(seconds: int) -> str:
    return str(int(_NOW.timestamp()) + seconds)


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        pytest.param(403, {"retry-after": "120"}, "", 120, id="retry-after"),
        pytest.param(429, {"retry-after": "3"}, "", 3, id="429 with retry-after"),
        pytest.param(
            403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": _reset(1800)}, "", 1800, id="primary, until reset"
        ),
        pytest.param(429, {}, "", 60, id="429 without a word"),
        pytest.param(
            403,
            {"x-ratelimit-remaining": "4000", "x-ratelimit-reset": _reset(1800)},
            "You have exceeded a secondary rate limit.",
            60,
            id="secondary, told by its words only",
        ),
        pytest.param(403, {"retry-after": "soon"}, "", 60, id="retry-after that is no number"),
    ],
)
def test_refusals_and_how_long_they_last(
    limits: Limits, status: int, headers: dict[str, str], message: str, seconds: int
) -> None:
    limited = limits.learn(_HERE, status=status, headers=headers, message=message)
    assert limited
    assert limited.until == _NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        pytest.param(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": _reset(9)}, "", id="the last good one"),
        pytest.param(403, {"x-ratelimit-remaining": "9"}, "Resource not accessible by integration", id="permission"),
        pytest.param(404, {}, "Not Found", id="404"),
    ],
)
def test_what_is_no_refusal_by_a_limit(limits: Limits, status: int, headers: dict[str, str], message: str) -> None:
    assert limits.learn(_HERE, status=status, headers=headers, message=message) is None


def test_each_further_refusal_waits_longer_until_one_call_succeeds(limits: Limits) -> None:
    waits = []
    for _ in range(6):
        limited = limits.learn(_HERE, status=429, headers={}, message="")
        assert limited
        waits.append((limited.until - _NOW).total_seconds())
    assert waits == [60, 120, 240, 480, 960, 960]
    limits.learn(_HERE, status=200, headers={}, message="")
    again = limits.learn(_HERE, status=429, headers={}, message="")
    assert again
    assert again.until == _NOW + timedelta(seconds=60)


async def test_one_installations_limit_is_not_anothers(limits: Limits) -> None:
    limits.learn(_HERE, status=429, headers={"retry-after": "600"}, message="")
    async with limits.slot(_ELSEWHERE, READ, urgent=False):
        pass
    with pytest.raises(RateLimited):
        async with limits.slot(_HERE, READ, urgent=True):
            pass


async def test_the_last_calls_of_the_hour_are_for_urgent_ones(limits: Limits) -> None:
    limits.learn(
        _HERE, status=200, headers={"x-ratelimit-remaining": "40", "x-ratelimit-reset": _reset(900)}, message=""
    )
    async with limits.slot(_HERE, READ, urgent=True):
        pass
    with pytest.raises(RateLimited) as failure:
        async with limits.slot(_HERE, READ, urgent=False):
            pass
    assert failure.value.until == _NOW + timedelta(seconds=900)


async def test_a_first_comment_does_not_queue_behind_comment_edits(limits: Limits) -> None:
    async def edit() -> None:
        async with limits.slot(_HERE, CONTENT, urgent=False):
            pass

    edits = [asyncio.create_task(edit()) for _ in range(40)]
    for _ in range(10):
        await asyncio.sleep(0)
    waiting = [task for task in edits if not task.done()]
    assert waiting
    async with limits.slot(_HERE, CONTENT, urgent=True):
        assert all(not task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*edits, return_exceptions=True)


async def test_a_burst_of_contents_stays_below_githubs_minute(limits: Limits) -> None:
    passed = 0

    async def post() -> None:
        nonlocal passed
        async with limits.slot(_HERE, CONTENT, urgent=True):
            passed += 1

    posts = [asyncio.create_task(post()) for _ in range(100)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert 15 <= passed <= 25
    for task in posts:
        task.cancel()
    await asyncio.gather(*posts, return_exceptions=True)
