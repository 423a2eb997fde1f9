"""The cookie that keeps a person signed in, and what is derived from it. No I/O."""

import hmac
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

SESSION_LIFE = timedelta(hours=12)
ATTEMPT_LIFE = timedelta(minutes=10)


class Cookie:
    """One of our cookies: for this host only, out of reach for scripts, not sent along by other sites' forms.

    `__Host-` makes browsers refuse one that another host of the same domain set; they take it over HTTPS only.
    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes
    """

    def __init__(self, name: str, public_url: str, life: timedelta) -> None:
        self._secure = urlsplit(public_url).scheme == "https"
        self.name = f"__Host-{name}" if self._secure else name
        self._life = life

    def of(self, request: Request) -> str:
        """Its value; empty when it was not sent."""
        return request.cookies.get(self.name, "")

    def set(self, response: Response, value: str) -> None:
        response.set_cookie(
            self.name,
            value,
            max_age=int(self._life.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        response.delete_cookie(self.name, path="/", secure=self._secure, httponly=True, samesite="lax")


def session(public_url: str) -> Cookie:
    return Cookie("backspace", public_url, SESSION_LIFE)


def attempt(public_url: str) -> Cookie:
    """Of a browser that was sent to GitHub to sign in."""
    return Cookie("backspace-sign-in", public_url, ATTEMPT_LIFE)


def form_token(session_secret: str) -> str:
    """What each form of a sign-in brings along; other sites cannot know it, and it opens nothing by itself."""
    return hmac.new(session_secret.encode(), b"form", "sha256").hexdigest()
