"""Who is let in, and what they may see and do: keys, people as GitHub knows them, and everyone on loopback."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.requests import Request

from bot.github.client import Client, connect
from bot.model import Actor, InstallationId, Repo, RunId, RunRequest, RunState, TriggerKind, Usage
from bot.runs.keys import Keys
from bot.runs.records import Run
from bot.runs.sign_ins import SignIns
from bot.runs.tables import Tables
from bot.web import session_cookie
from bot.web.doorkeeper import Doorkeeper, TooManyTries
from bot.web.visitor import ByKey, Everyone, Person, Visitor
from tests.fakes.github import FakeGitHub, Fault, Repository, serve
from tests.runs.conftest import opened

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
PUBLIC_URL = "https://backspace.example"


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Scene:
    fake: FakeGitHub
    client: Client
    tables: Tables
    repository: Repository
    installation: int
    clock: Clock = field(default_factory=Clock)

    def keeper(self, *, open_to_all: bool = False, public_url: str = PUBLIC_URL) -> Doorkeeper:
        return Doorkeeper(
            Keys(self.tables),
            SignIns(self.tables),
            self.client,
            public_url=public_url,
            open_to_all=open_to_all,
            clock=self.clock,
        )

    async def key(self, *, may_run: bool = True, repos: tuple[str, ...] = ("acme/*",)) -> str:
        return await Keys(self.tables).add(
            name="ci",
            may_run=may_run,
            repos=repos,
            runs_per_hour=60,
            now=self.clock.now,
            random_bytes=secrets.token_bytes,
        )

    async def by_key(self, *, may_run: bool = True, repos: tuple[str, ...] = ("acme/*",)) -> ByKey:
        found = await Keys(self.tables).find(await self.key(may_run=may_run, repos=repos), self.clock.now)
        assert found is not None
        return ByKey(found)

    def person(self, login: str) -> Person:
        return Person(self.fake.user(login).id, login, "the token of the forms")

    def run(self, repository: Repository | None = None) -> Run:
        repository = repository or self.repository
        repo = Repo(repository.id, repository.full_name, repository.default_branch, repository.private)
        return run_in(repo, self.installation)

    def questions(self) -> int:
        return sum("permission" in call for call in self.fake.api_calls())


def run_in(repo: Repo, installation: int, asked_by: str = "") -> Run:
    request = RunRequest(
        repo,
        InstallationId(installation),
        TriggerKind.API,
        Actor(0, "ci"),
        "Do it.",
        None,
        None,
        NOON,
        asked_by=asked_by,
    )
    return Run(
        id=RunId("11111111-2222-3333-4444-555555555555"),
        request=request,
        state=RunState.QUEUED,
        created_at=NOON,
        started_at=None,
        finished_at=None,
        last_seq=0,
        base_sha=None,
        branch=None,
        model=None,
        budget_usd=None,
        session_id=None,
        stop_requested=False,
        usage=Usage(),
        outcome=None,
        pr_url=None,
        pull_number=None,
        pull_state=None,
        head_sha=None,
        continues_pull=None,
        stop_reason=None,
        comment_id=None,
        comment_posts=0,
        reported_seq=0,
        reported_at=None,
        reported_final=False,
    )


def asked(
    headers: dict[str, str] | None = None, *, address: str = "192.0.2.1", host: str = "backspace.example"
) -> Request:
    """A request as the server hands it over."""
    rows = {"host": host, **(headers or {})}
    return Request(
        {
            "type": "http",
            "method": "POST",
            "scheme": "https",
            "path": "/",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in rows.items()],
            "client": (address, 1234),
            "server": ("127.0.0.1", 8000),
        }
    )


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    fake = FakeGitHub.create(tmp_path / "github")
    with serve(fake):
        yield fake
        fake.assert_clean()


@pytest.fixture
async def scene(fake: FakeGitHub, tmp_path: Path) -> AsyncIterator[Scene]:
    repository = fake.add_repo("acme/calc", {"README.md": "# Calc\n"})
    for login, role in (("octo", "write"), ("lead", "maintain"), ("boss", "admin"), ("reader", "read")):
        fake.add_user(login, role)
    fake.add_user("stranger")
    installation = fake.install("acme", [repository])

    async def sleep(seconds: float) -> None:
        fake.clock.advance(seconds)

    with opened(f"sqlite:///{tmp_path}/store.db") as tables:
        async with connect(
            app_id=str(fake.identity.id),
            private_key=fake.identity.private_key_pem,
            api_url=fake.api_url,
            web_url=fake.web_url,
            clock=fake.clock,
            on_secret=lambda _: None,
            sleep=sleep,
        ) as client:
            yield Scene(fake, client, tables, repository, installation)


# Who is there


@pytest.mark.parametrize("form", ["authorization", "x-api-key"])
async def test_a_key_is_taken_in_both_headers(form: str, scene: Scene) -> None:
    secret = await scene.key()
    headers = {form: f"Bearer {secret}" if form == "authorization" else secret}
    visitor = await scene.keeper().who(asked(headers))
    assert isinstance(visitor, ByKey)
    assert visitor.key.name == "ci"


@pytest.mark.parametrize("open_to_all", [False, True], ids=["closed", "open"])
async def test_a_wrong_or_revoked_key_is_nobody_whatever_else_came_along(scene: Scene, *, open_to_all: bool) -> None:
    keeper, keys = scene.keeper(open_to_all=open_to_all), Keys(scene.tables)
    secret = await scene.key()
    await SignIns(scene.tables).open("a session", Actor(1, "octo"), NOON, NOON + timedelta(hours=1))
    cookie = {"cookie": "__Host-backspace=a session"}
    assert await keeper.who(asked({"x-api-key": f"{secret}x", **cookie})) is None
    assert await keeper.who(asked({"x-api-key": "", **cookie})) is None
    assert isinstance(await keeper.who(asked({"x-api-key": secret})), ByKey)
    (kept,) = await keys.list()
    await keys.revoke(kept.key.id, NOON)
    assert await keeper.who(asked({"x-api-key": secret, **cookie})) is None


async def test_a_session_is_a_person_until_it_ends(scene: Scene) -> None:
    keeper, sign_ins = scene.keeper(), SignIns(scene.tables)
    await sign_ins.open("secret-1", Actor(7, "octo"), NOON, NOON + timedelta(hours=12))
    request = asked({"cookie": "__Host-backspace=secret-1"})
    assert await keeper.who(request) == Person(7, "octo", session_cookie.form_token("secret-1"))
    assert await keeper.who(asked({"cookie": "backspace=secret-1"})) is None
    assert await keeper.who(asked({"cookie": "__Host-backspace=secret-2"})) is None
    scene.clock.now += timedelta(hours=12)
    assert await keeper.who(request) is None


async def test_who_shows_nothing_is_everyone_only_where_it_is_open_and_under_a_name_of_this_machine(
    scene: Scene,
) -> None:
    assert await scene.keeper().who(asked()) is None
    keeper = scene.keeper(open_to_all=True, public_url="http://127.0.0.1:8000")
    for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000"):
        assert await keeper.who(asked(host=host)) == Everyone()
    for host in ("rebound.example:8000", "127.0.0.1.rebound.example", "[::1", ""):
        assert await keeper.who(asked(host=host)) is None
    assert await keeper.who(asked({"x-forwarded-for": "192.0.2.7"}, host="127.0.0.1:8000")) is None


async def test_who_goes_on_with_wrong_keys_is_told_to_wait_and_nobody_else_is(scene: Scene) -> None:
    keeper = scene.keeper()
    known, new = await scene.key(), await scene.key()
    assert await keeper.who(asked({"x-api-key": known})) is not None
    for turn in range(100):
        assert await keeper.who(asked({"x-api-key": f"bsk_guess{turn}"})) is None
    with pytest.raises(TooManyTries) as held_up:
        await keeper.who(asked({"x-api-key": "bsk_guess"}))
    assert held_up.value.wait_seconds == 60
    for good in (known, new):
        assert await keeper.who(asked({"x-api-key": good})) is not None
    assert await keeper.who(asked({"x-api-key": "bsk_guess"}, address="192.0.2.2")) is None
    scene.clock.now += timedelta(seconds=60)
    assert await keeper.who(asked({"x-api-key": "bsk_guess"})) is None


async def test_a_new_key_may_be_used_many_times_at_once(scene: Scene) -> None:
    keeper, secret = scene.keeper(), await scene.key()
    visitors = await asyncio.gather(*(keeper.who(asked({"x-api-key": secret})) for _ in range(200)))
    assert all(isinstance(visitor, ByKey) for visitor in visitors)


async def test_the_addresses_of_one_ipv6_network_count_together(scene: Scene) -> None:
    keeper = scene.keeper()
    for turn in range(100):
        await keeper.who(asked({"x-api-key": "bsk_guess"}, address=f"2001:db8::{turn}"))
    with pytest.raises(TooManyTries):
        await keeper.who(asked({"x-api-key": "bsk_guess"}, address="2001:db8::ffff"))
    assert await keeper.who(asked({"x-api-key": "bsk_guess"}, address="2001:db8:0:1::1")) is None


# What they may


async def allowed(keeper: Doorkeeper, visitor: Visitor, run: Run) -> str:
    """Of read, act and start, the first letters of what is allowed."""
    answers = {
        "r": await keeper.may_read(visitor, run),
        "a": await keeper.may_act(visitor, run),
        "s": await keeper.may_start(visitor, run.request.repo.full_name),
    }
    return "".join(letter for letter, yes in answers.items() if yes)


@pytest.mark.parametrize(
    ("login", "may"),
    [("boss", "ras"), ("lead", "ras"), ("octo", "ras"), ("reader", "r"), ("stranger", "")],
)
async def test_a_person_may_what_github_says(login: str, may: str, scene: Scene) -> None:
    assert await allowed(scene.keeper(), scene.person(login), scene.run()) == may


@pytest.mark.parametrize(
    ("may_run", "repos", "may"),
    [
        pytest.param(True, ("acme/*",), "ras", id="run"),
        pytest.param(False, ("acme/*",), "r", id="read-only"),
        pytest.param(True, ("other/*", "acme/tool"), "", id="other-repositories"),
    ],
)
async def test_a_key_may_what_it_was_made_for(repos: tuple[str, ...], may: str, scene: Scene, *, may_run: bool) -> None:
    visitor = await scene.by_key(may_run=may_run, repos=repos)
    assert await allowed(scene.keeper(), visitor, scene.run()) == may
    assert scene.questions() == 0


async def test_everyone_may_everything(scene: Scene) -> None:
    assert await allowed(scene.keeper(open_to_all=True), Everyone(), scene.run()) == "ras"


async def test_a_login_that_is_somebody_elses_by_now_is_a_stranger(scene: Scene) -> None:
    former = replace(scene.person("octo"), user_id=1)
    assert await allowed(scene.keeper(), former, scene.run()) == ""


async def test_what_github_said_holds_for_a_minute_and_no_longer(scene: Scene) -> None:
    keeper, octo, stranger, run = scene.keeper(), scene.person("octo"), scene.person("stranger"), scene.run()
    assert await keeper.may_act(octo, run)
    assert not await keeper.may_read(stranger, run)
    scene.fake.add_user("octo", "none")
    scene.fake.add_user("stranger", "read")
    scene.clock.now += timedelta(seconds=59)
    assert await keeper.may_act(octo, run)
    assert not await keeper.may_read(stranger, run)
    assert scene.questions() == 2
    scene.clock.now += timedelta(seconds=1)
    assert not await keeper.may_read(octo, run)
    assert await keeper.may_read(stranger, run)


async def test_many_runs_of_a_repository_are_one_question_even_at_once(scene: Scene) -> None:
    other = scene.fake.add_repo("acme/secret", {"README.md": "# Secret\n"})
    scene.fake.installation(scene.installation).repositories.append(other)
    keeper, octo = scene.keeper(), scene.person("octo")
    mine, theirs = scene.run(), scene.run(other)
    found = await asyncio.gather(*(keeper.readable(octo, [mine, theirs, mine]) for _ in range(20)))
    assert found == [[mine, mine]] * 20
    assert scene.questions() == 2


async def test_a_github_that_does_not_answer_means_no_and_is_asked_again_soon(scene: Scene) -> None:
    keeper, octo, run = scene.keeper(), scene.person("octo"), scene.run()
    scene.fake.fail("GET", "*/permission", Fault.SERVER_ERROR, count=-1)
    assert not await keeper.may_read(octo, run)
    scene.fake.faults.clear()
    scene.clock.now += timedelta(seconds=5)
    assert await keeper.may_read(octo, run)


@pytest.mark.parametrize(
    "name",
    ["acme/elsewhere", "acme/nonesuch", "acme", "acme/../app", "acme/calc/contents", "acme/calc?x=1", "", "a b/c"],
)
async def test_nobody_starts_where_the_app_is_not_installed(name: str, scene: Scene) -> None:
    scene.fake.add_repo("acme/elsewhere", {"README.md": "# Elsewhere\n"})
    scene.fake.add_user("octo", "admin", "acme/elsewhere")
    assert not await scene.keeper().may_start(scene.person("octo"), name)


async def test_who_tries_one_name_after_the_other_costs_few_calls(scene: Scene) -> None:
    keeper, stranger = scene.keeper(), scene.person("stranger")
    for turn in range(80):
        await keeper.may_start(stranger, f"acme/guess{turn}")
    assert sum("installation" in call for call in scene.fake.api_calls()) == 60
    assert await keeper.may_start(scene.person("octo"), "acme/calc")


async def test_a_run_that_no_installation_stands_for_yet_is_seen_by_who_asked_for_it_alone(scene: Scene) -> None:
    octo, keeper = scene.person("octo"), scene.keeper()
    run = run_in(Repo(0, "acme/calc", "", private=True), 0, asked_by=f"user:{octo.user_id}")
    assert await keeper.may_read(octo, run)
    assert await keeper.may_act(octo, run)
    assert not await keeper.may_read(scene.person("boss"), run)


# Forms


TOKEN = "the token of the forms"


@pytest.mark.parametrize(
    ("headers", "token", "is_forged"),
    [
        pytest.param({"sec-fetch-site": "same-origin"}, TOKEN, False, id="our-page"),
        pytest.param({"origin": PUBLIC_URL}, TOKEN, False, id="our-page-in-an-older-browser"),
        pytest.param({}, TOKEN, False, id="a-program-with-the-token"),
        pytest.param({"sec-fetch-site": "same-origin"}, "another", True, id="another-token"),
        pytest.param({"sec-fetch-site": "same-origin"}, "tökën", True, id="no-token-at-all"),
        pytest.param({"sec-fetch-site": "same-origin"}, "", True, id="empty"),
        pytest.param({"sec-fetch-site": "same-origin"}, None, True, id="none"),
        pytest.param({"sec-fetch-site": "cross-site"}, TOKEN, True, id="another-site"),
        pytest.param({"sec-fetch-site": "same-site"}, TOKEN, True, id="another-host-of-the-domain"),
        pytest.param({"origin": "https://evil.example"}, TOKEN, True, id="another-origin"),
        pytest.param({"origin": "null"}, TOKEN, True, id="an-origin-that-hides"),
        pytest.param({"origin": f"{PUBLIC_URL}.evil.example"}, TOKEN, True, id="an-origin-that-begins-like-ours"),
    ],
)
async def test_a_form_of_a_person_comes_from_our_pages(
    headers: dict[str, str], token: str | None, scene: Scene, *, is_forged: bool
) -> None:
    keeper = scene.keeper()
    assert keeper.forged(scene.person("octo"), asked(headers), token) is is_forged
    assert not keeper.forged(await scene.by_key(), asked(headers), None)


async def test_another_site_cannot_use_what_is_open_on_loopback(scene: Scene) -> None:
    keeper = scene.keeper(open_to_all=True)
    assert not keeper.forged(Everyone(), asked(), None)
    assert keeper.forged(Everyone(), asked({"origin": "https://evil.example"}), None)
