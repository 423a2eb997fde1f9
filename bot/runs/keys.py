"""API keys: made, found by what a caller brings, revoked. Only hashes of them are kept."""

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from bot.runs.gathered import Gathered
from bot.runs.records import Key
from bot.runs.schema import api_keys
from bot.runs.tables import Tables

PREFIX = "bsk_"
_SECRET_BYTES = 32
_ID_BYTES = 4
_LONGEST_SECRET = 200
_USE_IS_NOTED_EVERY = timedelta(minutes=1)

# Built once: putting such a statement together costs several times what running it costs.
_GOOD = sa.select(api_keys).where(
    api_keys.c.hash.in_(sa.bindparam("hashes", expanding=True)), api_keys.c.revoked_at.is_(None)
)


@dataclass(frozen=True)
class KeptKey:
    """A key's row."""

    key: Key
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class Keys:
    """All methods that wait raise StoreUnavailable."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._found = Gathered(self._read)
        self._noted: dict[str, datetime] = {}
        """When the latest use of a key was noted here."""

    async def add(
        self,
        *,
        name: str,
        may_run: bool,
        repos: Sequence[str],
        runs_per_hour: int,
        now: datetime,
        random_bytes: Callable[[int], bytes],
    ) -> str:
        """The secret, which nobody can find out again. `repos`: patterns of `owner/name`."""
        secret = PREFIX + base64.urlsafe_b64encode(random_bytes(_SECRET_BYTES)).rstrip(b"=").decode()
        row = {
            "id": random_bytes(_ID_BYTES).hex(),
            "hash": _hash(secret),
            "name": name,
            "may_run": may_run,
            "repos": list(repos),
            "runs_per_hour": runs_per_hour,
            "created_at": now,
        }
        await self._tables.write(lambda c: c.execute(sa.insert(api_keys).values(row)))
        return secret

    async def find(self, secret: str, now: datetime) -> Key | None:
        """None for a key that was never made, and for one that was revoked.

        It is looked up by its hash: how long that takes says nothing about the secret.
        """
        if not secret.startswith(PREFIX) or len(secret) > _LONGEST_SECRET:
            return None
        found = await self._found.get(_hash(secret))
        if found is None:
            return None
        self._note_use(found, now)
        return found.key

    async def _read(self, hashes: Collection[str]) -> dict[str, KeptKey]:
        """Those of them that are of good keys."""
        asked = {"hashes": list(hashes)}
        return await self._tables.read(lambda c: {row.hash: _kept(row) for row in c.execute(_GOOD, asked)})

    def _note_use(self, found: KeptKey, now: datetime) -> None:
        """Nobody waits for it, and of many uses at once one is noted."""
        key_id = found.key.id
        uses = (found.last_used_at, self._noted.get(key_id))
        if any(use is not None and now - use < _USE_IS_NOTED_EVERY for use in uses):
            return
        self._noted[key_id] = now
        used = sa.update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=now)
        self._tables.note(lambda c: c.execute(used))

    async def good(self, key_id: str, full_name: str) -> bool:
        """Whether the key is still one that may run something there."""
        query = sa.select(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        row = await self._tables.read(lambda c: c.execute(query).first())
        return row is not None and row.may_run and _key(row).covers(full_name)

    async def list(self) -> list[KeptKey]:
        """Oldest first, revoked ones too."""
        query = sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return await self._tables.read(lambda c: [_kept(row) for row in c.execute(query)])

    async def revoke(self, key_id: str, now: datetime) -> bool:
        """False when there is no such key. One that was revoked before stays as it is."""
        update = (
            sa.update(api_keys)
            .where(api_keys.c.id == key_id)
            .values(revoked_at=sa.func.coalesce(api_keys.c.revoked_at, sa.literal(now, api_keys.c.revoked_at.type)))
        )
        return await self._tables.write(lambda c: c.execute(update).rowcount == 1)


def _hash(secret: str) -> str:
    """Of 256 random bits, which need no slow hash."""
    return sha256(secret.encode()).hexdigest()


def _key(row: Any) -> Key:  # noqa: ANN401 -- a row
    return Key(row.id, row.name, row.may_run, tuple(row.repos), row.runs_per_hour)


def _kept(row: Any) -> KeptKey:  # noqa: ANN401 -- a row
    return KeptKey(_key(row), row.created_at, row.revoked_at, row.last_used_at)
