"""axe-core, run in a page through the debugging protocol: the page's own policy lets in no script of ours."""

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

_SCRIPT = (files("axe_playwright_python") / "axe.min.js").read_text()
_GRAVE = {"serious", "critical"}
_RUN = "axe.run(document, {resultTypes: ['violations']})"


def grave_faults(page: Page) -> list[str]:
    """Each serious or critical fault: its rule, what axe-core says of it, and where it is."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": _SCRIPT})
    answer: dict[str, Any] = session.send(
        "Runtime.evaluate", {"expression": _RUN, "awaitPromise": True, "returnByValue": True}
    )
    session.detach()
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    found: list[dict[str, Any]] = answer["result"]["value"]["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['target']} {node['html'][:200]} ({node.get('failureSummary', '')})"
        for fault in found
        if fault["impact"] in _GRAVE
        for node in fault["nodes"]
    ]
