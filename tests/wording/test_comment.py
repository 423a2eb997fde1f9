"""The one comment of a run, word for word."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from markdown_it import MarkdownIt

from bot import events as ev
from bot.model import Outcome, Stage, When
from bot.runs.view import EGRESS_REFUSED, view_of
from bot.wording import outcomes
from bot.wording.comment import MAX_CHARACTERS, Frame, first_comment, progress_comment
from tests.run_events import BEGUN, RUN_ID, START, check, complete, reached, stored

URL = "https://bot.example/runs/0f1e2d3c"
FRAME = Frame(RUN_ID, "octo/here", URL, budget_usd=3.0, model="a-model")
_CODING: tuple[ev.Event, ...] = (
    BEGUN,
    *map(reached, (Stage.AUTHORIZING, Stage.CLONING, Stage.ANALYZING)),
    reached(Stage.CODING, "The agent works"),
)
_USED = ev.UsageReport(1, 2, 3, 4, 0.84)
_PR = ev.PrCreated("https://github.com/octo/here/pull/13", 13, "backspace/12-crash", 3, 12, 4, "")


def _said(*events: ev.Event, frame: Frame = FRAME) -> str:
    return progress_comment(view_of(stored(*events)), frame, START + timedelta(seconds=95))


def test_the_first_words() -> None:
    log = stored(BEGUN, reached(Stage.AUTHORIZING, "Checking what @octocat may do"), every_seconds=0)
    assert first_comment(RUN_ID, log, run_url=URL, now=START) == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Backspace is on it** · 0s

- ⏳ **Check who asks**: Checking what `@octocat` may do
- ▫️ Clone the repository
- ▫️ Prepare the sandbox
- ▫️ Write the change
- ▫️ Run the checks
- ▫️ Commit
- ▫️ Push the branch
- ▫️ Open the pull request

[Follow the run](https://bot.example/runs/0f1e2d3c) · `/backspace --add <more>` tells the agent at work more · `/backspace stop` ends it\
""")  # noqa: E501  a line of the comment


@pytest.mark.parametrize(
    ("ahead", "first", "last"),
    [
        pytest.param(
            0,
            snapshot("**Queued, next in line** · 1m 35s"),
            snapshot("[Follow the run](https://bot.example/runs/0f1e2d3c) · `/backspace stop` ends this"),
            id="next",
        ),
        pytest.param(
            2,
            snapshot("**Queued, 2 ahead** · 1m 35s"),
            snapshot(
                "[Follow the run](https://bot.example/runs/0f1e2d3c) · `/backspace --add <more>` tells the agent at work more · `/backspace stop` ends this"  # noqa: E501  a line of the comment
            ),
            id="behind-others-of-its-thread",
        ),
    ],
)
def test_a_waiting_run_says_how_many_come_first_and_what_can_be_done(ahead: int, first: str, last: str) -> None:
    frame = Frame(RUN_ID, "octo/here", URL, queue_ahead=ahead)
    said = _said(BEGUN, reached(Stage.AUTHORIZING), frame=frame)
    assert said.splitlines()[1] == first
    assert said.splitlines()[-1] == last
    assert "⏳" not in said


def test_a_run_that_failing_checks_asked_for_says_so_first() -> None:
    frame = replace(FRAME, checks_round=2)
    assert _said(*_CODING, frame=frame).splitlines()[1] == snapshot(
        "**Backspace is on it** after failing checks, round 2 · 1m 35s · used $0.00 of $3.00"
    )
    end = complete(Outcome.COMMITS_PUSHED, "", _PR.pr_url)
    assert _said(*_CODING, end, frame=frame).splitlines()[1] == snapshot(
        "**Pushed commits** after failing checks, round 2: [#13](https://github.com/octo/here/pull/13)"
    )


def test_pushed_commits_link_to_the_pull_request_and_tell_apart_what_the_agent_saw() -> None:
    summary = outcomes.pushed(
        "Guards against `None`, thanks @octocat.",
        "",
        branch="topic",
        files=2,
        additions=12,
        deletions=4,
        saw="- 2 comments of the thread included",
    )
    checks = (check("pytest -q", 1, When.BEFORE), check("pytest -q", 0, When.AFTER))
    assert _said(*_CODING, *checks, complete(Outcome.COMMITS_PUSHED, summary, _PR.pr_url)) == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Pushed commits**: [#13](https://github.com/octo/here/pull/13)

2 files changed, +12 −4, on the branch `topic`.

Guards against `None`, thanks `@octocat`.

| Command | Exit code before | Exit code after | Time |
| --- | --- | --- | --- |
| `pytest -q` | ❌ 1 | ✅ 0 | 3.2 s |

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)

<details>
<summary>What the agent saw</summary>

- 2 comments of the thread included

</details>

<details>
<summary>What was done</summary>

- ✅ Check who asks (10s)
- ✅ Clone the repository (10s)
- ✅ Prepare the sandbox (10s)
- ✅ Write the change (30s)
- ▫️ Run the checks: skipped
- ▫️ Commit: skipped
- ▫️ Push the branch: skipped

</details>\
""")


def test_what_sandboxes_cost_is_told_beside_what_the_model_cost() -> None:
    said = _said(*_CODING, complete(Outcome.PULL_REQUEST), frame=replace(FRAME, sandbox_usd=0.031))
    assert "used $0.84 of $3.00 · sandboxes $0.03 · model `a-model`" in said


def test_a_run_that_nobody_in_the_thread_stopped_says_why() -> None:
    frame = replace(FRAME, stop_reason="The app was suspended on this account.")
    words = "The agent was stopped. Comment `/backspace retry`: it goes on from the work so far."
    said = _said(*_CODING, complete(Outcome.STOPPED, words), frame=frame)
    assert said.partition("\n\n<details>")[0] == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Stopped**

The app was suspended on this account.

The agent was stopped. Comment `/backspace retry`\\: it goes on from the work so far.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
""")


def test_checks_that_cannot_be_run_are_no_evidence() -> None:
    checks = [check("tox", 127, when, "sh: tox: not found") for when in When]
    said = _said(*_CODING, *checks, _PR, complete(Outcome.PULL_REQUEST, "Done.", _PR.pr_url))
    assert "`no-checks-possible`: None of the commands under `checks`" in said
    one_runs = [*checks, check("ls", 0, When.AFTER)]
    assert "no-checks-possible" not in _said(*_CODING, *one_runs, complete(Outcome.PULL_REQUEST))


def test_another_command_is_named_as_it_is_here() -> None:
    frame = replace(FRAME, command="/robot")
    failed = ev.ErrorReport("agent-killed", "Killed. Comment `/backspace retry`.", recoverable=False)
    said = _said(*_CODING, failed, complete(Outcome.FAILED, failed.message), frame=frame)
    assert "/backspace" not in said
    assert "Comment `/robot retry`." in said


def test_at_work() -> None:
    todo = ev.Todo(
        (
            ev.TodoItem("Read `a.py`", "completed"),
            ev.TodoItem("Ask @hubot", "in_progress"),
            ev.TodoItem("# x", "pending"),
        )
    )
    words = ev.AiMessage("Found it: Fixes #9 in other/repo#3.\n\n```py\nraise\n```")
    assert _said(*_CODING, todo, words, ev.ToolEdit("a", "b", "c"), ev.ToolBash("ls", "", 0), _USED) == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Backspace is on it** · 1m 35s · used $0.84 of $3.00

- ✅ Check who asks (10s)
- ✅ Clone the repository (10s)
- ✅ Prepare the sandbox (10s)
- ⏳ **Write the change**: The agent works (1 edit, 1 command)
- ▫️ Run the checks
- ▫️ Commit
- ▫️ Push the branch
- ▫️ Open the pull request

The agent's list, 1 of 3 done:

- [x] Read `a.py`
- [ ] Ask `@hubot` ⏳
- [ ] \\# x

> Found it: Fixes #9 in `other/repo#3`.
>
> ```py
> raise
> ```

[Follow the run](https://bot.example/runs/0f1e2d3c) · `/backspace --add <more>` tells the agent at work more · `/backspace stop` ends it\
""")  # noqa: E501  a line of the comment


def test_a_pull_request_with_evidence() -> None:
    checks = (
        check("pytest -q", 1, When.BEFORE, "1 failed"),
        check("make lint | cat", 0, When.BEFORE),
        check("pytest -q", 0, When.AFTER, "3 passed"),
        check("make lint | cat", 2, When.AFTER, "\x1b[31mE501\x1b[0m <b>\n```\n"),
    )
    blocked = ev.ErrorReport(EGRESS_REFUSED, "tracker.example:443 was blocked: not allowed", recoverable=True)
    end = complete(Outcome.PULL_REQUEST, "Guards against `None`, thanks @octocat.", _PR.pr_url)
    publishing = map(reached, (Stage.COMMITTING, Stage.PUSHING, Stage.PR_CREATION))
    verifying = reached(Stage.VERIFYING)
    assert _said(*_CODING, _USED, blocked, verifying, *checks, *publishing, _PR, end) == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Opened a pull request**: [#13](https://github.com/octo/here/pull/13) · 3 files changed, +12 −4

Guards against `None`, thanks `@octocat`.

| Command | Exit code before | Exit code after | Time |
| --- | --- | --- | --- |
| `pytest -q` | ❌ 1 | ✅ 0 | 3.2 s |
| `make lint \\| cat` | ✅ 0 | ❌ 2 | 3.2 s |

<details>
<summary>Output of <code>make lint | cat</code> (exit code 2)</summary>

````
E501 <b>
```
````

</details>

Blocked by the sandbox's network rules: `tracker.example:443`. Name what the work needs under `network.allow` in `.github/backspace.yml`.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)

<details>
<summary>What was done</summary>

- ✅ Check who asks (10s)
- ✅ Clone the repository (10s)
- ✅ Prepare the sandbox (10s)
- ✅ Write the change (30s)
- ✅ Run the checks (50s): 1 of 2 fail
- ✅ Commit (10s)
- ✅ Push the branch (10s)
- ✅ Open the pull request (20s)

</details>\
""")  # noqa: E501  a line of the comment


def test_a_pull_request_without_checks_says_so() -> None:
    said = _said(*_CODING, _PR, complete(Outcome.PULL_REQUEST, "Done.", _PR.pr_url))
    assert "Checks: not run. Name commands under `checks` in `.github/backspace.yml`" in said
    assert "✅ 0" not in said


_SETUP = (
    "`setup` failed: `pip install x` ended with exit code 1.\n\n```\nno such package\n```\n\n"
    "Mend it in `.github/backspace.yml`."
)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        pytest.param(
            [complete(Outcome.NO_CHANGES, "It works as asked already.")],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Nothing was changed**

It works as asked already.

If a change was expected, ask again with more detail: `/backspace <what to do>`.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="no-changes",
        ),
        pytest.param(
            [complete(Outcome.NEEDS_INPUT, "Which of both?")],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**The agent has a question**

Which of both?

To answer, comment `/backspace <your answer>`.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="needs-input",
        ),
        pytest.param(
            [complete(Outcome.STOPPED)],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Stopped, as asked**

To go on, comment `/backspace retry`.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="stopped",
        ),
        pytest.param(
            [complete(Outcome.BUDGET_EXCEEDED)],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Stopped: the budget of $3.00 is used up**

Raise `budget_usd` in `.github/backspace.yml` or ask for a smaller part. `/backspace retry` goes on from here.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="budget",
        ),
        pytest.param(
            [complete(Outcome.TIMED_OUT)],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Stopped: the time limit was reached**

Raise `timeout_minutes` in `.github/backspace.yml` or ask for a smaller part. `/backspace retry` goes on from here.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="timed-out",
        ),
        pytest.param(
            [
                ev.ErrorReport("agent-killed", "The agent's process was killed.", recoverable=False),
                complete(Outcome.FAILED, "The agent's process was killed."),
            ],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Failed** · `agent-killed`

The agent's process was killed.

To try again, comment `/backspace retry`.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="failed",
        ),
        pytest.param(
            [ev.ErrorReport("setup-failed", _SETUP, recoverable=False), complete(Outcome.FAILED, _SETUP)],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Failed** · `setup-failed`

`setup` failed: `pip install x` ended with exit code 1.

```
no such package
```

Mend it in `.github/backspace.yml`.

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="failed-with-its-own-next-step",
        ),
        pytest.param(
            [
                ev.ErrorReport("config-invalid", "line 3: no", recoverable=False),
                complete(Outcome.REFUSED, "line 3: no"),
            ],
            snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
**Not done** · `config-invalid`

line 3: no

6m 12s · used $0.84 of $3.00 · model `a-model` · [the run with its log](https://bot.example/runs/0f1e2d3c)\
"""),
            id="refused",
        ),
    ],
)
def test_other_ends(events: list[ev.Event], said: str) -> None:
    whole = _said(BEGUN, reached(Stage.AUTHORIZING), reached(Stage.CODING), *events)
    assert whole.partition("\n\n<details>")[0] == said


def test_an_error_that_was_got_over_is_no_reason() -> None:
    passing = ev.ErrorReport("model-overloaded", "Overloaded.", recoverable=True)
    assert "verloaded" not in _said(*_CODING, passing, complete(Outcome.STOPPED))


_HOSTILE = st.sampled_from(
    ["@octocat ", "\n\n", "```", "<details>", "<!-- backspace:run=1 -->", "|", "`", "# ", "- ", "x" * 3000]
)
_WORDS = st.lists(_HOSTILE, max_size=40).map("".join)


@settings(max_examples=25, deadline=None)
@given(_WORDS, st.sampled_from([None, *Outcome]), st.integers(0, 60))
def test_whatever_the_agent_says_the_comment_keeps_its_limit_and_its_marker(
    words: str, outcome: Outcome | None, many: int
) -> None:
    checks = [check(f"{number} {words}"[:300], 1, When.AFTER, words) for number in range(many)]
    hosts = [ev.ErrorReport(EGRESS_REFUSED, f"h{number}.example:443", recoverable=True) for number in range(many)]
    todo = ev.Todo(tuple(ev.TodoItem(words, "pending") for _ in range(many)))
    failure = ev.ErrorReport("x", words, recoverable=False)
    end = [complete(outcome, words * 20)] if outcome else []
    said = _said(*_CODING, todo, ev.AiMessage(words), *checks, *hosts, failure, *end)
    assert len(said) <= MAX_CHARACTERS
    assert said.startswith(f"<!-- backspace:run={RUN_ID} -->\n")
    assert said.count("backspace:run=") == 1
    html = "".join(token.content for token in MarkdownIt("gfm-like").parse(said) if token.type == "html_block")
    assert html.count("<details>") == html.count("</details>")
    assert _names_in(said) == []


def _names_in(text: str) -> list[str]:
    inlines = [token for token in MarkdownIt("gfm-like").parse(text) if token.type == "inline"]
    texts = [child.content for token in inlines for child in token.children or [] if child.type == "text"]
    return [found for content in texts for found in re.findall(r"(?<!\w)@\w+", content)]
