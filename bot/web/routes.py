"""The web part's routes, and what is in front of all of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from bot.errors import StoreUnavailable
from bot.intake import repo_config
from bot.runs.store import Store
from bot.web.door import Door
from bot.web.doorkeeper import TooManyTries
from bot.web.forms import FormTooLarge
from bot.web.hardened import Hardened
from bot.web.problems import problem

_PAGES = Path(__file__).parent / "pages"
log = structlog.get_logger("bot.web.routes")


class Part(Protocol):
    """Some of the routes, with what they need."""

    def routes(self) -> list[BaseRoute]: ...


def build(
    *,
    door: Door,
    parts: Sequence[Part],
    store: Store,
    ready: Callable[[], bool],
    metrics: Callable[[], tuple[bytes, str]],
    broker: list[BaseRoute],
    https: bool,
) -> ASGIApp:
    """The application. `metrics` gives the body and its content type; `https`: whether people come that way."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        if not ready():
            return problem(503, "not-ready", "Starting or stopping.")
        await store.ping()
        return JSONResponse({"status": "ready"})

    async def show_metrics(_request: Request) -> Response:
        body, media_type = metrics()
        return Response(body, media_type=media_type)

    routes: list[BaseRoute] = [
        Route("/webhook", door.__call__, methods=["POST"]),
        *(route for part in parts for route in part.routes()),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", show_metrics),
        Route("/backspace.schema.json", _config_schema),
        Route("/robots.txt", _robots),
        Mount("/static", StaticFiles(directory=_PAGES / "static")),
        *broker,
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            StoreUnavailable: _unavailable,
            ClientDisconnect: _gone,
            FormTooLarge: _form_too_large,
            TooManyTries: _too_many_tries,
            404: _not_found,
            405: _wrong_method,
            500: _failed,
        },
    )
    # Around all of it: what is answered in the place of a failure is an answer, too.
    return Hardened(app, https=https)


async def _config_schema(_request: Request) -> Response:
    """Of `.github/backspace.yml`, for editors; the address is stable."""
    headers = {"access-control-allow-origin": "*", "cache-control": "public, max-age=3600"}
    return JSONResponse(repo_config.json_schema(), headers=headers, media_type="application/schema+json")


async def _robots(_request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


async def _not_found(_request: Request, _error: Exception) -> Response:
    return problem(404, "no-such-page", "There is nothing at this address.")


async def _wrong_method(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = problem(405, "wrong-method", "Not with this method; `Allow` says with which.")
    response.headers.update(error.headers or {})
    return response


async def _gone(_request: Request, _error: Exception) -> Response:
    return problem(400, "incomplete", "The request ended before its body.")


async def _form_too_large(_request: Request, _error: Exception) -> Response:
    return problem(413, "too-large", "The form is larger than any of ours.")


async def _too_many_tries(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TooManyTries)
    response = problem(429, "too-many-tries", "Too many wrong keys came from your address; wait, then try again.")
    response.headers["retry-after"] = str(error.wait_seconds)
    return response


async def _unavailable(_request: Request, error: Exception) -> Response:
    log.warning("store.unavailable", error=str(error))
    return problem(503, "store-unavailable", "The database cannot be used right now.")


async def _failed(request: Request, error: Exception) -> Response:
    log.error("request.failed", path=request.url.path, error=type(error).__name__, exc_info=error)
    return problem(500, "internal-error", "Something went wrong here; the log says what.")
