"""What users of such bots complain about, and what they see here instead."""

import contextlib
import importlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.deployment import MODEL_KEY, SAMPLE, Deployment, until
from tests.fakes.github import Fault, Issue
from tests.fakes.model.state import Fault as ModelFault
from tests.fakes.model.state import FaultKind, Gate

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class NotOnGitHub:
    """A complaint about something that nobody in a thread could see."""

    why: str


ANSWERS: Mapping[str, Sequence[str] | NotOnGitHub] = {
    "1 a link instead of a pull request": ["test_issue_to_pull_request::test_a_comment_becomes_a_pull_request"],
    "2 finished, but nothing was pushed": [
        "test_complaints::test_done_is_said_only_when_the_push_is_confirmed",
        "test_outcomes::test_work_that_was_done_when_the_agent_failed_is_kept_as_a_branch",
    ],
    "3 opaque failures": [
        "test_outcomes::test_a_failure_of_the_model_ends_with_a_code_and_a_next_step",
        "test_outcomes::test_a_setup_that_fails_is_shown_with_its_output",
    ],
    "4 a failure told as success": ["test_complaints::test_a_success_of_the_program_that_is_an_error_is_a_failure"],
    "5 hangs for hours": ["test_complaints::test_a_run_out_of_time_ends_and_its_work_is_kept"],
    "6 a comment that is frozen after a kill": [
        "tests.chaos.test_kill::test_killed_when",
        "tests.chaos.test_kill::test_killed_again_and_again",
    ],
    "7 a comment overwrites another run's": ["test_complaints::test_a_run_edits_its_own_comment_and_no_other"],
    "8 a second request drops the first": [
        "test_asking::test_a_second_request_in_a_thread_waits_for_the_first_and_says_so",
        "test_crowd::test_twenty_commands_by_five_people_in_one_thread",
        "test_crowd::test_a_place_in_the_queue_is_told_again_as_others_are_served",
    ],
    "9 no cap and no cost": [
        "test_complaints::test_the_last_comment_says_what_it_cost_and_how_long_it_took",
        "test_outcomes::test_a_run_ends_when_its_budget_is_used_up_and_keeps_the_work",
        "test_outcomes::test_a_day_that_used_its_budget_up_starts_no_more_runs",
    ],
    "10 cannot be stopped": [
        "test_commands::test_stop_ends_the_run_keeps_its_work_and_retry_goes_on_from_there",
        "test_commands::test_a_run_that_waits_is_stopped_at_once",
        "test_commands::test_stop_while_the_checks_run_keeps_the_work",
    ],
    "11 nothing goes on with the earlier context": [
        "test_commands::test_stop_ends_the_run_keeps_its_work_and_retry_goes_on_from_there",
        "test_pull_requests::test_a_further_request_on_an_issue_goes_on_with_its_open_pull_request",
    ],
    "12 a new pull request each time": [
        "test_pull_requests::test_a_further_request_on_an_issue_goes_on_with_its_open_pull_request",
        "test_pull_requests::test_a_comment_on_a_pull_request_pushes_to_its_branch",
    ],
    "13 the pull request fails after all the work": [
        "test_complaints::test_a_pull_request_that_cannot_be_opened_at_once_is_tried_again",
        "test_complaints::test_a_pull_request_that_cannot_be_opened_leaves_a_link_to_the_branch",
    ],
    "14 forks": ["test_pull_requests::test_a_forks_branch_is_refused_with_the_reason"],
    "15 checks do not run on the commits of a bot": [
        "test_issue_to_pull_request::test_a_comment_becomes_a_pull_request",
        "test_follow_through::test_a_failing_check_is_mended_on_the_same_branch_once",
    ],
    "16 a push that is refused": [
        "test_outcomes::test_a_gate_stops_the_change_and_the_work_is_kept",
        "test_complaints::test_done_is_said_only_when_the_push_is_confirmed",
    ],
    "17 a token that expires": ["test_complaints::test_tokens_that_expire_while_the_agent_works_do_no_harm"],
    "18 a token in the sandbox": ["test_complaints::test_a_sandbox_has_no_credential_of_ours"],
    "19 sandboxes of Daytona that fail": NotOnGitHub("Daytona comes with an issue of its own"),
    "20 too many comments": [
        "test_issue_to_pull_request::test_a_comment_becomes_a_pull_request",
        "test_crowd::test_twenty_commands_by_five_people_in_one_thread",
    ],
    "21 outcomes that contradict or say nothing": [
        "test_outcomes::test_nothing_to_change_is_said_plainly",
        "test_outcomes::test_a_question_of_the_agent_reaches_the_thread",
        "test_outcomes::test_what_cannot_be_mended_stays_a_draft_that_says_so",
        "test_complaints::test_checks_that_cannot_be_run_are_said_to_be_no_evidence",
    ],
    "22 two runs for one request": ["test_asking::test_a_delivery_that_comes_twice_is_one_run"],
    "23 requests that are lost in a restart": [
        "test_lost_deliveries::test_what_was_asked_while_backspace_was_down_is_done_once",
        "tests.chaos.test_kill::test_killed_when",
        "test_postgres::test_a_database_that_is_away_is_answered_with_503_and_the_delivery_can_come_again",
    ],
    "24 an attachment ends the run": ["test_images::test_screenshots_are_seen_and_what_is_none_is_left_out"],
    "25 reviews, branch names, blocked hosts": [
        "test_pull_requests::test_a_review_with_several_commands_is_one_run",
        "test_issue_to_pull_request::test_a_comment_becomes_a_pull_request",
        "test_complaints::test_a_host_that_was_blocked_is_named",
    ],
}
"""The journeys that answer each of them: module (of this package, where it names none) and test."""


def test_all_twenty_five_are_answered() -> None:
    assert [int(complaint.split()[0]) for complaint in ANSWERS] == list(range(1, 26))


@pytest.mark.parametrize("complaint", ANSWERS)
def test_what_answers_a_complaint_is_a_test(complaint: str) -> None:
    answer = ANSWERS[complaint]
    if isinstance(answer, NotOnGitHub):
        return
    assert answer
    for place in answer:
        module, _, test = place.partition("::")
        found = importlib.import_module(module if "." in module else f"{__package__}.{module}")
        assert callable(getattr(found, test, None)), f"{place} is not there"


@contextmanager
def at_work(running: Deployment, step: int = 3) -> Iterator[Gate]:
    """While the agent of `fix-calc` waits; from the fourth answer on it has changed the tree."""
    gate = Gate("fix-calc", step)
    running.model.hold(gate)
    try:
        yield gate
    finally:
        running.model.release(gate)


def comment_of(running: Deployment, issue: Issue, number: int = 0) -> str:
    return running.github.bot_comments(issue)[number].body


def test_done_is_said_only_when_the_push_is_confirmed(running: Deployment) -> None:
    """The app lost its permission to write while the agent worked."""
    deployment = running.elsewhere_installed()
    github = deployment.github
    issue = deployment.issue("fix-calc")
    with at_work(deployment) as gate:
        asked = deployment.ask(issue)
        until(lambda: gate in deployment.model.waiting, what="the agent is at work")
        permissions = github.installation(deployment.installation).permissions
        permissions["contents"] = "read"
        github.world.tokens.clear()
    run = deployment.finished(deployment.run_id(asked))
    comment = comment_of(deployment, issue)
    assert run["outcome"] == "failed", comment
    assert "**Failed** · `permission-missing`" in comment
    assert "must accept the app's permissions" in comment
    assert f"[a patch]({deployment.backspace.url}/api/runs/{run['request_id']}/patch)" in comment
    assert "+    return a + b" in deployment.patch(str(run["request_id"]))
    assert set(github.branches(deployment.repository)) == {"main"}

    permissions["contents"] = "write"
    deployment.ask(issue, "/backspace retry")
    until(lambda: len(github.pulls(deployment.repository)) == 1, what="the second run opens a pull request")
    assert "+    return a + b" in github.diff(deployment.pull())


def test_a_success_of_the_program_that_is_an_error_is_a_failure(running: Deployment) -> None:
    """The agent program ends with `success` also when the model API refused its request."""
    headers = {"x-should-retry": "false"}
    fault = ModelFault(FaultKind.STATUS, 99, "no-changes", status=429, error_type="rate_limit_error", headers=headers)
    running.model.fail(fault)
    issue = running.issue("no-changes")
    asked = running.ask(issue)
    run = running.finished(running.run_id(asked))
    running.model.reset()
    assert run["outcome"] == "failed"
    comment = comment_of(running, issue)
    assert "**Failed** · `model-rate-limit`" in comment
    assert "Wait a few minutes, then comment `/backspace retry`." in comment
    _, said = running.github.find_comment(asked.comment_id)
    assert running.github.reactions(said, by=running.github.identity.bot) == ["confused"]


def test_a_run_out_of_time_ends_and_its_work_is_kept(running: Deployment) -> None:
    """Most of its minute passes while Backspace is down: the limit counts from when the work began."""
    config = f"{SAMPLE['.github/backspace.yml']}timeout_minutes: 1\n"
    deployment = running.elsewhere({**SAMPLE, ".github/backspace.yml": config})
    with at_work(deployment) as gate:
        issue = deployment.issue("fix-calc")
        run_id = deployment.run_id(deployment.ask(issue))
        until(lambda: gate in deployment.model.waiting, what="the agent is at work")
        deployment.backspace.kill()
        file = deployment.backspace.home / "data" / "backspace.db"
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            earlier = "strftime('%Y-%m-%d %H:%M:%f000', started_at, '-45 seconds')"
            database.execute(f"update runs set started_at = {earlier} where id = ?", (run_id,))
        deployment.backspace.start()
        run = deployment.finished(run_id)
        comment = comment_of(deployment, issue)
        assert run["outcome"] == "timed_out"
        assert "**Stopped: the time limit was reached**" in comment
        assert "`timeout_minutes`" in comment
        assert f"[`{run['branch']}`]" in comment
        assert b"return a + b" in deployment.branch_file("calc.py", run["branch"])


def test_a_run_edits_its_own_comment_and_no_other(running: Deployment) -> None:
    github = running.github
    issue = running.issue("fix-calc")
    with at_work(running) as gate:
        first = running.ask(issue)
        until(lambda: gate in running.model.waiting, what="the agent is at work")
        forged = github.say(issue, "stranger", comment_of(running, issue))
        second = running.ask(issue, "/backspace and then this. scenario:no-changes")
        until(lambda: len(github.bot_comments(issue)) == 2, what="both runs have their comment")
    runs = [running.finished(running.run_id(asked)) for asked in (first, second)]
    assert [run["outcome"] for run in runs] == ["pull_request", "no_changes"]
    assert len(forged.history) == 1
    for run, comment in zip(runs, github.bot_comments(issue), strict=True):
        assert comment.body.splitlines()[0] == f"<!-- backspace:run={run['request_id']} -->"
    assert "**Opened a pull request**" in comment_of(running, issue, 0)
    assert "**Nothing was changed**" in comment_of(running, issue, 1)


def test_the_last_comment_says_what_it_cost_and_how_long_it_took(running: Deployment) -> None:
    issue = running.issue("no-changes")
    run = running.finished(running.run_id(running.ask(issue)))
    (footer,) = [line for line in comment_of(running, issue).splitlines() if " of $5.00 · " in line]
    duration, used, model, _ = footer.split(" · ")
    assert duration.endswith("s")
    assert used == f"used ${run['cost_usd']:.2f} of $5.00"
    assert model == "model `claude-sonnet-5-5`"


def test_a_pull_request_that_cannot_be_opened_at_once_is_tried_again(running: Deployment) -> None:
    github = running.github
    issue = running.issue("fix-calc")
    github.fail("POST", "*/pulls", Fault.SERVER_ERROR, count=-1)
    asked = running.ask(issue)
    branch = f"{github.web_url}/acme/calc/tree/backspace/{issue.number}-"
    until(lambda: branch in "".join(c.body for c in github.bot_comments(issue)), what="the branch is linked meanwhile")
    github.faults.clear()
    run = running.finished(running.run_id(asked))
    assert run["outcome"] == "pull_request"
    assert [pull.number for pull in github.pulls() if run["pr_url"].endswith(f"/{pull.number}")] != []


def test_a_pull_request_that_cannot_be_opened_leaves_a_link_to_the_branch(running: Deployment) -> None:
    github = running.github
    issue = running.issue("fix-calc")
    before = len(github.pulls())
    github.fail("POST", "*/pulls", Fault.SERVER_ERROR, count=-1)
    run = running.finished(running.run_id(running.ask(issue)))
    github.faults.clear()
    comment = comment_of(running, issue)
    assert run["outcome"] == "failed"
    assert "**Failed** · `github-unavailable`" in comment
    assert f"[`{run['branch']}`]({github.web_url}/acme/calc/tree/{run['branch']})" in comment
    assert "Opened" not in comment
    assert b"return a + b" in (github.file("calc.py", str(run["branch"])) or b"")

    running.ask(issue, "/backspace retry")
    until(lambda: len(github.pulls()) == before + 1, what="the second run opens the pull request")


def test_tokens_that_expire_while_the_agent_works_do_no_harm(running: Deployment) -> None:
    deployment = running.elsewhere(SAMPLE)
    # The second time all tokens are such as have been used before.
    for _ in range(2):
        issue = deployment.issue("fix-calc")
        with at_work(deployment) as gate:
            asked = deployment.ask(issue)
            until(lambda: gate in deployment.model.waiting, what="the agent is at work")
            deployment.github.world.tokens.clear()
        run = deployment.finished(deployment.run_id(asked))
        assert run["outcome"] == "pull_request"
        assert len(deployment.github.bot_comments(issue)) == 1
    pulls = deployment.github.pulls(deployment.repository)
    assert all(commit.verified for pull in pulls for commit in deployment.github.commits(pull))


def test_a_sandbox_has_no_credential_of_ours(running: Deployment) -> None:
    running.model.reset()
    issue = running.issue("shell")
    commands = (
        "env",
        "git remote -v",
        "cat .git/config",
        "cat /proc/*/environ || true",
        "cat ~/.netrc ~/.git* || true",
    )
    asked = running.ask(issue, "\n".join(["/backspace Please", *(f"$ {command}" for command in commands)]))
    assert running.finished(running.run_id(asked))["outcome"] == "no_changes"
    seen = "".join(request.text for request in running.model.requests)
    assert "repositoryformatversion" in seen, "the agent saw what it asked for"
    assert MODEL_KEY not in seen
    assert "ghs_" not in seen
    assert [token for token in running.github.world.tokens if token in seen] == []


def test_checks_that_cannot_be_run_are_said_to_be_no_evidence(running: Deployment) -> None:
    config = "checks:\n  - no-such-program --test\n"
    deployment = running.elsewhere({**SAMPLE, ".github/backspace.yml": config})
    issue = deployment.issue("fix-calc")
    run = deployment.finished(deployment.run_id(deployment.ask(issue)))
    assert run["outcome"] == "pull_request"
    pull = deployment.pull()
    for said in (comment_of(deployment, issue), pull.body):
        assert "| ❌ 127 | ❌ 127 |" in said
        assert "`no-checks-possible`: None of the commands under `checks`" in said
        assert "Install them under `setup`." in said


def test_a_host_that_was_blocked_is_named(running: Deployment) -> None:
    config = (
        "setup:\n  - python3 -c \"import urllib.request as u; u.urlopen('http://example.com/', timeout=5)\" || true\n"
    )
    deployment = running.elsewhere({**SAMPLE, ".github/backspace.yml": config + "checks:\n  - 'true'\n"})
    issue = deployment.issue("fix-calc")
    run = deployment.finished(deployment.run_id(deployment.ask(issue)))
    comment = comment_of(deployment, issue)
    assert run["outcome"] == "pull_request"
    assert "example.com:80" in comment
    assert "network.allow" in comment
    pull = deployment.pull()
    assert "example.com:80" in pull.body
