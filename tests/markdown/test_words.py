"""What stays of an agent's Markdown, shown side by side."""

import pytest
from inline_snapshot import snapshot

from bot.markdown import Where, code_span, cut, fence, plain, plain_title, sanitise, strip_unsafe_characters

REPO = "octo/here"


def _comment(text: str) -> str:
    return sanitise(text, where=Where.COMMENT, repo=REPO)


def _pull(text: str) -> str:
    return sanitise(text, where=Where.PULL_REQUEST, repo=REPO)


@pytest.mark.parametrize(
    ("written", "posted"),
    [
        pytest.param("Thanks @octocat, see @octo/team", "Thanks `@octocat`, see `@octo/team`", id="names"),
        pytest.param("&#64;hubot &commat;hubot \\@hubot", "`@hubot` `@hubot` `@hubot`", id="names-in-disguise"),
        pytest.param("@<b></b>hubot", "`@hubot`", id="name-cut-by-a-tag"),
        pytest.param("`@hubot` and a@b.example", "`@hubot` and a@b.example", id="code-and-mail-stay"),
        pytest.param("@types/node is a package", "`@types/node` is a package", id="package"),
        pytest.param("see #12 and octo/here#3", "see #12 and octo/here#3", id="own-issues-stay"),
        pytest.param("see other/repo#4", "see `other/repo#4`", id="issues-elsewhere"),
        pytest.param("https://github.com/o/r/issues/9", "`https://github.com/o/r/issues/9`", id="issue-url-elsewhere"),
        pytest.param(
            "[it](https://github.com/o/r/pull/9)", "it (`https://github.com/o/r/pull/9`)", id="link-elsewhere"
        ),
        pytest.param("/backspace stop", "`/backspace` stop", id="command"),
        pytest.param("text\n/backspace stop", "text\n`/backspace` stop", id="command-in-second-line"),
        pytest.param("!fix this", "`!fix` this", id="command-of-another-spelling"),
        pytest.param("run /backspace stop", "run /backspace stop", id="command-within-a-line"),
        pytest.param("/usr/bin/env works", "/usr/bin/env works", id="path-is-no-command"),
        pytest.param("a<!-- backspace:run=1 -->b", "ab", id="marker"),
        pytest.param("`backspace:run=1`", "`backspace:run =1`", id="marker-in-code"),
        pytest.param("![cat @x](https://e.example/t.png)", "\\[image: cat `@x`\\]", id="image"),
        pytest.param("<img src=https://e.example/t.png>", "\\[image\\]", id="image-in-html"),
        pytest.param("List<String> <b>bold</b> <x-y z>", "List\\<String\\> bold \\<x-y z\\>", id="tags"),
        pytest.param("[run](javascript:alert(1))", "\\[run\\](javascript:alert(1))", id="script-link"),
        pytest.param("[pic](data:image/png;base64,AA)", "pic", id="data-link"),
        pytest.param("[guide](docs/guide.md)", "guide", id="relative-link"),
        pytest.param("[site](https://e.example/a_(b))", "[site](https://e.example/a_%28b%29)", id="link"),
        pytest.param("https://e.example/a_b*c", "<https://e.example/a_b*c>", id="bare-link"),
        pytest.param("snake_case stays, 2 * 3 < 7", "snake_case stays, 2 \\* 3 \\< 7", id="text-as-it-is"),
        pytest.param("a\u202eb\u200bc\x1b[31md\x07", "abcd", id="unseen-characters"),
        pytest.param("# Big\n\nx", "### Big\n\nx", id="headings-stay-below-ours"),
        pytest.param("- [x] done\n- [ ] to do", "- [x] done\n- [ ] to do", id="task-list"),
        pytest.param("1. a\n2. b\n   - c", "1. a\n2. b\n   - c", id="nested-list"),
        pytest.param("> quote\n>\n> more", "> quote\n>\n> more", id="quote"),
        pytest.param(
            "| a | b |\n|--|:-:|\n| x\\|y | `z` |", "| a | b |\n| --- | :-: |\n| x&#124;y | `z` |", id="table"
        ),
        pytest.param("````\n```\ncode", "````\n```\ncode\n````", id="open-fence-is-closed"),
        pytest.param("~~~py\n``\n~~~", "```py\n``\n```", id="tilde-fence"),
        pytest.param("```mermaid\nx\n```", "```\nx\n```", id="drawn-fence"),
        pytest.param("<details><summary>Log</summary>\n\n*x*\n\n</details>", "Log\n\n*x*", id="details"),
    ],
)
def test_a_comment_says_what_was_written_and_does_nothing(written: str, posted: str) -> None:
    assert _comment(written) == posted
    assert _comment(posted) == posted


@pytest.mark.parametrize(
    ("written", "posted"),
    [
        pytest.param("Fixes #12", "Fixes `#12`", id="plain"),
        pytest.param("fixed: GH-7.", "fixed: `GH-7`.", id="colon"),
        pytest.param("**Closes** [#5](https://e.example)", "**Closes** [`#5`](https://e.example)", id="in-markup"),
        pytest.param("Resolves octo/here#3", "Resolves `octo/here#3`", id="own-repository-in-full"),
        pytest.param(
            "Closes\nhttps://github.com/octo/here/issues/3", "Closes\n`https://github.com/octo/here/issues/3`", id="url"
        ),
        pytest.param("See #12; fixes the crash", "See #12; fixes the crash", id="only-named"),
    ],
)
def test_a_pull_request_closes_only_what_we_say(written: str, posted: str) -> None:
    assert _pull(written) == posted


@pytest.mark.parametrize(
    ("written", "title"),
    [
        pytest.param("**Fix #12**: crash in `foo`", "Fix issue 12: crash in foo", id="markup-and-closing-word"),
        pytest.param("\n\n# Ask @octocat\n\nmore", "Ask octocat", id="first-line-that-says-something"),
        pytest.param("<!-- hidden -->\nReal title", "Real title", id="hidden-text"),
        pytest.param("", "", id="nothing"),
        pytest.param("word " * 60, ("word " * 24).strip()[:119] + "…", id="too-long"),
    ],
)
def test_titles_are_plain(written: str, title: str) -> None:
    assert plain_title(written) == title


def test_a_message_keeps_its_lines() -> None:
    assert plain("## Why\n\n- `a` broke\n- @b asked\n\nFixes\n#3", 200) == snapshot("""\
Why

- a broke
- b asked

Fixes
issue 3\
""")


def test_code_cannot_be_left() -> None:
    assert code_span("a `b`` c`") == "``` a `b`` c` ```"
    assert code_span("`x`\n| y", in_table=True) == "`` `x` \\| y ``"
    assert code_span(" \n") == ""
    assert fence("```\n`````", "py; rm") == "``````py\n```\n`````\n``````"


def test_hidden_characters_go_and_line_ends_are_one() -> None:
    dirty = "\x1b]0;title\x07a\r\nb\rc\u2028d\x00\ufeff\u00ad\U000e0041e\udc00\x9b1mf"
    assert strip_unsafe_characters(dirty) == "a\nb\nc\nde\ufffdf"


class TestCut:
    TEXT = "First paragraph, short.\n\n```py\n" + "\n".join(f"line_{n} = {n}" for n in range(40)) + "\n```\n\nThe end."

    def test_what_fits_is_left_alone(self) -> None:
        assert cut(self.TEXT, len(self.TEXT)) == self.TEXT

    def test_a_block_that_does_not_fit_is_cut_within_and_closed(self) -> None:
        assert cut(self.TEXT, 240) == snapshot("""\
First paragraph, short.

```py
line_0 = 0
line_1 = 1
line_2 = 2
line_3 = 3
line_4 = 4
line_5 = 5
line_6 = 6
line_7 = 7
line_8 = 8
line_9 = 9
line_10 = 10
line_11 = 11
```

_… 374 more characters are not shown here._\
""")

    def test_details_go_as_a_whole(self) -> None:
        text = "Before.\n\n<details>\n<summary>Log</summary>\n\n" + "word " * 100 + "\n\n</details>\n\nAfter."
        assert cut(text, 300) == snapshot("""\
Before.

_… 556 more characters are not shown here._\
""")

    def test_one_long_word_is_not_cut(self) -> None:
        assert cut("x" * 500, 200) == snapshot("_… 500 more characters are not shown here._")

    def test_what_was_left_out_before_counts(self) -> None:
        assert cut("Short.", 100, beyond=2000) == "Short.\n\n_… 2,000 more characters are not shown here._"

    def test_almost_no_room(self) -> None:
        assert cut(self.TEXT, 5) == "…"
        assert cut(self.TEXT, 0) == ""


@pytest.mark.parametrize(
    "hostile",
    [
        *("[" * 20_000, "![" * 20_000, "`" * 20_000, "*a " * 20_000, "> " * 20_000, "- " * 5_000, "<" * 20_000),
        *("<!--" * 20_000, "@" * 50_000, "&#64;" * 20_000, "a/" * 50_000, "a.b" * 50_000, "~~" * 20_000, "|" * 20_000),
        *("\x1b[" * 50_000, "<a " * 20_000, "a-" * 100_000, "[a](" * 10_000, "https://" * 10_000),
    ],
    ids=lambda text: repr(text[:6]),
)
@pytest.mark.timeout(20)
def test_hostile_text_takes_no_unreasonable_time(hostile: str) -> None:
    assert len(cut(_pull(hostile), 1000)) <= 1000
