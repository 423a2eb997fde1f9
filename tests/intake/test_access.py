"""Only people who may write may ask, and only where a run is possible."""

from dataclasses import replace

import pytest

from bot.intake.access import Allowed, Denial, Denied, Facts, Permission, RepoState, decide
from bot.model import Actor

WRITER = Facts(Actor(2, "hubot"), Permission("write", 2, "User"), RepoState(), budget_left_usd=1.0)


@pytest.mark.parametrize("level", ["admin", "maintain", "write"])
def test_writers_may_ask(level: str) -> None:
    assert decide(replace(WRITER, permission=Permission(level, 2, "User"))) == Allowed()


@pytest.mark.parametrize("level", ["triage", "read", "none", "", "WRITE", "custom"])
def test_others_may_not(level: str) -> None:
    denied = decide(replace(WRITER, permission=Permission(level, 2, "User")))
    assert denied == Denied(Denial.NOT_AUTHORISED, visible=True)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(replace(WRITER, permission=None), Denied(Denial.NOT_AUTHORISED), id="GitHub does not say"),
        pytest.param(
            replace(WRITER, permission=Permission("admin", 3, "User")),
            Denied(Denial.NOT_AUTHORISED),
            id="the login is somebody else's now",
        ),
        pytest.param(
            replace(WRITER, permission=Permission("admin", 2, "Bot")),
            Denied(Denial.NOT_A_PERSON, visible=False),
            id="bot",
        ),
        pytest.param(
            replace(WRITER, permission=Permission("admin", 2, "")),
            Denied(Denial.NOT_A_PERSON, visible=False),
            id="account of no type",
        ),
        pytest.param(
            replace(WRITER, installation_suspended=True),
            Denied(Denial.INSTALLATION_SUSPENDED, visible=False),
            id="suspended",
        ),
        pytest.param(replace(WRITER, repo=None), Denied(Denial.REPOSITORY_GONE, visible=False), id="gone"),
        pytest.param(
            replace(WRITER, repo=RepoState(archived=True)),
            Denied(Denial.REPOSITORY_ARCHIVED, visible=False),
            id="archived",
        ),
        pytest.param(
            replace(WRITER, repo=RepoState(disabled=True)),
            Denied(Denial.REPOSITORY_DISABLED, visible=False),
            id="disabled",
        ),
        pytest.param(replace(WRITER, repo=RepoState(empty=True)), Denied(Denial.REPOSITORY_EMPTY), id="empty"),
        pytest.param(replace(WRITER, budget_left_usd=0.0), Denied(Denial.BUDGET_USED_UP), id="budget used up"),
        pytest.param(replace(WRITER, budget_left_usd=-1.0), Denied(Denial.BUDGET_USED_UP), id="budget overdrawn"),
        pytest.param(replace(WRITER, budget_left_usd=None), Allowed(), id="no budget"),
        pytest.param(
            replace(WRITER, permission=None, repo=RepoState(archived=True), budget_left_usd=0.0),
            Denied(Denial.NOT_AUTHORISED, visible=False),
            id="a stranger learns nothing about the rest",
        ),
    ],
)
def test_decide(facts: Facts, expected: Allowed | Denied) -> None:
    assert decide(facts) == expected
