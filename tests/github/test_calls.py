"""One call: retries, refused tokens, renames, deadlines, and failures told apart."""

import pytest

from bot.github.answers import OnIssue
from bot.github.failures import (
    GitHubFailed,
    PermissionMissing,
    RateLimited,
    RepositoryNotInstalled,
    Unauthorized,
    Unavailable,
)
from bot.github.refusals import Refusal
from tests.fakes.github import Fault
from tests.github.conftest import Scene

_MARKER = "<!-- backspace:run=0f3c -->"


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.DROP, Fault.BAD_GATEWAY_AFTER, Fault.DROP_AFTER])
async def test_a_read_is_tried_again(scene: Scene, fault: Fault) -> None:
    scene.fake.fail("GET", "*/permission", fault, count=2)
    assert await scene.client.permission(scene.at, scene.actor)


async def test_an_edit_is_tried_again(scene: Scene) -> None:
    comment_id = await scene.client.post_comment(scene.at, scene.issue.number, _MARKER, _MARKER)
    scene.fake.fail("PATCH", "*", Fault.BAD_GATEWAY_AFTER)
    assert await scene.client.edit_comment(scene.at, comment_id, "new")


async def test_a_call_gives_up_in_the_end(scene: Scene) -> None:
    scene.fake.fail("GET", "*/permission", Fault.SERVER_ERROR, count=-1)
    with pytest.raises(Unavailable):
        await scene.client.permission(scene.at, scene.actor)


async def test_a_refused_token_is_replaced_once(scene: Scene) -> None:
    await scene.client.permission(scene.at, scene.actor)
    scene.fake.world.tokens.clear()
    assert await scene.client.permission(scene.at, scene.actor)
    assert scene.mints() == 2


async def test_a_token_that_stays_refused_is_a_failure(scene: Scene) -> None:
    scene.fake.fail("GET", "*/permission", Fault.UNAUTHORIZED, count=-1)
    with pytest.raises(Unauthorized):
        await scene.client.permission(scene.at, scene.actor)
    assert scene.mints() == 2


class TestRenamed:
    async def test_reads_and_writes_go_on_under_the_new_name(self, scene: Scene) -> None:
        scene.fake.rename_repo(scene.repository, "gadgets")
        comment_id = await scene.client.post_comment(scene.at, scene.issue.number, _MARKER, _MARKER)
        assert [comment.id for comment in scene.fake.bot_comments(scene.issue)] == [comment_id]
        assert await scene.client.permission(scene.at, scene.actor)
        assert scene.client.git_url(scene.at).endswith("/acme/gadgets.git")

    async def test_the_new_name_is_learned_once(self, scene: Scene) -> None:
        scene.fake.rename_repo(scene.repository, "gadgets")
        for _ in range(3):
            await scene.client.permission(scene.at, scene.actor)
        assert scene.calls("GET /repos/{owner}/{repo}/collaborators") == 4


class TestRateLimits:
    async def test_a_short_wait_is_waited(self, scene: Scene) -> None:
        before = scene.fake.clock()
        scene.fake.fail("GET", "*/permission", Fault.TOO_MANY, retry_after_seconds=7)
        assert await scene.client.permission(scene.at, scene.actor)
        assert (scene.fake.clock() - before).total_seconds() >= 7

    async def test_a_long_one_is_raised_with_its_end(self, scene: Scene) -> None:
        scene.fake.fail("GET", "*/permission", Fault.TOO_MANY, retry_after_seconds=600)
        with pytest.raises(RateLimited) as failure:
            await scene.client.permission(scene.at, scene.actor)
        assert 590 <= (failure.value.until - scene.fake.clock()).total_seconds() <= 600

    async def test_while_it_lasts_nothing_is_sent(self, scene: Scene) -> None:
        scene.fake.fail("GET", "*/permission", Fault.SECONDARY_LIMIT, retry_after_seconds=600)
        with pytest.raises(RateLimited):
            await scene.client.permission(scene.at, scene.actor)
        sent = len(scene.fake.requests)
        with pytest.raises(RateLimited):
            await scene.client.react(scene.at, OnIssue(scene.issue.number), "eyes")
        assert len(scene.fake.requests) == sent
        scene.fake.clock.advance(601)
        await scene.client.react(scene.at, OnIssue(scene.issue.number), "eyes")

    async def test_a_used_up_hour_is_waited_for(self, scene: Scene) -> None:
        scene.fake.limits.primary_per_hour = 1
        await scene.client.permission(scene.at, scene.actor)
        with pytest.raises(RateLimited) as failure:
            await scene.client.permission(scene.at, scene.actor)
        assert failure.value.until > scene.fake.clock()


class TestRefusals:
    async def test_a_missing_permission_names_what_would_do(self, scene: Scene) -> None:
        scene.fake.installation(scene.at.installation_id).permissions["contents"] = "read"
        with pytest.raises(PermissionMissing):
            await scene.client.commits.head(scene.at, "main")

    async def test_a_repository_out_of_reach(self, scene: Scene) -> None:
        scene.fake.installation(scene.at.installation_id).repositories.clear()
        with pytest.raises(RepositoryNotInstalled):
            await scene.client.permission(scene.at, scene.actor)

    async def test_no_token_stands_in_a_failure(self, scene: Scene) -> None:
        scene.fake.fail("GET", "*/permission", Fault.SERVER_ERROR, count=-1)
        with pytest.raises(GitHubFailed) as failure:
            await scene.client.permission(scene.at, scene.actor)
        assert scene.secrets
        assert all(secret not in repr(failure.value) + str(failure.value.__cause__) for secret in scene.secrets)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (401, "Bad credentials", "github-token-refused"),
        (403, "This installation has been suspended", "installation-suspended"),
        (403, "Repository was archived so is read-only.", "repository-read-only"),
        (403, "Unable to create comment because issue is locked.", "thread-locked"),
        (403, "Resource not accessible by integration", "permission-missing"),
        (404, "Not Found", "github-not-found"),
        (409, "Git Repository is empty.", "github-conflict"),
        (410, "Issues are disabled for this repo", "github-not-found"),
        (422, "Validation Failed", "github-unprocessable"),
        (502, "Server Error", "github-unavailable"),
        (451, "Repository access blocked", "github-failed"),
    ],
)
def test_refusals_are_told_apart(status: int, message: str, code: str) -> None:
    headers = {"x-accepted-github-permissions": "issues=write"}
    failure = Refusal.parse("GET /x", status, headers, {"message": message}).failure()
    assert failure.code == code
    assert failure.status == status
    assert message in str(failure)


def test_a_refusals_details_are_kept() -> None:
    body = {
        "message": "Validation Failed",
        "errors": [{"resource": "Label", "code": "already_exists", "field": "name"}],
    }
    assert "already_exists" in str(Refusal.parse("POST /labels", 422, {}, body).failure())
