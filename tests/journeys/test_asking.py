"""Who is heard, what counts as asking, and what happens to a delivery that comes twice."""

import json

import pytest

from tests.deployment import Deployment, until

pytestmark = pytest.mark.slow


def body(answer: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(answer)
    return found


@pytest.mark.parametrize("user", ["reader", "stranger"])
def test_who_may_not_write_gets_one_visible_refusal_a_day(running: Deployment, user: str) -> None:
    issue = running.issue("no-changes")
    first = running.ask(issue, "/backspace do as I say", user=user)
    run = running.finished(running.run_id(first))
    assert run["outcome"] == "refused"
    second = running.ask(issue, "/backspace do as I say, now", user=user)
    running.finished(running.run_id(second))
    (refusal,) = running.github.bot_comments(issue)
    assert refusal.body.splitlines()[0] == f"<!-- backspace:run={run['request_id']} -->"
    assert "`not-authorised`" in refusal.body
    assert "Only people with write access" in refusal.body
    _, asked = running.github.find_comment(first.comment_id)
    assert running.github.reactions(asked, by=running.github.identity.bot) == []


@pytest.mark.parametrize("user", ["octo", "lead", "boss"])
def test_who_may_write_is_heard(running: Deployment, user: str) -> None:
    delivery = running.ask(running.issue("no-changes"), user=user)
    assert running.finished(running.run_id(delivery))["outcome"] == "no_changes"


def test_a_label_asks_for_what_the_issue_says(running: Deployment) -> None:
    issue = running.issue("no-changes")
    delivery = running.github.label_issue(issue, "lead", "backspace")
    assert delivery.status == 202
    run = running.finished(running.run_id(delivery))
    assert (run["actor"], run["trigger"], run["outcome"]) == ("lead", "label", "no_changes")
    assert run["prompt"].startswith("add() subtracts")
    assert running.github.reactions(issue, by=running.github.identity.bot) == ["rocket"]


def test_a_bot_asks_for_nothing(running: Deployment) -> None:
    running.github.add_user("helper[bot]", "admin", kind="Bot")
    running.github.add_user("totally-a-bot", "write")
    issue = running.issue("no-changes")
    by_bot = running.ask(issue, "/backspace fix it", user="helper[bot]")
    assert (by_bot.status, body(by_bot.body)["result"]) == (200, "ignored")
    by_person = running.ask(issue, "/backspace fix it", user="totally-a-bot")
    assert by_person.status == 202, "people are known by their account's type, not by their name"
    running.finished(running.run_id(by_person))


@pytest.mark.parametrize(
    "words",
    [
        "> /backspace fix it\n\nI would not.",
        "```\n/backspace fix it\n```",
        "    /backspace fix it",
        "Please /backspace fix it",
        "/backspaces fix it",
        "<!-- \n/backspace fix it\n-->",
        "Looks good to me.",
    ],
    ids=["quote", "fence", "indented", "in the middle", "another word", "hidden", "no command"],
)
def test_what_is_no_command_asks_for_nothing(running: Deployment, words: str) -> None:
    issue = running.issue("no-changes")
    delivery = running.ask(issue, words)
    assert (delivery.status, body(delivery.body)["result"]) == (200, "ignored")
    assert running.github.bot_comments(issue) == []


def test_a_delivery_that_comes_twice_is_one_run(running: Deployment) -> None:
    issue = running.issue("no-changes")
    first = running.ask(issue)
    again = running.github.redeliver(first.guid)
    assert (again.status, body(again.body)["result"]) == (200, "duplicate")
    assert body(again.body)["run_id"] == running.run_id(first)
    running.finished(running.run_id(first))
    late = running.github.redeliver(first.guid)
    assert body(late.body)["result"] == "duplicate"
    assert len(running.github.bot_comments(issue)) == 1


def test_editing_a_comment_asks_for_nothing(running: Deployment) -> None:
    issue = running.issue("no-changes")
    said = running.ask(issue, "Hm.")
    edited = running.github.edit_comment(said.comment_id, "octo", "/backspace fix it")
    assert (edited.status, body(edited.body)["result"]) == (200, "ignored")
    assert running.github.bot_comments(issue) == []


def test_what_our_own_comments_say_asks_for_nothing(running: Deployment) -> None:
    """Also when the agent's answer, or a person whom it quotes, has the command in it."""
    delivery = running.ask(running.issue("no-changes"), "/backspace tell me how to use this\n\n/backspace fix it")
    running.finished(running.run_id(delivery))
    running.github.settle()
    ours = [
        sent for sent in running.github.deliveries if '"type":"Bot"' in sent.outgoing.body.decode().replace(" ", "")
    ]
    assert all(sent.status == 200 for sent in ours if sent.outgoing.event == "issue_comment")


def test_a_second_request_in_a_thread_waits_for_the_first_and_says_so(running: Deployment) -> None:
    from tests.fakes.model.state import Gate  # noqa: PLC0415 -- only this story stops the model

    gate = Gate("no-changes", 0)
    running.model.hold(gate)
    issue = running.issue("no-changes")
    first, second = running.ask(issue), running.ask(issue, "/backspace and then this")
    until(lambda: gate in running.model.waiting, what="the first is at work")
    until(lambda: len(running.github.bot_comments(issue)) == 2, what="both are answered")
    # Both were asked in the same moment: which comment is posted first is nobody's promise.
    marker = f"<!-- backspace:run={running.run_id(second)} -->"
    (waiting,) = (comment for comment in running.github.bot_comments(issue) if comment.body.startswith(marker))
    until(lambda: "1 ahead" in waiting.body, what="the place in the queue is shown")
    running.model.release(gate)
    assert running.finished(running.run_id(first))["outcome"] == "no_changes"
    assert running.finished(running.run_id(second))["outcome"] == "no_changes"
    assert "**Nothing was changed**" in waiting.body
