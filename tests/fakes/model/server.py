"""The scripted model behind a loopback port, in a thread of this process."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from tests.fakes.model.app import ModelApp
from tests.fakes.model.state import State
from tests.prompt_server import PromptServer

_START_SECONDS = 10


class FakeModel(State):
    """`url` is what a client takes for the API's base address."""

    def __init__(self, default_scenario: str = "fix-calc") -> None:
        super().__init__(default_scenario)
        self.url = ""

    def scenario_url(self, scenario: str) -> str:
        return f"{self.url}/s/{scenario}"


@contextlib.contextmanager
def fake_model(default_scenario: str = "fix-calc", port: int = 0) -> Iterator[FakeModel]:
    model = FakeModel(default_scenario)
    with socket.create_server(("127.0.0.1", port)) as listener:
        model.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(ModelApp(model), log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = PromptServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield model
        finally:
            model.reset()
            server.stop()
            thread.join(_START_SECONDS)
