"""Installation tokens: one mint for many callers, renewed in time, dropped when refused, never too wide."""

import asyncio
from datetime import timedelta

import httpx
import jwt
import pytest

from bot.github.failures import (
    AppRefused,
    GitHubFailed,
    InstallationGone,
    InstallationSuspended,
    PermissionMissing,
    RepositoryNotInstalled,
)
from bot.github.tokens import ANSWER, CLONE, Scope, Tokens
from bot.model import InstallationId
from tests.fakes.github import FakeGitHub, Fault
from tests.github.conftest import Scene


def _tokens(fake: FakeGitHub, http: httpx.AsyncClient, **changed: str) -> Tokens:
    async def at_once(seconds: float) -> None:
        pass

    told: list[str] = []
    settings = {"app_id": str(fake.identity.id), "private_key": fake.identity.private_key_pem, **changed}
    return Tokens(
        app_id=settings["app_id"],
        private_key=settings["private_key"],
        api_url=fake.api_url,
        api_version="2026-03-10",
        http=http,
        clock=fake.clock,
        on_secret=told.append,
        sleep=at_once,
    )


async def test_the_apps_own_token_is_what_github_asks_for(scene: Scene) -> None:
    async with httpx.AsyncClient(verify=False) as http:
        token = _tokens(scene.fake, http).app_token()
    claims = jwt.decode(token, scene.fake.identity.public_key_pem, algorithms=["RS256"])
    assert claims["iss"] == str(scene.fake.identity.id)
    assert claims["exp"] - claims["iat"] == 600
    assert claims["iat"] < scene.fake.clock().timestamp() - 50


async def test_many_first_calls_at_once_mint_one_token(scene: Scene) -> None:
    tokens = await asyncio.gather(*(scene.client.clone_token(scene.at) for _ in range(20)))
    assert len(set(tokens)) == 1
    assert scene.mints() == 1
    scene.fake.assert_clean()


async def test_a_caller_that_goes_away_does_not_take_the_token_from_the_others(scene: Scene) -> None:
    first = asyncio.create_task(scene.client.clone_token(scene.at))
    second = asyncio.create_task(scene.client.clone_token(scene.at))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).startswith("ghs_")
    assert scene.mints() == 1


async def test_a_token_reaches_one_repository_with_the_permissions_asked_for(scene: Scene) -> None:
    scene.fake.add_repo("acme/other", {"a": "b"})
    minted = scene.fake.world.tokens[await scene.client.clone_token(scene.at)]
    assert minted.repositories == (scene.repository,)
    assert minted.permissions == {"contents": "read", "metadata": "read"}


async def test_every_token_is_offered_for_redaction(scene: Scene) -> None:
    token = await scene.client.clone_token(scene.at)
    assert scene.secrets == [token]


async def test_a_token_is_renewed_five_minutes_before_it_expires(scene: Scene) -> None:
    first = await scene.client.clone_token(scene.at)
    scene.fake.clock.advance(timedelta(minutes=54).total_seconds())
    assert await scene.client.clone_token(scene.at) == first
    scene.fake.clock.advance(timedelta(minutes=2).total_seconds())
    assert await scene.client.clone_token(scene.at) != first


async def test_a_dropped_token_is_minted_again(scene: Scene) -> None:
    async with httpx.AsyncClient(verify=False) as http:
        tokens = _tokens(scene.fake, http)
        first = await tokens.token(scene.at.installation_id, scene.repository.id, CLONE)
        tokens.drop(first)
        assert await tokens.token(scene.at.installation_id, scene.repository.id, CLONE) != first
        tokens.forget(scene.at.installation_id)
        await tokens.token(scene.at.installation_id, scene.repository.id, CLONE)
    assert scene.mints() == 3


async def test_a_failed_mint_is_not_remembered(scene: Scene) -> None:
    scene.fake.fail("POST", "*/access_tokens", Fault.SERVER_ERROR, count=3)
    with pytest.raises(GitHubFailed):
        await scene.client.clone_token(scene.at)
    assert await scene.client.clone_token(scene.at)


async def test_a_server_error_while_minting_is_tried_again(scene: Scene) -> None:
    scene.fake.fail("POST", "*/access_tokens", Fault.SERVER_ERROR)
    scene.fake.fail("POST", "*/access_tokens", Fault.DROP)
    assert await scene.client.clone_token(scene.at)


class TestRefusals:
    async def _refused(self, scene: Scene, scope: Scope = ANSWER, installation: int | None = None) -> GitHubFailed:
        async with httpx.AsyncClient(verify=False) as http:
            tokens = _tokens(scene.fake, http)
            with pytest.raises(GitHubFailed) as failure:
                await tokens.token(InstallationId(installation or scene.at.installation_id), scene.repository.id, scope)
        return failure.value

    async def test_unknown_installation(self, scene: Scene) -> None:
        assert isinstance(await self._refused(scene, installation=1), InstallationGone)

    async def test_suspended_installation(self, scene: Scene) -> None:
        scene.fake.installation(scene.at.installation_id).suspended_at = scene.fake.clock()
        assert isinstance(await self._refused(scene), InstallationSuspended)

    async def test_repository_taken_out_of_the_installation(self, scene: Scene) -> None:
        scene.fake.installation(scene.at.installation_id).repositories.clear()
        assert isinstance(await self._refused(scene), RepositoryNotInstalled)

    async def test_permission_that_the_owner_has_not_granted(self, scene: Scene) -> None:
        scene.fake.installation(scene.at.installation_id).permissions["contents"] = "read"
        failure = await self._refused(scene, Scope(contents="write"))
        assert isinstance(failure, PermissionMissing)
        assert "contents: write" in str(failure)

    @pytest.mark.parametrize("app_id", ["1", "nonsense"])
    async def test_wrong_app(self, scene: Scene, app_id: str) -> None:
        async with httpx.AsyncClient(verify=False) as http:
            with pytest.raises(AppRefused):
                await _tokens(scene.fake, http, app_id=app_id).token(
                    scene.at.installation_id, scene.repository.id, CLONE
                )

    async def test_what_is_no_key_is_said_at_once(self, fake: FakeGitHub) -> None:
        async with httpx.AsyncClient(verify=False) as http:
            with pytest.raises(AppRefused, match="PEM"):
                _tokens(fake, http, private_key="not a key")
