"""Who signed in, and who is on the way to GitHub and back. Only hashes of what opens a door are kept."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa

from bot.model import Actor
from bot.runs.schema import sign_in_attempts, sign_ins
from bot.runs.tables import Tables


@dataclass(frozen=True)
class Attempt:
    """Somebody who was sent to GitHub."""

    verifier: str
    next: str
    """The path to go on at."""


class SignIns:
    """All methods raise StoreUnavailable. Secrets and states are random and long: whoever has one is let in."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def begin(self, state: str, attempt: Attempt, now: datetime, expires_at: datetime) -> None:
        row = {
            "state_hash": _hash(state),
            "verifier": attempt.verifier,
            "next": attempt.next,
            "expires_at": expires_at,
        }

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(sign_in_attempts).where(sign_in_attempts.c.expires_at <= now))
            c.execute(sa.insert(sign_in_attempts).values(row))

        await self._tables.write(work)

    async def take(self, state: str, now: datetime) -> Attempt | None:
        """The attempt of that state, once: nobody gets it a second time."""
        its = sign_in_attempts.c.state_hash == _hash(state)

        def work(c: sa.Connection) -> Attempt | None:
            taken = sa.delete(sign_in_attempts).where(its).returning(*sign_in_attempts.c)
            row = c.execute(taken).first()
            return Attempt(row.verifier, row.next) if row is not None and row.expires_at > now else None

        return await self._tables.write(work)

    async def open(self, secret: str, person: Actor, now: datetime, expires_at: datetime) -> None:
        row = {
            "hash": _hash(secret),
            "user_id": person.id,
            "login": person.login,
            "created_at": now,
            "expires_at": expires_at,
        }

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(sign_ins).where(sign_ins.c.expires_at <= now))
            c.execute(sa.insert(sign_ins).values(row))

        await self._tables.write(work)

    async def find(self, secret: str, now: datetime) -> Actor | None:
        query = sa.select(sign_ins).where(sign_ins.c.hash == _hash(secret), sign_ins.c.expires_at > now)
        row = await self._tables.read(lambda c: c.execute(query).first())
        return Actor(row.user_id, row.login) if row is not None else None

    async def end(self, secret: str) -> None:
        await self._tables.write(lambda c: c.execute(sa.delete(sign_ins).where(sign_ins.c.hash == _hash(secret))))


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
