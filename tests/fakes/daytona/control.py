"""The control plane's routes: sandboxes and snapshots."""

from __future__ import annotations

import json
from collections.abc import Sequence

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.daytona import shapes
from tests.fakes.daytona.faults import Fault
from tests.fakes.daytona.internet import Policy
from tests.fakes.daytona.state import Box, Cloud, Refused
from tests.fakes.daytona.wire import Answer, Api, Call, Json

_MOST_ENTRIES = 10
_DEFAULT_LIMIT, _MOST_LISTED = 100, 200
_REFUSED_POLICY = "domainAllowList is not available on your current tier"
_SANDBOX = "/sandbox/{sandboxIdOrName}"
_BY_ID = "/sandbox/{sandboxId}"


def _words(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    found = tuple(word.strip() for word in str(given).split(",") if word.strip())
    if len(found) > _MOST_ENTRIES:
        raise Refused(400, f"at most {_MOST_ENTRIES} entries are allowed", "BAD_REQUEST")
    return found


class Control:
    def __init__(self, cloud: Cloud, api: Api, base_url: str, tier: int) -> None:
        self._cloud = cloud
        self._api = api
        self._base_url = base_url
        self._tier = tier

    @property
    def toolbox_url(self) -> str:
        return f"{self._base_url}/toolbox"

    def routes(self) -> Sequence[Route]:
        route = self._api.route
        return [
            route("POST", "/sandbox", self.create),
            route("GET", "/sandbox", self.listed),
            route("GET", _SANDBOX, self.get),
            route("DELETE", _SANDBOX, self.delete),
            route("POST", f"{_SANDBOX}/start", self.start),
            route("POST", f"{_SANDBOX}/stop", self.stop),
            route("PUT", f"{_SANDBOX}/labels", self.labels),
            route("POST", f"{_SANDBOX}/autostop/{{interval}}", self.auto_stop),
            route("POST", f"{_SANDBOX}/autoarchive/{{interval}}", self.auto_archive),
            route("POST", f"{_SANDBOX}/autodelete/{{interval}}", self.auto_delete),
            route("POST", f"{_SANDBOX}/ttl/{{ttlMinutes}}", self.ttl),
            route("POST", f"{_SANDBOX}/network-settings", self.network),
            route("POST", f"{_BY_ID}/last-activity", self.activity),
            route("GET", f"{_BY_ID}/toolbox-proxy-url", self.proxy_url),
            route("GET", "/snapshots", self.snapshots),
            route("POST", "/snapshots", self.build),
            route("GET", "/snapshots/{id}", self.snapshot),
            route("DELETE", "/snapshots/{id}", self.remove),
            route("POST", "/snapshots/{id}/activate", self.activate),
            route("GET", "/snapshots/{id}/build-logs-url", self.logs_url),
            route("GET", "/snapshots/{id}/build-logs", self.logs),
        ]

    def _box(self, call: Call) -> Box:
        parameters = call.request.path_params
        return self._cloud.find(str(parameters.get("sandboxIdOrName") or parameters.get("sandboxId")))

    def _answer(self, box: Box) -> Answer:
        return Answer(body=shapes.sandbox(box, self.toolbox_url))

    def _policy(self, body: Json, fault: bool = False) -> Policy:  # noqa: FBT001, FBT002 - whether it is refused
        if body.get("domainAllowList") is not None and (self._tier < 3 or fault):
            raise Refused(400, _REFUSED_POLICY, "BAD_REQUEST")
        return Policy(
            bool(body.get("networkBlockAll", False)),
            _words(body.get("domainAllowList")),
            _words(body.get("networkAllowList")),
        )

    # --- sandboxes

    async def create(self, call: Call) -> Answer:
        body = call.body
        if "snapshot" in body and {"cpu", "memory", "disk", "gpu"} & body.keys():
            raise Refused(400, "Cannot specify Sandbox resources when using a snapshot", "BAD_REQUEST")
        box = self._cloud.add(body, self._policy(body, call.fault(Fault.POLICY_REFUSED)))
        if call.fault(Fault.WITHOUT_TTL):
            box.ttl_minutes = 0
        if call.plan and call.fault(Fault.STARTS_LATE):
            self._cloud.soon(lambda: self._cloud.start(box), call.plan.seconds)
        elif call.fault(Fault.START_FAILS):
            self._cloud.soon(lambda: self._fail(box), 0.1)
        else:
            await self._cloud.start(box)
        found = self._answer(box)
        return Answer(found.status, found.body, ("kvm",)) if call.fault(Fault.WITHOUT_KVM) else found

    async def _fail(self, box: Box) -> None:
        box.state, box.error = "error", "Failed to start the sandbox: no runner is available"
        self._cloud.changed(box)

    async def listed(self, call: Call) -> Answer:
        wanted = json.loads(call.query("labels", "{}"))
        states = call.request.query_params.getlist("states")
        found = [
            shapes.item(box, self.toolbox_url) | {"state": state}
            for box, state in self._cloud.listed()
            if wanted.items() <= box.labels.items()
            and box.name.startswith(call.query("name"))
            and box.id.startswith(call.query("id"))
            and (not states or state in states)
        ]
        limit = int(call.query("limit", str(_DEFAULT_LIMIT)))
        if not 1 <= limit <= _MOST_LISTED:
            raise Refused(400, f"limit must be between 1 and {_MOST_LISTED}", "BAD_REQUEST")
        begin = int(call.query("cursor", "0"))
        end = begin + limit
        return Answer(body={"items": found[begin:end], "nextCursor": str(end) if end < len(found) else None})

    async def get(self, call: Call) -> Answer:
        return self._answer(self._box(call))

    async def delete(self, call: Call) -> Answer:
        box = self._box(call)
        box.stuck = box.stuck or call.fault(Fault.DELETE_STUCK)
        box.state, box.desired = "destroying", "destroyed"
        self._cloud.changed(box)
        self._cloud.soon(lambda: self._cloud.delete(box))
        return self._answer(box)

    async def start(self, call: Call) -> Answer:
        box = self._box(call)
        if box.state == "stopped":
            box.desired = "started"
            await self._cloud.start(box)
        elif box.state != "started":
            raise Refused(400, "Sandbox is not in valid state", "BAD_REQUEST")
        return self._answer(box)

    async def stop(self, call: Call) -> Answer:
        box = self._box(call)
        if box.state != "started":
            raise Refused(400, "Sandbox is not started", "BAD_REQUEST")
        await self._cloud.stop(box)
        return self._answer(box)

    async def labels(self, call: Call) -> Answer:
        box = self._box(call)
        box.labels = dict(call.body["labels"])
        self._cloud.changed(box)
        return Answer(body={"labels": box.labels})

    def _changed(self, box: Box) -> Answer:
        self._cloud.changed(box)
        return self._answer(box)

    async def auto_stop(self, call: Call) -> Answer:
        box = self._box(call)
        box.auto_stop = int(call.path("interval"))
        return self._changed(box)

    async def auto_archive(self, call: Call) -> Answer:
        box = self._box(call)
        box.auto_archive = int(call.path("interval"))
        return self._changed(box)

    async def auto_delete(self, call: Call) -> Answer:
        box = self._box(call)
        box.auto_delete = int(call.path("interval"))
        return self._changed(box)

    async def ttl(self, call: Call) -> Answer:
        box = self._box(call)
        box.ttl_minutes = int(call.path("ttlMinutes"))
        return self._changed(box)

    async def network(self, call: Call) -> Answer:
        box = self._box(call)
        box.view.policy = self._policy(call.body)
        await self._cloud.network_changed([box])
        return self._changed(box)

    async def activity(self, call: Call) -> Answer:
        self._box(call).last_activity_at = self._cloud.clock.now()
        return Answer(201)

    async def proxy_url(self, call: Call) -> Answer:
        self._box(call)
        return Answer(body={"url": self.toolbox_url})

    # --- snapshots

    async def snapshots(self, call: Call) -> Answer:
        limit, page = int(call.query("limit", "100")), int(call.query("page", "1"))
        found = [shapes.snapshot(snapshot) for snapshot in self._cloud.snapshots.values()]
        pages = max(1, -(-len(found) // limit))
        shown = found[(page - 1) * limit : page * limit]
        return Answer(body={"items": shown, "total": len(found), "page": page, "totalPages": pages})

    async def build(self, call: Call) -> Answer:
        body = call.body
        snapshot = self._cloud.add_snapshot(
            body["name"],
            state="building",
            cpu=body.get("cpu", 1),
            memory=body.get("memory", 1),
            disk=body.get("disk", 3),
            dockerfile=body.get("buildInfo", {}).get("dockerfileContent", ""),
            image=body.get("imageName", ""),
        )
        if call.fault(Fault.BUILD_FAILS):
            self._cloud.becomes(snapshot, "build_failed", "a command of the Dockerfile ended with 100")
        else:
            self._cloud.becomes(snapshot, "active")
        return Answer(body=shapes.snapshot(snapshot))

    async def snapshot(self, call: Call) -> Answer:
        return Answer(body=shapes.snapshot(self._cloud.snapshot(call.path("id"))))

    async def remove(self, call: Call) -> Answer:
        del self._cloud.snapshots[self._cloud.snapshot(call.path("id")).id]
        return Answer()

    async def activate(self, call: Call) -> Answer:
        snapshot = self._cloud.snapshot(call.path("id"))
        if snapshot.state != "inactive":
            raise Refused(400, f"Snapshot {snapshot.name} is not inactive", "BAD_REQUEST")
        snapshot.state = "pulling"
        self._cloud.becomes(snapshot, "active")
        return Answer(body=shapes.snapshot(snapshot))

    async def logs_url(self, call: Call) -> Answer:
        snapshot = self._cloud.snapshot(call.path("id"))
        return Answer(body={"url": f"{self._base_url}/api/snapshots/{snapshot.id}/build-logs"})

    async def logs(self, call: Call) -> Response:
        lines = self._cloud.snapshot(call.path("id")).dockerfile.splitlines()
        steps = (f"Step {number}/{len(lines)} : {line}\n" for number, line in enumerate(lines, 1))
        return StreamingResponse(iter(list(steps)), media_type="text/plain")
