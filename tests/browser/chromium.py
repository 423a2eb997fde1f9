"""A real Chromium that keeps to loopback, and what its pages must not do: complain, fail, or ask other hosts."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright

PROGRAM = Path("/usr/bin/chromium")
WIDE = 1280
NARROW = 360
_HEIGHT = 800
_ACT_MILLISECONDS = 15_000
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever else it would look up by itself has no address.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
Scheme = Literal["light", "dark"]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(prefix="backspace-chromium-") as home, sync_playwright() as playwright:
        environment: dict[str, str | float | bool] = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "LANG": "C.UTF-8",
        }
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=_FLAGS, env=environment)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """Collects what pages complain of. `hosts` are those that they may ask, as `host:port`."""

    hosts: set[str]
    complaints: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Complaints that belong to the story, such as the browser's line about an answer of 404."""
        self._expected.append(pattern)

    def over(self, page: Page) -> Page:
        page.on("console", self._said)
        page.on("pageerror", self._failed)
        page.on("request", self._asked)
        return page

    def faults(self) -> list[str]:
        return [said for said in self.complaints if not any(re.search(known, said) for known in self._expected)]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text} at {message.location.get('url', '')}")

    def _failed(self, error: Error) -> None:
        self.complaints.append(f"page: {error.message}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in {"http", "https", "ws", "wss"} and address.netloc not in self.hosts:
            self.complaints.append(f"another host: {request.url}")


@dataclass
class Visitor:
    """Opens pages, each in a browser of its own: no cookie is shared unless `page.context.new_page` is used."""

    browser: Browser
    watch: Watch
    base: str
    pages: list[Page] = field(default_factory=list)

    def __call__(
        self,
        address: str | None = None,
        *,
        width: int = WIDE,
        scheme: Scheme = "light",
        javascript: bool = True,
    ) -> Page:
        """A page at the address, which may be a path of Backspace's."""
        context = self.browser.new_context(
            base_url=self.base,
            viewport={"width": width, "height": _HEIGHT},
            color_scheme=scheme,
            java_script_enabled=javascript,
            reduced_motion="reduce",
        )
        context.set_default_timeout(_ACT_MILLISECONDS)
        page = self.watch.over(context.new_page())
        self.pages.append(page)
        if address is not None:
            page.goto(address)
        return page

    def close(self) -> None:
        for page in self.pages:
            # What the page did last is reported before this is answered.
            page.evaluate("0")
            page.context.close()
