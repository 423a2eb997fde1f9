"""Options stand between the command and the prompt; what cannot be read is said, and nothing is started."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.intake import options
from bot.intake.commands import Command, Run, Word, find
from bot.intake.options import Mistake
from bot.intake.repo_config import RepoConfig, parse
from bot.model import Options
from tests.intake.unhurried import unhurried
from tests.project import ROOT

FENCE = "```"


def said(line: str) -> Command | None:
    return find(f"/backspace {line}", command="/backspace")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("--base dev fix it", Run("fix it", Options(base="dev")), id="base"),
        pytest.param("--base=dev fix it", Run("fix it", Options(base="dev")), id="base with ="),
        pytest.param("--base release/1.x fix", Run("fix", Options(base="release/1.x")), id="base with a slash"),
        pytest.param("--base=a=b fix", Run("fix", Options(base="a=b")), id="base with = in it"),
        pytest.param("--model claude-opus-5-5 fix", Run("fix", Options(model="claude-opus-5-5")), id="model"),
        pytest.param("--budget 3 fix", Run("fix", Options(budget_usd=3)), id="budget"),
        pytest.param("--budget 3.50 fix", Run("fix", Options(budget_usd=3.5)), id="budget with cents"),
        pytest.param("--budget $3 fix", Run("fix", Options(budget_usd=3)), id="budget with the sign"),
        pytest.param("--budget=$0.5 fix", Run("fix", Options(budget_usd=0.5)), id="budget with = and the sign"),
        pytest.param("--budget .5 fix", Run("fix", Options(budget_usd=0.5)), id="budget of cents"),
        pytest.param("--draft fix", Run("fix", Options(draft=True)), id="draft"),
        pytest.param("--add mind the tests", Run("mind the tests", further=True), id="add"),
        pytest.param(
            "--draft --budget 2 --base=dev --model m --add fix",
            Run("fix", Options("dev", "m", 2, draft=True), further=True),
            id="all",
        ),
        pytest.param("--DRAFT --Base dev fix", Run("fix", Options("dev", draft=True)), id="as a phone writes them"),
        pytest.param("—base dev —draft fix", Run("fix", Options("dev", draft=True)), id="long dashes of a phone"),
        pytest.param("–base=dev fix", Run("fix", Options("dev")), id="a shorter long dash"),
        pytest.param("  --draft \t  fix  it ", Run("fix  it", Options(draft=True)), id="blanks"),
        pytest.param("--draft\u00a0fix it", Run("fix it", Options(draft=True)), id="a blank that does not break"),
        pytest.param("add a --verbose flag", Run("add a --verbose flag"), id="a prompt that mentions a flag"),
        pytest.param("fix it --draft", Run("fix it --draft"), id="behind the prompt it is prompt"),
        pytest.param("--draft fix --base", Run("fix --base", Options(draft=True)), id="some of it prompt"),
        pytest.param("-v is ignored", Run("-v is ignored"), id="one dash is no option"),
        pytest.param("- fix it", Run("- fix it"), id="a dash alone"),
        pytest.param("`--draft` does nothing", Run("`--draft` does nothing"), id="in code it is prompt"),
        pytest.param("-- --verbose is ignored", Run("--verbose is ignored"), id="-- ends them"),
        pytest.param("--draft -- --base dev", Run("--base dev", Options(draft=True)), id="-- after some"),
        pytest.param("— fix it", Run("fix it"), id="a long dash alone ends them, too"),
        pytest.param("-- stop", Run("stop"), id="-- makes a word a prompt"),
        pytest.param("--draft stop", Run("stop", Options(draft=True)), id="a word is a command only alone on its line"),
        pytest.param("stop --draft", Run("stop --draft"), id="a word and an option is longer"),
        pytest.param("--draft\nfix it\n--base dev", Run("fix it\n--base dev", Options(draft=True)), id="next lines"),
        pytest.param("--base dev\r\n\r\nfix it", Run("fix it", Options("dev")), id="next lines, CRLF"),
        pytest.param("\n--draft fix it", Run("--draft fix it"), id="only on the command's own line"),
        pytest.param(
            f"--draft\n\n{FENCE}py\n  print(1)\n{FENCE}\n\n![shot](a.png)",
            Run(f"{FENCE}py\n  print(1)\n{FENCE}\n\n![shot](a.png)", Options(draft=True)),
            id="code and an image behind",
        ),
        pytest.param("\n\n    indented()\n    code()\n\n", Run("    indented()\n    code()"), id="indented code first"),
        pytest.param("--help", Word.HELP, id="help"),
        pytest.param("—help", Word.HELP, id="help from a phone"),
        pytest.param("--draft --help fix it", Word.HELP, id="help among others"),
        pytest.param("--", Word.HELP, id="nothing but --"),
        pytest.param("stop", Word.STOP, id="a word"),
    ],
)
def test_read(line: str, expected: Command) -> None:
    assert said(line) == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("--bse dev fix", "`--bse` is not an option", id="unknown"),
        pytest.param("--verbose should be a flag", "Put `--` before a prompt", id="a prompt that begins with dashes"),
        pytest.param("--draft --fast fix", "`--fast` is not an option", id="unknown behind a known one"),
        pytest.param("—bse dev fix", "`--bse` is not an option", id="unknown, with a long dash"),
        pytest.param("--=dev fix", "`--` is not an option", id="no name"),
        pytest.param("--- fix", "`---` is not an option", id="three dashes"),
        pytest.param("--base", "`--base` needs a value: `--base <branch>`", id="no value"),
        pytest.param("--base= fix", "`--base` needs a value", id="empty value"),
        pytest.param("--base --draft fix", "`--base` needs a value", id="an option for a value"),
        pytest.param("--model —draft fix", "`--model` needs a value", id="an option with a long dash for a value"),
        pytest.param("--budget\n3 fix", "`--budget` needs a value", id="the value on the next line"),
        pytest.param("--draft=yes fix", "`--draft` takes no value", id="a value too many"),
        pytest.param("--add= fix", "`--add` takes no value", id="an empty value too many"),
        pytest.param("--draft --draft fix", "`--draft` is given twice", id="a flag twice"),
        pytest.param("--base a --base=a fix", "`--base` is given twice", id="an option twice"),
        pytest.param("--base a..b fix", "must be the name of a branch, and `a..b` is not", id="no branch"),
        pytest.param("--base=-dev fix", "must be the name of a branch", id="a branch that git would take for a flag"),
        pytest.param(f"--base {'b' * 201} fix", "must be the name of a branch", id="an endless branch"),
        pytest.param("--model 'sonnet' fix", "must be the name of a model", id="a model in quotes"),
        pytest.param(f"--model {'m' * 101} fix", "must be the name of a model", id="an endless model"),
        pytest.param("--budget lots fix", "must be an amount of dollars above 0", id="a budget in words"),
        pytest.param("--budget 0 fix", "above 0", id="no budget"),
        pytest.param("--budget $0.00 fix", "above 0", id="no budget, in cents"),
        pytest.param("--budget -3 fix", "above 0", id="a debt"),
        pytest.param("--budget inf fix", "above 0", id="without end"),
        pytest.param("--budget nan fix", "above 0", id="not a number"),
        pytest.param("--budget 1e9 fix", "above 0", id="with an exponent"),
        pytest.param("--budget 9999999 fix", "above 0", id="more than anybody has"),
        pytest.param("--budget 3,50 fix", "above 0", id="a comma"),
        pytest.param("--budget ٣ fix", "above 0", id="digits of another script"),
        pytest.param("--budget $ fix", "above 0", id="the sign alone"),
        pytest.param("--draft", "The prompt is missing", id="no prompt"),
        pytest.param("--base dev --\n\n  \n", "The prompt is missing", id="blank prompt"),
    ],
)
def test_mistakes_are_named(line: str, words: str) -> None:
    answer = said(line)
    assert isinstance(answer, Mistake), answer
    assert words in answer.words


def test_an_unknown_option_is_answered_with_the_known_ones() -> None:
    answer = said("--speed 11 fix it")
    assert answer == Mistake(
        "`--speed` is not an option; the known ones are `--base <branch>`, `--model <name>`, `--budget <dollars>`, "
        "`--draft`, `--add`. Put `--` before a prompt that begins with dashes."
    )


@pytest.mark.parametrize("token", ["--`@octocat`", "--@octocat", "--<!--x", "--" + "x" * 9000, "--base=a`@b`~"])
def test_what_was_typed_is_quoted_short_and_as_code(token: str) -> None:
    answer = said(f"{token} fix")
    assert isinstance(answer, Mistake)
    assert len(answer.words) < 300
    assert "@octocat" not in re.sub(r"(`+).+?\1", "", answer.words)


@pytest.mark.parametrize("name", options.KNOWN)
def test_every_option_is_explained_in_the_readme(name: str) -> None:
    assert re.search(rf"^\| `--{name}\b.*`.*\|", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["dev", "a/b", "v1.0", "-x", "a~b", "a.lock", "/a", "a//b", "x" * 201, "ß"])
def test_a_branch_is_one_for_the_comment_when_it_is_one_for_the_file(name: str) -> None:
    in_the_file = isinstance(parse(f"base: '{name}'\n".encode()), RepoConfig)
    assert isinstance(said(f"--base={name} fix"), Run) is in_the_file


BRANCH = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True)
CENTS = st.integers(1, 99_999_999)
WORDS = st.lists(st.text(string.ascii_lowercase + "é-.,!?=$", min_size=1, max_size=8), min_size=2, max_size=5).map(
    " ".join
)
PROMPT = WORDS.filter(lambda words: not words.startswith("--"))


@st.composite
def given_options(draw: st.DrawFn) -> tuple[list[str], Options, bool]:
    """Option by option as somebody may type it, and what they come to."""
    base, model = draw(st.none() | BRANCH), draw(st.none() | BRANCH)
    cents, draft, further = draw(st.none() | CENTS), draw(st.booleans()), draw(st.booleans())
    join = st.sampled_from(["=", " ", "  "])
    typed = [f"base{draw(join)}{base}"] if base else []
    typed += [f"model{draw(join)}{model}"] if model else []
    sign = draw(st.sampled_from(["", "$"]))
    typed += [f"budget{draw(join)}{sign}{cents // 100}.{cents % 100:02}"] if cents else []
    typed += ["draft"] * draft + ["add"] * further
    dashed = [draw(st.sampled_from(["--", "—", "–"])) + option for option in draw(st.permutations(typed))]
    wished = Options(base or "", model or "", cents / 100 if cents else None, draft)
    return dashed, wished, further


@unhurried
@given(given_options(), PROMPT, st.sampled_from(["", "-- ", "— "]), st.sampled_from([" ", "\n", "\r\n\r\n"]))
def test_options_are_taken_off_and_the_prompt_is_kept(
    typed: tuple[list[str], Options, bool], prompt: str, end: str, gap: str
) -> None:
    words, wished, further = typed
    line = f"/backspace {' '.join([*words, end])}{gap}{prompt}"
    assert find(line, command="/backspace") == Run(prompt, wished, further)


@unhurried
@given(given_options(), st.from_regex(r"[a-z]{2,9}", fullmatch=True).filter(lambda name: name not in options.KNOWN))
def test_one_that_is_unknown_starts_nothing(typed: tuple[list[str], Options, bool], name: str) -> None:
    words, _, _ = typed
    answer = said(f"{' '.join([*words, f'--{name}'])} fix it")
    assert isinstance(answer, Mistake) or (name == "help" and answer is Word.HELP)


PIECES = ("--", "—", "-", "=", "base", "budget", "draft", "add", "help", "model", "x", "3", "$", " ", "\n", "`", "\x00")


@unhurried
@given(st.lists(st.sampled_from(PIECES), max_size=15).map("".join) | st.text(max_size=40))
def test_any_line_is_a_run_a_word_or_a_mistake(line: str) -> None:
    answer = said(line)
    assert isinstance(answer, Run | Word | Mistake)
    if isinstance(answer, Run):
        assert answer.prompt.strip()
        assert " ".join(answer.prompt.split()) in " ".join(line.split())
