"""A patch on a page: each file's lines say what they are, and are coloured as its language has it."""

import re

import pytest

from bot.web.patch_html import edit_html, page_of

_HEAD = "diff --git a/{0} b/{0}\nindex 1..2 100644\n--- a/{0}\n+++ b/{0}\n"
_QUERY = (
    _HEAD.format("query.sql")
    + """\
@@ -1,2 +1,2 @@
 SELECT 1;
--- of old
+++ of new
"""
)


def lines_of(html: str) -> list[tuple[str, str]]:
    """Each line's class and text."""
    found = []
    for line in html.split("\n"):
        kind = re.match(r'<span class="(\w+)">', line)
        assert kind, line
        found.append((kind[1], re.sub("<[^>]*>", "", line)))
    return found


def test_lines_that_look_like_a_files_head_are_lines() -> None:
    (file,) = page_of(_QUERY.encode()).files
    assert (file.path, file.added, file.removed) == ("query.sql", 1, 1)
    assert lines_of(file.html) == [
        ("hunk", "@@ -1,2 +1,2 @@"),
        ("same", " SELECT 1;"),
        ("removed", "−-- of old"),
        ("added", "+++ of new"),
    ]


@pytest.mark.parametrize(
    ("name", "line", "word"),
    [
        ("a.py", "def add(): pass", '<i class="keyword">def</i>'),
        ("deep/a.go", "// adds", '<i class="comment">// adds</i>'),
        ("a.json", '"<b>": 12', '<i class="number">12</i>'),
        ("no-such-language.zzz", "def <b>", "def &lt;b&gt;"),
        ("Makefile.unknown", "\x1b[31m", "\x1b[31m"),
    ],
)
def test_the_files_name_tells_the_language(name: str, line: str, word: str) -> None:
    (file,) = page_of((_HEAD.format(name) + f"@@ -0,0 +1 @@\n+{line}\n").encode()).files
    assert word in file.html
    assert "<b>" not in file.html


def test_several_files_renamed_deleted_and_no_texts() -> None:
    patch = (
        "diff --git a/old b/new\nsimilarity index 100%\nrename from old\nrename to new\n"
        "diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\n--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "diff --git a/a.png b/a.png\nnew file mode 100644\nGIT binary patch\nliteral 3\nKcmZ\n\nliteral 0\nHc\n"
    )
    files = page_of(patch.encode()).files
    assert [(file.path, file.added, file.removed) for file in files] == [
        ("new", 0, 0),
        ("gone.txt", 0, 1),
        ("a.png", 0, 0),
    ]
    assert "KcmZ" not in files[2].html


def test_a_large_patch_is_cut_and_says_so() -> None:
    lines = "+x = 1\n" * 60_000
    page = page_of((_HEAD.format("a.py") + f"@@ -0,0 +1,60000 @@\n{lines}").encode())
    assert page.cut
    assert len(page.files[0].html) < 10_000_000
    assert "<i " not in page.files[0].html


@pytest.mark.parametrize("patch", [b"", b"\xff\x00", b"@@ -1 +1 @@\n", b"diff --git \n@@ -9,9 +9,9 @@\n"])
def test_what_is_no_patch_breaks_nothing(patch: bytes) -> None:
    assert not page_of(patch).cut


def test_an_edit_shows_what_went_before_what_came() -> None:
    html = edit_html("calc.py", "same\nreturn a - b\n", "same\nreturn a + b\nmore\n", coloured=True)
    assert lines_of(html) == [
        ("same", " same"),
        ("removed", "−return a - b"),
        ("added", "+return a + b"),
        ("added", "+more"),
    ]
