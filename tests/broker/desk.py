"""What the broker's tests share: opening runs, asking as the agent asks, and the usage that was stored."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import httpx

from bot.broker.proxy import Broker
from bot.model import RunId, Usage

R1 = RunId("r1")
REAL_KEY = "dummy-key-of-the-installation"
MODEL = "claude-sonnet-5-5"


def token_of(run_id: RunId) -> str:
    return f"token-of-{run_id}"


class Desk:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.stored: dict[RunId, Usage] = {}

    async def open(
        self,
        run_id: RunId,
        *,
        budget_usd: float = 1.0,
        spent: Usage | None = None,
        allowed_models: Collection[str] = (MODEL,),
    ) -> Path:
        return await self.broker.open(
            run_id,
            token=token_of(run_id),
            budget_usd=budget_usd,
            spent=spent or Usage(),
            allowed_models=allowed_models,
            on_usage=self._store,
        )

    async def _store(self, run_id: RunId, usage: Usage) -> None:
        self.stored[run_id] = self.stored.get(run_id, Usage()) + usage

    @contextlib.asynccontextmanager
    async def client(self, socket: Path, run_id: RunId = R1) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url="http://model.invalid",
            headers={"authorization": f"Bearer {token_of(run_id)}"},
            timeout=20,
        ) as client:
            yield client

    async def close(self) -> None:
        await self.broker.shutdown()


def question(text: str = "scenario:no-changes", *, stream: bool = True) -> dict[str, Any]:
    """A request's body as Claude Code writes it."""
    return {
        "model": MODEL,
        "max_tokens": 1000,
        "stream": stream,
        "tools": [{"name": "Read", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": text}],
    }


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110 - the fact is another thread's
            await asyncio.sleep(0.01)
