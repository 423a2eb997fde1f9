"""Registering an app from a manifest: the page that asks, and the code that its secrets are exchanged for.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
The app that comes of it is the stand-in's own.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.github.answers import Answer, not_found
from tests.fakes.github.oauth import page, posted
from tests.fakes.github.operations import Call, operation

if TYPE_CHECKING:
    from tests.fakes.github.fake import FakeGitHub

_KEYS = frozenset(
    {
        *("name", "url", "hook_attributes", "redirect_url", "callback_urls", "setup_url", "description", "public"),
        *("default_events", "default_permissions", "request_oauth_on_install", "setup_on_update"),
    }
)
_LONGEST_NAME = 34


@operation("POST", "/app-manifests/{code}/conversions")
def create_app_from_manifest(call: Call) -> Answer:
    registered = call.parts.world.manifest_codes.pop(call.params["code"], None)
    if registered is None:
        raise not_found()
    app = call.parts.app
    integration = {**call.parts.shapes.integration(), "name": registered.name}
    shown = {
        "client_secret": app.client_secret,
        "webhook_secret": registered.webhook_secret,
        "pem": app.private_key_pem,
    }
    return Answer(201, {**integration, **shown})


def manifest_routes(fake: FakeGitHub) -> list[Route]:
    doors = _Manifests(fake)
    return [
        Route("/settings/apps/new", doors.ask, methods=["POST"]),
        Route("/organizations/{organization}/settings/apps/new", doors.ask, methods=["POST"]),
        Route("/settings/apps", doors.register, methods=["POST"]),
    ]


class _Manifests:
    def __init__(self, fake: FakeGitHub) -> None:
        self._fake = fake

    async def ask(self, request: Request) -> Response:
        """The name can be changed there, and nothing else."""
        organization = request.path_params.get("organization", "")
        if organization and self._fake.world.account(organization) is None:
            return self._logged(request, Response(status_code=404))
        text = (await posted(request)).get("manifest", "")
        if wrong := _wrong(text):
            self._fake.log.problem(f"POST {request.url.path}: {wrong}")
            return self._logged(request, Response(f"Invalid GitHub App configuration: {wrong}", 422))
        if not request.query_params.get("state"):
            self._fake.log.problem(f"POST {request.url.path} without a state")
        state, manifest = request.query_params.get("state", ""), json.loads(text)
        asked = {"state": state, "manifest": text, "owner": organization}
        return self._logged(
            request, page("manifest.html", title="Create GitHub App", asked=asked, app_name=manifest["name"])
        )

    async def register(self, request: Request) -> Response:
        form = await posted(request)
        manifest = json.loads(form["manifest"])
        code = secrets.token_hex(20)
        registered = self._fake.world.register(code, form.get("name", ""), secrets.token_hex(20))
        self._fake.webhook(manifest["hook_attributes"]["url"], registered.webhook_secret)
        back = urlencode({"code": code, "state": form.get("state", "")})
        return self._logged(request, RedirectResponse(f"{manifest['redirect_url']}?{back}", 302))

    def _logged(self, request: Request, response: Response) -> Response:
        self._fake.log.add(request.method, request.url.path, response.status_code, "page")
        return response


def _wrong(text: str) -> str:
    """What GitHub would not take; and a redirect that leads off this machine."""
    try:
        manifest: dict[str, Any] = json.loads(text)
    except ValueError:
        return "it is not JSON"
    if unknown := manifest.keys() - _KEYS:
        return f"unknown: {sorted(unknown)}"
    if not manifest.get("url") or not manifest.get("hook_attributes", {}).get("url"):
        return '"url" wasn\'t supplied'
    if len(manifest.get("name", "")) > _LONGEST_NAME or len(manifest.get("callback_urls", [])) > 10:
        return "too long"
    if urlsplit(manifest.get("redirect_url", "")).hostname not in ("127.0.0.1", "localhost"):
        return "the redirect leads elsewhere"
    return ""
