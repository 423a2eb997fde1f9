"""Which hosts a sandbox may reach, and which addresses nobody may. No I/O."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

WEB_PORTS = frozenset({80, 443})

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*")
# Addresses that contain an IPv4 address: https://www.rfc-editor.org/rfc/rfc6052#section-2.1, and the old ::a.b.c.d
_EMBEDDING = tuple(ipaddress.ip_network(block) for block in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))


def normal_host(host: str) -> str:
    """Lower case, no brackets, no final dot; empty when it cannot be a host's name or address."""
    host = host.strip().lower().removeprefix("[").removesuffix("]").removesuffix(".")
    return host if _HOST.fullmatch(host) else ""


@dataclass(frozen=True)
class Rule:
    """`host` without a wildcard; `below` takes in all names below it, and not the name itself."""

    host: str
    below: bool = False
    ports: frozenset[int] = WEB_PORTS

    def matches(self, host: str, port: int) -> bool:
        named = host.endswith(f".{self.host}") if self.below else host == self.host
        return named and port in self.ports


@dataclass(frozen=True)
class Allow:
    rules: tuple[Rule, ...] = ()
    private: frozenset[str] = frozenset()
    """Hosts that a setting of this deployment names although their addresses are private or loopback."""

    @property
    def names(self) -> tuple[str, ...]:
        """As somebody takes them who knows no ports: `name`, and `*.name` for all below it."""
        return tuple(dict.fromkeys(f"*.{rule.host}" if rule.below else rule.host for rule in self.rules))

    def permits(self, host: str, port: int) -> bool:
        return any(rule.matches(host, port) for rule in self.rules)


def rule(pattern: str) -> Rule | None:
    """`example.com`, `*.example.com` or `.example.com`, with `:port` where it is another; None for anything else."""
    host, colon, port = pattern.strip().rpartition(":")
    if not colon or not port.isdigit() or (":" in host.strip("[]") and not host.startswith("[")):
        host, port = pattern.strip(), ""
    below = host.startswith(("*.", "."))
    name = normal_host(host.removeprefix("*").removeprefix("."))
    if not name:
        return None
    return Rule(name, below, frozenset({int(port)}) if port else WEB_PORTS)


def rules(patterns: Iterable[str]) -> tuple[Rule, ...]:
    return tuple(found for pattern in patterns if (found := rule(pattern)))


def address_refusal(address: str, *, private_allowed: bool) -> str:
    """Why nobody may connect to this address; empty when one may."""
    for part in _parts(ipaddress.ip_address(address.partition("%")[0])):
        if part.is_link_local:
            return "its address is link-local"
        if (
            part.is_multicast
            or part.is_unspecified
            or (part.is_reserved and not part.is_loopback and not part.is_global)
        ):
            return "its address is not a host's"
        if not part.is_global and not private_allowed:
            return "its address is a loopback address" if part.is_loopback else "its address is private"
    return ""


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _parts(address: _Address) -> list[_Address]:
    """The address, or the IPv4 addresses that it stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    last_32_bits = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    stands_for: list[_Address] = [
        *(found for found in (address.ipv4_mapped, address.sixtofour) if found),
        *(address.teredo or ()),
        *(last_32_bits for network in _EMBEDDING if address in network and int(address) > 1),
    ]
    return stands_for or [address]
