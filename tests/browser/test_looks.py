"""How the pages look, and that nobody is shut out of them."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser import stored
from tests.browser.chromium import Visitor, Watch
from tests.browser.looks import faults_of
from tests.deployment import Deployment, until
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow
_MOST_NODES = 15_000
_AT_WORK = Gate("fix-calc", 3)

PAGES = {
    "list": "/",
    "run-ended": f"/runs/{stored.WHOLE.id}",
    "run-failed": f"/runs/{stored.BROKEN.id}",
    "new": "/new",
    "absent": "/runs/0f1e2d3c-0000-4000-8000-000000000000",
    "api": "/api",
    "setup": "/setup",
}


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, visit: Visitor, watch: Watch) -> None:
    if name == "absent":
        watch.expect(f"status of 404.*{PAGES[name]}")
    page = visit(PAGES[name])
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert faults_of(page, name) == []


def test_a_run_that_goes_on(running: Deployment, visit: Visitor) -> None:
    running.model.hold(_AT_WORK)
    run_id = running.run_id(running.ask(running.issue("fix-calc")))
    until(lambda: _AT_WORK in running.model.waiting, what="the agent is at work")
    page = visit(f"/runs/{run_id}")
    expect(page.get_by_role("main")).to_contain_text("return a + b")
    faults = faults_of(page, "run-live")
    running.model.release(_AT_WORK)
    assert faults == []


def test_what_agents_write_is_text(visit: Visitor) -> None:
    page = visit(f"/runs/{stored.WHOLE.id}")
    expect(page.get_by_role("main")).to_contain_text("a page that believes what agents write")
    assert page.locator("main script").count() == 0


def scrolled_by(page: Page, key: str, there: str) -> None:
    """A key that comes while the page still moves may be lost; people press it again."""

    def arrived() -> bool:
        page.keyboard.press(key)
        return bool(page.evaluate(there))

    until(arrived, what=f"{key} leads there")


def test_a_run_with_thousands_of_events_can_be_read(visit: Visitor) -> None:
    page = visit(f"/runs/{stored.LONG.id}")
    main = page.get_by_role("main")
    expect(main).to_contain_text(stored.LONG.title)
    assert page.locator("*").count() <= _MOST_NODES
    faults = faults_of(page, "run-long")
    scrolled_by(page, "End", "scrollY > 0 && scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
    scrolled_by(page, "Home", "scrollY === 0")
    assert faults == []
