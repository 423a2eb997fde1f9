"""Server-Sent Events: the framing of one stored event, and the cursor that a client sends back. No I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json

from bot.events import StoredEvent, wire

KEEP_ALIVE = b": keep-alive\n\n"
DROPPED = b": dropped, resume with Last-Event-ID\n\n"
_CURSOR_DIGITS = 15


def frame(stored: StoredEvent) -> bytes:
    """One message: its id is the sequence number, its data one line of JSON."""
    data = json.dumps(wire(stored), ensure_ascii=False, separators=(",", ":"))
    return f"id: {stored.seq}\ndata: {data}\n\n".encode()


def cursor(last_event_id: str | None, after: str | None) -> int | None:
    """The sequence number to go on after; 0 when the client has none, None when what it sent is not one."""
    sent = last_event_id if last_event_id is not None else after
    if sent is None or sent == "":
        return 0
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) <= _CURSOR_DIGITS else None
