"""How often a sandbox is asked for news."""

from bot.daytona.pace import Pace


def asked(pace: Pace, seconds: float) -> int:
    """How often in that time, by a caller who would every 30 ms, and never gets any news."""
    times = 0
    for step in range(round(seconds / 0.03)):
        now = step * 0.03
        if pace.is_due(now):
            times += 1
            pace.slow_down(now)
    return times


def test_an_idle_minute_costs_few_calls() -> None:
    assert asked(Pace(0.1), 60) < 30


def test_it_is_asked_at_once_the_first_time_and_where_there_is_more() -> None:
    pace = Pace(0.1)
    assert pace.is_due(0)
    pace.hurry(0, at_once=True)
    assert pace.is_due(0)


def test_news_bring_it_back_to_speed() -> None:
    pace = Pace(0.1)
    asked(pace, 60)
    pace.hurry(60)
    assert not pace.is_due(60.05)
    assert pace.is_due(60.11)


def test_the_longest_pause_is_a_few_seconds() -> None:
    pace = Pace(0.1)
    for _ in range(100):
        pace.slow_down(0)
    assert pace.is_due(3.0)
