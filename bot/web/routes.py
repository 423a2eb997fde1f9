"""The web part's routes, and what is in front of all of them."""

from collections.abc import Callable
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from bot.errors import StoreUnavailable
from bot.intake import repo_config
from bot.runs.store import Store
from bot.web.door import Door
from bot.web.problems import problem
from bot.web.runs import RunReaders

_PAGES = Path(__file__).parent / "pages"
log = structlog.get_logger("bot.web.routes")


def build(
    *,
    door: Door,
    readers: RunReaders,
    store: Store,
    ready: Callable[[], bool],
    metrics: Callable[[], tuple[bytes, str]],
    broker: list[BaseRoute],
) -> Starlette:
    """The application. `metrics` gives the body and its content type."""

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
        Route("/api/runs/{run_id}", readers.as_json),
        Route("/api/runs/{run_id}/events", readers.events),
        Route("/api/runs/{run_id}/patch", readers.patch),
        Route("/runs/{run_id}", readers.page),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", show_metrics),
        Route("/backspace.schema.json", _config_schema),
        Route("/robots.txt", _robots),
        Mount("/static", StaticFiles(directory=_PAGES / "static")),
        *broker,
    ]
    return Starlette(
        routes=routes,
        exception_handlers={
            StoreUnavailable: _unavailable,
            ClientDisconnect: _gone,
            404: _not_found,
            405: _not_found,
            500: _failed,
        },
    )


async def _config_schema(_request: Request) -> Response:
    """Of `.github/backspace.yml`, for editors; the address is stable."""
    headers = {"access-control-allow-origin": "*", "cache-control": "public, max-age=3600"}
    return JSONResponse(repo_config.json_schema(), headers=headers, media_type="application/schema+json")


async def _robots(_request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


async def _not_found(_request: Request, _error: Exception) -> Response:
    return problem(404, "no-such-page", "There is nothing at this address, or not for this method.")


async def _gone(_request: Request, _error: Exception) -> Response:
    return problem(400, "incomplete", "The request ended before its body.")


async def _unavailable(_request: Request, error: Exception) -> Response:
    log.warning("store.unavailable", error=str(error))
    return problem(503, "store-unavailable", "The database cannot be used right now.")


async def _failed(request: Request, error: Exception) -> Response:
    log.error("request.failed", path=request.url.path, error=type(error).__name__, exc_info=error)
    return problem(500, "internal-error", "Something went wrong here; the log says what.")
