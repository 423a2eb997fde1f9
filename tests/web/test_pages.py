"""One run's page and what its script asks for: all of a long log, piece by piece, and nothing twice."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

from bot.github.client import connect
from bot.model import RunId
from bot.pipeline.publish import PATCH_ARTEFACT
from bot.runs.keys import Keys
from bot.runs.listing import Listing
from bot.runs.rates import Rates
from bot.runs.reception import Reception
from bot.runs.sign_ins import SignIns
from bot.runs.store import Store
from bot.web import routes
from bot.web.api import CodeApi
from bot.web.door import Door
from bot.web.doorkeeper import Doorkeeper
from bot.web.hub import Hub
from bot.web.kept import Kept
from bot.web.page_routes import Pages
from bot.web.runs import RunReaders
from tests.fakes.github import FakeGitHub, serve
from tests.loopback import connected
from tests.runs.conftest import opened
from tests.web.serving import NOON, a_run, ended, said, served, store_on

_URL = "http://127.0.0.1:8000"
_PATCH = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-return 1\n+return 2\n"


@dataclass(frozen=True)
class Site:
    store: Store
    client: httpx.AsyncClient

    async def page(self, path: str) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    fake = FakeGitHub.create(tmp_path / "github")
    with serve(fake):
        yield fake


@pytest.fixture
async def site(fake: FakeGitHub, tmp_path: Path) -> AsyncIterator[Site]:
    numbers = count(1)

    async def sleep(seconds: float) -> None:
        fake.clock.advance(seconds)

    def new_run_id() -> RunId:
        return RunId(f"new-{next(numbers)}")

    with opened(f"sqlite:///{tmp_path}/store.db") as tables:
        store = store_on(tables)
        hub = Hub(store)
        async with connect(
            app_id=str(fake.identity.id),
            private_key=fake.identity.private_key_pem,
            api_url=fake.api_url,
            web_url=fake.web_url,
            clock=fake.clock,
            on_secret=lambda _: None,
            sleep=sleep,
        ) as github:
            keeper = Doorkeeper(
                Keys(tables), SignIns(tables), github, public_url=_URL, open_to_all=True, clock=lambda: NOON
            )
            listing = Listing(tables)
            readers = RunReaders(store, listing, hub, keeper)
            api = CodeApi(
                store=store,
                starts=store.starts(Rates(tables, lambda: NOON)),
                hub=hub,
                doorkeeper=keeper,
                public_url=_URL,
                github_url=fake.web_url,
                models=(),
                clock=lambda: NOON,
                new_run_id=new_run_id,
            )
            pages = Pages(
                store=store,
                listing=listing,
                readers=readers,
                doorkeeper=keeper,
                api=api,
                web_url=fake.web_url,
                clock=lambda: NOON,
                kept=Kept(store),
            )
            app = routes.build(
                door=Door(Reception(store, "/backspace", "backspace", 1, lambda: NOON, new_run_id), [], lambda _: None),
                parts=[readers, pages],
                store=store,
                ready=lambda: True,
                metrics=lambda: (b"", "text/plain"),
                broker=[],
                https=False,
            )
            async with served(app, hub) as (address, _), connected(address) as client:
                yield Site(store, client)


def shown(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="event-(\d+)"', page)]


def fact(page: str, name: str) -> str:
    found = re.search(f'data-{name}="([^"]*)"', page)
    assert found, name
    return found[1]


async def test_who_looks_seldom_misses_nothing(site: Site) -> None:
    run_id = await a_run(site.store)
    seen = shown(await site.page(f"/runs/{run_id}"))
    await site.store.append(run_id, said(*range(600)), NOON)
    await ended(site.store, run_id)
    more = True
    while more:
        page = await site.page(f"/runs/{run_id}/news?after={seen[-1]}")
        assert 0 < len(shown(page)) <= 250
        seen += shown(page)
        assert int(fact(page, "last")) == seen[-1]
        more = fact(page, "more") == "true"
    assert seen == list(range(1, 603))
    again = await site.page(f"/runs/{run_id}/news?after={seen[-1]}")
    assert (shown(again), fact(again, "more"), fact(again, "finished")) == ([], "false", "true")


async def test_a_long_log_is_paged_back_to_its_beginning(site: Site) -> None:
    run_id = await a_run(site.store)
    await site.store.append(run_id, said(*range(700)), NOON)
    seen: list[int] = []
    address = f"/runs/{run_id}"
    while address:
        page = await site.page(address)
        seen = shown(page) + seen
        earlier = re.search(r'<p id="earlier"><a href="([^"]*)"', page)
        address = earlier[1] if earlier else ""
    assert seen == list(range(1, 702))


@pytest.mark.parametrize("query", ["before=0", "before=1", "before=x", "before=99999", "before=-1", "before=²"])
async def test_a_place_that_is_none_is_a_page_all_the_same(site: Site, query: str) -> None:
    run_id = await a_run(site.store)
    assert await site.page(f"/runs/{run_id}?{query}")


async def test_the_change_is_shown_when_the_run_has_ended(site: Site) -> None:
    run_id = await a_run(site.store)
    await site.store.save(run_id, PATCH_ARTEFACT, _PATCH, NOON)
    assert "The change" not in await site.page(f"/runs/{run_id}/news?after=0")
    await ended(site.store, run_id)
    for address in (f"/runs/{run_id}", f"/runs/{run_id}/news?after=1"):
        assert '<i class="keyword">return</i>' in await site.page(address)


@pytest.mark.parametrize(("address", "name"), [("/", "Runs"), ("/new", "New run")])
async def test_the_page_that_is_open_is_marked(site: Site, address: str, name: str) -> None:
    assert re.findall(r'aria-current="page">([^<]*)<', await site.page(address)) == [name]


async def test_a_filter_that_finds_nothing_leads_back(site: Site) -> None:
    await a_run(site.store)
    assert '<a href="/">All runs</a>' in await site.page("/?repo=acme/none")
