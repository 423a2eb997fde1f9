"""The stand-in's own HTTP routes, for those who run it as a process: scene, people's acts, faults, state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.github.answers import Refusal
from tests.fakes.github.faults import Fault
from tests.fakes.github.hooks import Delivery
from tests.fakes.github.shapes import Json
from tests.fakes.github.world import Issue

if TYPE_CHECKING:
    from tests.fakes.github.fake import FakeGitHub

_Act: TypeAlias = Callable[["FakeGitHub", Json], Json | list[Json]]


def _delivered(delivery: Delivery) -> Json:
    return {"guid": delivery.guid, "id": delivery.id, "status": delivery.status, "body": delivery.body}


def _thread(fake: FakeGitHub, issue: Issue) -> Json:
    kind = "pull" if issue.pull else "issues"
    return {
        "repo": issue.repository.full_name,
        "number": issue.number,
        "title": issue.title,
        "state": issue.state,
        "draft": bool(issue.pull and issue.pull.draft),
        "pull": issue.pull is not None,
        "html_url": f"{fake.web_url}/{issue.repository.full_name}/{kind}/{issue.number}",
        "reactions": fake.reactions(issue),
        "comments": [
            {
                "id": comment.id,
                "author": comment.author.login,
                "body": comment.body,
                "edits": len(comment.history) - 1,
                "reactions": fake.reactions(comment),
            }
            for comment in list(issue.comments)
        ],
    }


def _add_user(fake: FakeGitHub, given: Json) -> Json:
    account = fake.add_user(given["login"], given.get("role"), given.get("repo"), given.get("type", "User"))
    return {"id": account.id, "login": account.login}


def _add_repo(fake: FakeGitHub, given: Json) -> Json:
    files = Path(given["directory"]) if "directory" in given else given.get("files")
    repository = fake.add_repo(given["full_name"], files, private=given.get("private", True))
    return {"id": repository.id, "full_name": repository.full_name}


def _install(fake: FakeGitHub, given: Json) -> Json:
    return {"installation_id": fake.install(given["account"], given["repos"])}


def _webhook(fake: FakeGitHub, given: Json) -> Json:
    fake.webhook(given["url"], given.get("secret", ""))
    return {}


def _open_issue(fake: FakeGitHub, given: Json) -> Json:
    issue = fake.open_issue(
        given["user"], given["title"], given.get("body", ""), repo=given.get("repo"), labels=given.get("labels", ())
    )
    return _thread(fake, issue)


def _comment(fake: FakeGitHub, given: Json) -> Json:
    delivery = fake.comment(fake.issue(given["number"], given.get("repo")), given["user"], given["body"])
    return {**_delivered(delivery), "comment_id": delivery.comment_id}


def _edit(fake: FakeGitHub, given: Json) -> Json:
    return _delivered(fake.edit_comment(given["comment_id"], given["user"], given["body"]))


def _label(fake: FakeGitHub, given: Json) -> Json:
    issue = fake.issue(given["number"], given.get("repo"))
    return _delivered(fake.label_issue(issue, given["user"], given["label"]))


def _redeliver(fake: FakeGitHub, given: Json) -> Json:
    return _delivered(fake.redeliver(given["guid"]))


def _fault(fake: FakeGitHub, given: Json) -> Json:
    plan = fake.fail(
        given.get("method", "*"),
        given["path"],
        Fault(given["fault"]),
        count=given.get("count", 1),
        skip=given.get("skip", 0),
        seconds=given.get("seconds", 0.0),
        retry_after_seconds=given.get("retry_after_seconds"),
    )
    return plan.as_json()


def _faults(fake: FakeGitHub, given: Json) -> list[Json]:
    return [plan.as_json() for plan in fake.faults.pending()]


def _clear_faults(fake: FakeGitHub, given: Json) -> Json:
    fake.faults.clear()
    return {}


def _advance(fake: FakeGitHub, given: Json) -> Json:
    fake.clock.advance(given["seconds"])
    return {"now": fake.clock().isoformat()}


def _requests(fake: FakeGitHub, given: Json) -> list[Json]:
    return [asdict(logged) for logged in fake.requests]


def _threads(fake: FakeGitHub, given: Json) -> list[Json]:
    return [_thread(fake, issue) for repository in fake.world.all_repositories for issue in repository.all_threads]


def _problems(fake: FakeGitHub, given: Json) -> list[Json]:
    return [{"problem": problem} for problem in fake.problems]


def _deliveries(fake: FakeGitHub, given: Json) -> list[Json]:
    return [{**delivery.item(), "response": delivery.body} for delivery in fake.deliveries]


_ACTS: dict[tuple[str, str], _Act] = {
    ("POST", "/_users"): _add_user,
    ("POST", "/_repos"): _add_repo,
    ("POST", "/_installations"): _install,
    ("POST", "/_webhook"): _webhook,
    ("POST", "/_issues"): _open_issue,
    ("POST", "/_comments"): _comment,
    ("POST", "/_edits"): _edit,
    ("POST", "/_labels"): _label,
    ("POST", "/_redeliveries"): _redeliver,
    ("POST", "/_faults"): _fault,
    ("DELETE", "/_faults"): _clear_faults,
    ("GET", "/_faults"): _faults,
    ("POST", "/_clock"): _advance,
    ("GET", "/_requests"): _requests,
    ("GET", "/_problems"): _problems,
    ("GET", "/_threads"): _threads,
    ("GET", "/_deliveries"): _deliveries,
}


def control_routes(fake: FakeGitHub) -> list[Route]:
    return [_route(fake, method, path, act) for (method, path), act in _ACTS.items()]


def _route(fake: FakeGitHub, method: str, path: str, act: _Act) -> Route:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            result = await asyncio.to_thread(act, fake, json.loads(raw) if raw else {})
        except Refusal as refusal:
            return JSONResponse({"error": refusal.message, "errors": refusal.errors}, refusal.status)
        except (KeyError, ValueError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)
        return JSONResponse(result)

    return Route(path, endpoint, methods=[method])
