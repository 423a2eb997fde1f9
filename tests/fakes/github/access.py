"""Who is calling and what they may do: the app's RS256 token, installation tokens, people's tokens."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import jwt

from tests.fakes.github.answers import Refusal, not_found
from tests.fakes.github.shapes import Json
from tests.fakes.github.world import Account, App, Installation, Repository, Role, Token, World

_TOKEN_LIFE = timedelta(hours=1)
_JWT_LIFE_SECONDS = 600
"""https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app"""

_MOST_REPOSITORIES = 500
_LEVELS = ("read", "write", "admin")


@dataclass(frozen=True)
class AsApp:
    name: str = "app"


@dataclass(frozen=True)
class AsClient:
    """The app by its client id and secret, for what concerns people's tokens."""

    name: str = "client"


@dataclass(frozen=True)
class AsInstallation:
    token: Token

    @property
    def name(self) -> str:
        return f"installation {self.token.installation.id}"


@dataclass(frozen=True)
class AsPerson:
    account: Account

    @property
    def name(self) -> str:
        return f"person {self.account.login}"


@dataclass(frozen=True)
class Anonymous:
    name: str = "anonymous"


Caller: TypeAlias = AsApp | AsClient | AsInstallation | AsPerson | Anonymous


class Access:
    def __init__(self, world: World, app: App) -> None:
        self._world = world
        self._app = app

    def identify(self, authorization: str | None) -> Caller:
        """Raises Refusal 401, and 403 for a suspended installation."""
        if not authorization:
            return Anonymous()
        scheme, _, credential = authorization.partition(" ")
        credential = credential.strip()
        if scheme.lower() == "basic":
            name, password = _name_and_password(credential)
            if name == self._app.client_id and password == self._app.client_secret:
                return AsClient()
            return self._identify_token(password)
        if scheme.lower() not in ("bearer", "token"):
            raise Refusal(401, "Bad credentials")
        if credential.startswith("ey"):
            self._check_app_token(credential)
            return AsApp()
        return self._identify_token(credential)

    def _identify_token(self, value: str) -> Caller:
        token = self._world.tokens.get(value)
        if token:
            if token.expires_at <= self._world.clock() or token.installation.id not in self._world.installations:
                raise Refusal(401, "Bad credentials")
            if token.installation.suspended_at:
                raise Refusal(403, "This installation has been suspended")
            return AsInstallation(token)
        person = self._world.personal_tokens.get(value)
        if person:
            return AsPerson(person)
        raise Refusal(401, "Bad credentials")

    def _check_app_token(self, encoded: str) -> None:
        now = self._world.clock().timestamp()
        try:
            claims = jwt.decode(
                encoded,
                self._app.public_key_pem,
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError:
            raise Refusal(401, "A JSON web token could not be decoded") from None
        issued, expires = claims.get("iat"), claims.get("exp")
        if "iss" not in claims:
            raise Refusal(401, "Missing 'issuer' claim ('iss') in assertion")
        if str(claims["iss"]) not in (str(self._app.id), self._app.client_id):
            raise Refusal(404, "Integration not found")
        if not isinstance(expires, int | float):
            raise Refusal(401, "Missing 'Expiration time' claim ('exp') in assertion")
        if expires <= now:
            raise Refusal(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future time "
                "at which the assertion expires",
            )
        if expires > now + _JWT_LIFE_SECONDS:
            raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")
        if not isinstance(issued, int | float) or issued > now:
            raise Refusal(
                401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
            )

    def mint(self, installation: Installation, wanted: Json) -> Token:
        """Raises Refusal 403 when suspended, 422 for a repository or permission that the installation lacks."""
        if installation.suspended_at:
            raise Refusal(403, "This installation has been suspended")
        token = Token(
            value=_stateless_token(self._app.id),
            installation=installation,
            repositories=_narrowed(installation, wanted),
            permissions=_granted(installation, wanted.get("permissions")),
            expires_at=(self._world.clock() + _TOKEN_LIFE).replace(microsecond=0),
        )
        self._world.tokens[token.value] = token
        return token

    def require(self, caller: Caller, repository: Repository, needs: str, *, write: bool) -> None:
        """`needs` as in the header: `a=read,b=write` are needed together, `;` stands between alternatives.

        Raises Refusal 404 outside the token's repositories, 403 with X-Accepted-GitHub-Permissions, 401.
        """
        match caller:
            case AsApp() | AsClient():
                raise Refusal(401, "Bad credentials")
            case Anonymous():
                if repository.private:
                    raise not_found()
                if write:
                    raise Refusal(401, "Requires authentication")
                return
            case AsInstallation(token):
                if not token.reaches(repository):
                    if repository.private or write:
                        raise not_found()
                    return
                held = token.permissions
            case AsPerson(account):
                role = repository.role_of(account)
                if role is Role.NONE:
                    raise not_found()
                held = _permissions_of(role)
        if not allows(held, needs):
            words = "integration" if isinstance(caller, AsInstallation) else "personal access token"
            raise Refusal(
                403,
                f"Resource not accessible by {words}",
                headers={"X-Accepted-GitHub-Permissions": needs},
            )


def allows(held: dict[str, str], needs: str) -> bool:
    return any(
        all(
            _reaches(held.get(name), level)
            for name, _, level in (need.strip().partition("=") for need in together.split(","))
        )
        for together in needs.split(";")
    )


def _reaches(held: str | None, needed: str) -> bool:
    return held in _LEVELS and _LEVELS.index(held) >= _LEVELS.index(needed)


def _permissions_of(role: Role) -> dict[str, str]:
    level = "write" if role in (Role.ADMIN, Role.MAINTAIN, Role.WRITE) else "read"
    return {
        "metadata": "read",
        "contents": level,
        "workflows": level,
        "issues": "write",
        "pull_requests": "write",
        "actions": level,
        "checks": level,
    }


def _narrowed(installation: Installation, wanted: Json) -> tuple[Repository, ...] | None:
    ids, names = wanted.get("repository_ids"), wanted.get("repositories")
    if ids is None and names is None:
        return None
    if len(ids or []) + len(names or []) > _MOST_REPOSITORIES:
        raise Refusal(422, "Too many repositories", errors=[])
    by_id = {repository.id: repository for repository in installation.repositories}
    by_name = {repository.name.lower(): repository for repository in installation.repositories}
    found = [by_id.get(number) for number in ids or []] + [by_name.get(name.lower()) for name in names or []]
    chosen = tuple(repository for repository in found if repository)
    if len(chosen) != len(found):
        raise Refusal(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )
    return chosen


def _granted(installation: Installation, wanted: dict[str, str] | None) -> dict[str, str]:
    if wanted is None:
        return dict(installation.permissions)
    for name, level in wanted.items():
        if level not in _LEVELS or not _reaches(installation.permissions.get(name), level):
            raise Refusal(422, "The permissions requested are not granted to this installation.")
    return {**wanted, "metadata": "read"}


def _stateless_token(app_id: int) -> str:
    """`ghs_<app id>_<header.payload.signature>`, about 520 characters of base64url.

    https://github.blog/changelog/ of 2026-05-15
    """
    header = _base64url(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
    payload = _base64url(secrets.token_bytes(96))
    signature = _base64url(secrets.token_bytes(256))
    return f"ghs_{app_id}_{header}.{payload}.{signature}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _name_and_password(credential: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(credential, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Refusal(401, "Bad credentials") from None
    name, _, password = decoded.partition(":")
    return name, password
