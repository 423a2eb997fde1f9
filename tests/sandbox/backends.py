"""The real backends that the conformance suite runs over, and ground on which they can stand."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from bot.sandbox import Sandbox
from bot.sandbox.bubblewrap import Bubblewrap


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Where another user may pass, unlike pytest's own directory."""
    directory = Path(tempfile.mkdtemp(prefix="backspace-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@asynccontextmanager
async def bubblewrap(tools: Path) -> AsyncIterator[Bubblewrap]:
    """Leaves no sandbox behind."""
    with reachable_directory() as directory:
        async with Bubblewrap(root=directory / "sandboxes", tools=tools, watch_seconds=0.1) as backend:
            yield backend
            for box in await backend.list_owned():
                await backend.delete(box)


BACKENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Sandbox]]] = {"bubblewrap": bubblewrap}
