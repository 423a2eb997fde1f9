"""The first lines that a client says to the egress gateway, read. No I/O."""

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from bot.sandbox.allow import normal_host

_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"upgrade"})


@dataclass(frozen=True)
class Malformed:
    """Not a request to a proxy."""


@dataclass(frozen=True)
class ProxyRequest:
    host: str
    port: int
    opening: bytes
    """What the origin is sent before anything else: empty for CONNECT."""


def parse(head: bytes) -> ProxyRequest | Malformed:
    """`head` ends with an empty line. https://www.rfc-editor.org/rfc/rfc9112#section-3.2"""
    request_line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    words = request_line.split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return Malformed()
    method, target, _ = words
    connect = method == b"CONNECT"
    try:
        url = urlsplit(("//" if connect else "") + target.decode("ascii"))
        port = url.port
    except ValueError:
        return Malformed()
    host = normal_host(url.hostname or "")
    if not host or (connect and port is None) or (not connect and url.scheme != "http"):
        return Malformed()
    return ProxyRequest(host, port or 80, b"" if connect else _origin_form(method, url, headers))


def _origin_form(method: bytes, url: SplitResult, headers: list[bytes]) -> bytes:
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # The name that was allowed is the name that is asked for, whatever the client's Host says.
    kept = [line for line in headers if line.partition(b":")[0].strip().lower() not in {*_HOP_BY_HOP, b"host"}]
    authority = url.netloc.rpartition("@")[2]
    lines = [
        b"%s %s HTTP/1.1" % (method, path.encode()),
        b"Host: " + authority.encode(),
        b"Connection: close",
        *kept,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"
