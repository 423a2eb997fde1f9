"""Fetches the images that people attached to a thread; what cannot be had is left out with a reason.

No credential of ours goes with a request. The attachments of a private repository are behind signed addresses, which
GitHub's API writes into the HTML that it makes of a text:
https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#media-types
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import httpx

from bot import certificates
from bot.github.answers import At, Target
from bot.github.failures import GitHubFailed
from bot.github.image_formats import recognise
from bot.markdown.assets import asset_id, serves_assets
from bot.markdown.images import Reference, image_urls
from bot.sandbox.allow import address_refusal

_IMAGES = 10
_MB = 1_000_000
_IMAGE_BYTES = 5 * _MB
"""The models' own limits are this and the pixels: https://docs.claude.com/en/docs/build-with-claude/vision"""
_PIXELS = 8000
_TOTAL_BYTES = 20 * _MB
_TOTAL_SECONDS = 20.0
_REDIRECTS = 3
_HEADERS = {
    "User-Agent": "backspace",
    "Accept": "image/png, image/jpeg, image/gif, image/webp",
    "Accept-Encoding": "identity",
}

_FOREIGN = "not an attachment of this GitHub"
_TOO_MANY = f"beyond the first {_IMAGES} images"
_TOO_LARGE = f"larger than {_IMAGE_BYTES // _MB} MB"
_TOO_WIDE = f"wider or higher than {_PIXELS} pixels"
_TOO_MUCH = f"over {_TOTAL_BYTES // _MB} MB together with the images before it"
_NO_IMAGE = "not a PNG, JPEG, GIF or WebP image"
_NOT_SHOWN = "GitHub does not show it to Backspace"
_FAILED = "could not be fetched"


@dataclass(frozen=True)
class Attachment:
    """An image that was fetched."""

    name: str
    """`1.png`, `2.jpg`: ours, not the person's."""
    media_type: str
    content: bytes
    url: str
    """As written in the text."""


@dataclass(frozen=True)
class Skipped:
    """An image that was left out."""

    url: str
    """As written in the text."""
    why: str
    """In words for people, such as `larger than 5 MB`."""


@dataclass(frozen=True)
class Fetched:
    files: tuple[Attachment, ...] = ()
    skipped: tuple[Skipped, ...] = ()


Rendered: TypeAlias = Callable[[At, Target], Awaitable[str]]
"""The HTML that GitHub makes of the text at a place. Raises GitHubFailed."""
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """The host's addresses, by this machine's own resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _LeftOut(Exception):
    """The message is why, in words for people."""


class Attachments:
    def __init__(
        self,
        *,
        web_url: str,
        rendered: Rendered,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        seconds: float = _TOTAL_SECONDS,
    ) -> None:
        """`seconds` is how long one `fetch` may take."""
        self._web_url = web_url
        self._rendered = rendered
        self._resolve = resolve
        self._seconds = seconds
        self._tls = tls or certificates.trusted()

    async def fetch(self, at: At, texts: Iterable[tuple[Target | None, Sequence[Reference]]]) -> Fetched:
        """The images that texts refer to, in the order in which they stand there, each once.

        A text comes with the place where GitHub has it; None where GitHub cannot be asked for it.
        A failure is a `Skipped`.
        """
        texts = list(texts)
        found = {reference.url: reference for _, references in texts for reference in references}
        wanted = [reference for reference in found.values() if reference.asset][:_IMAGES]
        contents = await self._contents(at, texts, wanted) if wanted else {}
        files: list[Attachment] = []
        skipped: list[Skipped] = []
        room = _TOTAL_BYTES
        for reference in found.values():
            content = contents.get(reference.url, _LeftOut(_TOO_MANY if reference.asset else _FOREIGN))
            try:
                files.append(_checked(reference.url, content, len(files) + 1, room))
            except _LeftOut as why:
                skipped.append(Skipped(reference.url, str(why)))
            else:
                room -= len(files[-1].content)
        return Fetched(tuple(files), tuple(skipped))

    async def _contents(
        self, at: At, texts: Sequence[tuple[Target | None, Sequence[Reference]]], wanted: Sequence[Reference]
    ) -> Mapping[str, bytes | _LeftOut]:
        deadline = asyncio.get_running_loop().time() + self._seconds
        assets = {reference.asset for reference in wanted}
        places = [place for place, references in texts if place and assets & {one.asset for one in references}]
        signed = await self._signed(at, list(dict.fromkeys(places)))
        async with httpx.AsyncClient(
            # A kept connection was made for another host's certificate.
            verify=self._tls,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as http:
            download = _Download(http, self._web_url, self._resolve)
            contents = await asyncio.gather(
                *(self._content(download, signed.get(one.asset, one.url), deadline) for one in wanted)
            )
        return dict(zip((one.url for one in wanted), contents, strict=True))

    async def _signed(self, at: At, places: Sequence[Target]) -> dict[str, str]:
        """By attachment, the addresses in the HTML that GitHub makes of the texts now.

        A text may have been edited since: only attachments that stood in it when it was read are looked up here.
        """
        found: dict[str, str] = {}
        try:
            # What is left of the time is for attachments that need no signature.
            async with asyncio.timeout(self._seconds / 2):
                pages = await asyncio.gather(*(self._html(at, place) for place in places))
        except TimeoutError:
            return {}
        for url in (url for page in pages for url in image_urls(page)):
            asset = asset_id(url, self._web_url)
            if asset:
                found.setdefault(asset, url)
        return found

    async def _html(self, at: At, place: Target) -> str:
        try:
            return await self._rendered(at, place)
        except GitHubFailed:
            return ""

    async def _content(self, download: "_Download", url: str, deadline: float) -> bytes | _LeftOut:
        try:
            async with asyncio.timeout_at(deadline):
                return await download.content(httpx.URL(url))
        except TimeoutError:
            return _LeftOut(f"not there within {self._seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            return _LeftOut(_FAILED)
        except _LeftOut as why:
            return why


@dataclass(frozen=True)
class _Download:
    """Requests without any credential, each to a host that serves attachments, at an address that may be reached.

    A name is resolved here and one of the judged addresses is connected to, so that a second answer of the name
    server changes nothing.
    """

    http: httpx.AsyncClient
    web_url: str
    resolve: Resolve

    async def content(self, url: httpx.URL) -> bytes:
        for _ in range(_REDIRECTS + 1):
            if not serves_assets(str(url), self.web_url):
                raise _LeftOut("kept on a host that is not GitHub's")
            got = await self._get(url)
            if isinstance(got, bytes):
                return got
            url = got
        raise _LeftOut(_FAILED)

    async def _get(self, url: httpx.URL) -> bytes | httpx.URL:
        """The content, or where it is instead."""
        failed: httpx.ConnectError | None = None
        for address in await self._addresses(url):
            try:
                return await self._get_from(address, url)
            except httpx.ConnectError as exc:
                failed = exc
        raise failed or _LeftOut(_FAILED)

    async def _get_from(self, address: str, url: httpx.URL) -> bytes | httpx.URL:
        headers = {**_HEADERS, "Host": url.netloc.decode("ascii")}
        there = url.copy_with(host=address)
        async with self.http.stream("GET", there, headers=headers, extensions={"sni_hostname": url.host}) as response:
            if response.has_redirect_location:
                return url.join(response.headers["location"])
            if response.status_code in {401, 403, 404, 410}:
                raise _LeftOut(_NOT_SHOWN)
            if response.status_code != httpx.codes.OK:
                raise _LeftOut(_FAILED)
            content = bytearray()
            # Not decoded: a small answer may unpack to a large one.
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > _IMAGE_BYTES:
                    raise _LeftOut(_TOO_LARGE)
            return bytes(content)

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """Raises _LeftOut when one of them may not be reached."""
        web = httpx.URL(self.web_url)
        at_home = await self.resolve(web.host, _port(web))
        private = any(address_refusal(address, private_allowed=False) for address in at_home)
        addresses = await self.resolve(url.host, _port(url))
        for address in addresses:
            why = address_refusal(address, private_allowed=private)
            if why:
                raise _LeftOut(f"kept on a host that may not be reached: {why}")
        return addresses


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]


def _checked(url: str, content: bytes | _LeftOut, number: int, room: int) -> Attachment:
    """Raises _LeftOut. `room` is in bytes."""
    if isinstance(content, _LeftOut):
        raise content
    image = recognise(content)
    if image is None:
        raise _LeftOut(_NO_IMAGE)
    if max(image.width, image.height) > _PIXELS:
        raise _LeftOut(_TOO_WIDE)
    if len(content) > room:
        raise _LeftOut(_TOO_MUCH)
    return Attachment(f"{number}.{image.extension}", image.media_type, content, url)
