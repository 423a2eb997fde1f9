"""`POST /api/code`: what it takes, who may, and what comes back; nothing here works on the run."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.github.client import connect
from bot.model import Actor, Options, Repo, RunId, TriggerKind
from bot.runs.keys import Keys
from bot.runs.rates import Rates
from bot.runs.reception import Reception
from bot.runs.sign_ins import SignIns
from bot.runs.store import Store
from bot.runs.tables import Tables
from bot.web import code_request, routes, session_cookie
from bot.web.api import CodeApi
from bot.web.code_request import FieldProblem, Wanted
from bot.web.door import Door
from bot.web.doorkeeper import Doorkeeper
from bot.web.hub import Hub
from tests.fakes.github import FakeGitHub, serve
from tests.loopback import connected
from tests.runs.conftest import opened
from tests.web.serving import NOON, ended, messages, served, store_on

_PUBLIC_URL = "http://backspace.example"
_GITHUB = "https://github.example"
_MODELS = frozenset({"small", "large"})
_AS_JSON = {"accept": "application/json"}
_WISH = {"repo_url": "acme/calc", "prompt": "Make `add` add."}


# What it takes


def read(**body: object) -> Wanted | list[FieldProblem]:
    return code_request.read({"repo_url": "acme/calc", "prompt": "x", **body}, github_url=_GITHUB, models=_MODELS)


@pytest.mark.parametrize(
    "url",
    [
        "acme/calc",
        " acme/calc ",
        "acme/calc.git",
        f"{_GITHUB}/acme/calc",
        f"{_GITHUB}/acme/calc/",
        f"{_GITHUB}/acme/calc.git",
        "HTTPS://GitHub.Example/acme/calc",
        "git@github.example:acme/calc.git",
        "git@github.example:acme/calc",
    ],
)
def test_a_repository_has_many_forms(url: str) -> None:
    assert read(repo_url=url) == Wanted("acme/calc", "x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "calc",
        "acme/",
        "acme/..",
        "acme/.git",
        "acme/calc/issues",
        "acme/ca lc",
        "acme/calc\0",
        "acme/\ud800",
        "acme%2Fcalc",
        f"{_GITHUB}/acme",
        f"{_GITHUB}/acme/calc/tree/main",
        f"{_GITHUB}/acme/calc?tab=readme",
        f"{_GITHUB}/acme/calc#readme",
        "http://github.example/acme/calc",
        "https://github.example:444/acme/calc",
        "https://octo:hunter2@github.example/acme/calc",
        "https://github.example.evil.example/acme/calc",
        "https://evil.example/acme/calc",
        "https://[::1/acme/calc",
        "git@evil.example:acme/calc.git",
        "git@github.example:acme",
        "file:///acme/calc",
        "/etc/passwd",
    ],
)
def test_what_is_no_repository_of_this_github_is_refused(url: str) -> None:
    problems = read(repo_url=url)
    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == ["repo_url"]
    assert "hunter2" not in problems[0].detail


def test_both_spellings_of_the_field_may_say_the_same() -> None:
    assert read(repoUrl=f"{_GITHUB}/Acme/calc.git") == Wanted("acme/calc", "x")
    assert read(repo_url=None, repoUrl="acme/calc") == Wanted("acme/calc", "x")
    problems = read(repoUrl="acme/other")
    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == ["repo_url"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"prompt": "  Two lines.\nYes.  "}, Wanted("acme/calc", "Two lines.\nYes.")),
        ({"prompt": "x" * 20_000}, Wanted("acme/calc", "x" * 20_000)),
        ({"base": "release/2.x"}, Wanted("acme/calc", "x", base="release/2.x")),
        ({"model": "large"}, Wanted("acme/calc", "x", model="large")),
        ({"budget_usd": 2}, Wanted("acme/calc", "x", budget_usd=2.0)),
        ({"budget_usd": 0.25}, Wanted("acme/calc", "x", budget_usd=0.25)),
        ({"base": None, "model": None, "budget_usd": None, "repoUrl": None}, Wanted("acme/calc", "x")),
    ],
    ids=["trimmed", "as long as may be", "base", "model", "whole dollars", "cents", "null is not there"],
)
def test_what_is_wanted(body: dict[str, object], wanted: Wanted) -> None:
    assert read(**body) == wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repo_url", 1),
        ("repo_url", ["acme/calc"]),
        ("repo_url", None),
        ("prompt", None),
        ("prompt", 1),
        ("prompt", ""),
        ("prompt", " \n\t "),
        ("prompt", "x" * 20_001),
        ("prompt", "a\0b"),
        ("prompt", "half \ud83d"),
        ("base", ""),
        ("base", "a..b"),
        ("base", "-f"),
        ("base", "a b"),
        ("base", "x.lock"),
        ("base", "b" * 201),
        ("base", "\ud800"),
        ("base", 1),
        ("model", ""),
        ("model", "enormous"),
        ("model", "\ud800"),
        ("model", 1),
        ("budget_usd", 0),
        ("budget_usd", -1),
        ("budget_usd", True),
        ("budget_usd", "3"),
        ("budget_usd", float("nan")),
        ("budget_usd", float("inf")),
        ("budget_usd", 10**400),
        ("colour", "red"),
        ("PROMPT", "x"),
        ("", ""),
        ("x" * 5_000, ""),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    problems = read(**{field: value})
    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == [field[:100] or "body"]
    assert all(problem.detail and "\ud800" not in problem.detail for problem in problems)


def test_every_wrong_field_is_named_at_once() -> None:
    problems = read(repo_url="elsewhere", prompt="", base="a..b", model="enormous")
    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == ["repo_url", "prompt", "base", "model"]


def test_a_body_of_nonsense_gets_an_answer_of_some_size() -> None:
    problems = read(**{f"x{number}": 1 for number in range(10_000)})
    assert isinstance(problems, list)
    assert len(problems) == 20


@pytest.mark.parametrize("body", [None, 1, "x", [], [{}]], ids=repr)
def test_a_body_that_is_no_object(body: object) -> None:
    problems = code_request.read(body, github_url=_GITHUB, models=_MODELS)
    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == ["body"]


# Who may, and what comes back


@dataclass
class Site:
    """The API on loopback, between a store and a stand-in for GitHub."""

    address: str
    store: Store
    tables: Tables
    fake: FakeGitHub

    async def by_key(self, *, may_run: bool = True, repos: tuple[str, ...] = ("acme/*",), per_hour: int = 60) -> str:
        """A new key."""
        return await Keys(self.tables).add(
            name="ci", may_run=may_run, repos=repos, runs_per_hour=per_hour, now=NOON, random_bytes=secrets.token_bytes
        )

    async def signed_in(self, login: str) -> dict[str, str]:
        """The headers that a page's script sends."""
        secret = f"session-of-{login}"
        person = Actor(self.fake.user(login).id, login)
        await SignIns(self.tables).open(secret, person, NOON, NOON + timedelta(hours=1))
        return {"cookie": f"backspace={secret}", "x-form-token": session_cookie.form_token(secret)}

    @asynccontextmanager
    async def visited(self, headers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
        async with connected(self.address, headers=headers) as client:
            yield client

    @asynccontextmanager
    async def visited_by_key(self, **key: Any) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ANN401 -- as `by_key`
        async with self.visited({**_AS_JSON, "x-api-key": await self.by_key(**key)}) as client:
            yield client

    async def runs(self) -> int:
        return len(await self.store.unfinished())


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    fake = FakeGitHub.create(tmp_path / "github")
    with serve(fake):
        yield fake


@pytest.fixture
async def site(fake: FakeGitHub, tmp_path: Path) -> AsyncIterator[Site]:
    repository = fake.add_repo("acme/calc", {"README.md": "# Calc\n"})
    fake.add_user("octo", "write")
    fake.add_user("reader", "read")
    fake.add_user("stranger")
    fake.install("acme", [repository])
    numbers = count(1)

    async def sleep(seconds: float) -> None:
        fake.clock.advance(seconds)

    def new_run_id() -> RunId:
        return RunId(f"new-{next(numbers)}")

    with opened(f"sqlite:///{tmp_path}/store.db") as tables:
        store = store_on(tables)
        hub = Hub(store, keep_alive_seconds=0.05)
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
                Keys(tables), SignIns(tables), github, public_url=_PUBLIC_URL, open_to_all=False, clock=lambda: NOON
            )
            api = CodeApi(
                store=store,
                starts=store.starts(Rates(tables, lambda: NOON)),
                hub=hub,
                doorkeeper=keeper,
                public_url=_PUBLIC_URL,
                github_url=_GITHUB,
                models=_MODELS,
                clock=lambda: NOON,
                new_run_id=new_run_id,
            )
            app = routes.build(
                door=Door(Reception(store, "/backspace", "backspace", 1, lambda: NOON, new_run_id), [], lambda _: None),
                parts=[api],
                store=store,
                ready=lambda: True,
                metrics=lambda: (b"", "text/plain"),
                broker=[],
                https=False,
            )
            async with served(app, hub) as (address, _):
                yield Site(address, store, tables, fake)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["detail"]
    return answer.status_code, body["code"]


async def test_a_key_starts_a_run_in_its_name(site: Site) -> None:
    body = {**_WISH, "base": "dev", "model": "small", "budget_usd": 2}
    async with site.visited_by_key() as client:
        answer = await client.post("/api/code", json=body)
    assert answer.status_code == 202
    run_id = answer.json()["request_id"]
    assert answer.json() == {
        "request_id": run_id,
        "run_url": f"{_PUBLIC_URL}/runs/{run_id}",
        "events_url": f"{_PUBLIC_URL}/api/runs/{run_id}/events",
    }
    assert answer.headers["location"] == f"/api/runs/{run_id}"
    run = await site.store.run(run_id)
    assert run is not None
    request = run.request
    assert (request.trigger, request.actor, request.prompt) == (TriggerKind.API, Actor(0, "ci"), _WISH["prompt"])
    assert request.asked_by.startswith("key:")
    assert request.repo == Repo(0, "acme/calc", "", private=True)
    assert request.options == Options(base="dev", model="small", budget_usd=2.0)
    assert not site.fake.world.personal_tokens


async def test_the_stream_begins_with_start_and_ends_with_complete(site: Site) -> None:
    headers = {"authorization": f"Bearer {await site.by_key()}"}
    async with site.visited(headers) as client, client.stream("POST", "/code", json=_WISH) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "no-store" in stream.headers["cache-control"]
        run_id = RunId(stream.headers["x-request-id"])
        lines = [""]
        async for line in stream.aiter_lines():
            if line.startswith(":") and await site.runs():
                # A sign of life, while nothing happens.
                await ended(site.store, run_id)
            lines.append(line)
    told = list(messages(lines))
    assert [message.seq for message in told] == [1, 2]
    assert {name: told[0].body[name] for name in ("type", "repo", "prompt", "trigger", "actor")} == {
        "type": "start",
        "repo": "acme/calc",
        "prompt": _WISH["prompt"],
        "trigger": "api",
        "actor": "ci",
    }
    assert told[1].body["type"] == "complete"


async def test_who_shows_nothing_or_a_wrong_key_is_nobody(site: Site) -> None:
    revoked = await site.by_key()
    await Keys(site.tables).revoke((await Keys(site.tables).list())[0].key.id, NOON)
    for headers in ({}, {"x-api-key": "bsk_wrong"}, {"x-api-key": revoked}, {"authorization": f"Bearer {revoked}"}):
        async with site.visited(headers) as client:
            answer = await client.post("/api/code", json=_WISH)
        assert problem_of(answer) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert await site.runs() == 0


async def test_a_key_is_for_what_it_is_for(site: Site) -> None:
    async with site.visited_by_key(may_run=False) as client:
        assert problem_of(await client.post("/api/code", json=_WISH)) == (403, "key-reads-only")
    async with site.visited_by_key(repos=("acme/other", "other/*")) as client:
        assert problem_of(await client.post("/api/code", json=_WISH)) == (403, "repository-not-covered")
    assert await site.runs() == 0


async def test_a_person_starts_runs_where_they_can_write(site: Site) -> None:
    async with site.visited({**_AS_JSON, **await site.signed_in("octo")}) as client:
        run_id = (await client.post("/api/code", json=_WISH)).json()["request_id"]
    run = await site.store.run(run_id)
    assert run is not None
    octo = site.fake.user("octo").id
    assert (run.request.actor, run.request.asked_by) == (Actor(octo, "octo"), f"user:{octo}")


async def test_where_a_person_cannot_write_is_nothing(site: Site) -> None:
    site.fake.add_repo("other/secret", {"README.md": "# Secret\n"})
    for login in ("reader", "stranger"):
        async with site.visited(await site.signed_in(login)) as client:
            for name in ("acme/calc", "other/secret", "other/absent"):
                answer = await client.post("/api/code", json={**_WISH, "repo_url": name})
                assert problem_of(answer) == (404, "no-such-repository")
                assert answer.json()["detail"].replace(name, "") == (
                    "There is no  that you may write to and the app is installed on."
                )
    assert await site.runs() == 0


async def test_another_site_cannot_make_a_browser_start_a_run(site: Site) -> None:
    headers = await site.signed_in("octo")
    for more in ({"x-form-token": ""}, {"x-form-token": "wrong"}, {"origin": "https://evil.example"}):
        async with site.visited({**headers, **more}) as client:
            assert problem_of(await client.post("/api/code", json=_WISH)) == (403, "form-token")
    assert await site.runs() == 0


async def test_a_key_starts_no_more_runs_than_it_may(site: Site) -> None:
    async with site.visited_by_key(per_hour=2) as client:
        answers = [await client.post("/api/code", json=_WISH) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert problem_of(answers[2]) == (429, "too-often")
        assert int(answers[2].headers["retry-after"]) > 0
    assert await site.runs() == 2


async def test_the_same_wish_costs_nothing_of_the_rate(site: Site) -> None:
    async with site.visited_by_key(per_hour=1) as client:
        answers = [await client.post("/api/code", json=_WISH, headers={"idempotency-key": "w"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.json()["request_id"] for answer in answers}) == 1


async def test_a_wish_that_comes_many_times_at_once_is_one_run(site: Site) -> None:
    sent = {"idempotency-key": "w"}
    bodies = [{**_WISH, "prompt": "One."}, {**_WISH, "prompt": "Other."}] * 4
    async with site.visited_by_key() as client:
        answers = await asyncio.gather(*(client.post("/api/code", json=body, headers=sent) for body in bodies))
    assert await site.runs() == 1
    assert {answer.status_code for answer in answers} == {202, 422}
    for body in _WISH, bodies[0]:
        same = [answer for answer, one in zip(answers, bodies, strict=True) if one == body]
        assert len({answer.status_code for answer in same}) <= 1
    assert {problem_of(answer) for answer in answers if answer.status_code != 202} == {(422, "idempotency-key-reused")}


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "Else."},
        {"repo_url": "acme/other"},
        {"base": "dev"},
        {"model": "small"},
        {"budget_usd": 1},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_wishs_key_is_for_one_wish(other: dict[str, object], site: Site) -> None:
    sent = {"idempotency-key": "w"}
    async with site.visited_by_key() as client:
        first = await client.post("/api/code", json=_WISH, headers=sent)
        assert problem_of(await client.post("/api/code", json={**_WISH, **other}, headers=sent)) == (
            422,
            "idempotency-key-reused",
        )
        same = {"repoUrl": f"{_GITHUB}/acme/calc.git", "prompt": f" {_WISH['prompt']} "}
        assert (await client.post("/api/code", json=same, headers=sent)).json() == first.json()
    async with site.visited_by_key() as somebody_else:
        theirs = await somebody_else.post("/api/code", json=_WISH, headers=sent)
    assert theirs.json()["request_id"] != first.json()["request_id"]


async def test_the_same_wish_again_gets_the_stream_from_its_start(site: Site) -> None:
    sent = {"idempotency-key": "w"}
    async with site.visited_by_key() as client:
        run_id = RunId((await client.post("/api/code", json=_WISH, headers=sent)).json()["request_id"])
        await ended(site.store, run_id)
        again = await client.post("/api/code", json=_WISH, headers={**sent, "accept": "text/event-stream"})
    assert again.headers["x-request-id"] == run_id
    assert [message.body["type"] for message in messages(again.text.splitlines())] == ["start", "complete"]


@pytest.mark.parametrize("wish", ["", "w" * 256, "a\twish", "wünsch"], ids=["empty", "long", "a tab", "not ASCII"])
async def test_a_wishs_key_that_is_none(wish: str, site: Site) -> None:
    async with site.visited_by_key() as client:
        answer = await client.post("/api/code", json=_WISH, headers=[(b"Idempotency-Key", wish.encode())])
    assert problem_of(answer) == (400, "bad-idempotency-key")
    assert await site.runs() == 0


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (b"", "application/json", (400, "not-json")),
        (b"{", "application/json", (400, "not-json")),
        (b"\xff\xfe\x00", "application/json", (400, "not-json")),
        (b"[" * 100_000, "application/json", (400, "not-json")),
        (b"1" * 10_000, "application/json", (400, "not-json")),
        (b'{"repo_url": "acme/calc", "prompt": "x", "\\ud800": 1}', "application/json", (422, "invalid")),
        (b'{"repo_url": "acme/calc", "prompt": "\\ud800"}', "application/json", (422, "invalid")),
        (b"prompt=x", "application/x-www-form-urlencoded", (415, "not-json")),
        (b'{"repo_url": "acme/calc", "prompt": "' + b"x" * 10_000_000 + b'"}', "application/json", (413, "too-large")),
    ],
    ids=["empty", "cut", "not UTF-8", "deep", "huge number", "odd name", "odd prompt", "a form", "10 MB"],
)
async def test_a_body_that_cannot_be_read(body: bytes, media_type: str, expected: tuple[int, str], site: Site) -> None:
    async with site.visited_by_key() as client:
        answer = await client.post("/api/code", content=body, headers={"content-type": media_type})
    assert problem_of(answer) == expected
    assert await site.runs() == 0


async def test_a_body_that_does_not_say_its_size_has_a_limit_too(site: Site) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"repo_url": "acme/calc", "prompt": "'
        for _ in range(200):
            yield b"x" * 50_000

    async with site.visited_by_key() as client:
        answer = await client.post("/api/code", content=parts(), headers={"content-type": "application/json"})
    assert problem_of(answer) == (413, "too-large")
    assert await site.runs() == 0


async def test_wrong_fields_are_listed_for_programs(site: Site) -> None:
    async with site.visited_by_key() as client:
        answer = await client.post("/api/code", content=json.dumps({"prompt": "", "colour": "red", "budget_usd": 0}))
    assert problem_of(answer) == (422, "invalid")
    problem = answer.json()
    assert [one["field"] for one in problem["errors"]] == ["budget_usd", "colour"]
    assert all(f"{one['field']}: {one['detail']}" in problem["detail"] for one in problem["errors"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_other_methods_start_nothing(method: str, site: Site) -> None:
    async with site.visited_by_key() as client:
        assert (await client.request(method, "/api/code")).status_code == 405
