"""git's listings and patches, read into changes and added lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.github.diff import AddedLine, added_lines, parse_changes

_OLD, _NEW, _NONE = "a" * 40, "b" * 40, "0" * 40


def _listing(*rows: tuple[str, str, str, str, str, bytes], counts: tuple[bytes, ...]) -> bytes:
    raw = b"".join(f":{' '.join(row[:5])}\0".encode() + row[5] + b"\0" for row in rows)
    return raw + b"".join(count + b"\0" for count in counts)


def test_each_kind_of_change() -> None:
    added, deleted, modified, executable, binary = parse_changes(
        _listing(
            ("000000", "100644", _NONE, _NEW, "A", b"new.py"),
            ("100644", "000000", _OLD, _NONE, "D", b"old.py"),
            ("100644", "100644", _OLD, _NEW, "M", b"same.py"),
            ("100644", "100755", _OLD, _OLD, "M", b"run.sh"),
            ("000000", "100644", _NONE, _NEW, "A", b"logo.png"),
            counts=(b"3\t0\tnew.py", b"0\t7\told.py", b"2\t1\tsame.py", b"0\t0\trun.sh", b"-\t-\tlogo.png"),
        )
    )
    assert (added.status, added.sha, added.added, added.gone) == ("A", _NEW, 3, False)
    assert (deleted.status, deleted.sha, deleted.deleted, deleted.gone) == ("D", None, 7, True)
    assert (modified.added, modified.deleted) == (2, 1)
    assert (executable.old_mode, executable.mode) == ("100644", "100755")
    assert binary.binary


@pytest.mark.parametrize(
    ("path", "odd", "shown"),
    [
        (b"src/gr\xc3\xb6\xc3\x9fe.py", False, "src/größe.py"),
        (b"a b\"c'.txt", False, "a b\"c'.txt"),
        (b":starts-with-colon", False, ":starts-with-colon"),
        (b"latin\xe9.txt", True, "latin\\xe9.txt"),
        (b"two\nlines", True, "two\ufffdlines"),
        (b"esc\x1b[31m", True, "esc\ufffd[31m"),
        ("right\u202eto left".encode(), True, "right\ufffdto left"),
        (b"tab\there", True, "tab\ufffdhere"),
    ],
)
def test_paths_are_read_or_named_as_odd(path: bytes, odd: bool, shown: str) -> None:  # noqa: FBT001  a table's column
    [change] = parse_changes(_listing(("000000", "100644", _NONE, _NEW, "A", path), counts=(b"1\t0\t" + path,)))
    assert (change.odd_path, change.path, change.added) == (odd, shown, 1)


def test_nothing_changed() -> None:
    assert parse_changes(b"") == []


_PATCH = b"""\
diff --git a/src/a.py b/src/a.py
index 1111111..2222222 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1,3 +1,4 @@ def f():
 one
-two
+zwei
+drei
 four
@@ -10 +11,2 @@
-old
+new
+++ b/not-a-header
diff --git "a/sp\\303\\266 \\"q\\".txt" "b/sp\\303\\266 \\"q\\".txt"
new file mode 100644
--- /dev/null
+++ "b/sp\\303\\266 \\"q\\".txt"\t
@@ -0,0 +1 @@
+last
\\ No newline at end of file
diff --git a/logo.png b/logo.png
GIT binary patch
literal 3
KcmZQz

literal 0
HcmV?d00001

"""


def test_added_lines_with_their_places() -> None:
    assert list(added_lines(_PATCH)) == [
        AddedLine("src/a.py", 2, "zwei"),
        AddedLine("src/a.py", 3, "drei"),
        AddedLine("src/a.py", 11, "new"),
        AddedLine("src/a.py", 12, "++ b/not-a-header"),
        AddedLine('spö "q".txt', 1, "last"),
    ]


def test_a_cut_patch_ends_where_it_is_cut() -> None:
    assert [line.text for line in added_lines(_PATCH[: _PATCH.index(b"+drei")])] == ["zwei"]


@given(
    st.lists(
        st.sampled_from([b"+++ b/x", b"@@ -1,9 +1,9 @@", b"@@ -1 +1 @@", b"+a", b"-a", b" a", b"\\ No", b"", b"\xff"])
    )
)
def test_no_patch_is_too_odd_to_be_read(lines: list[bytes]) -> None:
    assert all(line.number > 0 for line in added_lines(b"\n".join(lines)))
