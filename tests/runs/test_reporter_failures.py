"""What GitHub refuses or does not answer is tried again within bounds, and said in the log once."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog.testing

from bot import events as ev
from bot.github.answers import OnComment
from bot.github.failures import Forbidden, NotFound, RateLimited, Unavailable
from bot.model import Outcome, Stage
from tests.run_events import START, complete, reached
from tests.runs.threads import World


@pytest.fixture
def world() -> World:
    return World()


async def test_a_deleted_comment_is_posted_anew_once(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    del world.threads.comments[1]
    assert await world.after(0)
    second = world.log.runs[run].comment_id
    assert second != 1
    assert "Write the change" in world.comment(run)
    assert second is not None
    del world.threads.comments[second]
    world.happens(run, reached(Stage.VERIFYING))
    await world.after(10)
    world.happens(run, reached(Stage.PUSHING))
    await world.after(10)
    world.happens(run, complete(Outcome.PULL_REQUEST))
    await world.after(10)
    assert world.threads.comments == {}, "somebody does not want it"
    assert world.threads.reactions == {OnComment(1001): {"rocket"}}
    assert world.log.runs[run].reported_final


async def test_an_outcome_is_tried_again_until_it_stands(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [Unavailable() for _ in range(4)]
    tries = 0
    while not world.log.runs[run].reported_final:
        await world.after(5)
        tries += 1
        assert tries < 100
    assert "**Failed**" in world.comment(run)
    assert tries > 8, "longer and longer between the tries"


async def test_a_failing_reaction_does_not_write_the_comment_again(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing_reactions = [Unavailable(), Unavailable()]
    for _ in range(10):
        await world.after(10)
    assert world.threads.reactions == {OnComment(1001): {"confused"}}
    assert world.log.runs[run].reported_final
    assert len(world.threads.edits) == 1


async def test_a_rate_limit_is_waited_for(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [RateLimited(START + timedelta(seconds=90))]
    await world.after(0)
    for _ in range(8):
        assert not await world.after(10)
    assert await world.after(10)
    assert world.log.runs[run].reported_final


async def test_what_cannot_succeed_is_given_up(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [Forbidden() for _ in range(50)]
    for _ in range(20):
        await world.after(30)
    assert world.log.runs[run].reported_final
    assert len(world.threads.failing) == 47, "three tries"


async def test_one_comment_that_fails_holds_up_no_other(world: World) -> None:
    first, second = await world.ask(1), await world.ask(2)
    for run in (first, second):
        world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [Unavailable()]
    await world.after(0)
    assert world.log.runs[second].reported_final
    assert not world.log.runs[first].reported_final


async def test_the_loop_survives_a_store_that_is_down(world: World) -> None:
    run = await world.ask()
    world.log.down = True
    loop = asyncio.create_task(world.reporter.serve())
    try:
        await asyncio.sleep(0)
        world.log.down = False
        world.happens(run, complete(Outcome.STOPPED))
        async with asyncio.timeout(10):
            while not world.log.runs[run].reported_final:
                world.bell.ring()
                await asyncio.sleep(0.01)
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop


async def test_without_a_comment_that_asked_the_rest_is_told_all_the_same(world: World) -> None:
    run = await world.ask()
    world.threads.failing_reactions = [NotFound() for _ in range(9)]
    world.happens(run, complete(Outcome.NO_CHANGES))
    await world.after(0)
    assert world.log.runs[run].reported_final
    assert len(world.threads.failing_reactions) == 8, "one try"


async def test_where_progress_cannot_be_written_only_the_outcome_is_tried_again(world: World) -> None:
    run = await world.ask()
    world.threads.failing = [Forbidden() for _ in range(50)]
    with structlog.testing.capture_logs() as logged:
        for minute in range(60):
            world.happens(run, ev.AiMessage(f"word {minute}"), reached(list(Stage)[2 + minute // 20]))
            await world.after(60)
        assert world.threads.tries == 1
        world.happens(run, complete(Outcome.FAILED))
        for _ in range(60):
            await world.after(60)
    assert world.threads.tries == 3
    assert world.log.runs[run].reported_final
    assert [entry["event"] for entry in logged] == ["comment.not_written", "comment.given_up"]


async def test_an_outage_is_logged_once_and_outlasted(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    world.threads.failing = [Unavailable() for _ in range(20)]
    with structlog.testing.capture_logs() as logged:
        for _ in range(300):
            await world.after(30)
    assert len(logged) == 1
    assert "Write the change" in world.comment(run)


async def test_a_day_after_the_end_nobody_waits_for_github_any_more(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [Unavailable() for _ in range(1000)]
    for _ in range(25 * 12):
        await world.after(300)
    assert world.log.runs[run].reported_final


async def test_first_words_for_which_there_was_no_room_are_made_up_for(world: World) -> None:
    run = await world.ask()
    world.threads.comments.clear()
    world.log.runs[run] = replace(world.log.runs[run], comment_id=None, comment_posts=0)
    world.log.greeted_later.add(run)
    world.happens(run, reached(Stage.CODING))
    assert await world.after(0)
    assert "Write the change" in world.comment(run)
    assert not await world.after(0)
    assert len(world.threads.comments) == 1
