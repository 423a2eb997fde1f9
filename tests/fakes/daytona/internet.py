"""The outside as sandboxes see it: a few names and addresses that lead to ports of this machine, or to nothing."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

_CHUNK_BYTES = 65536
_UNPRIVILEGED = 1024
_NOWHERE = "192.0.2.1"
"""Without a route: a name that exists and answers to nothing."""
ESSENTIAL = ("github.com", "*.githubusercontent.com", "*.anthropic.com", "claude.ai", "gitlab.com", "bitbucket.org")
"""A part of what sandboxes of tiers 1 and 2 reach: reference of the service, "essential services"."""


@dataclass(frozen=True)
class Contact:
    """A sandbox looked a name up (`port` is None), or connected."""

    sandbox: str
    host: str
    port: int | None
    allowed: bool


@dataclass(frozen=True)
class Policy:
    """What a sandbox was told at its making, or later. A list that is empty allows nothing."""

    block_all: bool = False
    domains: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None

    @property
    def open(self) -> bool:
        return not self.block_all and self.domains is None and self.networks is None

    def allows(self, host: str, essential: Sequence[str] | None) -> bool:
        """`essential` are the only hosts of an organisation that may not choose; None: it may."""
        if self.block_all:
            return False
        if self.domains is not None:
            return any(_covers(domain, host) for domain in self.domains)
        if self.networks is not None:
            return _is_address(host) and any(
                ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False) for network in self.networks
            )
        return essential is None or any(_covers(name, host) for name in essential)


def _covers(pattern: str, host: str) -> bool:
    """`*.x` covers what is below x, and not x."""
    return fnmatchcase(host.lower().rstrip("."), pattern.lower())


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


class View:
    """One sandbox's: which names it may reach, and by which address it knows them."""

    def __init__(self, internet: Internet, sandbox: str, policy: Policy) -> None:
        self._internet = internet
        self._sandbox = sandbox
        self.policy = policy
        self._names: dict[str, str] = {}

    def addresses(self) -> list[str]:
        """Of the outside, known by number, that it may reach now."""
        found = {host for host, _ in self._internet.served if _is_address(host) and not host.startswith("127.")}
        return sorted(host for host in found if self._allows(host))

    def listen(self) -> list[tuple[str, int]]:
        served = [place for place in self._internet.served if _is_address(place[0])]
        return [(host, port) for host, port in served if port >= _UNPRIVILEGED and self._allows(host)]

    def _allows(self, host: str) -> bool:
        return self.policy.allows(host, self._internet.essential)

    def asked(self, question: dict[str, Any], answer: socket.socket) -> None:
        """What the first process inside wants to know or to reach."""
        answer.settimeout(0)
        if "name" in question:
            with answer, suppress(OSError):
                answer.send(json.dumps(self._resolve(str(question["name"]))).encode() + b"\n")
            return
        address, port = question["connect"]
        host = next((name for name, known in self._names.items() if known == address), str(address))
        allowed = self._allows(host)
        self._internet.contacts.append(Contact(self._sandbox, host, port, allowed))
        place = self._internet.served.get((host, port)) if allowed else None
        if place:
            self._internet.forward(answer, place)
        else:
            answer.close()

    def _resolve(self, name: str) -> dict[str, Any]:
        allowed = self._allows(name)
        self._internet.contacts.append(Contact(self._sandbox, name, None, allowed))
        if not allowed:
            return {}
        ports = [port for host, port in self._internet.served if host == name]
        if not ports:
            return {"address": _NOWHERE}
        address = self._names.setdefault(name, f"10.77.1.{len(self._names) + 1}")
        return {"address": address, "ports": [port for port in ports if port >= _UNPRIVILEGED]}


class Internet:
    def __init__(self, tier: int) -> None:
        self.served: dict[tuple[str, int], tuple[str, int] | None] = {("1.1.1.1", 443): None, ("github.com", 443): None}
        """Host and port to host and port of this machine; None answers the call and hangs up."""
        self.essential: list[str] | None = None if tier >= 3 else list(ESSENTIAL)
        self.contacts: list[Contact] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def forward(self, inside: socket.socket, place: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(_splice(inside, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _splice(inside: socket.socket, place: tuple[str, int]) -> None:
    near, near_out = await asyncio.open_connection(sock=inside)
    try:
        far, far_out = await asyncio.open_connection(*place)
    except OSError:
        near_out.close()
        return
    try:
        await asyncio.gather(_pump(near, far_out), _pump(far, near_out))
    finally:
        near_out.close()
        far_out.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    with suppress(ConnectionError, OSError):
        target.write_eof()
