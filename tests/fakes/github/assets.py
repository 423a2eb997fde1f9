"""What people attach to texts: kept for whoever may read the repository, behind signed addresses if it is private."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from markdown_it import MarkdownIt
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.github.log import Log
from tests.fakes.github.shapes import Links
from tests.fakes.github.world import Repository, World

_PATH = "/user-attachments/assets/"
_SIGNED_FOR = timedelta(minutes=5)
_DRIP_SECONDS = 0.02
_SOURCE = re.compile(r"""(<img\b[^>]*?\bsrc=["']?)([^"'\s>]+)""")


@dataclass(frozen=True)
class Asset:
    repository: Repository
    content: bytes
    name: str
    moved_to: str = ""
    drips: bool = False
    status: int = 200


class Assets:
    def __init__(self, world: World, links: Links) -> None:
        self._world = world
        self._links = links
        self._kept: dict[str, Asset] = {}
        self._signatures: dict[str, tuple[str, datetime]] = {}
        """By signature, the asset and when it ends."""
        self.headers: list[dict[str, str]] = []
        """What came with each request."""
        self._parser = MarkdownIt("gfm-like", {"linkify": False})

    def keep(self, asset: Asset) -> str:
        """Its address."""
        number = str(uuid.uuid4())
        self._kept[number] = asset
        return f"{self._links.web}{_PATH}{number}"

    def rendered(self, repository: Repository, text: str) -> str:
        """HTML in which the addresses of private images are signed."""

        def signed(match: re.Match[str]) -> str:
            return match[1] + self._signed(repository, match[2])

        return _SOURCE.sub(signed, str(self._parser.render(text)))

    def _signed(self, repository: Repository, url: str) -> str:
        prefix, _, number = url.partition(_PATH)
        asset = self._kept.get(number)
        if prefix != self._links.web or asset is None or asset.repository is not repository or not repository.private:
            return url
        signature = secrets.token_urlsafe(16)
        self._signatures[signature] = (number, self._world.clock() + _SIGNED_FOR)
        return f"{url}?jwt={signature}"

    def routes(self, log: Log) -> list[Route]:
        def answer(request: Request) -> Response:
            self.headers.append(dict(request.headers))
            response = self._answer(request)
            log.add(request.method, request.url.path, response.status_code, "asset")
            return response

        return [Route(_PATH + "{number}", answer)]

    def _answer(self, request: Request) -> Response:
        number = request.path_params["number"]
        asset = self._kept.get(number)
        if asset is None or not self._may_read(asset, number, request.query_params.get("jwt", "")):
            return Response("Not Found", 404)
        if asset.moved_to:
            return RedirectResponse(asset.moved_to, 302)
        media = mimetypes.guess_type(asset.name)[0] or "application/octet-stream"
        if asset.drips:
            return StreamingResponse(_dripping(asset.content), asset.status, media_type=media)
        return Response(asset.content, asset.status, media_type=media)

    def _may_read(self, asset: Asset, number: str, signature: str) -> bool:
        signed, until = self._signatures.get(signature, ("", self._world.clock()))
        return not asset.repository.private or (signed == number and self._world.clock() < until)


async def _dripping(content: bytes) -> AsyncIterator[bytes]:
    yield content
    while True:
        await asyncio.sleep(_DRIP_SECONDS)
        yield b"."
