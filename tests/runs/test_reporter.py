"""One comment a run: true, not edited too often, and always brought to its end."""

from dataclasses import replace

import pytest

from bot import events as ev
from bot.github.answers import OnComment, OnIssue, OnReviewComment
from bot.github.limits import Content
from bot.model import InstallationId, Outcome, ReviewPlace, RunState, Stage
from tests.run_events import complete, reached
from tests.runs.threads import World, a_run


@pytest.fixture
def world() -> World:
    return World()


async def test_news_reach_the_comment_and_nothing_is_said_twice(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING, "The agent is at work"))
    assert await world.after(0)
    assert "**Write the change**: The agent is at work" in world.comment(run)
    assert world.comment(run).startswith("<!-- backspace:run=run-1 -->\n")
    assert not await world.after(10), "no news"
    assert len(world.threads.edits) == 1


async def test_within_five_seconds_the_latest_state_wins(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    for second in range(1, 5):
        world.happens(run, ev.AiMessage(f"word {second}"))
        assert not await world.after(1)
    assert await world.after(1)
    assert "> word 4" in world.comment(run)
    assert len(world.threads.edits) == 2


async def test_a_change_of_stage_is_told_at_once(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    world.happens(run, reached(Stage.VERIFYING))
    assert await world.after(1)
    assert "⏳ **Run the checks**" in world.comment(run)


async def test_edits_wait_while_somebody_waits_for_a_first_answer(world: World) -> None:
    run = await world.ask()
    asked = replace(a_run(2), state=RunState.ACCEPTED, created_at=world.now, comment_id=None)
    world.log.runs[asked.id] = asked
    world.happens(run, reached(Stage.CODING))
    assert not await world.after(1)
    assert await world.after(10), "but not for ever"


async def test_events_that_change_no_word_edit_nothing(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    world.happens(run, ev.ToolRead("a.py"), ev.AiMessage("hm", thinking=True))
    assert not await world.after(20)
    assert await world.after(45), "but the elapsed time does not stand still for long"


async def test_a_place_in_the_queue_is_told_as_it_changes(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.AUTHORIZING))
    world.log.runs[run] = replace(world.log.runs[run], state=RunState.WAITING)
    world.log.places[run] = 2
    await world.after(0)
    assert "**Queued, 2 ahead**" in world.comment(run)
    world.log.places[run] = 1
    assert await world.after(5)
    assert "**Queued, 1 ahead**" in world.comment(run)
    world.log.runs[run] = replace(world.log.runs[run], state=RunState.RUNNING)
    assert await world.after(1)
    assert "**Backspace is on it**" in world.comment(run)


async def test_where_many_wait_none_tells_its_place_at_every_step(world: World) -> None:
    runs = [await world.ask(number) for number in range(1, 21)]
    for ahead, run in enumerate(runs):
        world.log.runs[run] = replace(world.log.runs[run], state=RunState.WAITING)
        world.log.places[run] = ahead + 1
    while await world.after(0):
        pass
    assert all(f"**Queued, {ahead} ahead**" in world.comment(run) for ahead, run in enumerate(runs, start=1))
    for second in range(29):
        for run in runs:
            world.log.places[run] = 40 - second
        assert not await world.after(1)
    assert await world.after(1)


@pytest.mark.parametrize(
    ("outcome", "face"),
    [(Outcome.PULL_REQUEST, "rocket"), (Outcome.NO_CHANGES, "rocket"), (Outcome.FAILED, "confused")],
)
@pytest.mark.parametrize("label", [False, True], ids=["comment", "label"])
async def test_at_the_end_the_outcome_is_told_at_once_and_the_eyes_go(
    world: World, outcome: Outcome, face: str, *, label: bool
) -> None:
    run = await world.ask(label=label)
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    world.happens(run, complete(outcome, "The last words."))
    assert await world.after(1)
    assert "The last words." in world.comment(run)
    assert world.threads.reactions == {OnIssue(1) if label else OnComment(1001): {face}}
    assert world.log.runs[run].reported_final
    assert not await world.after(100)
    assert len(world.threads.edits) == 2


async def test_a_restart_edits_nothing_by_itself_and_goes_on(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING), ev.AiMessage("word"))
    await world.after(0)
    world.restart()
    assert not await world.after(10)
    world.happens(run, ev.AiMessage("another"))
    assert await world.after(1)
    assert "> another" in world.comment(run)


async def test_an_end_that_came_while_nobody_looked_is_told_after_the_start(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING), *[ev.AiMessage(f"word {n}") for n in range(1200)])
    await world.after(0)
    world.restart()
    world.happens(run, complete(Outcome.STOPPED))
    assert await world.after(0)
    assert "**Stopped, as asked**" in world.comment(run)


async def test_installations_do_not_share_their_minute(world: World) -> None:
    runs = [await world.ask(number, installation=number % 4) for number in range(1, 161)]
    for run in runs:
        world.happens(run, complete(Outcome.STOPPED))
    await world.after(0)
    assert all(world.log.runs[run].reported_final for run in runs)


async def test_an_old_runs_comment_is_edited_less_often(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    for minute in range(60):
        for part in range(12):
            world.happens(run, ev.AiMessage(f"word {minute}.{part}"))
            await world.after(5)
    assert len(world.threads.edits) < 150, "GitHub takes 500 pieces of content an hour"


async def test_a_run_that_is_not_admitted_yet_keeps_its_first_words(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.AUTHORIZING))
    world.log.runs[run] = replace(world.log.runs[run], state=RunState.ACCEPTED)
    assert not await world.after(11)
    world.happens(run, complete(Outcome.REFUSED))
    assert await world.after(0)
    assert world.log.runs[run].reported_final


async def test_outcomes_go_first_then_what_was_never_told_then_the_rest(world: World) -> None:
    older, newer, ended = [await world.ask(number) for number in (1, 2, 4)]
    for run in (older, newer, ended):
        world.happens(run, reached(Stage.CODING))
        await world.after(1)
    world.threads.edits.clear()
    waiting = await world.ask(3)
    world.log.runs[waiting] = replace(world.log.runs[waiting], state=RunState.WAITING)
    world.log.places[waiting] = 1
    world.happens(newer, ev.AiMessage("a word"))
    world.happens(older, reached(Stage.VERIFYING))
    world.happens(ended, complete(Outcome.FAILED))
    await world.after(60)
    assert [comment_id for comment_id, _ in world.threads.edits] == [4, 3, 1, 2]


async def test_when_the_minute_is_short_outcomes_are_still_told(world: World) -> None:
    crowd = [await world.ask(number) for number in range(1, 61)]
    while world.threads.limits.has_room(InstallationId(7), Content.PROGRESS):
        for run in crowd[:40]:
            world.happens(run, ev.AiMessage(f"at {world.now}"), reached(Stage.CODING))
        await world.after(0.1)
    assert not await world.after(0)
    for run in crowd[40:50]:
        world.happens(run, complete(Outcome.FAILED))
    await world.after(0)
    assert all(world.log.runs[run].reported_final for run in crowd[40:50])


async def test_a_round_of_progress_is_short_for_a_run_may_end_meanwhile(world: World) -> None:
    runs = [await world.ask(number) for number in range(1, 11)]
    for run in runs:
        world.happens(run, reached(Stage.CODING))
    assert await world.after(0)
    assert len(world.threads.edits) < 5
    world.happens(runs[9], complete(Outcome.FAILED))
    await world.after(0)
    assert world.log.runs[runs[9]].reported_final
    while await world.after(0):
        pass
    assert {comment_id for comment_id, _ in world.threads.edits} == set(range(1, 11))


async def test_a_request_in_a_review_is_answered_there(world: World) -> None:
    run = await world.ask()
    asked = world.log.runs[run].request
    place = ReviewPlace(comment_id=77, path="a.py", line=1, diff_hunk="", thread_id=77)
    world.log.runs[run] = replace(world.log.runs[run], request=replace(asked, comment_id=None, review=place))
    world.threads.reactions = {OnReviewComment(77): {"eyes"}}
    world.happens(run, complete(Outcome.COMMITS_PUSHED))
    await world.after(0)
    assert world.threads.reactions == {OnReviewComment(77): {"rocket"}}
