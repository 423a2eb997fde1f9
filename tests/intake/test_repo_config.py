"""A repository's file is read whole, or every problem in it is named with its line and key."""

import json

import jsonschema  # type: ignore[import-untyped]  # no stubs are installed, and three calls need none
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.intake.repo_config import DEFAULTS, ConfigInvalid, ConfigProblem, Network, RepoConfig, json_schema, parse
from tests.intake.unhurried import unhurried

WHOLE = b"""\
# Everything that may stand here.
setup:
  - pip install -e .
checks: [make test, "ruff check ."]
model: claude-opus-5-5
budget_usd: 2
timeout_minutes: 20
draft: false
label: robot
base: release/1.x
instructions: |
  Keep the changelog.
protected_paths: ["infra/**", LICENSE]
max_changed_files: 10
max_diff_kb: 64
ci_fix: 2
network:
  allow: ["*.example.com", Example.ORG]
"""


def problems(content: str | bytes) -> tuple[ConfigProblem, ...]:
    answer = parse(content.encode() if isinstance(content, str) else content)
    assert isinstance(answer, ConfigInvalid), answer
    return answer.problems


def test_every_key() -> None:
    assert parse(WHOLE) == RepoConfig(
        setup=("pip install -e .",),
        checks=("make test", "ruff check ."),
        model="claude-opus-5-5",
        budget_usd=2.0,
        timeout_minutes=20,
        draft=False,
        label="robot",
        base="release/1.x",
        instructions="Keep the changelog.\n",
        protected_paths=("infra/**", "LICENSE"),
        max_changed_files=10,
        max_diff_kb=64,
        ci_fix=2,
        network=Network(allow=("*.example.com", "example.org")),
    )


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing yet\n", b"---\n", b"\xef\xbb\xbf# marked\n"], ids=repr)
def test_a_file_of_nothing_has_the_defaults(content: bytes) -> None:
    assert parse(content) == DEFAULTS


def test_the_defaults() -> None:
    assert DEFAULTS.draft == "on_failing_checks"
    assert (DEFAULTS.setup, DEFAULTS.checks, DEFAULTS.network.allow) == ((), (), ())
    assert (DEFAULTS.max_changed_files, DEFAULTS.max_diff_kb, DEFAULTS.ci_fix) == (100, 1024, 0)


@pytest.mark.parametrize("draft", [True, False, "on_failing_checks"])
def test_draft(draft: object) -> None:
    config = parse(f"draft: {json.dumps(draft)}".encode())
    assert isinstance(config, RepoConfig)
    assert config.draft == draft


@pytest.mark.parametrize(
    ("content", "line", "key", "message"),
    [
        pytest.param("a: 1\n", 1, "a", "is not a key that Backspace knows", id="unknown key"),
        pytest.param("model: x\ncheck: [a]\n", 2, "check", "did you mean `checks`?", id="misspelt key"),
        pytest.param("network:\n  alow: []\n", 2, "network.alow", "did you mean `allow`?", id="misspelt inner key"),
        pytest.param("zzz: 1\n", 1, "zzz", "the known keys are setup, checks,", id="nothing like it"),
        pytest.param("<<: {checks: [a]}\n", 1, "<<", "is not a key", id="merge key"),
        pytest.param("checks: [a]\n\nchecks: [b]\n", 3, "checks", "given twice; the first is in line 1", id="twice"),
        pytest.param(
            "checks:\n  - a\n  - b\n  - 3\n", 4, "checks[2]", "must be text; put quotes", id="number in a list"
        ),
        pytest.param("checks:\n  - a: b\n", 2, "checks[0]", "must be text", id="a command with a colon"),
        pytest.param("checks: make test\n", 1, "checks", "must be a list", id="one command"),
        pytest.param("setup: ['']\n", 1, "setup[0]", "must not be empty", id="empty command"),
        pytest.param("checks:\n", 1, "checks", "has no value", id="no value"),
        pytest.param("model: 3.10\n", 1, "model", "must be text; put quotes", id="a model that reads as a number"),
        pytest.param("label: yes\n", 1, "label", "must be text; put quotes", id="a label that reads as a truth value"),
        pytest.param("label: ''\n", 1, "label", "must not be empty", id="empty label"),
        pytest.param("budget_usd: 0\n", 1, "budget_usd", "must be greater than 0", id="no budget"),
        pytest.param("budget_usd: .inf\n", 1, "budget_usd", "must be", id="endless budget"),
        pytest.param("budget_usd: two\n", 1, "budget_usd", "must be a number", id="budget in words"),
        pytest.param("budget_usd: yes\n", 1, "budget_usd", "must be a number", id="budget as a truth value"),
        pytest.param("timeout_minutes: 1.5\n", 1, "timeout_minutes", "must be a whole number", id="part of a minute"),
        pytest.param(f"max_diff_kb: {'9' * 5000}\n", 1, "max_diff_kb", "cannot be read", id="a number without end"),
        pytest.param("max_changed_files: 0\n", 1, "max_changed_files", "greater than or equal to 1", id="no files"),
        pytest.param("ci_fix: 6\n", 1, "ci_fix", "less than or equal to 5", id="rounds without end"),
        pytest.param("ci_fix: -1\n", 1, "ci_fix", "greater than or equal to 0", id="less than no rounds"),
        pytest.param("ci_fix: true\n", 1, "ci_fix", "must be a whole number", id="rounds as a truth value"),
        pytest.param("draft: maybe\n", 1, "draft", "must be true, false or on_failing_checks", id="draft"),
        pytest.param("draft: 1\n", 1, "draft", "must be true, false or on_failing_checks", id="draft as a number"),
        pytest.param("base: -f\n", 1, "base", "cannot be the name of a branch", id="base like an option"),
        pytest.param("base: a..b\n", 1, "base", "cannot be the name of a branch", id="base like a range"),
        pytest.param("protected_paths: [/etc]\n", 1, "protected_paths[0]", "below the repository", id="outer path"),
        pytest.param("protected_paths: [a/../..]\n", 1, "protected_paths[0]", "below the repository", id="climbing"),
        pytest.param("network: [a]\n", 1, "network", "must hold keys and values", id="network as a list"),
        pytest.param(
            "network:\n  allow:\n    - a.example.com\n    - https://b.example.com\n",
            4,
            "network.allow[1]",
            "must be a domain",
            id="URL for a domain",
        ),
        pytest.param("network: {allow: [localhost]}\n", 1, "network.allow[0]", "must be a domain", id="this machine"),
        pytest.param("network: {allow: [127.0.0.1]}\n", 1, "network.allow[0]", "must be a domain", id="address"),
        pytest.param("network: {allow: ['*']}\n", 1, "network.allow[0]", "must be a domain", id="the whole world"),
        pytest.param("network:\n  allow:\n    - *.example.com\n", 3, "", "put quotes around", id="bare star"),
        pytest.param("network:\n  allow: [*all]\n", 2, "", "put quotes around", id="alias"),
        pytest.param("a: &a [1]\n", 1, "", "anchors and tags are not read", id="anchor"),
        pytest.param("setup: !!python/tuple [a]\n", 1, "", "anchors and tags are not read", id="tag"),
        pytest.param("model: x\n---\nmodel: y\n", 2, "", "must be one document", id="two documents"),
        pytest.param("setup:\n\t- a\n", 2, "", "a tab cannot indent", id="tab"),
        pytest.param("- a\n- b\n", 1, "", "must hold keys and values", id="list"),
        pytest.param("\n\nmake test\n", 3, "", "must hold keys and values", id="text"),
        pytest.param("? [a]\n: b\n", 1, "", "a key must be a word", id="a list as a key"),
        pytest.param("model: x\nsetup: [a\n", 3, "", "not valid YAML", id="bracket left open"),
        pytest.param("model: x\nlabel: 'a\x07'\n", 2, "", "does not allow", id="bell"),
        pytest.param(b"model: x\nlabel: \xff\n", 2, "", "not UTF-8", id="latin-1"),
        pytest.param("[" * 60_000, 1, "", "nested too deeply", id="nested without end"),
        pytest.param("{a: " * 10_000, 1, "", "nested too deeply", id="mappings without end"),
        pytest.param("#" * 70_000, 1, "", "larger than 64 kB", id="too large"),
    ],
)
def test_problem(content: str | bytes, line: int, key: str, message: str) -> None:
    (problem,) = problems(content)
    assert (problem.line, problem.key) == (line, key)
    assert message in problem.message


def test_a_yaml_bomb_is_refused_at_its_first_anchor() -> None:
    bomb = 'a: &a ["x","x"]\n' + "".join(
        f"{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (problem,) = problems(bomb)
    assert problem.line == 1


def test_all_problems_are_named_at_once_from_the_top() -> None:
    found = problems("chekcs: [a]\nmodel:\ndraft: maybe\ndraft: true\nbudget_usd: -1\nnetwork:\n  allow: [a b]\n")
    assert [(problem.line, problem.key) for problem in found] == [
        (1, "chekcs"),
        (2, "model"),
        (3, "draft"),
        (4, "draft"),
        (5, "budget_usd"),
        (7, "network.allow[0]"),
    ]


def test_a_long_key_is_cut() -> None:
    (problem,) = problems(f"? {'k' * 2000}\n: 1\n")
    assert len(problem.key) < 100


@unhurried
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    assert isinstance(parse(content), RepoConfig | ConfigInvalid)


PIECES = (
    *RepoConfig.model_fields,
    *(
        ": ",
        ":\n",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "|",
        ">",
        "#",
        "?",
        "%",
        "@",
        "\t",
        "---\n",
        "...\n",
    ),
    *("&a", "*a", "!!int", "<<", "=", "a", "1", "1.5", "true", "~", "0x", "1:30", "2020-01-01"),
)


@unhurried
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_any_yaml_is_read_or_refused(content: str) -> None:
    answer = parse(content.encode())
    if isinstance(answer, ConfigInvalid):
        assert all(1 <= problem.line <= content.count("\n") + 2 and problem.message for problem in answer.problems)


def test_the_schema_takes_what_is_read() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    accepts = jsonschema.Draft202012Validator(schema).is_valid
    assert accepts({})
    assert accepts({"checks": ["make test"], "draft": "on_failing_checks", "network": {"allow": ["a.example.com"]}})
    assert not accepts({"chekcs": ["make test"]})
    assert not accepts({"draft": "maybe"})
    assert not accepts({"model": None})


def test_every_key_of_the_schema_says_what_it_is() -> None:
    keys = json_schema()["properties"]
    assert keys.keys() == RepoConfig.model_fields.keys()
    assert all(key["description"] for key in keys.values())
