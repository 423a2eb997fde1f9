"""Pages to look at: repositories, a thread with a form to comment, a pull request with its diff."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.github.answers import Refusal
from tests.fakes.github.bare import CommitObject
from tests.fakes.github.forge import LONGEST_BODY
from tests.fakes.github.markdown import render
from tests.fakes.github.world import Issue, Reaction, Repository, Role

if TYPE_CHECKING:
    from tests.fakes.github.fake import FakeGitHub

_HERE = Path(__file__).parent / "templates"
_ASSETS = {"style.css": "text/css", "thread.js": "text/javascript"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_EMOJI = {
    "+1": "👍",
    "-1": "👎",
    "laugh": "😄",
    "confused": "😕",
    "heart": "❤️",
    "hooray": "🎉",
    "rocket": "🚀",
    "eyes": "👀",
}
_LINE_KINDS = {"+": "added", "-": "removed", "@": "hunk", "\\": "note"}


@dataclass(frozen=True)
class DiffLine:
    kind: str
    text: str


@dataclass(frozen=True)
class DiffFile:
    path: str
    note: str
    """`new file`, `deleted file`, `renamed`, … ; empty for a plain change."""
    added: int
    removed: int
    lines: Sequence[DiffLine]


@dataclass(frozen=True)
class CommitRow:
    sha: str
    title: str
    message: str
    author: str
    verified: bool


def diff_files(diff: str) -> list[DiffFile]:
    """One entry per file of a git diff."""
    files = []
    for piece in f"\n{diff}".split("\ndiff --git ")[1:]:
        first, *rest = piece.split("\n")
        start = next((at for at, line in enumerate(rest) if line.startswith("@@")), len(rest))
        header, body = rest[:start], [line for line in rest[start:] if line]
        lines = [DiffLine(_LINE_KINDS.get(line[0], "context"), line) for line in body]
        notes = [line for line in header if not line.startswith(("index ", "--- ", "+++ "))]
        files.append(
            DiffFile(
                path=first.rpartition(" b/")[2],
                note=", ".join(note for note in notes if note),
                added=sum(line.kind == "added" for line in lines),
                removed=sum(line.kind == "removed" for line in lines),
                lines=lines,
            )
        )
    return files


def emoji(reactions: Sequence[Reaction]) -> list[tuple[str, str]]:
    """Each kind once: its picture with the count, and who."""
    return [
        (
            f"{_EMOJI[content]} {len(authors)}",
            ", ".join(authors),
        )
        for content in _EMOJI
        if (authors := [reaction.author.login for reaction in reactions if reaction.content == content])
    ]


def page_routes(fake: FakeGitHub) -> list[Route]:
    pages = _Pages(fake)
    rows: list[tuple[str, Callable[[Request], Response]]] = [
        ("/", pages.front),
        ("/_assets/avatar/{number:int}.svg", pages.avatar),
        ("/_assets/{name}", pages.asset),
        ("/{owner}/{name}", pages.repository),
        ("/{owner}/{name}/issues/{number:int}", pages.thread),
        ("/{owner}/{name}/pull/{number:int}", pages.thread),
        ("/{owner}/{name}/commit/{sha}", pages.commit),
    ]
    routes = [Route(path, _logged(fake, endpoint)) for path, endpoint in rows]
    return [Route("/{owner}/{name}/issues/{number:int}/comments", pages.post, methods=["POST"]), *routes]


def _logged(fake: FakeGitHub, endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def logged(request: Request) -> Response:
        response = endpoint(request)
        fake.log.add(request.method, request.url.path, response.status_code, "page")
        return response

    return logged


class _Pages:
    def __init__(self, fake: FakeGitHub) -> None:
        self._fake = fake
        self._templates = Environment(
            loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.globals |= {"markdown": render, "emoji": emoji}

    def _page(self, template: str, **facts: object) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(facts), headers=_HEADERS)

    def _repository(self, request: Request) -> Repository:
        found = self._fake.world.repository(f"{request.path_params['owner']}/{request.path_params['name']}")
        if found is None:
            raise HTTPException(404)
        return found

    def _issue(self, request: Request) -> Issue:
        found = self._repository(request).threads.get(request.path_params["number"])
        if found is None:
            raise HTTPException(404)
        return found

    def front(self, request: Request) -> Response:
        return self._page("front.html", title="Repositories", repositories=self._fake.world.all_repositories)

    def repository(self, request: Request) -> Response:
        repository = self._repository(request)
        newest_first = sorted(repository.all_threads, key=lambda thread: -thread.number)
        return self._page(
            "repository.html",
            title=repository.full_name,
            repository=repository,
            issues=[thread for thread in newest_first if not thread.pull],
            pulls=[thread for thread in newest_first if thread.pull],
            branches=self._fake.branches(repository),
        )

    def thread(self, request: Request) -> Response:
        issue = self._issue(request)
        repository = issue.repository
        facts: dict[str, object] = {"commits": [], "files": []}
        if issue.pull:
            bare = repository.bare
            shas = bare.commits_between(issue.pull.base_sha, issue.pull.head_sha)
            facts["commits"] = [self._row(repository, bare.commit(sha)) for sha in shas]
            facts["files"] = diff_files(self._fake.diff(issue))
        return self._page(
            "thread.html",
            title=f"{issue.title} · #{issue.number}",
            repository=repository,
            issue=issue,
            people=self._people(repository),
            longest=LONGEST_BODY,
            **facts,
        )

    def _people(self, repository: Repository) -> list[tuple[str, str]]:
        """Who may be chosen to comment, the most powerful first."""
        people = [account for account in self._fake.world.all_accounts if account.type == "User"]
        order = list(Role)
        with_roles = [
            (account.login, repository.role_of(account)) for account in people if account.id in repository.roles
        ]
        return [(login, role.value) for login, role in sorted(with_roles, key=lambda row: order.index(row[1]))]

    @staticmethod
    def _row(repository: Repository, commit: CommitObject) -> CommitRow:
        title, _, rest = commit.message.partition("\n")
        return CommitRow(commit.sha, title, rest.strip(), commit.author.name, commit.sha in repository.verified_commits)

    def commit(self, request: Request) -> Response:
        repository = self._repository(request)
        sha = repository.bare.resolve(request.path_params["sha"])
        if sha is None:
            raise HTTPException(404)
        commit = repository.bare.commit(sha)
        diff = repository.bare.diff(commit.parents[0], sha) if commit.parents else ""
        row = self._row(repository, commit)
        return self._page("commit.html", title=row.title, repository=repository, commit=row, files=diff_files(diff))

    def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404)
        return FileResponse(_HERE / name, media_type=_ASSETS[name], headers=_HEADERS)

    def avatar(self, request: Request) -> Response:
        number = request.path_params["number"]
        account = next((one for one in self._fake.world.all_accounts if one.id == number), None)
        if account is None:
            raise HTTPException(404)
        hue = number * 47 % 360
        svg = self._templates.get_template("avatar.svg").render(
            hue=hue, letter=account.login[:1].upper(), radius=8 if account.type == "Bot" else 20
        )
        return Response(svg, media_type="image/svg+xml", headers=_HEADERS)

    async def post(self, request: Request) -> Response:
        """The form below a thread: comment as a chosen person; the delivery goes out in the background."""
        origin = request.headers.get("origin")
        if origin not in (None, "null", f"{request.url.scheme}://{request.headers.get('host')}"):
            raise HTTPException(403)
        issue = self._issue(request)
        form = parse_qs((await request.body()).decode())
        user, body = form.get("user", [""])[0], form.get("body", [""])[0].replace("\r\n", "\n")
        try:
            await asyncio.to_thread(self._fake.comment_later, issue, user, body)
        except (KeyError, Refusal) as error:
            raise HTTPException(422, detail=str(error)) from error
        self._fake.log.add("POST", request.url.path, 303, "page")
        kind = "pull" if issue.pull else "issues"
        return RedirectResponse(f"/{issue.repository.full_name}/{kind}/{issue.number}#newest", 303)
