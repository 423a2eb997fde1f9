"""Runs as lists: every run once, newest first, whatever is added meanwhile; and what they cost."""

import asyncio
import base64
from datetime import date, datetime, timedelta, timezone

import pytest

from bot.model import InstallationId, Repo, RunId, RunState, Usage
from bot.runs.listing import Cost, Cursor, Filters, Listing, behind
from bot.runs.store import Store
from bot.runs.tables import Tables
from tests.web.serving import NOON, a_run, ended, store_on

_ALL = Filters()
_TOOLS = Repo(2, "acme/tools", "main", private=True)
_OTHER = Repo(3, "Other/thing_1", "main", private=False)


@pytest.fixture
def store(tables: Tables) -> Store:
    return store_on(tables)


@pytest.fixture
def listing(tables: Tables) -> Listing:
    return Listing(tables)


async def ids(listing: Listing, filters: Filters) -> set[RunId]:
    return {run.id for run in await listing.page(filters, None, 100)}


async def test_every_run_is_on_one_page_newest_first_also_of_one_moment(store: Store, listing: Listing) -> None:
    moments = [NOON + timedelta(seconds=number // 3) for number in range(10)]
    made = {await a_run(store, at=at): at for at in moments}
    seen: list[RunId] = []
    after: Cursor | None = None
    while page := await listing.page(_ALL, after, 4):
        seen += [run.id for run in page]
        after = behind(page[-1])
        await a_run(store, at=NOON + timedelta(days=1))  # what comes in meanwhile is on an earlier page
    assert sorted(seen) == sorted(made)
    assert [made[run_id] for run_id in seen] == sorted(moments, reverse=True)


async def test_the_filters_leave_out_the_rest(store: Store, listing: Listing) -> None:
    calc, tools = await a_run(store, actor="Octo"), await a_run(store, repo=_TOOLS)
    thing = await a_run(store, repo=_OTHER, actor="lead")
    await ended(store, tools)
    assert await ids(listing, Filters(repo="ACME/Calc")) == {calc}
    assert await ids(listing, Filters(state=RunState.FINISHED)) == {tools}
    assert await ids(listing, Filters(actor="octo")) == {calc, tools}
    assert await ids(listing, Filters(repo="acme/tools", actor="lead")) == set()
    assert await ids(listing, Filters(repo="other/thing_1", state=RunState.ACCEPTED, actor="LEAD")) == {thing}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*/*"], {"acme/calc", "acme/tools", "Other/thing_1"}),
        (["acme/*"], {"acme/calc", "acme/tools"}),
        (["ACME/c?lc"], {"acme/calc"}),
        (["other/thing_1", "acme/tools"], {"Other/thing_1", "acme/tools"}),
        (["other/thing_?"], {"Other/thing_1"}),
        (["acme_*", "acme%"], set()),
        (["acme/[a-t]ools"], {"acme/calc", "acme/tools"}),  # more than it covers, which the door leaves out
        ([], set()),
    ],
)
async def test_patterns_of_a_key_find_what_they_cover(
    patterns: list[str], expected: set[str], store: Store, listing: Listing
) -> None:
    for repo in (Repo(1, "acme/calc", "main", private=True), _TOOLS, _OTHER):
        await a_run(store, repo=repo)
    found = await listing.page(Filters(patterns=patterns), None, 10)
    assert {run.request.repo.full_name for run in found} == expected


async def test_a_cursor_comes_back_as_it_went(store: Store, listing: Listing) -> None:
    await a_run(store, at=datetime(2026, 11, 2, 23, 30, 0, 123456, timezone(timedelta(hours=-5))))
    (run,) = await listing.page(_ALL, None, 1)
    assert Cursor.of(behind(run).token()) == behind(run)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "ä",
        "!!!!",
        "a" * 10_000,
        base64.urlsafe_b64encode(b"yesterday run-1").decode(),
        base64.urlsafe_b64encode(b"2026-11-02T12:00:00 run-1").decode(),
        base64.urlsafe_b64encode(b"2026-11-02T12:00:00+00:00").decode(),
        base64.urlsafe_b64encode(b"2026-11-02T12:00:00+00:00 a\x00b").decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
    ids=["too short", "not ASCII", "not base64", "too long", "no time", "no zone", "no run", "NUL", "no text"],
)
def test_what_is_no_cursor_of_ours_is_none(token: str) -> None:
    assert Cursor.of(token) is None


async def test_of_each_repository_the_newest(store: Store, listing: Listing) -> None:
    await a_run(store)
    newer = await a_run(store, at=NOON + timedelta(seconds=1))
    tools = await a_run(store, repo=_TOOLS)
    await a_run(store, repo=_OTHER, at=NOON - timedelta(days=2))
    newest = await listing.newest_of_each(NOON - timedelta(days=1))
    assert [run.id for run in newest] == [newer, tools]


async def test_costs_are_summed_by_day_and_repository(store: Store, listing: Listing) -> None:
    late = datetime(2026, 11, 2, 22, 0, tzinfo=timezone(timedelta(hours=-5)))  # the third, in UTC
    moments = [(NOON, 0.5), (NOON + timedelta(hours=11), 0.25), (late, 1.0)]
    for at, dollars in moments:
        await store.add_usage(await a_run(store, at=at), Usage(cost_usd=dollars))
    await store.add_usage(await a_run(store, repo=_TOOLS), Usage(cost_usd=2.0))
    await store.add_usage(await a_run(store, repo=_OTHER), Usage(cost_usd=4.0))
    await store.add_usage(await a_run(store, at=NOON - timedelta(days=40)), Usage(cost_usd=8.0))
    second, third = date(2026, 11, 2), date(2026, 11, 3)
    assert await listing.costs(NOON - timedelta(days=30), ["acme/tools", "acme/calc", "acme/none"]) == [
        Cost(second, "acme/calc", 0.75, 2),
        Cost(second, "acme/tools", 2.0, 1),
        Cost(third, "acme/calc", 1.0, 1),
    ]
    assert await listing.costs(NOON - timedelta(days=30), []) == []


async def test_lists_and_writers_do_not_wait_for_each_other(store: Store, listing: Listing) -> None:
    written = asyncio.gather(*(a_run(store, installation=InstallationId(number)) for number in range(20)))
    pages = await asyncio.gather(*(listing.page(_ALL, None, 5) for _ in range(20)))
    assert len(set(await written)) == 20
    assert all(len(page) <= 5 for page in pages)
