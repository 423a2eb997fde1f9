"""The table of REST operations, and what a handler is given of a request. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from urllib.parse import quote, unquote

from tests.fakes.github.access import Access, AsApp, AsInstallation, AsPerson, Caller
from tests.fakes.github.answers import Answer, Refusal, invalid, not_found
from tests.fakes.github.assets import Assets
from tests.fakes.github.forge import Forge
from tests.fakes.github.limits import Limits
from tests.fakes.github.shapes import Json, Links, Shapes
from tests.fakes.github.world import Account, App, Issue, Repository, World

_SEVERAL_SEGMENTS = frozenset({"ref", "path", "branch", "basehead"})
_MOST_PER_PAGE = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """What the operations work with."""

    world: World
    app: App
    links: Links
    shapes: Shapes
    forge: Forge
    access: Access
    limits: Limits
    assets: Assets


@dataclass(frozen=True)
class Call:
    """One request that reached its operation: authenticated, and allowed."""

    parts: Parts
    caller: Caller
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    accept: str
    url: str
    """Without the query."""
    found: Repository | None = None
    raw_body: object = None

    @property
    def repository(self) -> Repository:
        assert self.found is not None, "only for operations below a repository"
        return self.found

    @property
    def actor(self) -> Account:
        match self.caller:
            case AsInstallation():
                return self.parts.app.bot
            case AsPerson(account):
                return account
            case _:
                raise Refusal(401, "Requires authentication")

    @property
    def via_app(self) -> bool:
        return isinstance(self.caller, AsInstallation)

    def number(self, name: str) -> int:
        value = self.params[name]
        if not value.isdecimal():
            raise not_found()
        return int(value)

    def issue(self, name: str = "issue_number") -> Issue:
        if not self.repository.issues_enabled:
            raise Refusal(410, "Issues are disabled for this repo")
        issue = self.repository.threads.get(self.number(name))
        if issue is None:
            raise not_found()
        if issue.deleted:
            raise Refusal(410, "This issue was deleted")
        return issue

    def pull(self) -> Issue:
        issue = self.repository.threads.get(self.number("pull_number"))
        if issue is None or issue.pull is None:
            raise not_found()
        return issue

    def text(self, name: str, resource: str = "Resource") -> str:
        value = self.body.get(name)
        if not isinstance(value, str):
            raise invalid(resource, name, "missing_field")
        return value

    def maybe_text(self, name: str) -> str | None:
        value = self.body.get(name)
        return value if isinstance(value, str) else None

    def with_html(self, shape: Json) -> Json:
        """With what the `full` media type has besides.

        https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#media-types
        """
        if "application/vnd.github.full+json" not in self.accept:
            return shape
        text = str(shape["body"] or "")
        return {**shape, "body_html": self.parts.assets.rendered(self.repository, text), "body_text": text}

    def page(self, rows: Sequence[T]) -> tuple[Sequence[T], dict[str, str]]:
        """The rows of the page that is asked for, and the Link header to the next."""
        per_page = min(max(_whole(self.query.get("per_page"), 30), 1), _MOST_PER_PAGE)
        number = max(_whole(self.query.get("page"), 1), 1)
        start = (number - 1) * per_page
        links = []
        if start + per_page < len(rows):
            last = (len(rows) - 1) // per_page + 1
            links = [self._link("next", page=number + 1), self._link("last", page=last)]
        if number > 1:
            links += [self._link("prev", page=number - 1), self._link("first", page=1)]
        return rows[start : start + per_page], ({"link": ", ".join(links)} if links else {})

    def _link(self, relation: str, **changed: object) -> str:
        query = "&".join(f"{key}={quote(str(value))}" for key, value in {**self.query, **changed}.items())
        return f'<{self.url}?{query}>; rel="{relation}"'

    def cursor_link(self, cursor: str) -> dict[str, str]:
        return {"link": self._link("next", cursor=cursor)}


Handler: TypeAlias = Callable[[Call], Answer]


@dataclass(frozen=True)
class Operation:
    method: str
    template: str
    handler: Handler
    needs: str | None
    """Permissions as in X-Accepted-GitHub-Permissions; None where no repository is concerned."""
    app_only: bool
    content: bool
    """Counts against the limit on content creation."""
    pattern: re.Pattern[str] = field(compare=False)

    @property
    def write(self) -> bool:
        return self.method not in ("GET", "HEAD")


_OPERATIONS: list[Operation] = []


def operation(
    method: str, template: str, *, needs: str | None = None, app_only: bool = False, content: bool = False
) -> Callable[[Handler], Handler]:
    """Register a handler under a path of GitHub's description, such as `/repos/{owner}/{repo}`."""

    def register(handler: Handler) -> Handler:
        _OPERATIONS.append(Operation(method, template, handler, needs, app_only, content, _pattern(template)))
        return handler

    return register


def _pattern(template: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"(?P<{name}>{'.*' if name == 'path' else '.+' if name in _SEVERAL_SEGMENTS else '[^/]+'})"

    return re.compile(re.sub(r"\\{(\w+)\\}", group, re.escape(template)))


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """The operation for a raw (percent-encoded) path behind the API prefix, and its decoded parameters."""
    for candidate in _OPERATIONS:
        match = candidate.pattern.fullmatch(path) if candidate.method == method else None
        if match:
            return candidate, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def described_path(template: str, params: Mapping[str, str]) -> str:
    """The path as GitHub's description can match it: one segment per parameter."""
    return re.sub(r"\{(\w+)\}", lambda match: quote(params[match.group(1)], safe=""), template)


def templates() -> Iterator[str]:
    return (registered.template for registered in _OPERATIONS)


def is_app(caller: Caller) -> bool:
    return isinstance(caller, AsApp)


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
