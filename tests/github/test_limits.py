"""The limiter alone: what GitHub's answers mean, and who goes first."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251 -- seeded, the same each time

import pytest

from bot.github.failures import RateLimited
from bot.github.limits import CONTENT, FIRST_WORDS, READ, WRITE, Content, Limits, Weight, edit
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


async def _make(limits: Limits, *weights: Weight) -> None:
    for weight in weights:
        async with limits.slot(_HERE, weight, urgent=weight.content is not Content.PROGRESS):
            pass


def _allowed(limits: Limits, *, owed: int = 0) -> set[Content]:
    return {content for content in Content if limits.has_room(_HERE, content, owed=owed)}


@pytest.mark.parametrize(
    ("posts", "edits", "allowed"),
    [
        pytest.param(0, 0, set(Content), id="an idle minute"),
        pytest.param(25, 20, set(Content), id="plenty left"),
        pytest.param(26, 20, {Content.ANSWER, Content.OUTCOME}, id="no more progress"),
        pytest.param(40, 30, {Content.ANSWER}, id="what is left is for who has no answer yet"),
        pytest.param(56, 20, set(), id="the minute is full"),
        pytest.param(0, 55, set(), id="edits stay under sixty, whatever they tell"),
    ],
)
async def test_what_goes_first_when_a_minute_fills(
    limits: Limits, posts: int, edits: int, allowed: set[Content]
) -> None:
    await _make(limits, *[edit(Content.OUTCOME)] * edits, *[FIRST_WORDS] * posts)
    assert _allowed(limits) == allowed


async def test_a_minute_later_there_is_room_again(limits: Limits, time: _Time) -> None:
    await _make(limits, *[FIRST_WORDS] * 76)
    assert _allowed(limits) == set()
    await time.sleep(62)
    assert _allowed(limits) == set(Content)


async def test_progress_leaves_room_for_every_outcome_of_the_hour(limits: Limits, time: _Time) -> None:
    for _ in range(4):
        await _make(limits, *[FIRST_WORDS] * 50)
        await time.sleep(62)
    assert Content.PROGRESS in _allowed(limits, owed=200)
    assert Content.PROGRESS not in _allowed(limits, owed=230)
    assert Content.OUTCOME in _allowed(limits, owed=1000)


async def test_progress_that_was_told_often_is_told_less_often(limits: Limits, time: _Time) -> None:
    await _make(limits, *[edit(Content.PROGRESS)] * 40)
    assert Content.PROGRESS not in _allowed(limits)
    for _ in range(20):
        await time.sleep(13)
        assert Content.PROGRESS in _allowed(limits)
        await _make(limits, edit(Content.PROGRESS))
        assert Content.PROGRESS not in _allowed(limits)


async def test_who_has_no_answer_yet_goes_ahead_of_edits_that_wait(limits: Limits, time: _Time) -> None:
    """Whatever asked first: an edit waits until there is room for answers besides it."""
    await _make(limits, *[FIRST_WORDS] * 70)
    with pytest.raises(RateLimited):
        await _make(limits, edit(Content.OUTCOME))
    assert time.now == _NOW
    await _make(limits, *[FIRST_WORDS] * 6)
    assert time.now == _NOW


async def test_calls_that_are_alike_go_in_the_order_in_which_they_came(limits: Limits, time: _Time) -> None:
    await _make(limits, *[FIRST_WORDS] * 30)
    await time.sleep(45)
    await _make(limits, *[FIRST_WORDS] * 46)
    went = []

    async def post(number: int) -> None:
        async with limits.slot(_HERE, FIRST_WORDS, urgent=True):
            went.append(number)

    await asyncio.gather(*(post(number) for number in range(20)))
    assert went == list(range(20))


async def test_a_run_waits_out_a_busy_minute_where_an_answer_would_be_told_to_wait(limits: Limits, time: _Time) -> None:
    await _make(limits, *[WRITE] * 172)
    with pytest.raises(RateLimited):
        await _make(limits, READ)
    async with limits.slot(_HERE, READ, urgent=False):
        assert time.now == _NOW + timedelta(seconds=62)


async def test_whatever_is_asked_for_githubs_limits_on_content_are_kept(limits: Limits, time: _Time) -> None:
    random = Random(7)
    made: list[tuple[datetime, bool]] = []
    weights = [FIRST_WORDS, CONTENT, edit(Content.OUTCOME), edit(Content.PROGRESS)]
    while time.now < _NOW + timedelta(hours=2):
        weight = random.choice(weights)
        with contextlib.suppress(RateLimited):
            async with limits.slot(_HERE, weight, urgent=True):
                made.append((time.now, weight.edit))
        await time.sleep(random.random() * 2)
    assert _busiest([at for at, _ in made], minutes=1) <= 80
    assert _busiest([at for at, _ in made], minutes=60) <= 500
    assert _busiest([at for at, edited in made if edited], minutes=1) < 60


def _busiest(times: list[datetime], *, minutes: int) -> int:
    span = timedelta(minutes=minutes)
    return max(sum(at <= other < at + span for other in times) for at in times)
