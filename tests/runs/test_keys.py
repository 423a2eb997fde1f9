"""API keys: shown once, stored as hashes, good until they are revoked; and the commands for them."""

import asyncio
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.runs import database
from bot.runs.keys import Keys
from bot.runs.schema import api_keys
from bot.runs.tables import Tables

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


async def made(keys: Keys, *, may_run: bool = True, repos: tuple[str, ...] = ("acme/*",)) -> str:
    return await keys.add(
        name="ci", may_run=may_run, repos=repos, runs_per_hour=60, now=NOON, random_bytes=secrets.token_bytes
    )


async def test_a_key_is_found_by_its_secret_and_by_nothing_else(tables: Tables) -> None:
    keys = Keys(tables)
    secret = await made(keys, may_run=False)
    found = await keys.find(secret, NOON)
    assert re.fullmatch(r"bsk_[A-Za-z0-9_-]{43}", secret)
    assert found is not None
    assert (found.name, found.may_run, found.repos, found.runs_per_hour) == ("ci", False, ("acme/*",), 60)
    (kept,) = await keys.list()
    for other in ("", "bsk_", secret[:-1], secret + "A", secret.swapcase(), kept.key.id, secret * 50):
        assert await keys.find(other, NOON) is None


async def test_only_the_hash_of_a_secret_is_stored(tables: Tables) -> None:
    secret = await made(Keys(tables))
    (row,) = await tables.read(lambda c: c.execute(sa.select(api_keys)).all())
    assert secret.removeprefix("bsk_") not in repr(row)


async def test_a_revoked_key_opens_nothing_and_stays_in_the_list(tables: Tables) -> None:
    keys = Keys(tables)
    secret, other = await made(keys), await made(keys)
    found = await keys.find(secret, NOON)
    assert found is not None
    assert await keys.revoke(found.id, NOON)
    assert await keys.revoke(found.id, NOON + timedelta(days=1))
    assert not await keys.revoke("nonesuch", NOON)
    assert await keys.find(secret, NOON) is None
    assert await keys.find(other, NOON) is not None
    assert sorted(str(one.revoked_at) for one in await keys.list()) == sorted([str(NOON), "None"])


async def test_the_last_use_is_noted_once_a_minute(tables: Tables) -> None:
    keys = Keys(tables)
    secret = await made(keys)
    noted = []
    for seconds in (0, 59, 60, 119):
        await asyncio.gather(*(keys.find(secret, NOON + timedelta(seconds=seconds)) for _ in range(5)))
        # Nobody waits for the note: it is written by the time that a later write is.
        await tables.write(lambda _: None)
        (kept,) = await keys.list()
        noted.append(kept.last_used_at)
    minute = NOON + timedelta(minutes=1)
    assert noted == [NOON, NOON, minute, minute]


async def test_keys_that_are_brought_at_once_are_told_apart(tables: Tables) -> None:
    keys = Keys(tables)
    good, revoked, other = await made(keys), await made(keys), await made(keys, may_run=False)
    found = await keys.find(revoked, NOON)
    assert found is not None
    await keys.revoke(found.id, NOON)
    brought = [good, revoked, other, "bsk_wrong"] * 20
    answers = await asyncio.gather(*(keys.find(secret, NOON) for secret in brought))
    assert [answer.may_run if answer else None for answer in answers] == [True, None, False, None] * 20


async def test_who_goes_away_takes_no_answer_from_the_others(tables: Tables) -> None:
    keys = Keys(tables)
    secret = await made(keys)
    waiting = [asyncio.create_task(keys.find(secret, NOON)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert all(await asyncio.gather(*waiting[1:]))
    assert await keys.find(secret, NOON) is not None


async def test_a_revocation_holds_for_whoever_asks_after_it(tables: Tables) -> None:
    keys = Keys(tables)
    secret = await made(keys)
    found = await keys.find(secret, NOON)
    assert found is not None
    before = asyncio.create_task(keys.find(secret, NOON))
    await asyncio.sleep(0)
    await keys.revoke(found.id, NOON)
    assert await keys.find(secret, NOON) is None
    await before


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        pytest.param("acme/*", "acme/calc", True, id="all-of-an-owner"),
        pytest.param("acme/*", "Acme/Calc", True, id="github-ignores-case"),
        pytest.param("acme/*", "acme-evil/calc", False, id="an-owner-that-begins-the-same"),
        pytest.param("acme/calc", "acme/calc", True, id="one"),
        pytest.param("acme/calc", "acme/calculator", False, id="a-name-that-begins-the-same"),
        pytest.param("*/*", "other/thing", True, id="everything"),
    ],
)
async def test_a_key_is_for_the_repositories_of_its_patterns(
    pattern: str, name: str, tables: Tables, *, covered: bool
) -> None:
    keys = Keys(tables)
    found = await keys.find(await made(keys, repos=(pattern,)), NOON)
    assert found is not None
    assert found.covers(name) is covered


# The commands


@dataclass
class Shell:
    home: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.home}/data/backspace.db"

    def backspace(self, *words: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "BACKSPACE_HOME": str(self.home / "data")}
        return subprocess.run(
            [sys.executable, "-m", "bot", "keys", *words],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "data").mkdir()
    return Shell(tmp_path)


@pytest.mark.slow
def test_keys_are_made_listed_and_revoked_beside_a_running_server_and_without_the_app(shell: Shell) -> None:
    with database.exclusive(shell.url):
        added = shell.backspace("add", "--name", "ci", "--repo", "acme/*", "--repo", "other/tool", "--per-hour", "5")
        assert (added.returncode, added.stdout[:4]) == (0, "bsk_")
        assert added.stdout.strip() not in added.stderr
        head, line = shell.backspace("list").stdout.splitlines()
        assert head.startswith("ID")
        assert [*line.split()[1:5], line.split()[-1]] == ["ci", "run", "acme/*,other/tool", "5", "active"]
        assert added.stdout.strip() not in line
        assert shell.backspace("revoke", line.split()[0]).returncode == 0
        assert "revoked" in shell.backspace("list").stdout.splitlines()[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("add", "--name", "ci", "--repo", "acme"), 2, "owner/name", id="no-repository"),
        pytest.param(("add", "--name", " ", "--repo", "acme/*"), 2, "--name", id="no-name"),
        pytest.param(("add", "--name", "ci"), 2, "--repo", id="no-scope"),
        pytest.param(("add", "--name", "ci", "--repo", "a/b", "--per-hour", "0"), 2, "--per-hour", id="no-runs"),
        pytest.param(("revoke", "nonesuch"), 1, "backspace keys list", id="unknown"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(words: tuple[str, ...], code: int, said: str, shell: Shell) -> None:
    ended = shell.backspace(*words)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_settings_that_cannot_be_used_end_with_2(shell: Shell) -> None:
    (shell.home / ".env").write_text("DATABASE_URL=mysql://nowhere\n")
    ended = shell.backspace("list")
    assert ended.returncode == 2
    assert "DATABASE_URL" in ended.stderr


@pytest.mark.slow
def test_a_database_that_cannot_be_opened_ends_with_1_and_says_so(shell: Shell) -> None:
    (shell.home / "data" / "backspace.db").mkdir()
    ended = shell.backspace("list")
    assert ended.returncode == 1
    assert "database" in ended.stderr
    assert "Traceback" not in ended.stderr
