"""The scripted model as a process of its own, steered over HTTP."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

_ROOT = Path(__file__).parents[3]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.model", "--port", "0", "--scenario", "no-changes"],
        cwd=_ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url, trust_env=False, timeout=10) as client:
            yield client
        process.terminate()
        assert process.wait(10) == 0


def _ask(client: httpx.Client, path: str = "/v1/messages", answers: int = 0) -> Any:  # noqa: ANN401 - JSON
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "yes"}]
    body = {"model": "m", "tools": [{"name": "Read"}], "messages": messages[:1] + messages[1:] * answers}
    return client.post(path, json=body)


def test_it_plays_faults_gates_and_keeps_a_log(client: httpx.Client) -> None:
    assert _ask(client).json()["content"][1]["name"] == "Read"
    assert _ask(client, "/s/needs-input/v1/messages", 1).json()["content"][0]["text"].count("NEEDS-INPUT")
    assert _ask(client, "/s/unknown/v1/messages").status_code == 404

    client.post("/control/fail", json={"kind": "status", "status": 529, "message": "busy"})
    assert [_ask(client).status_code for _ in range(2)] == [529, 200]

    gate = {"scenario": "no-changes", "step": 1}
    client.post("/control/hold", json=gate)
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(_ask(client, answers=1).status_code))
    waiting.start()
    while not client.get("/control/waiting").json():
        pass
    assert answers == []
    client.post("/control/release", json=gate)
    waiting.join(10)
    assert answers == [200]

    log = client.get("/control/requests").json()
    assert [(request["scenario"], request["step"]) for request in log] == [
        ("no-changes", 0),
        ("needs-input", 1),
        ("unknown", 0),
        ("no-changes", 0),
        ("no-changes", 0),
        ("no-changes", 1),
    ]
    assert log == sorted(log, key=lambda request: request["arrived"])
