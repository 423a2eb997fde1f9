"""What people do on the pages: stop, retry, start; by mouse, by keyboard, and without JavaScript."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor, Watch
from tests.deployment import Deployment, until
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow
_RUN_MILLISECONDS = 60_000
_AFTER_THE_EDIT = Gate("fix-calc", 3)
_MOST_TABS = 40


@pytest.fixture
def at_work(running: Deployment) -> Iterator[str]:
    """A run whose agent has changed the tree and waits for its model."""
    running.model.hold(_AFTER_THE_EDIT)
    run_id = running.run_id(running.ask(running.issue("fix-calc")))
    until(lambda: _AFTER_THE_EDIT in running.model.waiting, what="the agent is at work")
    yield run_id
    running.model.release(_AFTER_THE_EDIT)
    running.finished(run_id)


def status(page: Page) -> str:
    return page.get_by_role("status").first.inner_text()


def test_stop_by_the_button_and_retry(running: Deployment, page: Page, at_work: str) -> None:
    page.goto(f"/runs/{at_work}")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status").first).to_contain_text("topped", timeout=_RUN_MILLISECONDS)
    assert running.finished(at_work)["outcome"] == "stopped"
    running.model.release(_AFTER_THE_EDIT)
    page.get_by_role("button", name="Retry").click()
    page.wait_for_url(lambda url: "/runs/" in url and at_work not in url)
    expect(page.get_by_role("status").first).to_contain_text("pull request", timeout=_RUN_MILLISECONDS)


def test_with_the_keyboard_alone_from_the_skip_link_to_the_stop_button(
    running: Deployment, page: Page, at_work: str
) -> None:
    page.goto(f"/runs/{at_work}")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_contain_text("Skip")
    expect(page.locator(":focus")).to_be_in_viewport()
    page.keyboard.press("Enter")
    for _ in range(_MOST_TABS):
        page.keyboard.press("Tab")
        if "Stop" in page.locator(":focus").inner_text():
            break
    expect(page.locator(":focus")).to_contain_text("Stop")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("topped", timeout=_RUN_MILLISECONDS)


def test_without_javascript_a_run_can_be_read_and_stopped(running: Deployment, visit: Visitor, at_work: str) -> None:
    page = visit(f"/runs/{at_work}", javascript=False)
    expect(page.get_by_role("main")).to_contain_text("return a + b")
    page.get_by_role("button", name="Stop").click()
    assert running.finished(at_work)["outcome"] == "stopped"
    page.goto(f"/runs/{at_work}")
    expect(page.get_by_role("status").first).to_contain_text("topped")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_the_form_says_what_is_wrong_and_then_starts_a_run(
    running: Deployment, visit: Visitor, watch: Watch, *, javascript: bool
) -> None:
    page = visit("/new", javascript=javascript)
    watch.expect("status of 4(00|22)")
    page.get_by_label("Repository").fill("https://example.org/elsewhere/calc")
    page.get_by_label("What").fill("Please make add() add.")
    page.get_by_role("button", name="Start").click()
    wrong = page.get_by_label("Repository")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_have_value("https://example.org/elsewhere/calc")
    expect(page.get_by_label("What")).to_have_value("Please make add() add.")
    wrong.fill(f"{running.github.web_url}/acme/calc")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("Please make add() add.")
    run_id = page.url.rpartition("/")[2]
    page.goto("/")
    expect(page.locator(f"a[href='/runs/{run_id}']")).to_have_text("Please make add() add.")
    assert running.finished(run_id)["outcome"] == "pull_request"
