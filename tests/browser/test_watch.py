"""The pages' watch notices what it is there to notice."""

import pytest

from tests.browser.axe import grave_faults
from tests.browser.chromium import Visitor, Watch

pytestmark = pytest.mark.slow
_ABSENT = "/runs/none"


def test_a_page_that_complains_or_asks_elsewhere_is_noticed(visit: Visitor, watch: Watch) -> None:
    page = visit(_ABSENT)
    watch.expect(f"status of 404.*{_ABSENT}")
    page.evaluate("() => { console.error('oh'); setTimeout(() => { throw new Error('ah') }) }")
    page.evaluate("() => { const i = new Image(); i.src = 'https://example.org/a.png'; document.body.append(i) }")
    page.evaluate("() => { document.querySelector('html').lang = ''; document.body.append(new Image()) }")
    lacking = grave_faults(page)
    noticed = watch.faults()
    watch.expect("")
    for part in ("console: oh", "page: ah", "another host: https://example.org/a.png", "Content Security Policy"):
        assert any(part in fault for fault in noticed), part
    assert {fault.partition(":")[0] for fault in lacking} >= {"html-has-lang", "image-alt"}
