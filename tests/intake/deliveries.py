"""The recorded deliveries beside this file, and how they come in."""

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.intake import triggers, webhook

APP_ID = 29310
RECEIVED_AT = datetime(2026, 5, 15, 15, 30, tzinfo=UTC)
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"

Payload = dict[str, Any]


def recorded(name: str, changes: Mapping[str, object] | None = None) -> Payload:
    """`issue_comment.created`, with values put in at dotted paths; `...` takes a key out."""
    payload: Payload = json.loads((Path(__file__).parent / "payloads" / f"{name}.json").read_text())
    return changed(payload, changes or {})


def changed(payload: Payload, changes: Mapping[str, object]) -> Payload:
    copy = deepcopy(payload)
    for path, value in changes.items():
        *parents, key = path.split(".")
        place = copy
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return copy


def read(event: str, payload: object, **headers: str) -> webhook.Parsed:
    sent = {"X-GitHub-Event": event, "X-GitHub-Delivery": GUID, "Content-Type": "application/json", **headers}
    return webhook.parse(sent, json.dumps(payload).encode())


def delivered(event: str, payload: object) -> webhook.Delivery:
    delivery = read(event, payload)
    assert isinstance(delivery, webhook.Delivery)
    return delivery


def decided(event: str, payload: object) -> triggers.Decision:
    return triggers.decide(
        delivered(event, payload), command="/backspace", label="backspace", app_id=APP_ID, received_at=RECEIVED_AT
    )
