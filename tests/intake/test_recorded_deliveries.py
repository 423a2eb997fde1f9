"""GitHub's own recorded deliveries, and what becomes of them when they are bent: no failure, no unasked run."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.intake.triggers import (
    CheckFailed,
    Command,
    Further,
    Ignored,
    InstallationGone,
    Installed,
    Labelled,
    PullEnded,
    Start,
)
from tests.intake.deliveries import Payload, changed, decided
from tests.intake.unhurried import unhurried
from tests.shared_data import SHARED_DATA, needs_shared_data

pytestmark = needs_shared_data

_FILE = SHARED_DATA / "github" / "webhook-payloads.json"
_EVENTS: list[dict[str, Any]] = json.loads(_FILE.read_text()) if _FILE.is_file() else []
DELIVERIES: list[tuple[str, Payload]] = [(event["name"], payload) for event in _EVENTS for payload in event["examples"]]
IDS = [f"{event}.{payload.get('action', '')}" for event, payload in DELIVERIES]
INSTALLATION = {"id": 957387, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uOTU3Mzg3"}

EXPECTED = {
    "issues.labeled": Labelled,
    "pull_request.closed": PullEnded,
    "pull_request.reopened": PullEnded,
    # The recorded one is named after GitHub Actions and failed.
    "check_run.completed": CheckFailed,
    "installation.created": Installed,
    "installation.deleted": InstallationGone,
    "installation.suspend": InstallationGone,
    "installation_repositories.added": Installed,
    "installation_repositories.removed": InstallationGone,
}


def installed(payload: Payload) -> Payload:
    return {"installation": INSTALLATION, **payload}


def example(name: str) -> Payload:
    return deepcopy(installed(DELIVERIES[IDS.index(name)][1]))


def test_all_are_here() -> None:
    assert len(DELIVERIES) == 68


@pytest.mark.parametrize(("event", "payload"), DELIVERIES, ids=IDS)
def test_as_recorded(event: str, payload: Payload) -> None:
    name = f"{event}.{payload.get('action', '')}"
    assert isinstance(decided(event, installed(payload)), EXPECTED.get(name, Ignored))


ASKING = "/backspace do it"


def asking() -> list[tuple[str, Payload]]:
    """The recorded deliveries in which a person can ask for a run, each doing so."""
    comment, labelling = example("issue_comment.created"), example("issues.labeled")
    remark, review = example("pull_request_review_comment.created"), example("pull_request_review.submitted")
    comment["comment"]["body"] = remark["comment"]["body"] = review["review"]["body"] = ASKING
    labelling["label"]["name"] = "backspace"
    return [
        ("issue_comment", comment),
        ("issues", labelling),
        ("pull_request_review_comment", remark),
        ("pull_request_review", review),
    ]


def test_who_asks_in_a_recorded_delivery_starts_a_run() -> None:
    for event, payload in asking():
        decision = decided(event, payload)
        assert isinstance(decision, Start), event
        assert decision.request.repo.id == payload["repository"]["id"]
        assert decision.request.actor.id == payload["sender"]["id"]


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 2**63, 10**400, 1.5, "", "User", "Bot", "created", "labeled", "backspace"),
        *(ASKING, "x" * 100_000, "\x00", "\ud800", [], [[]], [1, None], {}, {"id": 1}, {"id": "1", "login": 5}),
        {"id": 1, "login": "a", "type": "User"},
    ]
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, entry in inner for place in [(*path, key), *places(entry, (*path, key))]]


@st.composite
def bent(draw: st.DrawFn) -> tuple[str, Payload]:
    event, recorded = draw(st.sampled_from(DELIVERIES) | st.sampled_from(asking()))
    payload = deepcopy(recorded if draw(st.booleans()) else installed(recorded))
    for _ in range(draw(st.integers(1, 3))):
        *parents, key = draw(st.sampled_from(places(payload) or [("action",)]))
        place: Any = payload
        for parent in parents:
            place = place[parent]
        if draw(st.booleans()):
            place[key] = deepcopy(draw(JUNK))
        else:
            del place[key]
    return draw(st.sampled_from([event, event, "issues", *ASKED_BY])), payload


ASKED_BY = {
    "issue_comment": ("created", "comment"),
    "pull_request_review_comment": ("created", "comment"),
    "pull_request_review": ("submitted", "review"),
}


def asks(event: str, payload: Payload) -> bool:
    """Whether a person asks for a run, read off the payload without the code under test."""
    action, label = payload.get("action"), payload.get("label")
    if (event, action) == ("issues", "labeled"):
        return isinstance(label, dict) and label.get("name") == "backspace"
    words_of, part = ASKED_BY.get(event, ("", ""))
    words = payload.get(part)
    return (
        action == words_of and isinstance(words, dict) and words.get("body") == ASKING and is_person(words.get("user"))
    )


def is_person(account: object) -> bool:
    return isinstance(account, dict) and account.get("type") == "User" and isinstance(account.get("id"), int)


@unhurried
@given(bent())
def test_bent_ones_neither_fail_nor_start_what_nobody_asked_for(delivery: tuple[str, Payload]) -> None:
    event, payload = delivery
    decision = decided(event, payload)
    if isinstance(decision, Start | Command | Further):
        assert asks(event, payload)
        assert is_person(payload["sender"])
        assert payload["installation"]["id"] > 0


@unhurried
@given(st.sampled_from(DELIVERIES), st.sampled_from(["action", "installation", "repository", "sender"]), JUNK)
def test_what_every_delivery_has_may_be_anything(delivery: tuple[str, Payload], key: str, junk: object) -> None:
    event, payload = delivery
    assert not isinstance(decided(event, changed(payload, {key: junk})), Start | Command | Further)
