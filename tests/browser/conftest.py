"""One Chromium, one deployment with a past, and pages that must not complain."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import stored
from tests.browser.chromium import PROGRAM, Visitor, Watch, chromium
from tests.deployment import Deployment, deployed


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not PROGRAM.exists():
        pytest.skip(f"there is no {PROGRAM}; Debian's package chromium has it")
    with chromium() as started:
        yield started


@pytest.fixture(scope="package")
def running() -> Iterator[Deployment]:
    with deployed(start=False) as deployment:
        stored.write(deployment, [stored.WHOLE, stored.BROKEN, stored.LONG, *stored.OLDER])
        deployment.backspace.start()
        yield deployment


@pytest.fixture
def watch(running: Deployment) -> Iterator[Watch]:
    """Fails the test when a page complained of what it did not expect."""
    urls = (running.backspace.url, running.github.web_url)
    watch = Watch({urlsplit(url).netloc for url in urls})
    yield watch
    assert watch.faults() == []


@pytest.fixture
def visit(browser: Browser, running: Deployment, watch: Watch) -> Iterator[Visitor]:
    visitor = Visitor(browser, watch, running.backspace.url)
    yield visitor
    visitor.close()


@pytest.fixture
def page(visit: Visitor) -> Page:
    return visit()
