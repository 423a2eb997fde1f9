"""A pull request's changes as the agent is shown them."""

from bot.github.answers import ChangedFile
from bot.pipeline.context import as_diff


def _file(path: str, patch: str, former: str = "") -> ChangedFile:
    return ChangedFile(path, former, "renamed" if former else "modified", 1, 2, patch)


def test_each_files_patch_is_shown() -> None:
    diff = as_diff([_file("a.py", "@@ -1 +1 @@\n-x\n+y"), _file("b.py", "@@ b @@", former="c.py")])
    assert diff == "modified a.py +1 -2\n@@ -1 +1 @@\n-x\n+y\n\nrenamed b.py (formerly c.py) +1 -2\n@@ b @@"


def test_what_does_not_fit_or_is_no_text_is_named() -> None:
    diff = as_diff([_file("logo.png", ""), _file("long.py", "x" * 500), _file("short.py", "@@ y @@")], limit=240)
    named = "modified logo.png +1 -2\nmodified long.py +1 -2"
    assert diff == f"modified short.py +1 -2\n@@ y @@\n\nChanged as well, without the lines here:\n{named}"


def test_a_pull_request_without_changes_has_no_diff() -> None:
    assert as_diff([]) == ""
