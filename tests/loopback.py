"""Plain HTTP on loopback: no proxy, no certificates, whose loading would cost five times what a request does."""

import httpx

_ONE_REQUEST_EACH = httpx.Limits(max_keepalive_connections=0)
"""Servers are killed in between; a connection that was kept would belong to the one before."""

LOOPBACK = httpx.Client(
    verify=False,
    trust_env=False,
    timeout=10,
    limits=_ONE_REQUEST_EACH,
)


def connected(url: str, *, headers: dict[str, str] | None = None, timeout_seconds: float = 20) -> httpx.AsyncClient:
    """A client of its own for the server at `url`, in an event loop."""
    return httpx.AsyncClient(
        base_url=url,
        headers=headers,
        timeout=timeout_seconds,
        verify=False,
        trust_env=False,
    )
