"""A command is found exactly where a reader sees it start a line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.intake.commands import Command, Run, Word, find
from bot.intake.options import Mistake
from bot.model import Options
from tests.intake.unhurried import unhurried

FENCE = "```"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("/backspace fix the typo", Run("fix the typo"), id="one line"),
        pytest.param("/backspace   fix  it  ", Run("fix  it"), id="blanks around the prompt"),
        pytest.param("/backspace\tfix it", Run("fix it"), id="tab"),
        pytest.param("Thanks!\n\n/backspace fix it", Run("fix it"), id="after a paragraph"),
        pytest.param("Thanks!\n/backspace fix it", Run("fix it"), id="second line of a paragraph"),
        pytest.param("Thanks!  \n/backspace fix it", Run("fix it"), id="after a hard break"),
        pytest.param("- a list\n/backspace fix it", Run("fix it"), id="right below a list"),
        pytest.param("# Title\n/backspace fix it", Run("fix it"), id="right below a heading"),
        pytest.param("/backspace fix it\n---", Run("fix it\n---"), id="underlined"),
        pytest.param("| a | b |\n| - | - |\n/backspace fix it", Run("fix it"), id="right below a table"),
        pytest.param("**Note\n/backspace fix it**", Run("fix it**"), id="inside emphasis"),
        pytest.param("/backspace first\n/backspace second", Run("first\n/backspace second"), id="the first counts"),
        pytest.param("/backspace stop\n/backspace second", Word.STOP, id="the first counts, a word"),
        pytest.param("> /backspace no\n\n/backspace yes", Run("yes"), id="quoted, then said"),
        pytest.param("/backspace\nfix it", Run("fix it"), id="prompt on the next line"),
        pytest.param("/backspace a\r\nb\r\n\r\nc", Run("a\nb\n\nc"), id="CRLF"),
        pytest.param("a\r/backspace b", Run("b"), id="CR alone"),
        pytest.param(
            f"/backspace make this work:\n\n{FENCE}py\nprint(1)\n{FENCE}\n\n![shot](https://example.com/a.png)",
            Run(f"make this work:\n\n{FENCE}py\nprint(1)\n{FENCE}\n\n![shot](https://example.com/a.png)"),
            id="several lines, code and an image",
        ),
        pytest.param(
            '<img width="10" alt="shot" src="https://example.com/a.png" />\n/backspace fix this',
            Run("fix this"),
            id="right below a pasted image",
        ),
        pytest.param("<details>\n/backspace fix it\n</details>", Run("fix it\n</details>"), id="in HTML that shows it"),
        pytest.param("<!-- hint -->\n/backspace fix it", Run("fix it"), id="right below an HTML comment"),
        pytest.param("<blockquote>a</blockquote>\n\n/backspace b", Run("b"), id="after an HTML quote"),
        pytest.param("> a\n> b\n\n/backspace c", Run("c"), id="after a quote and a blank line"),
        pytest.param(f"{FENCE}\n/backspace a\n{FENCE}\n/backspace b", Run("b"), id="after a code block"),
        pytest.param("Use `x\n\n/backspace b`", Run("b`"), id="after a backtick of an earlier paragraph"),
        pytest.param("/backspace stop", Word.STOP, id="stop"),
        pytest.param("/backspace Stop ", Word.STOP, id="stop, as a phone writes it"),
        pytest.param("/backspace retry", Word.RETRY, id="retry"),
        pytest.param("/backspace status", Word.STATUS, id="status"),
        pytest.param("/backspace help", Word.HELP, id="help"),
        pytest.param("/backspace stop\n\nIt is going wrong.", Word.STOP, id="a word alone on its line, then text"),
        pytest.param("/backspace stop the leak", Run("stop the leak"), id="a word and more"),
        pytest.param("/backspace stop.", Run("stop."), id="a word and a full stop"),
        pytest.param("/backspace retry: stop", Run("retry: stop"), id="a word and a colon"),
        pytest.param("/backspace", Word.HELP, id="no prompt"),
        pytest.param("/backspace  \n\n ", Word.HELP, id="blank prompt"),
        pytest.param("", None, id="empty"),
        pytest.param("Looks good to me.", None, id="no command"),
        pytest.param("Please /backspace fix it", None, id="inside a line"),
        pytest.param(" /backspace fix it", None, id="one blank before"),
        pytest.param("a\n  /backspace fix it", None, id="blanks before, inside a paragraph"),
        pytest.param("/Backspace fix it", None, id="another case"),
        pytest.param("/backspaces fix it", None, id="a longer word"),
        pytest.param("/backspace-it now", None, id="a longer word with a dash"),
        pytest.param("/backspace: fix it", None, id="a colon"),
        pytest.param("\\/backspace fix it", None, id="escaped"),
        pytest.param("`/backspace fix it`", None, id="code span"),
        pytest.param("Type `a\n/backspace fix it` here", None, id="code span over two lines"),
        pytest.param("Type `a\n/backspace fix it`/backspace help", None, id="code span, then inside the line"),
        pytest.param("- /backspace fix it", None, id="list item"),
        pytest.param("1. /backspace fix it", None, id="numbered item"),
        pytest.param("# /backspace fix it", None, id="heading"),
        pytest.param("> /backspace fix it", None, id="quote"),
        pytest.param(">/backspace fix it", None, id="quote without a blank"),
        pytest.param("> It said\n/backspace fix it", None, id="a quote's last line, by Markdown's rules"),
        pytest.param("> - a\n/backspace fix it", None, id="a quoted list's last line"),
        pytest.param("On Monday hubot wrote:\n> /backspace fix it\n>\n> thanks", None, id="quoted by mail"),
        pytest.param("    /backspace fix it", None, id="indented code"),
        pytest.param("\t/backspace fix it", None, id="code indented by a tab"),
        pytest.param(f"{FENCE}\n/backspace fix it\n{FENCE}", None, id="code block"),
        pytest.param(f"{FENCE}sh\n/backspace fix it", None, id="code block that never ends"),
        pytest.param("~~~\n/backspace fix it\n~~~", None, id="code block of tildes"),
        pytest.param(f"`{FENCE}\n{FENCE}\n/backspace fix it\n{FENCE}`", None, id="code block within a longer fence"),
        pytest.param("<!--\n/backspace fix it\n-->", None, id="HTML comment"),
        pytest.param("<!-- a\n\n/backspace fix it\n\n-->", None, id="HTML comment of several paragraphs"),
        pytest.param("<!--\n/backspace fix it", None, id="HTML comment that never ends"),
        pytest.param("Hello <!--\n/backspace fix it\n--> there", None, id="HTML comment inside a paragraph"),
        pytest.param("<div>\n<!--\n/backspace fix it\n-->\n</div>", None, id="HTML comment inside HTML"),
        pytest.param("<pre>\n/backspace fix it\n</pre>", None, id="preformatted HTML"),
        pytest.param("<pre><code>\n\n/backspace fix it\n\n</code></pre>", None, id="HTML code with blank lines"),
        pytest.param("<blockquote>\n/backspace fix it\n</blockquote>", None, id="HTML quote"),
        pytest.param("<blockquote>\n\n/backspace fix it\n\n</blockquote>", None, id="HTML quote of a paragraph"),
        pytest.param("See <code>a\n/backspace fix it</code>", None, id="HTML code inside a paragraph"),
        pytest.param('<a title="\n/backspace fix it\n">b</a>', None, id="inside a tag"),
        pytest.param("/backspace " + "x" * 70_000, None, id="longer than GitHub allows"),
    ],
)
def test_find(body: str, expected: Command | None) -> None:
    assert find(body, command="/backspace") == expected


@pytest.mark.parametrize("command", ["/fix", "!fix", "@fix", "/fix_it-now"])
def test_the_word_is_a_setting(command: str) -> None:
    assert find(f"{command} the door", command=command) == Run("the door")
    assert find("/backspace the door", command=command) is None


WORDS = st.text(alphabet="abcdefg ,.!'éß\u3042", min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
PROMPT = st.lists(st.from_regex(r"[a-z]{5,9}", fullmatch=True), min_size=2, max_size=5).map(" ".join)
ASKED = PROMPT.map(lambda prompt: f"/backspace {prompt}")
LINES = st.lists(WORDS.map(lambda text: "w" + text.strip()), min_size=1, max_size=3).map("\n".join)

# Blocks that do not ask, though most of them name the command.
SILENT = st.one_of(
    LINES,
    ASKED.map(lambda asked: f"w {asked}"),
    ASKED.map(lambda asked: f" {asked}"),
    ASKED.map(lambda asked: f"> {asked}"),
    st.tuples(LINES, ASKED).map(lambda pair: "> " + pair[0].replace("\n", "\n> ") + "\n" + pair[1]),
    st.tuples(st.sampled_from(["```", "````", "~~~", "~~~~~"]), LINES, ASKED).map(
        lambda block: f"{block[0]} sh\n{block[1]}\n\n{block[2]}\n{block[0]}"
    ),
    ASKED.map(lambda asked: f"<!--\n\n{asked}\n\n-->"),
    ASKED.map(lambda asked: f"<pre>\n{asked}\n</pre>"),
    ASKED.map(lambda asked: f"<blockquote>\n\n{asked}\n\n</blockquote>"),
    ASKED.map(lambda asked: f"- {asked}\n- w"),
    ASKED.map(lambda asked: f"`w\n{asked}`"),
    ASKED.map(lambda asked: f"\\{asked}"),
    ASKED.map(lambda asked: asked.replace("/backspace", "/backspacer")),
)
# Blocks that ask, and the text before the command in the same block.
LEADS = st.one_of(
    st.just(""),
    LINES.map(lambda lines: lines + "\n"),
    st.just("<img src='https://example.com/a.png'>\n"),
    st.just("- w\n"),
    st.just("## w\n"),
)


@unhurried
@given(
    before=st.lists(SILENT, max_size=4),
    lead=LEADS,
    prompt=PROMPT,
    after=st.lists(SILENT | ASKED, max_size=3),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_follows_the_first_command_is_the_prompt(
    before: list[str], lead: str, prompt: str, after: list[str], line_end: str
) -> None:
    body = "\n\n".join([*before, f"{lead}/backspace {prompt}", *after])
    expected = "\n\n".join([prompt, *after]).strip()
    assert find(body.replace("\n", line_end), command="/backspace") == Run(expected)


# What may stand behind the command on its line, and what it comes to when text follows.
MEANINGS = {
    "fix it": Run("fix it\n\ntext"),
    "": Run("text"),
    "stop": Word.STOP,
    " Retry ": Word.RETRY,
    "status": Word.STATUS,
    "help": Word.HELP,
    "stop it": Run("stop it\n\ntext"),
    "--help": Word.HELP,
    "--draft": Run("text", Options(draft=True)),
    "--base dev fix": Run("fix\n\ntext", Options(base="dev")),
    "—budget $3 fix": Run("fix\n\ntext", Options(budget_usd=3)),
    "--add more": Run("more\n\ntext", further=True),
    "fix --this": Run("fix --this\n\ntext"),
    "-- --this": Run("--this\n\ntext"),
    "--draft --draft fix": Mistake("`--draft` is given twice."),
    "--base": Mistake("`--base` needs a value: `--base <branch>`."),
}


@unhurried
@given(st.lists(SILENT, max_size=4), LEADS, st.sampled_from(sorted(MEANINGS)), st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_first_command_that_a_reader_sees_counts(before: list[str], lead: str, said: str, line_end: str) -> None:
    body = "\n\n".join([*before, f"{lead}/backspace {said}", "text"])
    assert find(body.replace("\n", line_end), command="/backspace") == MEANINGS[said]


@unhurried
@given(st.lists(SILENT, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_what_does_not_ask_is_not_found(blocks: list[str], line_end: str) -> None:
    assert find("\n\n".join(blocks).replace("\n", line_end), command="/backspace") is None


PIECES = (
    *(
        "/backspace",
        "/backspace fix",
        "/backspace stop",
        "/backspace --draft ",
        "/backspace --",
        "w",
        " ",
        "\n",
        "\n\n",
        "\r\n",
    ),
    *("> ", "- ", "1. ", "#", "```", "~~~", "    ", "`", "*", "|", "[a]: ", "[", "](", "\\", "&amp;"),
    *("<!--", "-->", "<pre>", "</pre>", "<b"),
)
MARKDOWN = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
ANY_TEXT = MARKDOWN | st.text(max_size=60)


def text_lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


@unhurried
@given(ANY_TEXT)
def test_a_command_is_only_found_where_it_starts_a_line(text: str) -> None:
    starts = any(re.match(r"/backspace(\s|$)", line) for line in text_lines(text))
    assert starts or find(text, command="/backspace") is None


@unhurried
@given(ANY_TEXT)
def test_nothing_is_found_in_a_quote(text: str) -> None:
    assert find("\n".join(f"> {line}" for line in text_lines(text)), command="/backspace") is None


@unhurried
@given(ANY_TEXT)
def test_nothing_is_found_in_a_code_block(text: str) -> None:
    fence = "`" * (3 + max((len(run) for run in re.findall("`+", text)), default=0))
    assert find(f"{fence}\n{text}\n{fence}", command="/backspace") is None


@unhurried
@given(ANY_TEXT)
def test_nothing_is_found_in_an_html_comment(text: str) -> None:
    assert find("<!--\n" + text.replace("-->", "") + "\n-->", command="/backspace") is None


@pytest.mark.parametrize("piece", ["[", "![a](", "*a **b", "<", "<!--\n/backspace\n", "> ", "`a``", "_a__", "&"])
def test_hostile_markdown_is_read_in_bounded_time(piece: str) -> None:
    body = piece * (60_000 // len(piece))
    find(f"{body}\n\n/backspace fix it", command="/backspace")
