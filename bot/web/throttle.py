"""How often somebody may try something, counted in this process. No I/O."""

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime, timedelta

from starlette.requests import Request

_MOST_KNOWN = 10_000
_IPV6_NETWORK_BITS = 64


class Throttle:
    def __init__(self, most: int, window: timedelta, clock: Callable[[], datetime]) -> None:
        self._most = most
        self._window = window
        self._clock = clock
        self._tries: OrderedDict[str, deque[datetime]] = OrderedDict()

    def take(self, who: str) -> timedelta | None:
        """None: it may try; else how long it has to wait."""
        now = self._clock()
        tries = self._tries.setdefault(who, deque())
        self._tries.move_to_end(who)
        if len(self._tries) > _MOST_KNOWN:
            self._tries.popitem(last=False)
        while tries and tries[0] <= now - self._window:
            tries.popleft()
        if len(tries) >= self._most:
            return tries[0] + self._window - now
        tries.append(now)
        return None


def address_of(request: Request) -> str:
    """Whom tries are counted for where nobody is known. One house has many IPv6 addresses, in one network."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address.packed, _IPV6_NETWORK_BITS), strict=False))
