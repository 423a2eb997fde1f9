"""Refusals, short answers and ends without a pull request, word for word."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from inline_snapshot import snapshot

from bot.intake import repo_config
from bot.intake.access import Denial
from bot.intake.repo_config import ConfigInvalid
from bot.model import Outcome, Stage
from bot.runs.view import view_of
from bot.wording import amounts, outcomes, refusals, replies
from bot.wording.refusals import SENTENCES
from tests.run_events import BEGUN, RUN_ID, START, complete, reached, stored


@dataclass(frozen=True)
class _Violation:
    path: str
    rule: str
    detail: str
    line: int | None = None


def test_a_refusal() -> None:
    assert refusals.refusal(Denial.NOT_AUTHORISED, run_id=RUN_ID, actor="hubot") == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Not done** · `not-authorised`

Only people with write access to this repository can ask Backspace to work on it. Somebody who has it can comment the same command.

Asked by `hubot`.\
""")  # noqa: E501  a line of the comment


@pytest.mark.parametrize("code", [*Denial, *SENTENCES])
def test_every_code_has_a_sentence(code: str) -> None:
    assert refusals.sentence(code) != refusals.sentence("never-heard-of")
    assert refusals.sentence(code).endswith(".")


def test_an_unknown_code_is_said_all_the_same() -> None:
    assert refusals.refusal("never-heard-of", run_id=RUN_ID, actor="") == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Not done** · `never-heard-of`

Backspace cannot do this here. Whoever runs it finds the reason in the log, under this code.\
""")


def test_a_detail_takes_the_place_of_the_sentence_and_does_nothing() -> None:
    said = refusals.refusal(
        "fork-branch", run_id=RUN_ID, actor="hubot", detail="Ask @octocat\n\n<!-- backspace:run=2 -->"
    )
    assert "`@octocat`" in said
    assert said.count("backspace:run") == 1


def test_a_bad_config_file_names_line_and_key() -> None:
    invalid = repo_config.parse(b"checks: 3\nbudget: 2\n")
    assert isinstance(invalid, ConfigInvalid)
    assert refusals.config_problems(invalid) == snapshot("""\
`.github/backspace.yml` on the default branch cannot be used, and Backspace does not guess. Mend it, then ask again:

- line 1, `checks`: must be a list, such as `[make test]`
- line 2, `budget`: is not a key that Backspace knows; did you mean `budget_usd`?\
""")


def test_budget() -> None:
    assert refusals.budget_used_up(50.0) == snapshot(
        "Today's budget for this installation, $50.00, is used up. Ask again tomorrow (UTC), or whoever runs Backspace raises `BACKSPACE_DAILY_BUDGET_USD`."  # noqa: E501  a line of the comment
    )
    assert refusals.budget_used_up(None) == refusals.sentence("budget-used-up")


def test_gates() -> None:
    found = [
        _Violation(".github/workflows/x.yml", "workflow", "workflows run with the repository's secrets"),
        _Violation("a`b.py", "secret", "looks like a private key", 3),
        _Violation("", "too-many-files", "300 files, 100 are allowed"),
        *(_Violation(f"f{n}", "odd-path", "no") for n in range(20)),
    ]
    assert outcomes.gates_refused(found) == snapshot("""\
Nothing was pushed, because the change breaks rules that protect this repository:

- `.github/workflows/x.yml`: workflows run with the repository's secrets (`workflow`)
- ``a`b.py`` line 3: looks like a private key (`secret`)
- 300 files, 100 are allowed (`too-many-files`)
- `f0`: no (`odd-path`)
- `f1`: no (`odd-path`)
- `f2`: no (`odd-path`)
- `f3`: no (`odd-path`)
- `f4`: no (`odd-path`)
- `f5`: no (`odd-path`)
- `f6`: no (`odd-path`)
- `f7`: no (`odd-path`)
- `f8`: no (`odd-path`)
- `f9`: no (`odd-path`)
- `f10`: no (`odd-path`)
- `f11`: no (`odd-path`)
- `f12`: no (`odd-path`)
- `f13`: no (`odd-path`)
- `f14`: no (`odd-path`)
- `f15`: no (`odd-path`)
- `f16`: no (`odd-path`)
- and 3 more

The work is kept as a patch, on the run's page.\
""")


@pytest.mark.parametrize(
    ("how", "answer", "branch", "said"),
    [
        pytest.param(
            "stopped",
            "Half way",
            "backspace/1-x",
            snapshot("""\
It was stopped. Try again.

The work so far is on the branch [`backspace/1-x`](https://github.com/octo/here/tree/backspace/1-x).

The agent's last words:

Half way\
"""),
            id="stopped-with-a-branch",
        ),
        pytest.param("failed", "", "", snapshot("It was stopped. Try again."), id="failed-without-words"),
        pytest.param("needs_input", "Which one?", "", snapshot("Which one?"), id="question"),
    ],
)
def test_ends_before_the_work_was_done(how: str, answer: str, branch: str, said: str) -> None:
    url = f"https://github.com/octo/here/tree/{branch}"
    assert outcomes.ended(how, answer, "It was stopped.", "Try again.", branch=branch, branch_url=url) == said


def test_no_changes_has_a_reason_or_says_that_it_has_none() -> None:
    assert outcomes.no_changes(" It works already. ") == "It works already."
    assert outcomes.no_changes("") == snapshot("The agent ended without changing a file and gave no reason.")
    assert outcomes.merged_already("main") == snapshot("`main` has this change already, so there is nothing to merge.")


def test_help_lists_every_command() -> None:
    assert replies.help_text() == snapshot("""\
**Backspace** turns what you ask for into a pull request.

| Comment | What happens |
| --- | --- |
| `/backspace <what to do>` on an issue | It works on this and opens a pull request, or goes on with the one it opened |
| the same on a pull request, or in a review of one | It works on this and pushes commits to the pull request's branch |
| `/backspace --add <more>` | The agent that is at work in this thread is told more |
| `/backspace stop` | The latest run of this thread ends; its work is kept |
| `/backspace retry` | The latest run of this thread is tried again |
| `/backspace status` | Where the latest run of this thread stands |
| `/backspace help` | This |

| Option | Means | Example |
| --- | --- | --- |
| `--base` | the branch that the pull request goes to; issues only | `/backspace --base release-2 Fix the crash` |
| `--model` | the model that does the work | `/backspace --model claude-opus-5-5 Fix the crash` |
| `--budget` | the most that it may cost, in US dollars | `/backspace --budget 1.50 Fix the crash` |
| `--draft` | the pull request is opened as a draft; issues only | `/backspace --draft Fix the crash` |
| `--add` | what follows is for the agent at work | `/backspace --add Mind the empty list, too` |

The command starts a line; what follows it, also in further lines, is what to do. Several commands in one review make one run. The label `backspace` on an issue asks for what the issue says. Only people with write access can ask.\
""")  # noqa: E501  a line of the comment


def test_short_answers() -> None:
    assert [
        replies.handed_over(RUN_ID, "https://bot.example/runs/0f1e2d3c"),
        replies.no_run(),
        replies.already_ended(RUN_ID),
        replies.still_running(RUN_ID),
    ] == snapshot(
        [
            """\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
Handed to the agent that is at work, in [this run](https://bot.example/runs/0f1e2d3c).\
""",
            "There is no run in this thread yet. Ask for one with `/backspace <what to do>`.",
            """\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
The latest run of this thread has ended. `/backspace retry` tries it again.\
""",
            """\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
The latest run of this thread is still at work.\
""",
        ]
    )


def test_a_command_line_that_cannot_be_read() -> None:
    said = replies.mistake("`--frobnicate` is not an option, @octocat <!-- backspace:run=2 -->", "/robot")
    assert said == snapshot("""\
**Not understood**, so nothing was started.

`--frobnicate` is not an option, `@octocat`

Options stand right behind the command, before what to do:

| Option | Means | Example |
| --- | --- | --- |
| `--base` | the branch that the pull request goes to; issues only | `/robot --base release-2 Fix the crash` |
| `--model` | the model that does the work | `/robot --model claude-opus-5-5 Fix the crash` |
| `--budget` | the most that it may cost, in US dollars | `/robot --budget 1.50 Fix the crash` |
| `--draft` | the pull request is opened as a draft; issues only | `/robot --draft Fix the crash` |
| `--add` | what follows is for the agent at work | `/robot --add Mind the empty list, too` |\
""")


def test_the_state_of_a_run_in_one_line() -> None:
    begun = (BEGUN, reached(Stage.AUTHORIZING))
    now = START + timedelta(seconds=95)
    ended = complete(Outcome.COMMITS_PUSHED, "", "https://github.com/octo/here/pull/13")
    lines = [
        replies.status(RUN_ID, view_of(stored(*begun)), "URL", now, ahead=2),
        replies.status(RUN_ID, view_of(stored(*begun, reached(Stage.CODING))), "URL", now),
        replies.status(RUN_ID, view_of(stored(*begun, ended)), "URL", now),
    ]
    assert [line.partition("\n")[2] for line in lines] == snapshot(
        [
            "The latest run waits: **queued, 2 ahead** · 1m 35s · used $0.00 · [the run](URL)",
            "The latest run is under way: **Write the change** · 1m 35s · used $0.00 · [the run](URL)",
            "The latest run ended: **commits pushed** · 20s · used $0.00 · <https://github.com/octo/here/pull/13> · [the run](URL)",  # noqa: E501  a line of the comment
        ]
    )


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    assert refusals.model_unknown("gpt-x`@octocat", ["a-model", "b-model"]) == snapshot(
        "This server has no price for ``gpt-x`@octocat``, so it could keep to no budget with it. Models that it knows: `a-model`, `b-model`."  # noqa: E501  a line of the comment
    )


def test_pushed_commits() -> None:
    saw = "- 2 comments of the thread included\n- Instructions from `main`: `CLAUDE.md`"
    said = outcomes.pushed(
        "Fixed it.\n\nWhat the agent saw:\n\nnothing",
        "unsigned",
        branch="topic",
        files=1,
        additions=2,
        deletions=0,
        saw=saw,
    )
    assert said == snapshot("""\
1 file changed, +2 −0, on the branch `topic`.

Fixed it.

What the agent saw:

nothing

GitHub does not show this commit as verified (`unsigned`).

What the agent saw:

- 2 comments of the thread included
- Instructions from `main`: `CLAUDE.md`\
""")
    assert outcomes.without_seen(said) == (said.removesuffix(f"\n\nWhat the agent saw:\n\n{saw}"), saw)
    assert outcomes.without_seen("Fixed it.") == ("Fixed it.", "")


@pytest.mark.parametrize(
    ("usd", "said"), [(0.0, "$0.00"), (0.004, "under $0.01"), (0.844, "$0.84"), (1234.5, "$1,234.50")]
)
def test_money(usd: float, said: str) -> None:
    assert amounts.money(usd) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1, "0s"), (9.9, "9s"), (134, "2m 14s"), (3599, "59m 59s"), (3900, "1h 05m")]
)
def test_durations(seconds: float, said: str) -> None:
    assert amounts.duration(seconds) == said


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", "Fixed it."),
        ("unsigned", "Fixed it.\n\nGitHub does not show this commit as verified (`unsigned`)."),
        ("boom: /secret/path", "Fixed it.\n\nGitHub does not show this commit as verified."),
    ],
    ids=["verified", "unsigned", "an error's text"],
)
def test_a_commit_that_is_not_verified_is_said_to_be_so(reason: str, said: str) -> None:
    assert outcomes.opened("Fixed it.", reason) == said
