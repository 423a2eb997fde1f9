"""Signing in with GitHub, keys, and what each may see: a whole Backspace that asks who is there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests.deployment import Deployment, deployed, until
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded() -> Iterator[Deployment]:
    with deployed(settings={"BACKSPACE_REQUIRE_AUTH": "true"}) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def run_id(guarded: Deployment) -> str:
    """A run of acme/calc, which octo may write, reader may read and stranger may not."""
    run_id = guarded.run_id(guarded.ask(guarded.issue()))
    with signed_in(guarded, "octo") as client:

        def over() -> bool:
            return bool(client.get(f"/api/runs/{run_id}").raise_for_status().json()["outcome"])

        until(over, what="the run has ended")
    return run_id


def browser(deployment: Deployment) -> httpx.Client:
    """It keeps cookies and says which site a page of ours is of, as browsers do."""
    return httpx.Client(base_url=deployment.backspace.url, timeout=20, headers={"sec-fetch-site": "same-origin"})


def to_github(client: httpx.Client, onward: str = "") -> str:
    """Where the button on the page of sign-in leads, once it was pressed."""
    page = client.get("/login", params={"next": onward} if onward else None)
    (start,) = re.findall(r'href="(/login/github[^"]*)"', page.text)
    return client.get(start).headers["location"]


def at_github(authorize: str, user: str) -> str:
    """Somebody says yes there, or no for an empty name: where GitHub sends them back to."""
    with httpx.Client(timeout=20) as client:
        assert client.get(authorize).status_code == 200
        form = {name: values[0] for name, values in parse_qs(urlsplit(authorize).query).items()}
        form |= {"user": user} if user else {"cancel": "yes"}
        url = urlsplit(authorize)._replace(query="").geturl()
        return client.post(url, data=form).headers["location"]


@contextmanager
def signed_in(deployment: Deployment, user: str, onward: str = "") -> Iterator[httpx.Client]:
    with browser(deployment) as client:
        back = client.get(at_github(to_github(client, onward), user))
        assert back.status_code == 303
        assert back.headers["location"] == (onward or "/")
        yield client


def form_token(client: httpx.Client, run_id: str) -> str:
    page = client.get(f"/runs/{run_id}").raise_for_status().text
    found = re.search(r'name="form_token"\s+value="([0-9a-f]+)"', page)
    assert found, page
    return found[1]


def new_key(deployment: Deployment, *words: str) -> str:
    """`backspace keys add`, beside the running server and without the app's settings."""
    environment = {
        name: value for name, value in deployment.backspace.environment().items() if not name.startswith("GITHUB_")
    }
    made = subprocess.run(
        [sys.executable, "-m", "bot", "keys", "add", "--name", "ci", *words],
        cwd=deployment.backspace.home,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return made.stdout.strip()


def test_who_is_not_signed_in_sees_nothing_and_is_shown_the_way(guarded: Deployment, run_id: str) -> None:
    with browser(guarded) as client:
        answer = client.get(f"/api/runs/{run_id}")
        assert (answer.status_code, answer.json()["status"]) == (401, 401)
        page = client.get(f"/runs/{run_id}")
        assert page.status_code == 303
        assert page.headers["location"].startswith("/login?next=")
        client.get(at_github(to_github(client, f"/runs/{run_id}"), "octo"))
        assert client.get(f"/runs/{run_id}").status_code == 200


def test_who_may_read_the_repository_sees_its_run(guarded: Deployment, run_id: str) -> None:
    with signed_in(guarded, "reader", f"/runs/{run_id}") as client:
        assert client.get(f"/runs/{run_id}").status_code == 200
        assert client.get(f"/api/runs/{run_id}").json()["request_id"] == run_id
        assert client.get("/login").headers["location"] == "/"


def test_a_strangers_answer_is_that_of_a_run_that_is_not_there(guarded: Deployment, run_id: str) -> None:
    absent = "00000000-0000-4000-8000-000000000000"
    with signed_in(guarded, "stranger") as client:
        for path in ("/runs/{}", "/api/runs/{}", "/api/runs/{}/events", "/api/runs/{}/patch"):
            hidden, missing = client.get(path.format(run_id)), client.get(path.format(absent))
            assert (hidden.status_code, hidden.text) == (404, missing.text)


def test_the_cookies_are_out_of_reach_for_scripts_and_other_sites(guarded: Deployment) -> None:
    with browser(guarded) as client:
        start = client.get("/login/github")
        back = client.get(at_github(start.headers["location"], "octo"))
        for answer in (start, back):
            for cookie in answer.headers.get_list("set-cookie"):
                words = {word.strip().lower() for word in cookie.split(";")}
                assert words >= {"httponly", "samesite=lax", "path=/"}
                assert not any(word.startswith("domain") for word in words)


def test_a_persons_token_is_used_once_and_revoked(guarded: Deployment) -> None:
    with signed_in(guarded, "octo"):
        assert not [token for token in guarded.github.world.personal_tokens if token.startswith("ghu_")]


@pytest.mark.parametrize(
    "onward",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "evil.example", "/login?next=/"],
)
def test_nobody_is_sent_on_to_another_site(guarded: Deployment, onward: str) -> None:
    with browser(guarded) as client:
        start = client.get("/login/github", params={"next": onward})
        assert client.get(at_github(start.headers["location"], "octo")).headers["location"] == "/"


def refused(client: httpx.Client, back: str, status: int, words: str) -> None:
    """The page says what to do, offers the way again, and nobody is signed in."""
    answer = client.get(back)
    assert answer.status_code == status
    assert words in answer.text
    assert 'href="/login/github' in answer.text
    assert "Traceback" not in answer.text
    assert client.get("/login").status_code == 200


def test_a_state_is_good_once(guarded: Deployment) -> None:
    with browser(guarded) as client:
        authorize = to_github(client)
        back = at_github(authorize, "octo")
        assert client.get(back).status_code == 303
        session = dict(client.cookies)
        again = at_github(authorize, "stranger")
        client.cookies.clear()
        client.cookies.set("backspace-sign-in", parse_qs(urlsplit(back).query)["state"][0])
        refused(client, again, 400, "finished before")
        assert session


def test_a_state_is_good_in_the_browser_that_it_was_made_for(guarded: Deployment) -> None:
    with browser(guarded) as attacker, browser(guarded) as victim:
        back = at_github(to_github(attacker), "stranger")
        refused(victim, back, 400, "not started in this browser")
        to_github(victim)
        refused(victim, back, 400, "not started in this browser")


def changed(back: str, **values: str) -> str:
    parts = urlsplit(back)
    query = {name: found[0] for name, found in parse_qs(parts.query).items()} | values
    return parts._replace(query=urlencode({name: value for name, value in query.items() if value})).geturl()


@pytest.mark.parametrize("state", ["", "x", "ÿ", "A" * 5000], ids=["none", "short", "not-ascii", "long"])
def test_a_forged_state_is_not_taken(guarded: Deployment, state: str) -> None:
    with browser(guarded) as client:
        refused(client, changed(at_github(to_github(client), "octo"), state=state), 400, "Sign in again")


@pytest.mark.parametrize("code", ["", "made-up", "x" * 4000], ids=["none", "made-up", "long"])
def test_a_code_that_github_did_not_make_signs_nobody_in(guarded: Deployment, code: str) -> None:
    with browser(guarded) as client:
        refused(client, changed(at_github(to_github(client), "octo"), code=code), 400, "Sign in again")


def test_who_says_no_on_github_is_told_so(guarded: Deployment) -> None:
    with browser(guarded) as client:
        refused(client, at_github(to_github(client), ""), 403, "not allowed")


def test_signing_out_takes_a_form_of_our_page(guarded: Deployment, run_id: str) -> None:
    with signed_in(guarded, "octo") as client, signed_in(guarded, "reader") as other:
        token, others = form_token(client, run_id), form_token(other, run_id)
        assert token != others
        for forged in ({}, {"form_token": ""}, {"form_token": others}):
            assert client.post("/logout", data=forged).status_code == 403
        elsewhere = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        assert client.post("/logout", data={"form_token": token}, headers=elsewhere).status_code == 403
        assert client.get(f"/runs/{run_id}").status_code == 200
        kept = dict(client.cookies)
        done = client.post("/logout", data={"form_token": token})
        assert (done.status_code, done.headers["location"]) == (303, "/login")
        client.cookies.update(kept)
        assert client.get(f"/api/runs/{run_id}").status_code == 401
        assert client.post("/logout").status_code == 303


def test_a_person_starts_a_run_again_and_stops_it_with_the_token_of_their_sign_in(
    guarded: Deployment, run_id: str
) -> None:
    gate = Gate("fix-calc", 0)
    guarded.model.hold(gate)
    with signed_in(guarded, "octo") as client, signed_in(guarded, "reader") as reader:
        token, others = form_token(client, run_id), form_token(reader, run_id)
        elsewhere = {"x-form-token": token, "sec-fetch-site": "cross-site"}
        retry = f"/api/runs/{run_id}/retry"
        for forged in ({}, {"x-form-token": ""}, {"x-form-token": others}, elsewhere):
            assert refusal(client.post(retry, headers=forged)) == (403, "form-token")
        assert refusal(reader.post(retry, headers={"x-form-token": others})) == (403, "not-allowed")
        started = client.post(retry, headers={"x-form-token": token})
        assert started.status_code == 202
        again = started.json()["request_id"]
        until(lambda: gate in guarded.model.waiting, what="the agent is at work")
        run = client.get(f"/api/runs/{again}").json()
        assert (run["actor"], run["trigger"], run["prompt"]) == ("octo", "api", "Please fix this.")
        stop = f"/api/runs/{again}/stop"
        assert refusal(client.post(stop, headers={"x-form-token": others})) == (403, "form-token")
        assert refusal(client.post(f"/api/runs/{again}/retry", headers={"x-form-token": token})) == (
            409,
            "still-running",
        )
        stopped = client.post(stop, headers={"x-form-token": token})
        assert (stopped.status_code, stopped.json()) == (202, {"result": "soon"})
        until(lambda: client.get(f"/api/runs/{again}").json()["outcome"] == "stopped", what="it has been stopped")
        before = client.post(stop, headers={"x-form-token": token})
        assert (before.status_code, before.json()) == (200, {"result": "before"})
    guarded.model.release(gate)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_a_key_sees_the_runs_of_its_repositories(guarded: Deployment, run_id: str) -> None:
    key, elsewhere = new_key(guarded, "--repo", "acme/*", "--read-only"), new_key(guarded, "--repo", "other/*")
    with browser(guarded) as client:
        for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
            assert client.get(f"/api/runs/{run_id}", headers=headers).status_code == 200
        assert client.get(f"/api/runs/{run_id}", headers={"x-api-key": elsewhere}).status_code == 404
        wrong = client.get(f"/api/runs/{run_id}", headers={"x-api-key": f"{key}x"})
        assert (wrong.status_code, wrong.headers["content-type"]) == (401, "application/problem+json")


def test_nothing_secret_is_in_the_log(guarded: Deployment, run_id: str) -> None:
    key = new_key(guarded, "--repo", "acme/*")
    with browser(guarded) as client:
        authorize = to_github(client)
        back = at_github(authorize, "octo")
        client.get(back)
        client.get(f"/api/runs/{run_id}", headers={"x-api-key": key})
        client.get(f"/api/runs/{run_id}", headers={"x-api-key": f"{key}x"})
        query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
        secrets = [key, query["state"], query["code"], guarded.github.identity.client_secret, *client.cookies.values()]
    for line in guarded.backspace.log.splitlines():
        json.loads(line)
        assert not [secret for secret in secrets if secret in line], line
    assert "sign_in.done" in guarded.backspace.log


def test_without_a_client_id_the_page_says_what_to_set() -> None:
    settings = {"BACKSPACE_REQUIRE_AUTH": "true", "GITHUB_CLIENT_ID": "", "GITHUB_CLIENT_SECRET": ""}
    with deployed(settings=settings, described=False) as deployment, browser(deployment) as client:
        for path in ("/login", "/login/github"):
            page = client.get(path)
            assert page.status_code == 200
            assert "GITHUB_CLIENT_SECRET" in page.text
            assert f"{deployment.backspace.url}/login/callback" in page.text
