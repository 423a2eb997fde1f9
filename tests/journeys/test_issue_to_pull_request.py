"""Somebody comments on an issue, and a pull request comes of it."""

import pytest

from tests.deployment import MODEL_KEY, Deployment

pytestmark = pytest.mark.slow


def test_a_comment_becomes_a_pull_request(anywhere: Deployment) -> None:
    github = anywhere.github
    issue = anywhere.issue()
    delivery = anywhere.ask(issue, "/backspace Please make `add` add.\r\n\r\nIt subtracts now.")
    assert delivery.status == 202
    run = anywhere.finished(anywhere.run_id(delivery))
    assert run["outcome"] == "pull_request", anywhere.backspace.log[-4000:]

    # One comment, edited along the way, that ends with what happened.
    (comment,) = github.bot_comments(issue)
    first_line = comment.body.splitlines()[0]
    assert f"<!-- backspace:run={run['request_id']} -->" in first_line
    assert run["pr_url"] in comment.body
    assert "python3 -m unittest -q" in comment.body

    # Eyes at first, a rocket at the end.
    _, asked = github.find_comment(delivery.comment_id)
    assert github.reactions(asked, by=github.identity.bot) == ["rocket"]

    # The pull request is the app's, with the change, the evidence and a verified commit.
    pull = next(pull for pull in github.pulls() if str(pull.number) == run["pr_url"].rpartition("/")[2])
    assert pull.author.login == "backspace[bot]"
    assert pull.pull is not None
    assert not pull.pull.draft
    assert f"Closes #{issue.number}" in pull.body
    assert github.diff(pull).count("diff --git") == 1
    assert "-    return a - b" in github.diff(pull)
    assert "+    return a + b" in github.diff(pull)
    (commit,) = github.commits(pull)
    assert commit.verified
    assert "Co-authored-by: octo <" in commit.message
    assert run["branch"] == f"backspace/{issue.number}-add-subtracts-{run['request_id'][:8]}"

    # Evidence: the check failed before and passes now, and Backspace ran it.
    events = anywhere.events(run["request_id"])
    checks = {event["when"]: event["exit_code"] for event in events if event["type"] == "check"}
    assert checks == {"before": 1, "after": 0}
    assert "❌ 1" in pull.body
    assert "✅ 0" in pull.body

    # The stream is the contract's: it starts and ends as it should, and progress never goes back.
    assert [events[0]["type"], events[-1]["type"]] == ["start", "complete"]
    percentages = [event["percentage"] for event in events if event["type"] == "progress"]
    assert percentages == sorted(percentages)
    stages = list(dict.fromkeys(event["stage"] for event in events if event["type"] == "progress"))
    assert stages == [
        "authorizing", "cloning", "analyzing", "coding", "verifying", "committing", "pushing", "pr_creation",
    ]  # fmt: skip
    assert events[-1]["cost_usd"] > 0

    # The model got the real key from the broker; nothing else has it.
    assert {request.headers.get("x-api-key") for request in anywhere.model.requests} == {MODEL_KEY}
    assert MODEL_KEY not in anywhere.backspace.log
    assert anywhere.sandboxes() == []
