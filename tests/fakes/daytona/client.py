"""The real SDK against the emulator, for the tests of the emulator itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from daytona import AsyncDaytona, AsyncSandbox, CreateSandboxFromSnapshotParams, DaytonaConfig

from tests.fakes.daytona.fake import FakeDaytona


@asynccontextmanager
async def connected(fake: FakeDaytona, key: str | None = None) -> AsyncIterator[AsyncDaytona]:
    async with AsyncDaytona(DaytonaConfig(api_key=key or fake.api_key, api_url=fake.api_url, target="us")) as client:
        yield client


def asked(name: str, **changed: Any) -> CreateSandboxFromSnapshotParams:  # noqa: ANN401 - the SDK's own parameters
    """A sandbox as Backspace asks for one."""
    usual: dict[str, Any] = {
        "snapshot": "default",
        "ttl_minutes": 120,
        "auto_stop_interval": 30,
        "auto_delete_interval": 60,
        "domain_allow_list": "127.0.0.1",
    }
    return CreateSandboxFromSnapshotParams(name=name, **{**usual, **changed})


async def downloaded(fake: FakeDaytona, box: AsyncSandbox, path: str, part: str | None = None) -> httpx.Response:
    """The raw download, which the SDK does not use; `part` is its Range."""
    headers = {"Authorization": f"Bearer {fake.api_key}"} | ({"Range": part} if part else {})
    url = f"{fake.base_url}/toolbox/{box.id}/files/download"
    async with httpx.AsyncClient(headers=headers, timeout=20) as client:
        return await client.get(url, params={"path": path})
