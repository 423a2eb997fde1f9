"""Images of a thread reach the agent's eyes; bad ones do not end the run, and are listed."""

import base64
import struct
import zlib

import pytest

from tests.deployment import Deployment

pytestmark = pytest.mark.slow


def picture(grey: int) -> bytes:
    """A PNG of 8 by 8 pixels of one shade."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes([grey]) * 8) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def seen_by(running: Deployment, words: str) -> set[bytes]:
    """The images that the model was sent in the run which these words asked for."""
    found = set()
    for request in running.model.requests:
        for message in request.body["messages"] if words in request.text else []:
            blocks = message["content"] if isinstance(message["content"], list) else []
            results = [block["content"] for block in blocks if block["type"] == "tool_result"]
            parts = [part for result in results if isinstance(result, list) for part in result]
            found |= {base64.b64decode(part["source"]["data"]) for part in parts if part["type"] == "image"}
    return found


def test_screenshots_are_seen_and_what_is_none_is_left_out(running: Deployment) -> None:
    github = running.github
    in_issue, in_comment = picture(10), picture(200)
    shot = github.attach(in_issue, "Screenshot.png")
    text = github.attach(b"This is no picture.", "broken.png")
    elsewhere = "https://images.example.com/shot.png"
    issue = github.open_issue(
        "octo",
        "The sum looks wrong",
        f'![Screenshot]({shot})\n\n<img width="600" src="{text}">\n\n![]({elsewhere})\n\n`![]({shot}?)`',
    )
    own = github.attach(in_comment, "detail.jpg")
    words = f"/backspace Please look at this.\r\n\r\n![detail]({own})\r\n\r\nscenario:look-at-images"
    run = running.finished(running.run_id(running.ask(issue, words)))
    assert run["outcome"] == "pull_request", running.backspace.log[-4000:]

    prompt = next(request.text for request in running.model.requests if "The sum looks wrong" in request.text)
    assert "[image: /home/agent/attachments/1.png]" in prompt
    assert "[image: /home/agent/attachments/2.png]" in prompt
    assert seen_by(running, "The sum looks wrong") == {in_issue, in_comment}

    (pull,) = [pull for pull in github.pulls() if run["pr_url"].endswith(f"/pull/{pull.number}")]
    assert "- 2 images included" in pull.body
    assert "- 1 image left out: not a PNG, JPEG, GIF or WebP image" in pull.body
    assert "- 1 image left out: not an attachment of this GitHub" in pull.body
    assert github.diff(pull).count("diff --git") == 1
    assert not any("jwt=" in event_text for event_text in map(str, running.events(run["request_id"])))
    assert "jwt=" not in running.backspace.log
