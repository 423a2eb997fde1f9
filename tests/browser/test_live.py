"""Somebody has a run's page open while it goes on."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser import stored
from tests.browser.chromium import Watch
from tests.deployment import Deployment, until
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow
_RUN_MILLISECONDS = 60_000
_AT_FIRST = Gate("fix-calc", 0)
_AFTER_THE_EDIT = Gate("fix-calc", 3)
_LEFT_AT = 100
_MOST_SHOWN = 600
"""Entries that a page keeps, however long the run."""


@pytest.fixture
def model(running: Deployment) -> Iterator[None]:
    yield
    running.model.release(_AT_FIRST)
    running.model.release(_AFTER_THE_EDIT)


def begun(running: Deployment, gate: Gate) -> str:
    """A run whose model waits at the gate."""
    running.model.hold(gate)
    run_id = running.run_id(running.ask(running.issue("fix-calc")))
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    return run_id


def log_of(page: Page) -> list[str]:
    """The ids of the events that the page shows, in its order."""
    ids: list[str] = page.locator("[id^=event-]").evaluate_all("entries => entries.map(entry => entry.id)")
    return ids


def test_a_run_is_seen_from_start_to_end_without_reloading(running: Deployment, page: Page, model: None) -> None:
    run_id = begun(running, _AT_FIRST)
    page.goto(f"/runs/{run_id}")
    page.evaluate("window.sameDocument = true")
    main = page.get_by_role("main")
    running.model.hold(_AFTER_THE_EDIT)
    running.model.release(_AT_FIRST)
    expect(main).to_contain_text("I'll look at calc.py.", timeout=_RUN_MILLISECONDS)
    expect(main).to_contain_text("Fix add in calc.py")
    expect(main).to_contain_text("return a + b")
    running.model.release(_AFTER_THE_EDIT)
    expect(page.get_by_role("status").first).to_contain_text("pull request", timeout=_RUN_MILLISECONDS)
    expect(main).to_contain_text("python3 -m unittest -q")
    expect(main).to_contain_text("$0.")
    expect(page.get_by_role("link", name="Pull request #").first).to_be_visible()
    assert page.evaluate("window.sameDocument") is True
    shown = log_of(page)
    assert len(shown) == len(set(shown))
    # Whoever comes later sees the same.
    page.reload()
    assert log_of(page) == shown


def test_a_server_that_was_killed_and_came_back_costs_the_reader_nothing(
    running: Deployment, page: Page, watch: Watch, model: None
) -> None:
    run_id = begun(running, _AT_FIRST)
    page.goto(f"/runs/{run_id}")
    page.evaluate("window.sameDocument = true")
    watch.expect("net::ERR_")
    running.backspace.kill()
    running.backspace.start()
    running.model.release(_AT_FIRST)
    expect(page.get_by_role("status").first).to_contain_text("pull request", timeout=_RUN_MILLISECONDS)
    assert page.evaluate("window.sameDocument") is True
    shown = log_of(page)
    assert len(shown) == len(set(shown))
    page.reload()
    assert log_of(page) == shown


def as_if_it_went_on(route: Route) -> None:
    """The page as it was when the run was there, for somebody who comes back to it now."""
    answer = route.fetch()
    html = re.sub('data-last="[0-9]+"', f'data-last="{_LEFT_AT}"', answer.text())
    for name in ("finished", "past"):
        html = html.replace(f'data-{name}="true"', f'data-{name}="false"')
    route.fulfill(response=answer, body=html)


def test_a_page_that_was_left_far_behind_catches_up_and_stays_small(page: Page) -> None:
    run = f"/runs/{stored.LONG.id}"
    page.goto(run)
    latest = log_of(page)
    page.route("**/runs/*?before=*", as_if_it_went_on)
    page.goto(f"{run}?before={_LEFT_AT + 1}")
    until(lambda: latest[-1] in log_of(page), what="the page shows the latest event")
    shown = log_of(page)
    assert len(latest) < len(shown) <= _MOST_SHOWN
    assert shown[-len(latest) :] == latest
    page.unroute("**/runs/*?before=*")
    link = page.get_by_role("link", name="Earlier events")
    earlier = link.get_attribute("href")
    link.click()
    # A page that is still coming has only some of its entries.
    page.wait_for_url(f"**{earlier}", wait_until="load")
    together = log_of(page) + shown
    # Nothing is missing between the two pages.
    numbers = [int(entry.removeprefix("event-")) for entry in together]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
