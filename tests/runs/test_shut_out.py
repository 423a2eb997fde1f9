"""Where Backspace may no longer write, it stops trying: a run does not stay open for a comment that cannot be."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog.testing

from bot import events as ev
from bot.model import Outcome, Stage
from bot.runs.store import Store
from tests.run_events import reached
from tests.runs.reporting import Asked, Reporting, reporting

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
async def world(tmp_path: Path, store: Store) -> AsyncIterator[Reporting]:
    async with reporting(tmp_path / "github", store) as made:
        yield made


def _uninstalled(world: Reporting, asked: Asked) -> None:
    del world.fake.world.installations[world.at.installation_id]


def _suspended(world: Reporting, asked: Asked) -> None:
    world.fake.installation(world.at.installation_id).suspended_at = world.now


def _repository_removed(world: Reporting, asked: Asked) -> None:
    world.fake.installation(world.at.installation_id).repositories = []


def _archived(world: Reporting, asked: Asked) -> None:
    world.fake.repo().archived = True


def _locked_without_our_comment(world: Reporting, asked: Asked) -> None:
    asked.thread.comments.clear()
    asked.thread.locked = True


def _thread_gone(world: Reporting, asked: Asked) -> None:
    del asked.thread.repository.threads[asked.thread.number]


def _thread_deleted(world: Reporting, asked: Asked) -> None:
    asked.thread.comments.clear()
    asked.thread.deleted = True


def _issues_disabled(world: Reporting, asked: Asked) -> None:
    asked.thread.comments.clear()
    asked.thread.repository.issues_enabled = False


_SHUT_OUT = [
    _uninstalled,
    _suspended,
    _repository_removed,
    _archived,
    _locked_without_our_comment,
    _thread_gone,
    _thread_deleted,
    _issues_disabled,
]


@pytest.mark.parametrize("shut_out", _SHUT_OUT, ids=lambda act: act.__name__.strip("_"))
async def test_it_gives_up_after_few_calls_and_few_words(
    world: Reporting, shut_out: Callable[[Reporting, Asked], None]
) -> None:
    asked = await world.ask()
    await world.greet(asked)
    await world.happens(asked, reached(Stage.CODING))
    await world.after(1)
    # GitHub's tokens die with the installation; ours for a repository that was taken out do not know it yet.
    world.fake.world.tokens.clear()
    shut_out(world, asked)
    before = len(world.calls())
    with structlog.testing.capture_logs() as logged:
        for minute in range(10):
            await world.happens(asked, ev.AiMessage(f"word {minute}"))
            await world.after(60)
        await world.store.finish(asked.id, ev.Complete(Outcome.STOPPED, "Stopped.", 0, 0), world.now)
        for _ in range(10):
            await world.after(60)
    assert (await world.run(asked)).reported_final
    assert len(world.calls()) - before <= 24
    assert len(logged) <= 2
    told = len(world.calls())
    await world.after(3600)
    assert len(world.calls()) == told
