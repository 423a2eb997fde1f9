"""Which deliveries we have, and up to when GitHub's own list of them was read."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from bot.runs.schema import cursors, deliveries
from bot.runs.tables import Tables

_NAME = "deliveries"
_PAGE = 500


class DeliveryLog:
    """All methods raise StoreUnavailable."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def received(self, guids: Collection[str]) -> set[str]:
        """Those of them that are deliveries we have."""
        asked = sorted(guids)

        def work(c: sa.Connection) -> set[str]:
            pages = (asked[start : start + _PAGE] for start in range(0, len(asked), _PAGE))
            queries = (sa.select(deliveries.c.guid).where(deliveries.c.guid.in_(page)) for page in pages)
            return {guid for query in queries for guid in c.execute(query).scalars()}

        return await self._tables.read(work)

    async def read_until(self) -> datetime | None:
        """By GitHub's clock; None when the list was never read."""
        query = sa.select(cursors.c.value).where(cursors.c.name == _NAME)
        value = await self._tables.read(lambda c: c.execute(query).scalar())
        return datetime.fromisoformat(value) if value else None

    async def note(self, until: datetime) -> None:
        """The list has been read up to then."""

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(cursors).where(cursors.c.name == _NAME))
            c.execute(sa.insert(cursors).values(name=_NAME, value=until.isoformat()))

        await self._tables.write(work)
