"""REST: the app itself, its installations, tokens, deliveries, limits and accounts."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fakes.github.access import AsInstallation
from tests.fakes.github.answers import Answer, Refusal, not_found
from tests.fakes.github.hooks import Delivery
from tests.fakes.github.operations import Call, operation
from tests.fakes.github.shapes import Json, timestamp
from tests.fakes.github.world import Account, Installation


@operation("GET", "/app", app_only=True)
def get_app(call: Call) -> Answer:
    count = len(call.parts.world.installations)
    return Answer(body={**call.parts.shapes.integration(), "installations_count": count})


@operation("GET", "/app/installations", app_only=True)
def list_installations(call: Call) -> Answer:
    rows, headers = call.page(call.parts.world.all_installations)
    return Answer(body=[call.parts.shapes.installation(row) for row in rows], headers=headers)


def _installation(call: Call) -> Installation:
    found = call.parts.world.installations.get(call.number("installation_id"))
    if found is None:
        raise not_found()
    return found


@operation("GET", "/app/installations/{installation_id}", app_only=True)
def get_installation(call: Call) -> Answer:
    return Answer(body=call.parts.shapes.installation(_installation(call)))


@operation("POST", "/app/installations/{installation_id}/access_tokens", app_only=True)
def create_access_token(call: Call) -> Answer:
    token = call.parts.access.mint(_installation(call), call.body)
    body: Json = {
        "token": token.value,
        "expires_at": timestamp(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": "selected",
    }
    if token.repositories is not None:
        body["repositories"] = [call.parts.shapes.repository(repository) for repository in token.repositories]
    return Answer(201, body)


@operation("DELETE", "/installation/token")
def revoke_token(call: Call) -> Answer:
    if not isinstance(call.caller, AsInstallation):
        raise Refusal(401, "Bad credentials")
    call.parts.world.tokens.pop(call.caller.token.value, None)
    return Answer(204)


@operation("GET", "/installation/repositories")
def list_repositories(call: Call) -> Answer:
    if not isinstance(call.caller, AsInstallation):
        raise Refusal(
            403,
            "You must authenticate with an installation access token "
            "in order to list repositories for an installation.",
        )
    token = call.caller.token
    reached = [repository for repository in token.installation.repositories if token.reaches(repository)]
    rows, headers = call.page(reached)
    shapes = [call.parts.shapes.repository(repository) for repository in rows]
    return Answer(body={"total_count": len(reached), "repositories": shapes}, headers=headers)


def _installation_on(call: Call, account: Account | None) -> Answer:
    found = [one for one in call.parts.world.all_installations if one.account is account]
    if not found:
        raise not_found()
    return Answer(body=call.parts.shapes.installation(found[0]))


@operation("GET", "/users/{username}/installation", app_only=True)
def get_user_installation(call: Call) -> Answer:
    return _installation_on(call, call.parts.world.account(call.params["username"]))


@operation("GET", "/orgs/{org}/installation", app_only=True)
def get_org_installation(call: Call) -> Answer:
    return _installation_on(call, call.parts.world.account(call.params["org"]))


@operation("GET", "/repos/{owner}/{repo}/installation", app_only=True)
def get_repo_installation(call: Call) -> Answer:
    repository = call.parts.world.repository(f"{call.params['owner']}/{call.params['repo']}")
    found = call.parts.world.installation_of(repository) if repository else None
    if found is None:
        raise not_found()
    return Answer(body=call.parts.shapes.installation(found))


@operation("GET", "/app/hook/config", app_only=True)
def get_hook_config(call: Call) -> Answer:
    hooks = call.parts.forge.hooks
    body: Json = {"content_type": "json", "insecure_ssl": "0", "url": hooks.url or ""}
    if hooks.secret:
        body["secret"] = "********"
    return Answer(body=body)


@operation("GET", "/app/hook/deliveries", app_only=True)
def list_deliveries(call: Call) -> Answer:
    """Newest first; the cursor is the id of the first delivery of the next page."""
    rows: Sequence[Delivery] = list(reversed(call.parts.forge.hooks.deliveries))
    match call.query.get("status"):
        case "success":
            rows = [row for row in rows if 200 <= row.status < 400]
        case "failure":
            rows = [row for row in rows if not 200 <= row.status < 400]
    cursor = call.query.get("cursor")
    if cursor is not None:
        _, _, start = cursor.rpartition("_")
        if not start.isdecimal():
            raise Refusal(400, "Invalid cursor")
        rows = [row for row in rows if row.id <= int(start)]
    per_page = min(max(int(call.query.get("per_page", "30")), 1), 100)
    headers = call.cursor_link(f"v1_{rows[per_page].id}") if len(rows) > per_page else {}
    return Answer(body=[row.item() for row in rows[:per_page]], headers=headers)


def _delivery(call: Call) -> Delivery:
    found = call.parts.forge.hooks.find(call.number("delivery_id"))
    if found is None:
        raise not_found()
    return found


@operation("GET", "/app/hook/deliveries/{delivery_id}", app_only=True)
def get_delivery(call: Call) -> Answer:
    hooks = call.parts.forge.hooks
    return Answer(body=_delivery(call).full(hooks.url or ""))


@operation("POST", "/app/hook/deliveries/{delivery_id}/attempts", app_only=True)
def redeliver(call: Call) -> Answer:
    """Asynchronous, and under the same GUID."""
    call.parts.forge.hooks.send_later(_delivery(call).outgoing, redelivery=True)
    return Answer(202, {})


@operation("GET", "/users/{username}")
def get_user(call: Call) -> Answer:
    account = call.parts.world.account(call.params["username"])
    if account is None:
        raise not_found()
    return Answer(body=call.parts.shapes.profile(account))


@operation("GET", "/rate_limit")
def get_rate_limit(call: Call) -> Answer:
    standing = call.parts.limits.standing(call.caller.name, call.parts.world.clock())
    core: Json = {
        "limit": standing.limit,
        "used": standing.used,
        "remaining": standing.remaining,
        "reset": int(standing.resets_at.timestamp()),
    }
    unused = {**core, "used": 0, "remaining": 30, "limit": 30}
    return Answer(
        body={"resources": {"core": core, "search": unused, "graphql": {**unused, "limit": 5000, "remaining": 5000}}}
    )


@operation("GET", "/meta")
def get_meta(call: Call) -> Answer:
    return Answer(body={"verifiable_password_authentication": False, "hooks": ["127.0.0.0/8"]})
