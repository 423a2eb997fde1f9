"""The broker over real sockets, in front of a model that really answers."""

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from bot.broker.proxy import Broker
from bot.model import RunId, Usage
from tests.broker.desk import R1, REAL_KEY, Desk, question, token_of, until
from tests.fakes.model.server import FakeModel
from tests.fakes.model.state import Fault, FaultKind, Gate

R2 = RunId("r2")
# Of one scripted answer: 1200 in, 300 written to the cache, 5000 read from it, 80 out, at the model's price.
ONE_ANSWER = Usage(1200, 80, 5000, 300, (1200 * 2 + 80 * 10 + 5000 * 0.10 + 300 * 2.5) / 1e6)


def _same(left: Usage, right: Usage) -> bool:
    return (left.input_tokens, left.output_tokens, left.cache_read_tokens, left.cache_write_tokens) == (
        right.input_tokens,
        right.output_tokens,
        right.cache_read_tokens,
        right.cache_write_tokens,
    ) and left.cost_usd == pytest.approx(right.cost_usd)


def _error(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    assert body["type"] == "error"
    return response.status_code, body["error"]["type"], body["error"]["message"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_comes_through_and_is_paid_for(client: httpx.AsyncClient, desk: Desk, *, stream: bool) -> None:
    response = await client.post("/v1/messages?beta=true", json=question(stream=stream))
    assert response.status_code == 200
    assert "tool_use" in response.text
    assert _same(desk.stored[R1], ONE_ANSWER)
    assert _same(desk.broker.spent(R1), ONE_ANSWER)


async def test_bytes_query_and_body_pass_unchanged(client: httpx.AsyncClient, desk: Desk, model: FakeModel) -> None:
    through = await client.post("/v1/messages?beta=true", json=question())
    async with httpx.AsyncClient(trust_env=False) as direct:
        straight = await direct.post(f"{model.url}/v1/messages?beta=true", json=question())
    without_ids = [
        b"\n".join(
            line for line in answer.content.splitlines() if b"message_start" not in line and b"toolu" not in line
        )
        for answer in (through, straight)
    ]
    assert without_ids[0] == without_ids[1]
    assert model.requests[0].query == "beta=true"
    assert model.requests[0].body == model.requests[1].body
    assert through.headers["content-type"] == straight.headers["content-type"]


async def test_the_key_is_swapped_and_nothing_of_the_sandbox_goes_along(
    client: httpx.AsyncClient, model: FakeModel
) -> None:
    await client.post(
        "/v1/messages",
        json=question(),
        headers={"x-api-key": "guess", "cookie": "a=b", "anthropic-beta": "x", "anthropic-version": "2023-06-01"},
    )
    headers = model.requests[0].headers
    assert headers["x-api-key"] == REAL_KEY
    assert "authorization" not in headers
    assert "cookie" not in headers
    assert headers["anthropic-beta"] == "x"
    assert headers["accept-encoding"] == "identity"
    assert token_of(R1) not in str(model.requests[0])


async def test_the_token_is_taken_as_api_key_too(desk: Desk) -> None:
    path = await desk.open(R1)
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(path)),
        base_url="http://model.invalid",
        headers={"x-api-key": token_of(R1)},
    ) as client:
        assert (await client.post("/v1/messages", json=question())).status_code == 200


async def test_other_paths_of_the_api(client: httpx.AsyncClient, desk: Desk) -> None:
    counted = await client.post("/v1/messages/count_tokens", json=question())
    assert counted.json()["input_tokens"] > 0
    assert (await client.get("/v1/models")).json()["data"]
    assert (await client.head("/")).status_code == 200
    assert R1 not in desk.stored


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/v1/files"), ("GET", "/v1/messages"), ("POST", "/v1/messages/../files"), ("PUT", "/x")],
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, model: FakeModel, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert _error(response)[:2] == (404, "not_found_error")
    assert response.headers["x-should-retry"] == "false"
    assert not model.requests


@pytest.mark.parametrize(
    "token", ["Basic Og==", "Bearer guess", f"Bearer {token_of(R2)}"], ids=["none", "wrong", "of-another-run"]
)
async def test_a_socket_serves_its_own_run_only(desk: Desk, model: FakeModel, token: str) -> None:
    path = await desk.open(R1)
    await desk.open(R2)
    async with desk.client(path) as client:
        response = await client.post("/v1/messages", json=question(), headers={"authorization": token})
    assert _error(response) == (403, "permission_error", "unknown run token")
    assert response.headers["x-should-retry"] == "false"
    assert not model.requests


async def test_the_budget_is_checked_before_each_request(desk: Desk, model: FakeModel) -> None:
    path = await desk.open(R1, budget_usd=0.005)
    async with desk.client(path) as client:
        statuses = [(await client.post("/v1/messages", json=question())).status_code for _ in range(3)]
        response = await client.post("/v1/messages", json=question())
    assert statuses == [200, 200, 402]
    assert _error(response) == (402, "billing_error", "run budget of $0.01 is used up")
    assert response.headers["x-should-retry"] == "false"
    assert len(model.requests) == 2


async def test_what_was_spent_before_a_restart_counts(desk: Desk) -> None:
    path = await desk.open(R1, budget_usd=2.0, spent=Usage(cost_usd=2.0))
    async with desk.client(path) as client:
        assert (await client.post("/v1/messages", json=question())).status_code == 402


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "claude-opus-5-5"}, "model claude-opus-5-5 is not allowed for this run"),
        (
            {"mcp_servers": [{"type": "url", "url": "http://attacker.invalid"}]},
            "mcp_servers is not allowed: it would leave the sandbox",
        ),
        (
            {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
            "the server tool web_fetch_20250910 is not allowed: it would leave the sandbox",
        ),
    ],
    ids=["model", "mcp", "server-tool"],
)
async def test_what_a_run_may_not_ask_for(
    client: httpx.AsyncClient, model: FakeModel, change: dict[str, object], message: str
) -> None:
    response = await client.post("/v1/messages", json={**question(), **change})
    assert _error(response) == (403, "permission_error", message)
    assert response.headers["x-should-retry"] == "false"
    assert not model.requests


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"model": 1}'])
async def test_a_body_that_is_no_request(client: httpx.AsyncClient, model: FakeModel, body: bytes) -> None:
    assert _error(await client.post("/v1/messages", content=body))[:2] == (400, "invalid_request_error")
    assert not model.requests


async def test_a_body_that_is_too_large(client: httpx.AsyncClient, model: FakeModel) -> None:
    response = await client.post("/v1/messages", content=b"x" * (41 * 1024**2))
    assert _error(response)[:2] == (413, "request_too_large")
    assert not model.requests


async def test_a_revoked_run_is_refused(client: httpx.AsyncClient, desk: Desk) -> None:
    await desk.broker.revoke(R1)
    response = await client.post("/v1/messages", json=question())
    assert _error(response) == (403, "permission_error", "run cancelled")
    assert response.headers["x-should-retry"] == "false"


async def test_revoking_ends_an_answer_in_the_middle_and_pays_for_what_came(
    client: httpx.AsyncClient, desk: Desk, model: FakeModel
) -> None:
    model.hold(Gate("no-changes", 0, midway=True))
    async with client.stream("POST", "/v1/messages", json=question()) as response:
        pieces = response.aiter_bytes()
        await anext(pieces)
        await desk.broker.revoke(R1)
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)
    await until(lambda: not model.waiting)
    assert desk.stored[R1].input_tokens == 1200
    assert desk.stored[R1].output_tokens >= 1


async def test_revoking_before_the_answer_refuses_it(client: httpx.AsyncClient, desk: Desk, model: FakeModel) -> None:
    model.hold(Gate("no-changes", 0))
    asking = asyncio.create_task(client.post("/v1/messages", json=question()))
    await until(lambda: bool(model.waiting))
    await desk.broker.revoke(R1)
    assert _error(await asking)[2] == "run cancelled"


async def test_a_client_that_goes_away_ends_the_stream_and_is_accounted(
    client: httpx.AsyncClient, desk: Desk, model: FakeModel
) -> None:
    model.hold(Gate("no-changes", 0, midway=True))
    async with client.stream("POST", "/v1/messages", json=question()) as response:
        await anext(response.aiter_bytes())
    await until(lambda: not model.waiting)
    await until(lambda: R1 in desk.stored)
    assert desk.stored[R1].input_tokens == 1200


async def test_a_stalled_stream_is_dropped(client: httpx.AsyncClient, desk: Desk, model: FakeModel) -> None:
    model.fail(Fault(FaultKind.SILENCE))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/v1/messages", json=question())
    assert desk.stored[R1].input_tokens == 1200


async def test_a_model_that_does_not_answer_at_all(client: httpx.AsyncClient, model: FakeModel) -> None:
    model.fail(Fault(FaultKind.NO_HEADERS))
    response = await client.post("/v1/messages", json=question())
    assert _error(response)[:2] == (504, "api_error")
    assert "x-should-retry" not in response.headers


async def test_a_connection_dropped_before_the_answer_may_be_retried(
    client: httpx.AsyncClient, desk: Desk, model: FakeModel
) -> None:
    model.fail(Fault(FaultKind.DROP_BEFORE))
    response = await client.post("/v1/messages", json=question())
    assert _error(response) == (502, "api_error", "the model API cannot be reached")
    assert "x-should-retry" not in response.headers
    assert R1 not in desk.stored
    assert (await client.post("/v1/messages", json=question())).status_code == 200


async def test_a_connection_dropped_in_the_middle_is_dropped_here_too(
    client: httpx.AsyncClient, desk: Desk, model: FakeModel
) -> None:
    model.fail(Fault(FaultKind.DROP_MID))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/v1/messages", json=question())
    assert desk.stored[R1].input_tokens == 1200
    assert desk.stored[R1].output_tokens > 1


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_the_models_own_errors_pass(client: httpx.AsyncClient, desk: Desk, model: FakeModel, status: int) -> None:
    model.fail(Fault(FaultKind.STATUS, status=status, message="its own words", headers={"retry-after": "7"}))
    response = await client.post("/v1/messages", json=question())
    assert _error(response) == (status, "api_error", "its own words")
    assert response.headers["retry-after"] == "7"
    assert response.headers.get("x-should-retry") == ("false" if status == 401 else None)
    assert R1 not in desk.stored
    assert REAL_KEY not in str(response.headers) + response.text


async def test_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    broker = Broker(
        upstream="http://127.0.0.1:9/v9", api_key=REAL_KEY, sockets=tmp_path, client=httpx.AsyncClient(trust_env=False)
    )
    desk = Desk(broker)
    path = await desk.open(R1)
    async with desk.client(path) as client:
        response = await client.post("/v1/messages", json=question())
    assert _error(response) == (502, "api_error", "the model API cannot be reached")
    assert "127.0.0.1" not in response.text
    await desk.close()


async def test_many_runs_at_once_are_counted_apart(desk: Desk) -> None:
    runs = [RunId(f"run-{number}") for number in range(20)]
    paths = [await desk.open(run) for run in runs]

    async def ask(run: RunId, path: Path, times: int) -> None:
        async with desk.client(path, run) as client:
            for _ in range(times):
                assert (await client.post("/v1/messages", json=question())).status_code == 200

    await asyncio.gather(
        *(ask(run, path, number % 3 + 1) for number, (run, path) in enumerate(zip(runs, paths, strict=True)))
    )
    counted = [desk.stored[run].output_tokens for run in runs]
    assert counted == [80 * (number % 3 + 1) for number in range(20)]


async def test_the_usage_is_stored_before_the_answer_ends(model: FakeModel, tmp_path: Path) -> None:
    broker = Broker(upstream=model.url, api_key=REAL_KEY, sockets=tmp_path, client=httpx.AsyncClient(trust_env=False))
    stored: list[int] = []
    release = asyncio.Event()

    async def slow_store(_: RunId, usage: Usage) -> None:
        if stored:
            await release.wait()
        stored.append(usage.output_tokens)

    path = await broker.open(
        R1, token=token_of(R1), budget_usd=1, spent=Usage(), allowed_models=(), on_usage=slow_store
    )
    seen = b""
    async with (
        Desk(broker).client(path) as client,
        client.stream("POST", "/v1/messages", json=question()) as response,
    ):
        async for piece in response.aiter_bytes():
            seen += piece
            if b"content_block_stop" in seen and not release.is_set():
                assert b"message_stop" not in seen
                release.set()
    assert sum(stored) == 80
    await broker.shutdown()


async def test_a_closed_run_has_no_socket(desk: Desk) -> None:
    path = await desk.open(R1)
    assert path.is_socket()
    await desk.broker.close(R1)
    await desk.broker.close(R1)
    assert not path.exists()


async def test_opening_again_replaces_the_run(desk: Desk) -> None:
    first = await desk.open(R1, spent=Usage(cost_usd=5.0))
    second = await desk.open(R1)
    assert first == second
    async with desk.client(second) as client:
        assert (await client.post("/v1/messages", json=question())).status_code == 200


async def test_a_long_path_is_no_obstacle(model: FakeModel, tmp_path: Path) -> None:
    sockets = tmp_path / ("long-" * 30)
    broker = Broker(upstream=model.url, api_key=REAL_KEY, sockets=sockets, client=httpx.AsyncClient(trust_env=False))
    path = await Desk(broker).open(R1)
    assert path.is_socket()
    assert path.stat().st_mode & 0o666 == 0o666
    await broker.shutdown()


async def test_the_public_route_knows_runs_by_their_token(desk: Desk) -> None:
    await desk.open(R1)
    await desk.open(R2)
    app = Starlette(routes=[Mount("/broker", app=desk.broker.asgi)])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://backspace.invalid/broker"
    ) as client:
        headers = {"authorization": f"Bearer {token_of(R2)}"}
        response = await client.post("/v1/messages", json=question(), headers=headers)
        assert response.status_code == 200
        assert _error(await client.post("/v1/messages", json=question()))[0] == 403
    assert list(desk.stored) == [R2]


async def test_who_lived_on_is_told_to_wait_until_its_run_is_taken_up_again(desk: Desk) -> None:
    desk.broker.expect(R1, token_of(R1))
    app = Starlette(routes=[Mount("/broker", app=desk.broker.asgi)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://backspace.test/broker") as client:

        async def asked(run_id: RunId) -> httpx.Response:
            authorization = {"authorization": f"Bearer {token_of(run_id)}"}
            return await client.post("/v1/messages", json=question(), headers=authorization)

        early = await asked(R1)
        assert _error(early) == (503, "api_error", "the run is being taken up again")
        assert early.headers.get("x-should-retry") != "false"
        assert _error(await asked(R2))[0] == 403
        await desk.open(R1)
        assert (await asked(R1)).status_code == 200
        await desk.broker.close(R1)
        assert _error(await asked(R1))[0] == 403
