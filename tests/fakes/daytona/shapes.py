"""The JSON of the control plane's objects. No I/O."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.daytona.state import Box, Snapshot

Json = dict[str, Any]
ORGANIZATION = "org-1"
_LIST_LACKS = ("env", "kvm", "outboundProxyUrl")
_DAEMON = "v0.205.0"


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sandbox(box: Box, toolbox_url: str) -> Json:
    """Optional strings that are not set are left out, as the description has it."""
    found: Json = {
        "id": box.id,
        "organizationId": ORGANIZATION,
        "name": box.name,
        "snapshot": box.snapshot.name,
        "user": "agent",
        "env": box.env,
        "labels": box.labels,
        "public": box.public,
        "networkBlockAll": box.policy.block_all,
        "kvm": False,
        "target": box.target,
        "cpu": box.snapshot.cpu,
        "gpu": 0,
        "memory": box.snapshot.memory,
        "disk": box.snapshot.disk,
        "state": box.state,
        "desiredState": box.desired,
        "autoStopInterval": box.auto_stop,
        "autoArchiveInterval": box.auto_archive,
        "autoDeleteInterval": box.auto_delete,
        "createdAt": iso(box.created_at),
        "updatedAt": iso(box.updated_at),
        "lastActivityAt": iso(box.last_activity_at),
        "sandboxClass": "container",
        "daemonVersion": _DAEMON,
        "runnerId": "runner-1",
        "toolboxProxyUrl": toolbox_url,
    }
    if box.policy.domains is not None:
        found["domainAllowList"] = ",".join(box.policy.domains)
    if box.policy.networks is not None:
        found["networkAllowList"] = ",".join(box.policy.networks)
    if box.ttl_minutes:
        found["autoDestroyAt"] = iso(box.created_at + timedelta(minutes=box.ttl_minutes))
    if box.error:
        found |= {"errorReason": box.error, "recoverable": False}
    return found


def item(box: Box, toolbox_url: str) -> Json:
    """As the list has it."""
    return {key: value for key, value in sandbox(box, toolbox_url).items() if key not in _LIST_LACKS}


def snapshot(found: Snapshot) -> Json:
    answer: Json = {
        "id": found.id,
        "organizationId": ORGANIZATION,
        "general": False,
        "name": found.name,
        "state": found.state,
        "size": 1.5 if found.state in ("active", "inactive") else None,
        "entrypoint": None,
        "cpu": found.cpu,
        "gpu": 0,
        "mem": found.memory,
        "disk": found.disk,
        "errorReason": found.error or None,
        "createdAt": iso(found.created_at),
        "updatedAt": iso(found.updated_at),
        "lastUsedAt": iso(found.last_used_at) if found.last_used_at else None,
        "sourceSandboxId": None,
        "regionIds": ["us"],
        "sandboxClass": "container",
    }
    if found.dockerfile:
        answer["buildInfo"] = {
            "dockerfileContent": found.dockerfile,
            "contextHashes": [],
            "createdAt": iso(found.created_at),
            "updatedAt": iso(found.updated_at),
            "snapshotRef": f"daytona-{hashlib.sha256(found.dockerfile.encode()).hexdigest()[:16]}",
        }
    else:
        answer["imageName"] = found.image
    return answer
