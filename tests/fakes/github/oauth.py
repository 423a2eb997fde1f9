"""Signing in to the app: the page that asks, the codes, and the tokens they are exchanged for, with PKCE.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.github.access import AsClient, AsPerson
from tests.fakes.github.answers import Answer, Refusal, not_found
from tests.fakes.github.operations import Call, operation
from tests.fakes.github.world import Account

if TYPE_CHECKING:
    from tests.fakes.github.fake import FakeGitHub

_CODE_LIFE = timedelta(minutes=10)
_DOCS = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors"
_HEADERS = {
    # The answer to the form leads to the app, on another port of this host.
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; "
    "form-action http://127.0.0.1:*; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


@dataclass(frozen=True)
class _Code:
    account: Account
    challenge: str
    redirect_uri: str
    expires_at: datetime


@operation("GET", "/user")
def get_authenticated_user(call: Call) -> Answer:
    if not isinstance(call.caller, AsPerson):
        raise Refusal(401, "Requires authentication")
    return Answer(body=call.parts.shapes.profile(call.caller.account))


@operation("DELETE", "/applications/{client_id}/token")
def revoke_person_token(call: Call) -> Answer:
    if not isinstance(call.caller, AsClient) or call.params["client_id"] != call.parts.app.client_id:
        raise not_found()
    if call.parts.world.personal_tokens.pop(call.text("access_token"), None) is None:
        raise Refusal(422, "Validation Failed", errors=[])
    return Answer(204)


def page(name: str, **facts: object) -> Response:
    """One of GitHub's pages whose form leads back to the app."""
    return HTMLResponse(_TEMPLATES.get_template(name).render(**facts), headers=_HEADERS)


async def posted(request: Request) -> dict[str, str]:
    """The fields of a form."""
    return {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}


def oauth_routes(fake: FakeGitHub) -> list[Route]:
    doors = _OAuth(fake)
    return [
        Route("/login/oauth/authorize", doors.page),
        Route("/login/oauth/authorize", doors.answer, methods=["POST"]),
        Route("/login/oauth/access_token", doors.exchange, methods=["POST"]),
    ]


class _OAuth:
    def __init__(self, fake: FakeGitHub) -> None:
        self._fake = fake
        self._codes: dict[str, _Code] = {}

    async def page(self, request: Request) -> Response:
        """Asks which of the known people one is, where GitHub asks for a password."""
        query = request.query_params
        app = self._fake.identity
        if query.get("client_id") != app.client_id:
            return self._logged(request, Response(status_code=404))
        if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            self._fake.log.problem("GET /login/oauth/authorize without PKCE by S256")
        if not query.get("state"):
            self._fake.log.problem("GET /login/oauth/authorize without a state")
        people = sorted(one.login for one in self._fake.world.all_accounts if one.type == "User")
        asking = page("authorize.html", title=f"Authorize {app.name}", app=app, people=people, asked=dict(query))
        return self._logged(request, asking)

    async def answer(self, request: Request) -> Response:
        """`user` of the form says yes; `cancel` says no."""
        form = await posted(request)
        redirect_uri = form.get("redirect_uri", "")
        if urlsplit(redirect_uri).hostname != "127.0.0.1":
            return self._logged(request, Response("The redirect_uri is not associated with this application.", 404))
        back: dict[str, str] = {"state": form.get("state", "")}
        if "cancel" in form:
            back |= {
                "error": "access_denied",
                "error_description": "The user has denied your application access.",
                "error_uri": f"{_DOCS}#access-denied",
            }
        else:
            code = secrets.token_hex(10)
            expires_at = self._fake.clock() + _CODE_LIFE
            account = self._fake.user(form["user"])
            self._codes[code] = _Code(account, form.get("code_challenge", ""), redirect_uri, expires_at)
            back["code"] = code
        return self._logged(request, RedirectResponse(f"{redirect_uri}?{urlencode(back)}", 302))

    async def exchange(self, request: Request) -> Response:
        """Refusals are 200, too."""
        form = await posted(request)
        app = self._fake.identity
        if form.get("client_id") != app.client_id:
            return self._logged(request, JSONResponse({"error": "Not Found"}, 404))
        if not hmac.compare_digest(form.get("client_secret", ""), app.client_secret):
            return self._logged(request, _refused("incorrect_client_credentials", "The client_secret is incorrect."))
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.expires_at <= self._fake.clock() or not _proven(code, form.get("code_verifier", "")):
            return self._logged(request, _refused("bad_verification_code", "The code passed is incorrect or expired."))
        if form.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            return self._logged(request, _refused("redirect_uri_mismatch", "The redirect_uri MUST match."))
        token = f"ghu_{secrets.token_hex(18)}"
        self._fake.world.personal_tokens[token] = code.account
        return self._logged(request, JSONResponse({"access_token": token, "scope": "", "token_type": "bearer"}))

    def _logged(self, request: Request, response: Response) -> Response:
        self._fake.log.add(request.method, request.url.path, response.status_code, "page")
        return response


def _refused(error: str, words: str) -> Response:
    return JSONResponse({"error": error, "error_description": words, "error_uri": f"{_DOCS}#{error}"})


def _proven(code: _Code, verifier: str) -> bool:
    """https://www.rfc-editor.org/rfc/rfc7636#section-4.6"""
    if not code.challenge:
        return True
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return 43 <= len(verifier) <= 128 and hmac.compare_digest(made, code.challenge)
