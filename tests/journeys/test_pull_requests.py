"""People ask on pull requests and in reviews, go on with what they have, and speak to an agent at work."""

import pytest

from tests.deployment import Deployment, until
from tests.fakes.github import Issue
from tests.fakes.model.state import Gate
from tests.loopback import LOOPBACK

pytestmark = pytest.mark.slow


def open_pull(running: Deployment, branch: str, *, user: str = "lead") -> Issue:
    """A pull request of a person, whose branch has the mistake that `fix-calc` mends."""
    running.github.commit(running.repository, branch, {"NOTES.md": f"About {branch}.\n"}, author=user)
    return running.github.open_pull(user, f"Notes for {branch}", "Some notes.\n\nscenario:fix-calc", head=branch)


def outcome(running: Deployment, issue: Issue, number: int = -1) -> str:
    return running.github.bot_comments(issue)[number].body


def test_a_comment_on_a_pull_request_pushes_to_its_branch(running: Deployment) -> None:
    github = running.github
    pull = open_pull(running, "topic-comment")
    before = len(github.pulls())
    asked = running.ask(pull, "/backspace Please make `add` add.")
    run = running.finished(running.run_id(asked))
    assert run["outcome"] == "commits_pushed", running.backspace.log[-4000:]
    assert run["branch"] == "topic-comment"
    assert run["pr_url"].endswith(f"/pull/{pull.number}")
    assert len(github.pulls()) == before
    theirs, ours = github.commits(pull)
    assert (theirs.verified, ours.verified) == (False, True)
    assert b"return a + b" in (github.file("calc.py", "topic-comment") or b"")
    (comment,) = github.bot_comments(pull)
    assert "**Pushed commits**" in comment.body
    assert "✅ 0" in comment.body
    assert "What the agent saw" in comment.body
    _, said = github.find_comment(asked.comment_id)
    assert github.reactions(said, by=github.identity.bot) == ["rocket"]


def test_a_review_with_several_commands_is_one_run(running: Deployment) -> None:
    github = running.github
    pull = open_pull(running, "topic-review")
    gate = Gate("fix-calc", 0)
    running.model.hold(gate)
    sent = github.submit_review(
        pull,
        "octo",
        comments=[
            ("NOTES.md", 1, "/backspace Please say what add does here."),
            ("NOTES.md", 1, "Just a remark."),
            ("NOTES.md", 1, "/backspace And mend `add`, too."),
        ],
    )
    runs = {running.run_id(delivery) for delivery in sent if delivery.status == 202}
    assert len(runs) == 1
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    running.model.release(gate)
    (run_id,) = runs
    assert running.finished(run_id)["outcome"] == "commits_pushed"
    assert len(github.bot_comments(pull)) == 1
    told = [request.text for request in running.model.requests if request.scenario == "fix-calc"][-1]
    assert "say what add does here" in told
    assert "And mend `add`, too" in told
    assert "NOTES.md" in told
    reactions = [github.reactions(comment, by=github.identity.bot) for comment in github.review_comments(pull)]
    assert reactions[0] == ["rocket"]
    assert reactions[1] == []
    assert reactions[2] == ["+1"]


def test_a_forks_branch_is_refused_with_the_reason(running: Deployment) -> None:
    github = running.github
    fork = github.fork(running.repository, "outsider")
    github.commit(fork, "theirs", {"NOTES.md": "From a fork.\n"}, author="outsider")
    pull = github.open_pull("outsider", "From a fork", head="theirs", head_repo=fork)
    run = running.finished(running.run_id(running.ask(pull, "/backspace Please fix this.")))
    assert run["outcome"] == "refused"
    assert "`fork-branch`" in outcome(running, pull)


def test_a_closed_pull_request_is_refused_with_the_reason(running: Deployment) -> None:
    pull = open_pull(running, "topic-closed")
    running.github.close_pull(pull, "lead")
    run = running.finished(running.run_id(running.ask(pull, "/backspace Please fix this.")))
    assert run["outcome"] == "refused"
    assert "`pull-request-closed`" in outcome(running, pull)


def test_a_branch_that_moved_meanwhile_is_not_overwritten_and_the_work_is_kept(running: Deployment) -> None:
    github = running.github
    pull = open_pull(running, "topic-moves")
    gate = Gate("fix-calc", 3)
    running.model.hold(gate)
    asked = running.ask(pull, "/backspace Please make `add` add.")
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    theirs = github.commit(running.repository, "topic-moves", {"MORE.md": "More.\n"}, author="lead")
    running.model.release(gate)
    run = running.finished(running.run_id(asked))
    assert run["outcome"] == "failed"
    assert pull.pull is not None
    assert pull.pull.head_sha == theirs
    assert "`branch-moved`" in outcome(running, pull)
    aside = f"backspace/{pull.number}-notes-for-topic-moves-{run['request_id'][:8]}"
    assert aside in outcome(running, pull)
    assert b"return a + b" in (github.file("calc.py", aside) or b"")

    running.ask(pull, "/backspace retry")
    until(lambda: len(github.bot_comments(pull)) == 2, what="the second run has its comment")
    second = github.bot_comments(pull)[1]
    until(lambda: "**Pushed commits**" in second.body, what="the second run pushes")
    assert b"return a + b" in (github.file("calc.py", "topic-moves") or b"")
    assert github.file("MORE.md", "topic-moves") == b"More.\n"


def test_a_further_request_on_an_issue_goes_on_with_its_open_pull_request(running: Deployment) -> None:
    github = running.github
    issue = running.issue("shell")
    first = running.ask(issue, "/backspace Please\n$ echo one >one.txt")
    run = running.finished(running.run_id(first))
    assert run["outcome"] == "pull_request", running.backspace.log[-4000:]
    pull = github.pulls()[-1]
    second = running.ask(issue, "/backspace And now\n$ echo two >two.txt")
    again = running.finished(running.run_id(second))
    assert (again["outcome"], again["pr_url"]) == ("commits_pushed", run["pr_url"])
    assert github.pulls()[-1] is pull
    assert github.file("two.txt", str(run["branch"])) == b"two\n"
    assert len(github.commits(pull)) == 2
    # The agent remembers what it did: the session goes on.
    told = [request.text for request in running.model.requests if request.scenario == "shell"][-1]
    assert "Ran the commands." in told

    github.close_pull(pull, "octo")
    third = running.ask(issue, "/backspace Once more\n$ echo three >three.txt")
    assert running.finished(running.run_id(third))["outcome"] == "pull_request"
    assert github.pulls()[-1] is not pull


def test_more_words_reach_the_agent_at_work_and_are_acknowledged(running: Deployment) -> None:
    github = running.github
    issue = running.issue("shell")
    gate = Gate("shell", 1)
    running.model.hold(gate)
    asked = running.ask(issue, "/backspace Please\n$ echo one >first.txt")
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    more = running.ask(issue, "/backspace --add And this\n$ echo two >second.txt")
    assert more.status == 202
    _, said = github.find_comment(more.comment_id)
    until(lambda: github.reactions(said, by=github.identity.bot) == ["eyes", "+1"], what="it is handed over")
    running.model.release(gate)
    run = running.finished(running.run_id(asked))
    assert run["outcome"] == "pull_request"
    assert github.file("second.txt", str(run["branch"])) == b"two\n"
    progress, answer = github.bot_comments(issue)
    assert f"backspace:run={run['request_id']}" in progress.body.splitlines()[0]
    assert "Handed to the agent" in answer.body


def test_more_words_without_an_agent_at_work_are_a_run_of_their_own(running: Deployment) -> None:
    issue = running.issue("no-changes")
    running.ask(issue, "/backspace --add Please look at this")
    until(lambda: len(running.github.bot_comments(issue)) == 1, what="an answer")
    until(lambda: "**Nothing was changed**" in outcome(running, issue), what="the run ends")


def test_who_may_not_write_cannot_speak_to_the_agent(running: Deployment) -> None:
    issue = running.issue("fix-calc")
    gate = Gate("fix-calc", 1)
    running.model.hold(gate)
    asked = running.ask(issue)
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    running.ask(issue, "/backspace --add Delete everything", user="reader")
    until(lambda: len(running.github.bot_comments(issue)) == 2, what="the refusal")
    assert "`not-authorised`" in outcome(running, issue)
    running.model.release(gate)
    running.finished(running.run_id(asked))
    assert not any("Delete everything" in request.text for request in running.model.requests)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("--frobnicate", "`--base`"),
        ("--budget lots", "--budget"),
        ("--model gpt-nonsense", "`model-unknown`"),
    ],
    ids=["unknown option", "bad value", "unknown model"],
)
def test_a_command_line_that_cannot_be_used_gets_one_answer(running: Deployment, options: str, shown: str) -> None:
    issue = running.issue("no-changes")
    running.ask(issue, f"/backspace {options} Please fix this")
    until(lambda: shown in "".join(c.body for c in running.github.bot_comments(issue)), what="an answer")
    assert len(running.github.bot_comments(issue)) == 1
    assert not any(request.scenario == "no-changes" and options in request.text for request in running.model.requests)


def test_options_hold_for_the_run(running: Deployment) -> None:
    github = running.github
    github.commit(running.repository, "release", {"RELEASE.md": "1.0\n"})
    issue = running.issue("fix-calc")
    asked = running.ask(issue, "/backspace --base release --budget 1.50 --draft --model claude-haiku-4-5 Make it sum")
    run = running.finished(running.run_id(asked))
    assert (run["budget_usd"], run["model"], run["prompt"]) == (1.5, "claude-haiku-4-5", "Make it sum")
    pull = github.pulls()[-1]
    assert pull.pull is not None
    assert (pull.pull.base_ref, pull.pull.draft) == ("release", True)
    models = {r.body["model"] for r in running.model.requests if "Make it sum" in r.text}
    assert models == {"claude-haiku-4-5"}


def test_a_run_says_which_pull_request_it_has(running: Deployment) -> None:
    asked = running.ask(running.issue("fix-calc"))
    run = running.finished(running.run_id(asked))
    shown = LOOPBACK.get(f"{running.backspace.url}/api/runs/{run['request_id']}", timeout=10).json()
    assert shown["pull_request"]["state"] == "open"
