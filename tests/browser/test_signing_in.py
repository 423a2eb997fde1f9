"""Where signing in is asked for: who may read the repository sees its runs, a stranger sees nothing of them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import stored
from tests.browser.chromium import Visitor, Watch
from tests.browser.looks import faults_of
from tests.deployment import Deployment, deployed

pytestmark = pytest.mark.slow
_RUN = f"/runs/{stored.WHOLE.id}"


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    with deployed(settings={"BACKSPACE_REQUIRE_AUTH": "true"}, start=False) as deployment:
        stored.write(deployment, [stored.WHOLE])
        deployment.backspace.start()
        yield deployment


def sign_in(page: Page, login: str) -> None:
    page.get_by_role("link", name="Sign in with GitHub").click()
    page.get_by_role("button", name=login, exact=True).click()


def test_the_page_to_sign_in(visit: Visitor) -> None:
    page = visit("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sign in")
    assert faults_of(page, "login") == []


def test_who_may_read_the_repository_comes_back_to_the_run(running: Deployment, page: Page) -> None:
    page.goto(_RUN)
    expect(page).to_have_url(f"{running.backspace.url}/login?next={_RUN}")
    sign_in(page, "octo")
    expect(page).to_have_url(f"{running.backspace.url}{_RUN}")
    expect(page.get_by_role("main")).to_contain_text(stored.WHOLE.title)
    page.goto("/")
    page.get_by_role("link", name=stored.WHOLE.title).click()
    expect(page).to_have_url(f"{running.backspace.url}{_RUN}")
    page.get_by_role("button", name="Sign out").click()
    page.goto(_RUN)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sign in")


def test_a_stranger_sees_nothing_of_it(running: Deployment, page: Page, watch: Watch) -> None:
    watch.expect(f"status of 404.*{_RUN}")
    page.goto(_RUN)
    sign_in(page, "stranger")
    expect(page).to_have_url(f"{running.backspace.url}{_RUN}")
    expect(page.get_by_role("main")).to_contain_text("There is no such run")
    expect(page.locator("body")).not_to_contain_text(stored.WHOLE.title)
    answer = page.goto("/")
    assert answer is not None
    assert answer.status == 200
    expect(page.locator("body")).not_to_contain_text(stored.WHOLE.title)
    expect(page.locator(f"a[href*='{stored.WHOLE.id}']")).to_have_count(0)
