"""`backspace setup`, before it starts: what would make a registration useless is said first."""

from pathlib import Path

import pytest

from bot import setup
from bot.errors import SettingsError
from bot.github.registration import Registered
from bot.settings import GitHubApp, Need, Settings, load
from tests.fakes.github import FakeGitHub

_ELSEWHERE = {"HOME": "/nowhere", "BACKSPACE_PUBLIC_URL": "https://backspace.example"}


def settings(**given: str) -> Settings:
    return load({**_ELSEWHERE, **given}, None, needs=frozenset(), user_id=1000)


def problems(
    loaded: Settings, file: Path | None, *, environment: tuple[str, ...] = (), replace: bool = False
) -> list[str]:
    try:
        setup.problems(loaded, environment, file, replace=replace)
    except SettingsError as error:
        return [problem.name for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, []),
        ({"BACKSPACE_PUBLIC_URL": "http://127.0.0.1:8000"}, ["BACKSPACE_PUBLIC_URL"]),
        ({"BACKSPACE_PUBLIC_URL": ""}, ["BACKSPACE_PUBLIC_URL"]),
        (
            {
                "BACKSPACE_PUBLIC_URL": "http://127.0.0.1:8000",
                "GITHUB_URL": "http://127.0.0.1:9000",
                "GITHUB_API_URL": "http://127.0.0.1:9000/api/v3",
            },
            [],
        ),
    ],
    ids=["reachable", "loopback", "not set", "all on loopback"],
)
def test_github_has_to_reach_us(given: dict[str, str], names: list[str], tmp_path: Path) -> None:
    assert problems(settings(**given), tmp_path / ".env") == names


def test_an_app_that_is_set_already_is_not_replaced_in_silence(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("GITHUB_APP_ID=1\nGITHUB_CLIENT_ID=\nGITHUB_PRIVATE_KEY_PATH=/app.pem\n")
    assert problems(settings(), file) == ["GITHUB_APP_ID", "GITHUB_PRIVATE_KEY_PATH"]
    assert problems(settings(), file, replace=True) == []
    assert problems(settings(), None) == []


def test_the_environment_would_win(tmp_path: Path) -> None:
    for replace in (False, True):
        found = problems(settings(), tmp_path / ".env", environment=("GITHUB_APP_ID", "PATH"), replace=replace)
        assert found == ["GITHUB_APP_ID"]
    assert problems(settings(), None, environment=("GITHUB_APP_ID",)) == []


def test_what_is_written_is_what_the_server_needs(tmp_path: Path) -> None:
    with FakeGitHub.create(tmp_path / "github", described=False) as github:
        pem = github.identity.private_key_pem
    app = Registered(7, "Backspace", "acme", "https://github.example/apps/backspace", "Iv1", "secret", "hook", pem)
    loaded = load({**_ELSEWHERE, **setup.settings_of(app)}, None, needs=frozenset({Need.GITHUB_APP}), user_id=1000)
    assert isinstance(loaded.github_app, GitHubApp)
    assert loaded.github_app.id == 7
    assert loaded.github_app.private_key.get_secret_value() == pem
    assert [one.get_secret_value() for one in loaded.github_app.webhook_secrets] == ["hook"]
    assert loaded.github_client_id == "Iv1"


def test_secrets_are_not_in_its_text() -> None:
    app = Registered(7, "Backspace", "acme", "https://github.example/apps/backspace", "Iv1", "one", "two", "three")
    assert not [secret for secret in ("one", "two", "three") if secret in repr(app)]
