"""Lines are whole, offsets are where to go on, whatever the cuts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sandbox import Exited, Handle, Running, SandboxId, Spec
from bot.sandbox.bubblewrap import Bubblewrap
from bot.sandbox.follow import Ended, Follower, Idle, Line, follow
from tests.sandbox.backends import bubblewrap

HANDLE = Handle(SandboxId("s"), "p")
DONE = Exited(0)


@dataclass
class Growing:
    """A program's output that grows by one piece each time it is looked at."""

    pieces: list[bytes]
    written: bytes = b""
    waits: list[float] = field(default_factory=list)

    async def read(self, handle: Handle, offset: int, *, limit_bytes: int = 7) -> bytes:
        return self.written[offset : offset + limit_bytes]

    async def status(self, handle: Handle) -> Running | Exited:
        if not self.pieces:
            return DONE
        self.written += self.pieces.pop(0)
        return Running()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


async def followed(source: Growing, offset: int = 0) -> list[Line | Idle | Ended]:
    follower = Follower(source, HANDLE, offset=offset, clock=lambda: 0.0)
    return [news async for news in follow(follower, sleep=source.sleep)]


pieces = st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"\n\n", b"\r\n", "ä".encode()[:1]]), max_size=12)


@given(pieces)
async def test_lines_come_whole_wherever_the_output_was_cut(pieces: list[bytes]) -> None:
    output = b"".join(pieces)
    news = await followed(Growing(list(pieces)))
    lines = [item for item in news if isinstance(item, Line)]
    expected = output.split(b"\n") if output else []
    if output.endswith(b"\n"):
        expected.pop()
    assert [line.content for line in lines] == expected
    assert news[-1] == Ended(DONE, len(output))


@given(pieces)
async def test_every_offset_is_a_place_to_go_on_from(pieces: list[bytes]) -> None:
    lines = [item for item in await followed(Growing(list(pieces))) if isinstance(item, Line)]
    for number, line in enumerate(lines):
        rest = await followed(Growing(list(pieces)), offset=line.offset)
        assert [item for item in rest if isinstance(item, Line)] == lines[number + 1 :]


async def test_waiting_is_told_with_how_long_it_was_silent() -> None:
    now = iter([0.0, 1.0, 5.0, 6.0, 8.0])
    follower = Follower(Growing([b"a\n", b"", b"", b"b\n"]), HANDLE, clock=lambda: next(now))
    assert [await follower.step() for _ in range(3)] == [[Line(b"a", 2)], Idle(4.0), Idle(5.0)]


async def test_a_step_without_a_line_end_is_no_line_and_no_silence() -> None:
    follower = Follower(Growing([b"half", b" line\n"]), HANDLE, clock=lambda: 0.0)
    assert await follower.step() == []
    assert await follower.step() == [Line(b"half line", 10)]


@pytest.fixture
async def sandbox(tools: Path) -> AsyncIterator[Bubblewrap]:
    async with bubblewrap(tools) as backend:
        yield backend


async def test_a_line_of_several_megabytes_from_a_real_program(sandbox: Bubblewrap) -> None:
    box = await sandbox.create("follow", Spec())
    program = "import sys, time; print('x' * 4_000_000); print('last', end='', flush=True); sys.exit(3)"
    handle = await sandbox.launch(box, ["python3", "-c", program], name="p", env={})
    news = [item async for item in follow(Follower(sandbox, handle, clock=lambda: 0.0), poll_seconds=0.01)]
    lines = [item for item in news if isinstance(item, Line)]
    assert [len(line.content) for line in lines] == [4_000_000, 4]
    assert news[-1] == Ended(Exited(3), 4_000_005)
