"""Runs over HTTP: who sees which, how they are listed and followed, stopped and started again."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bot.github.client import connect
from bot.model import Actor, Outcome, Repo, RunId, RunState, TriggerKind
from bot.pipeline.publish import PATCH_ARTEFACT
from bot.pipeline.workplace import BUNDLE_ARTEFACT, SESSION_ARTEFACT
from bot.runs.keys import Keys
from bot.runs.lifecycle import Terms
from bot.runs.listing import Listing
from bot.runs.rates import Rates
from bot.runs.reception import Reception
from bot.runs.sign_ins import SignIns
from bot.runs.store import Store
from bot.runs.tables import Tables
from bot.web import routes, session_cookie
from bot.web.door import Door
from bot.web.doorkeeper import Doorkeeper
from bot.web.hub import Hub
from bot.web.run_actions import RunActions
from bot.web.runs import RunReaders
from tests.fakes.github import FakeGitHub, Repository, serve
from tests.loopback import connected
from tests.runs.conftest import opened
from tests.web.serving import NOON, a_run, ended, messages, said, served, store_on

_PUBLIC_URL = "http://backspace.example"
_READ_FORMS = ("", "/events", "/patch")
_FAR = str(10**14)


class _Faulty:
    """A part with a fault."""

    def routes(self) -> list[BaseRoute]:
        async def fail(_request: Request) -> Response:
            raise RuntimeError("hunter2")

        return [Route("/fault", fail)]


@dataclass
class Site:
    """The web part on loopback, between a store and a stand-in for GitHub."""

    address: str
    store: Store
    tables: Tables
    fake: FakeGitHub
    repository: Repository
    installation: int
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def repo(self) -> Repo:
        here = self.repository
        return Repo(here.id, here.full_name, here.default_branch, here.private)

    async def run(self, repo: Repo | None = None, *, issue: int | None = None) -> RunId:
        return await a_run(self.store, repo=repo or self.repo, installation=self.installation, issue=issue)

    async def by_key(self, *, may_run: bool = True, repos: tuple[str, ...] = ("*/*",), per_hour: int = 60) -> str:
        """A new key."""
        return await Keys(self.tables).add(
            name="ci",
            may_run=may_run,
            repos=repos,
            runs_per_hour=per_hour,
            now=NOON,
            random_bytes=secrets.token_bytes,
        )

    async def signed_in(self, login: str) -> dict[str, str]:
        """The headers that a browser sends."""
        secret = f"session-{next(self._numbers)}"
        person = Actor(self.fake.user(login).id, login)
        await SignIns(self.tables).open(secret, person, NOON, NOON + timedelta(hours=1))
        return {"cookie": f"backspace={secret}", "x-form-token": session_cookie.form_token(secret)}

    @asynccontextmanager
    async def visited(self, key: str = "", headers: dict[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
        sent = {**({"x-api-key": key} if key else {}), **(headers or {})}
        async with connected(self.address, headers=sent) as client:
            yield client


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    fake = FakeGitHub.create(tmp_path / "github")
    with serve(fake):
        yield fake


@asynccontextmanager
async def _site(fake: FakeGitHub, url: str, public_url: str) -> AsyncIterator[Site]:
    repository = fake.add_repo("acme/calc", {"README.md": "# Calc\n"})
    for login, role in (("octo", "write"), ("reader", "read")):
        fake.add_user(login, role)
    fake.add_user("stranger")
    installation = fake.install("acme", [repository])
    numbers = count(1)

    async def sleep(seconds: float) -> None:
        fake.clock.advance(seconds)

    def new_run_id() -> RunId:
        return RunId(f"new-{next(numbers)}")

    with opened(url) as tables:
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
                Keys(tables), SignIns(tables), github, public_url=public_url, open_to_all=False, clock=lambda: NOON
            )
            app = routes.build(
                door=Door(Reception(store, "/backspace", "backspace", 1, lambda: NOON, new_run_id), [], lambda _: None),
                parts=[
                    RunReaders(store, Listing(tables), hub, keeper),
                    RunActions(store, keeper, Rates(tables, lambda: NOON), public_url, lambda: NOON, new_run_id),
                    _Faulty(),
                ],
                store=store,
                ready=lambda: True,
                metrics=lambda: (b"", "text/plain"),
                broker=[],
                https=public_url.startswith("https:"),
            )
            async with served(app, hub) as (address, _):
                yield Site(address, store, tables, fake, repository, installation)


@pytest.fixture
async def site(fake: FakeGitHub, tmp_path: Path) -> AsyncIterator[Site]:
    async with _site(fake, f"sqlite:///{tmp_path}/store.db", _PUBLIC_URL) as site:
        yield site


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["detail"]
    return answer.status_code, body["code"]


async def numbers_of(client: httpx.AsyncClient, run_id: RunId, **sent: Any) -> list[int]:  # noqa: ANN401 -- httpx's arguments
    answer = await client.get(f"/api/runs/{run_id}/events", **sent)
    assert answer.status_code == 200, answer.text
    return [message.seq for message in messages(answer.text.splitlines())]


# Who sees what


@pytest.mark.parametrize("form", _READ_FORMS)
async def test_nobody_known_is_asked_who_he_is(form: str, site: Site) -> None:
    run_id = await site.run()
    for key in ("", "bsk_wrong"):
        async with site.visited(key) as client:
            answer = await client.get(f"/api/runs/{run_id}{form}")
            assert problem_of(answer) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert problem_of(await client.get("/api/runs")) == (401, "unauthorized")
            assert problem_of(await client.post(f"/api/runs/{run_id}/stop")) == (401, "unauthorized")


async def test_a_run_of_others_looks_like_none_at_all(site: Site) -> None:
    run_id = await site.run()
    await site.store.save(run_id, PATCH_ARTEFACT, b"secret", NOON)
    key = await site.by_key(repos=("other/*",))
    for headers in ({"x-api-key": key}, await site.signed_in("stranger")):
        async with site.visited(headers=headers) as client:
            for form in _READ_FORMS:
                theirs = await client.get(f"/api/runs/{run_id}{form}")
                nothing = await client.get(f"/api/runs/nothing{form}")
                assert problem_of(theirs) == (404, "no-such-run")
                assert theirs.content == nothing.content
            for act in ("stop", "retry"):
                theirs = await client.post(f"/api/runs/{run_id}/{act}")
                assert problem_of(theirs) == (404, "no-such-run")
            assert (await client.get("/api/runs")).json() == {"runs": [], "next": None}
    run = await site.store.run(run_id)
    assert run is not None
    assert run.state is RunState.ACCEPTED


@pytest.mark.parametrize("run_id", ["%00", "a" * 5_000, "..%2F..", "%F0%9F%92%A5"])
async def test_what_cannot_be_a_run_is_none(run_id: str, site: Site) -> None:
    async with site.visited(await site.by_key()) as client:
        for form in _READ_FORMS:
            assert (await client.get(f"/api/runs/{run_id}{form}")).status_code == 404


async def test_who_may_read_sees_the_run(site: Site) -> None:
    run_id = await site.run()
    key = {"x-api-key": await site.by_key(may_run=False, repos=("acme/calc",))}
    for headers in (key, await site.signed_in("reader")):
        async with site.visited(headers=headers) as client:
            run = (await client.get(f"/api/runs/{run_id}")).json()
            assert (run["request_id"], run["repo"], run["state"]) == (run_id, "acme/calc", "accepted")
            assert [run["request_id"] for run in (await client.get("/api/runs")).json()["runs"]] == [run_id]


async def test_the_patch_is_a_download(site: Site) -> None:
    run_id = await site.run()
    async with site.visited(await site.by_key()) as client:
        assert problem_of(await client.get(f"/api/runs/{run_id}/patch")) == (404, "no-such-run")
        await site.store.save(run_id, PATCH_ARTEFACT, b"--- a\n+++ b\n", NOON)
        answer = await client.get(f"/api/runs/{run_id}/patch")
        assert answer.content == b"--- a\n+++ b\n"
        assert "attachment" in answer.headers["content-disposition"]


# The list


async def test_the_list_goes_on_where_the_page_before_ended(site: Site) -> None:
    made = [await site.run() for _ in range(7)]
    seen: list[str] = []
    async with site.visited(await site.by_key()) as client:
        query: dict[str, str] = {"limit": "3"}
        sizes = []
        while True:
            page = (await client.get("/api/runs", params=query)).json()
            sizes.append(len(page["runs"]))
            seen += [run["request_id"] for run in page["runs"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
    assert sorted(seen) == sorted(made)
    assert sizes == [3, 3, 1]


async def test_a_page_is_full_though_most_runs_are_hidden(site: Site) -> None:
    hidden = Repo(99, "acme/hidden", "main", private=True)
    first = await site.run()
    for _ in range(150):
        await site.run(hidden)
    second = await site.run()
    async with site.visited(headers=await site.signed_in("reader")) as client:
        page = (await client.get("/api/runs", params={"limit": "2"})).json()
    assert sorted(run["request_id"] for run in page["runs"]) == sorted([first, second])
    assert page["next"] is None


async def test_a_page_is_empty_only_at_the_end(site: Site) -> None:
    first = await site.run()
    hidden = [Repo(100 + number, f"acme/hidden-{number}", "main", private=True) for number in range(3)]
    for number in range(1_200):
        await site.run(hidden[number % 3])
    async with site.visited(headers=await site.signed_in("reader")) as client:
        page = (await client.get("/api/runs", params={"limit": "2"})).json()
        assert [run["request_id"] for run in page["runs"]] == [first]
        assert page["next"] is None


async def test_the_list_is_filtered(site: Site) -> None:
    calc, tools = await site.run(), await site.run(Repo(5, "acme/tools", "main", private=True))
    await ended(site.store, calc)
    async with site.visited(await site.by_key()) as client:
        for query, expected in (
            ({"repo": "Acme/Tools"}, [tools]),
            ({"state": "finished"}, [calc]),
            ({"actor": "nobody"}, []),
            ({"repo": "acme/calc", "actor": "octo", "state": "finished"}, [calc]),
        ):
            page = (await client.get("/api/runs", params=query)).json()
            assert [run["request_id"] for run in page["runs"]] == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"cursor": "garbage"}, "bad-cursor"),
        ({"cursor": "\x00"}, "bad-cursor"),
        ({"state": "done"}, "bad-filter"),
        ({"limit": "0"}, "bad-filter"),
        ({"limit": "101"}, "bad-filter"),
        ({"limit": "-1"}, "bad-filter"),
        ({"limit": "٣"}, "bad-filter"),
        ({"repo": "a\x00b"}, "bad-filter"),
    ],
    ids=str,
)
async def test_what_cannot_be_listed_is_a_problem(query: dict[str, str], code: str, site: Site) -> None:
    async with site.visited(await site.by_key()) as client:
        assert problem_of(await client.get("/api/runs", params=query)) == (400, code)


# The events


async def test_the_events_go_on_behind_the_one_named(site: Site) -> None:
    run_id = await site.run()
    await site.store.append(run_id, said(*range(5)), NOON)
    await ended(site.store, run_id)
    async with site.visited(await site.by_key()) as client:
        assert await numbers_of(client, run_id) == [1, 2, 3, 4, 5, 6, 7]
        for after in range(8):
            rest = list(range(after + 1, 8))
            assert await numbers_of(client, run_id, params={"after": str(after)}) == rest
            assert await numbers_of(client, run_id, headers={"last-event-id": str(after)}) == rest
        both = {"params": {"after": "1"}, "headers": {"last-event-id": "5"}}
        assert await numbers_of(client, run_id, **both) == [6, 7]
        assert await numbers_of(client, run_id, headers={"last-event-id": _FAR}) == []


@pytest.mark.parametrize("sent", ["x", "-1", "1.5", "1e3", "٣", "9" * 40, "0x1", "1 2"])
async def test_a_cursor_that_is_none_is_a_problem(sent: str, site: Site) -> None:
    run_id = await site.run()
    async with site.visited(await site.by_key()) as client:
        url = f"/api/runs/{run_id}/events"
        assert problem_of(await client.get(url, params={"after": sent})) == (400, "bad-cursor")
        answer = await client.get(url, headers={b"last-event-id": sent.encode()})
        assert problem_of(answer) == (400, "bad-cursor")


async def test_events_come_as_they_happen(site: Site) -> None:
    run_id = await site.run()
    async with (
        site.visited(await site.by_key()) as client,
        client.stream("GET", f"/api/runs/{run_id}/events", headers={"last-event-id": "1"}) as stream,
    ):
        lines = stream.aiter_lines()
        for number in range(2, 12):
            await site.store.append(run_id, said(number), NOON)
            assert await anext(lines) == f"id: {number}"
            assert (await anext(lines)).startswith("data: {")
            assert await anext(lines) == ""
        await ended(site.store, run_id)
        assert [line async for line in lines][-2].startswith('data: {"type":"complete"')


async def test_to_ask_for_the_head_of_a_stream_does_not_wait_for_its_end(site: Site) -> None:
    run_id = await site.run()
    async with site.visited(await site.by_key()) as client:
        answer = await client.head(f"/api/runs/{run_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")


# Stop and retry


async def test_stop_says_what_it_came_to(site: Site) -> None:
    fresh, working = await site.run(), await site.run()
    await site.store.admit(working, Terms("m", 1.0, "branch"))
    await site.store.begin(working, NOON)
    async with site.visited(await site.by_key()) as client:
        for run_id, expected in ((fresh, (200, "at_once")), (fresh, (200, "before")), (working, (202, "soon"))):
            answer = await client.post(f"/api/runs/{run_id}/stop")
            assert (answer.status_code, answer.json()["result"]) == expected
    stopped, asked = await site.store.run(fresh), await site.store.run(working)
    assert stopped is not None
    assert asked is not None
    assert stopped.outcome is Outcome.STOPPED
    assert asked.stop_requested


async def test_a_retry_is_a_new_run_by_who_asks_that_goes_on_from_the_work(site: Site) -> None:
    run_id = await site.run(issue=5)
    await site.store.save(run_id, BUNDLE_ARTEFACT, b"bundle", NOON)
    await site.store.save(run_id, SESSION_ARTEFACT, b"session", NOON)
    async with site.visited(headers=await site.signed_in("octo")) as client:
        assert problem_of(await client.post(f"/api/runs/{run_id}/retry")) == (409, "still-running")
        await ended(site.store, run_id, Outcome.TIMED_OUT)
        answer = await client.post(f"/api/runs/{run_id}/retry")
    assert answer.status_code == 202
    new_id = answer.json()["request_id"]
    assert answer.json() == {
        "request_id": new_id,
        "run_url": f"{_PUBLIC_URL}/runs/{new_id}",
        "events_url": f"{_PUBLIC_URL}/api/runs/{new_id}/events",
    }
    earlier, new = await site.store.run(run_id), await site.store.run(RunId(new_id))
    assert earlier is not None
    assert new is not None
    octo = site.fake.user("octo")
    assert new.request == replace(
        earlier.request,
        actor=Actor(octo.id, "octo"),
        asked_by=f"user:{octo.id}",
        trigger=TriggerKind.API,
        comment_id=None,
    )
    assert await site.store.saved(new.id, BUNDLE_ARTEFACT) == b"bundle"
    assert await site.store.saved(new.id, SESSION_ARTEFACT) == b"session"


async def test_what_was_done_well_is_begun_anew(site: Site) -> None:
    run_id = await site.run()
    await site.store.save(run_id, BUNDLE_ARTEFACT, b"bundle", NOON)
    await ended(site.store, run_id, Outcome.PULL_REQUEST)
    async with site.visited(await site.by_key()) as client:
        new_id = (await client.post(f"/api/runs/{run_id}/retry")).json()["request_id"]
    assert await site.store.saved(RunId(new_id), BUNDLE_ARTEFACT) is None
    new = await site.store.run(RunId(new_id))
    assert new is not None
    assert new.request.actor == Actor(0, "ci")


async def test_one_wish_said_twice_is_one_retry(site: Site) -> None:
    run_id = await site.run()
    await ended(site.store, run_id)
    url = f"/api/runs/{run_id}/retry"
    async with site.visited(await site.by_key()) as client:
        same = await asyncio.gather(*(client.post(url, headers={"idempotency-key": "w"}) for _ in range(5)))
        assert (await client.post(url, headers={"idempotency-key": "w"})).json() == same[0].json()
        other = [await client.post(url, headers={"idempotency-key": "v" * 5_000}), await client.post(url)]
    assert {answer.status_code for answer in [*same, *other]} == {202}
    assert len({answer.json()["request_id"] for answer in same}) == 1
    assert len({answer.json()["request_id"] for answer in [*same, *other]}) == 3


async def test_a_key_retries_no_oftener_than_it_may_run(site: Site) -> None:
    run_id = await site.run()
    await ended(site.store, run_id)
    async with site.visited(await site.by_key(per_hour=2)) as client:
        answers = [await client.post(f"/api/runs/{run_id}/retry") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) > 0


@pytest.mark.parametrize("act", ["stop", "retry"])
async def test_who_may_only_read_does_neither(act: str, site: Site) -> None:
    run_id = await site.run()
    for headers in ({"x-api-key": await site.by_key(may_run=False)}, await site.signed_in("reader")):
        async with site.visited(headers=headers) as client:
            assert problem_of(await client.post(f"/api/runs/{run_id}/{act}")) == (403, "not-allowed")


@pytest.mark.parametrize("act", ["stop", "retry"])
@pytest.mark.parametrize(
    "more",
    [{"x-form-token": ""}, {"x-form-token": "wrong"}, {"sec-fetch-site": "cross-site"}],
    ids=["no token", "a wrong token", "from another site"],
)
async def test_other_sites_cannot_make_a_browser_do_it(act: str, more: dict[str, str], site: Site) -> None:
    run_id = await site.run()
    async with site.visited(headers={**await site.signed_in("octo"), **more}) as client:
        assert problem_of(await client.post(f"/api/runs/{run_id}/{act}")) == (403, "form-token")
    run = await site.store.run(run_id)
    assert run is not None
    assert run.state is RunState.ACCEPTED


async def test_a_form_without_script_comes_back_to_the_run(site: Site) -> None:
    run_id = await site.run()
    headers = await site.signed_in("octo")
    form = {"form_token": headers.pop("x-form-token")}
    async with site.visited(headers={**headers, "accept": "text/html"}) as client:
        stopped = await client.post(f"/api/runs/{run_id}/stop", data=form)
        assert (stopped.status_code, stopped.headers["location"]) == (303, f"/runs/{run_id}")
        retried = await client.post(f"/api/runs/{run_id}/retry", data=form)
        assert retried.status_code == 303
        assert retried.headers["location"].startswith("/runs/new-")


# What every answer says


async def test_every_answer_is_hardened(site: Site) -> None:
    run_id = await site.run()
    await ended(site.store, run_id)
    paths = ("/healthz", "/nothing", "/fault", f"/api/runs/{run_id}", f"/api/runs/{run_id}/events", "/static/run.js")
    async with site.visited(await site.by_key()) as client:
        for path in paths:
            answer = await client.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert "default-src 'none'" in answer.headers["content-security-policy"], path
            assert "no-" in answer.headers["cache-control"], path
            assert "strict-transport-security" not in answer.headers, path
            assert "hunter2" not in answer.text


async def test_browsers_keep_to_https_where_that_is_the_address(fake: FakeGitHub, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    async with _site(fake, url, "https://backspace.example") as site, site.visited() as client:
        answer = await client.get("/healthz")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_wrong_method_is_told_the_right_one(site: Site) -> None:
    async with site.visited() as client:
        assert problem_of(await client.delete("/api/runs")) == (405, "wrong-method")
        answer = await client.get("/api/runs/x/stop")
    assert answer.headers["allow"] == "POST"
