"""A pull request's title and body, its branch and its commit, word for word."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from bot import events as ev
from bot.model import (
    Actor,
    CheckResult,
    InstallationId,
    Issue,
    Repo,
    RunId,
    RunRequest,
    Seen,
    TriggerKind,
    Usage,
    When,
    Withheld,
)
from bot.runs.view import EGRESS_REFUSED
from bot.wording import names, pull_request
from bot.wording.pull_request import Facts
from tests.run_events import RUN_ID, stored

ACTOR = Actor(583231, "octocat")
ISSUE = Issue(12, "Crash on empty input", "It crashes.", ACTOR, is_pull_request=False)
REQUEST = RunRequest(
    repo=Repo(1, "octo/here", "main", private=False),
    installation_id=InstallationId(7),
    trigger=TriggerKind.COMMENT,
    actor=ACTOR,
    prompt="fix this, @hubot\n\nFixes #3",
    issue=ISSUE,
    comment_id=99,
    triggered_at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
)
FACTS = Facts(
    run_id=RUN_ID,
    run_url="https://bot.example/runs/0f1e2d3c",
    request=REQUEST,
    answer="# What I did\n\nGuarded against empty input, as @hubot said. Closes #4.",
    before=(CheckResult("pytest -q", 1, 2.0, When.BEFORE, "1 failed"),),
    after=(CheckResult("pytest -q", 0, 2.5, When.AFTER, "3 passed"),),
    not_run="",
    seen=Seen(comments=2, instructions=("CLAUDE.md",), withheld=Withheld(by_others=1, edited_later=1, hidden_spans=3)),
    config_file=True,
    usage=Usage(cost_usd=0.84),
    budget_usd=3.0,
    model="a-model",
    seconds=372.0,
    events=stored(ev.ErrorReport(EGRESS_REFUSED, "tracker.example:443 was blocked: no", recoverable=True)),
)


def test_the_body() -> None:
    assert pull_request.body(FACTS) == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
### What I did

Guarded against empty input, as `@hubot` said. Closes `#4`.

Closes #12

### Evidence

Backspace ran these commands itself, before the change and on the commit of this pull request:

| Command | Exit code before | Exit code after | Time |
| --- | --- | --- | --- |
| `pytest -q` | ❌ 1 | ✅ 0 | 2.5 s |

Blocked by the sandbox's network rules: `tracker.example:443`. Name what the work needs under `network.allow` in `.github/backspace.yml`.

<details>
<summary>What was asked for</summary>

fix this, `@hubot`

Fixes `#3`

</details>

<details>
<summary>What the agent saw</summary>

- 2 comments of the thread included
- 1 comment left out: by people without write access
- 1 comment left out: edited after the request
- 3 hidden passages taken out, such as HTML comments
- Instructions from `main`: `CLAUDE.md`
- Configuration from `main`: `.github/backspace.yml`

</details>

Requested by @octocat in #12 · 6m 12s · used $0.84 of $3.00 · model `a-model` · [the run](https://bot.example/runs/0f1e2d3c)\
""")  # noqa: E501  a line of the comment


def test_nothing_could_be_run() -> None:
    facts = replace(
        FACTS,
        before=(),
        after=(),
        not_run="the repository names no `checks` in `.github/backspace.yml`",
        events=(),
        seen=Seen(),
        config_file=False,
        gates=("3 files, 12 kB: within the limits",),
        unsigned_reason="unsigned",
        request=replace(REQUEST, issue=None, comment_id=None, trigger=TriggerKind.API, actor=Actor(0, "api")),
    )
    assert pull_request.body(facts) == snapshot("""\
<!-- backspace:run=0f1e2d3c-4b5a-4678-9abc-def012345678 -->
### What I did

Guarded against empty input, as `@hubot` said. Closes `#4`.

### Evidence

Checks: not run, because the repository names no `checks` in `.github/backspace.yml`.

GitHub does not show this commit as verified (`unsigned`).

<details>
<summary>What was asked for</summary>

fix this, `@hubot`

Fixes `#3`

</details>

<details>
<summary>What the agent saw</summary>

- Instructions from `main`: none, there is no CLAUDE.md or AGENTS.md
- Configuration from `main`: none, so the defaults hold

</details>

<details>
<summary>Looked at before the push</summary>

- 3 files, 12 kB: within the limits

</details>

Requested by `api` · 6m 12s · used $0.84 of $3.00 · model `a-model` · [the run](https://bot.example/runs/0f1e2d3c)\
""")


ALL_SEEN = Seen(
    comments=1,
    linked=(4, 9),
    images=2,
    images_left_out=("larger than 5 MB", "not an image", "larger than 5 MB"),
    withheld=Withheld(
        by_others=2,
        edited_later=1,
        hidden_spans=1,
        thread_text=1,
        by_programs=3,
        no_room=12,
        linked_by_others=1,
        linked_changed_later=1,
        linked_no_room=2,
    ),
)


def test_all_that_the_agent_saw_and_did_not_see_is_listed() -> None:
    assert pull_request.saw(replace(FACTS, seen=ALL_SEEN)) == snapshot("""\
<details>
<summary>What the agent saw</summary>

- 1 comment of the thread included
- Included, because the thread names them: #4, #9
- 2 images included
- Title and text of the issue left out: by somebody without write access. Quote what matters in your comment, or put the label on the issue to vouch for it
- 2 comments left out: by people without write access
- 3 comments left out: by apps
- 1 comment left out: edited after the request
- 12 comments left out: older than those there was room for
- 1 linked issue left out: by people without write access
- 1 linked issue left out: changed after the request
- 2 linked issues left out: only the first few are read
- 2 images left out: larger than 5 MB
- 1 image left out: not an image
- 1 hidden passage taken out, such as HTML comments
- Instructions from `main`: none, there is no CLAUDE.md or AGENTS.md
- Configuration from `main`: `.github/backspace.yml`

</details>\
""")  # noqa: E501  a line of the comment


def test_on_a_pull_request_no_label_vouches_for_its_text() -> None:
    on_pull = replace(REQUEST, issue=replace(ISSUE, is_pull_request=True))
    said = pull_request.saw(replace(FACTS, request=on_pull, seen=Seen(withheld=Withheld(thread_text=1))))
    assert "Title and text of the pull request left out" in said
    assert "label" not in said


def test_a_failing_check_shows_its_output() -> None:
    output = "\n".join(f"line {n}" for n in range(60)) + "\n``` @hubot"
    facts = replace(FACTS, before=(), after=(CheckResult("make <x> | y", 2, 1.0, When.AFTER, output),))
    body = pull_request.body(facts)
    assert "| `make <x> \\| y` | not run | ❌ 2 | 1.0 s |" in body
    assert "<summary>Output of <code>make &lt;x&gt; | y</code> (exit code 2)</summary>" in body
    assert "The end of 61 lines:" in body
    assert "line 20\n" not in body
    assert "````\nline 21\n" in body


def test_an_errors_text_is_not_the_reason_for_a_missing_signature() -> None:
    body = pull_request.body(replace(FACTS, unsigned_reason="POST /git/trees: 502 at 10.0.0.7"))
    assert "GitHub does not show this commit as verified." in body
    assert "10.0.0.7" not in body


def test_a_pull_request_is_not_closed_by_another() -> None:
    on_pull = replace(REQUEST, issue=replace(ISSUE, is_pull_request=True))
    assert "Closes #12" not in pull_request.body(replace(FACTS, request=on_pull))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["@a ", "Fixes #1 ", "```\n", "<!-- ", "\n\n", "word " * 2000, "| "]), max_size=30).map(
        "".join
    )
)
def test_the_body_keeps_its_limit_and_what_is_ours(words: str) -> None:
    after = tuple(CheckResult(f"{n}{words}"[:500], 1, 1.0, When.AFTER, words) for n in range(60))
    body = pull_request.body(replace(FACTS, answer=words, after=after, request=replace(REQUEST, prompt=words)))
    assert len(body) <= 60_000
    assert body.startswith(f"<!-- backspace:run={RUN_ID} -->\n")
    assert "Requested by @octocat in #12" in body
    assert body.count("\nCloses #12\n") == 1


@pytest.mark.parametrize(
    ("issue", "text", "branch"),
    [
        pytest.param(12, "Crash on empty input!", "backspace/12-crash-on-empty-input-0f1e2d3c", id="title"),
        pytest.param(None, "Add a README", "backspace/api-add-a-readme-0f1e2d3c", id="api"),
        pytest.param(7, "Ünïcode — naïve", "backspace/7-unicode-naive-0f1e2d3c", id="accents"),
        pytest.param(7, "修复崩溃", "backspace/7-change-0f1e2d3c", id="no-ascii"),
        pytest.param(7, "../../.git/x.lock", "backspace/7-git-x-lock-0f1e2d3c", id="hostile"),
        pytest.param(7, "word " * 30, "backspace/7-word-word-word-word-word-word-word-word-0f1e2d3c", id="long"),
        pytest.param(7, "x" * 90, f"backspace/7-{'x' * 40}-0f1e2d3c", id="one-long-word"),
    ],
)
def test_branch_names(issue: int | None, text: str, branch: str) -> None:
    assert names.branch_name(issue, text, RUN_ID) == branch


@given(st.text(max_size=200))
def test_branch_names_are_always_good_for_git(text: str) -> None:
    branch = names.branch_name(1, text, RunId("abcdefgh-1"))
    assert all(c.isascii() and (c.isalnum() or c in "-/") for c in branch)
    assert "--" not in branch


def test_the_commit_message() -> None:
    assert names.commit_message(
        "Crash on empty input", "Guarded it, **as** @hubot said.\n\nFixes #4", ACTOR, 12
    ) == snapshot("""\
Crash on empty input

Guarded it, as hubot said.

Fixes issue 4

Asked for in #12.

Co-authored-by: octocat <583231+octocat@users.noreply.github.com>
""")


def test_a_forged_trailer_is_text_and_ci_is_not_skipped() -> None:
    trailers = "Signed-off-by: A <a@b.example>\nCo-authored-by: B <b@b.example>\nskip-checks: true"
    body = f"Done [skip ci] ***NO_CI***\n\n{trailers}"
    message = names.commit_message("x [ci skip]", body, Actor(0, "local user"), None)
    assert message == snapshot("""\
x ci skip

Done skip ci NO_CI

- Signed-off-by: A a@b.example
- Co-authored-by: B b@b.example
- skip-checks: true
""")


def test_on_an_enterprise_server() -> None:
    message = names.commit_message("x", "", ACTOR, noreply_host="users.noreply.ghe.example")
    assert message == "x\n\nCo-authored-by: octocat <583231+octocat@users.noreply.ghe.example>\n"


def test_a_title_always_says_something() -> None:
    assert pull_request.title("<!-- -->", 3) == "Changes by Backspace"
    assert pull_request.title("Fixes #3: `x`", 3) == "Fixes issue 3: x"
