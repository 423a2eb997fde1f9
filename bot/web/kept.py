"""What pages need of a run, kept in memory: its view, folded only with what is new, and its patch, coloured once."""

import asyncio
from collections import OrderedDict
from typing import TypeVar

from bot.model import RunId
from bot.pipeline.publish import PATCH_ARTEFACT
from bot.runs.records import Run
from bot.runs.store import Store
from bot.runs.view import RunView, fold
from bot.web import patch_html
from bot.web.patch_html import PatchPage

_MOST_VIEWS = 200
_MOST_PATCHES = 20

V = TypeVar("V")


class Kept:
    """For all visitors of this process; a log only grows, and the patch of a run that has ended stays as it is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views: OrderedDict[RunId, RunView] = OrderedDict()
        self._patches: OrderedDict[RunId, PatchPage] = OrderedDict()

    async def view(self, run: Run) -> RunView:
        """At least up to the last event that `run` knows of. Raises StoreUnavailable."""
        view = self._views.get(run.id) or RunView()
        while view.last_seq < run.last_seq:
            page = await self._store.events_after(run.id, view.last_seq)
            if not page:
                break
            for stored in page:
                view = fold(view, stored)
            known = self._views.get(run.id)
            # Another request may have come further meanwhile.
            view = known if known is not None and known.last_seq > view.last_seq else view
            _keep(self._views, run.id, view, _MOST_VIEWS)
        return view

    async def patch(self, run: Run) -> PatchPage | None:
        """None as long as the run goes on, and when there is none. Raises StoreUnavailable."""
        if run.finished_at is None:
            return None
        if run.id in self._patches:
            return self._patches[run.id]
        patch = await self._store.saved(run.id, PATCH_ARTEFACT)
        if not patch:
            return None
        page = await asyncio.to_thread(patch_html.page_of, patch)
        _keep(self._patches, run.id, page, _MOST_PATCHES)
        return page


def _keep(among: OrderedDict[RunId, V], run_id: RunId, value: V, most: int) -> None:
    among[run_id] = value
    among.move_to_end(run_id)
    if len(among) > most:
        among.popitem(last=False)
