"""Looks at a page in light and dark, wide and narrow: pictures to keep, and what shuts people out of it."""

from pathlib import Path

from playwright.sync_api import Page

from tests.browser.axe import grave_faults
from tests.browser.chromium import NARROW, WIDE, Scheme
from tests.deployment import PROJECT

PICTURES = PROJECT / "build" / "screenshots"
_HEIGHT = 800
_TALLEST = 4000
_SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_LOOKED_INTO = {(WIDE, "light"), (NARROW, "dark")}
"""What is where depends on the width, contrast on the scheme."""
_TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_TALL = "document.documentElement.scrollHeight"
_TO_THE_END = "scrollTo(0, document.documentElement.scrollHeight)"


def faults_of(page: Page, name: str) -> list[str]:
    """Serious faults by axe-core, and whether the page has to be scrolled sideways."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    found = []
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": _HEIGHT})
        for scheme in _SCHEMES:
            page.emulate_media(color_scheme=scheme)
            if (width, scheme) in _LOOKED_INTO:
                found += [f"{scheme}, {width} px: {fault}" for fault in grave_faults(page)]
            _take(page, PICTURES / f"{name}-{scheme}-{width}.png")
        if (over := page.evaluate(_TOO_WIDE)) > 0:
            found.append(f"{width} px: {over} px wider than the window")
    print(f"pictures: {PICTURES}/{name}-*.png")  # noqa: T201 -- shown by pytest -rP and where the test fails
    return found


def _take(page: Page, picture: Path) -> None:
    """All of the page in one window: what is out of sight may not be drawn."""
    assert page.viewport_size is not None
    width = page.viewport_size["width"]
    page.evaluate(_TO_THE_END)
    page.set_viewport_size({"width": width, "height": min(page.evaluate(_TALL), _TALLEST)})
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=picture)
    page.set_viewport_size({"width": width, "height": _HEIGHT})
