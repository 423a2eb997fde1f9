"""A worker as a process of its own, to be killed or to have its secrets looked for.

`python -m tests.attacks.worker ROOT TOOLS MODE PROGRAM ARGUMENT...`; MODE `run` prints the program's output, `launch`
prints a line once the program has printed one, and `die` kills itself at once after the launch.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from bot.sandbox import Spec
from bot.sandbox.bubblewrap import Bubblewrap


async def main(root: Path, tools: Path, mode: str, argv: list[str]) -> None:
    backend = Bubblewrap(root=root, tools=tools)
    box = await backend.create("worker", Spec())
    if mode == "run":
        finished = await backend.run(box, argv, timeout_seconds=30)
        sys.stdout.buffer.write(finished.output)
        await backend.aclose()
        return
    handle = await backend.launch(box, argv, name="p", env={})
    if mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while not await backend.read(handle, 0):  # noqa: ASYNC110 - the fact is another process's
        await asyncio.sleep(0.01)
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
