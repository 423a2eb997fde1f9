"""The program that starts others inside a sandbox, and their supervisor, as processes of this machine."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.daytona import detached

PROGRAM = [sys.executable, "-I", "-S", detached.__file__]
PATIENCE_SECONDS = 20.0
SOON = "5"
INLINE = str(10**6)
TICKER = "trap '' TERM HUP INT; while :; do date +%s%N >>ticks; done"


def ask(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [*PROGRAM, *words],
        env={"PATH": os.defpath, "INHERITED": "yes"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def until(fact: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass
class Job:
    folder: Path
    work: Path

    def order(self, line: str, name: str = "a", **more: Any) -> None:  # noqa: ANN401 - values of an order
        usual = {
            "argv": ["sh", "-c", line],
            "cwd": str(self.work),
            "env": {},
            "nice": 0,
            "stdin": False,
            "seconds": 0,
            "merged": False,
            "limit_bytes": 10**6,
        }
        (self.folder / f"{name}.json").write_text(json.dumps(usual | more))

    def start(self, line: str, patience: str = SOON, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        self.order(line, **more)
        return ask("start", str(self.folder), "a", patience, INLINE)

    def wait(self, patience: str = SOON) -> dict[str, Any]:
        return ask("wait", str(self.folder), patience, INLINE)

    def kill(self) -> dict[str, Any]:
        return ask("kill", str(self.folder), SOON, INLINE)

    def piece(self, name: str, content: bytes = b"") -> None:
        (self.folder / "in").mkdir(exist_ok=True)
        (self.folder / "in" / name).write_bytes(content)

    def out(self) -> bytes:
        return (self.folder / "out").read_bytes()

    def supervisor(self) -> int:
        until(lambda: (self.folder / "pid").exists() and " " in (self.folder / "pid").read_text())
        return int((self.folder / "pid").read_text().split()[0])

    def ticks(self) -> bytes:
        path = self.work / "ticks"
        return path.read_bytes() if path.exists() else b""

    def stands_still(self) -> bool:
        before = self.ticks()
        subprocess.run(["sleep", "0.1"], env={"PATH": os.defpath}, check=True)
        return self.ticks() == before


@pytest.fixture
def job(tmp_path: Path) -> Job:
    folder, work = tmp_path / "job", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    return Job(folder, work)


def shown(answer: dict[str, Any]) -> bytes:
    return base64.b64decode(answer["output"])


@pytest.mark.parametrize(
    ("line", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", -15), ("kill -KILL $$", -9)],
    ids=["done", "failed", "terminated", "killed"],
)
def test_the_programs_end_is_told(job: Job, line: str, code: int) -> None:
    answer = job.start(line)
    assert (answer["state"], answer["order"], answer["exit"]["code"]) == ("ended", "a", code)


def test_a_program_that_is_missing_is_named(job: Job) -> None:
    answer = job.start("", argv=["no-such-program"], merged=True)
    assert (answer["exit"]["code"], b"no-such-program" in shown(answer)) == (127, True)


def test_merged_outputs_keep_their_order(job: Job) -> None:
    answer = job.start("echo out; echo err >&2; echo more", merged=True)
    assert shown(answer) == b"out\nerr\nmore\n"


def test_stderr_apart_is_in_the_exit(job: Job) -> None:
    answer = job.start("echo out; echo err >&2")
    assert (job.out(), base64.b64decode(answer["exit"]["stderr"])) == (b"out\n", b"err\n")


def test_folder_and_environment_are_the_orders(job: Job) -> None:
    answer = job.start("pwd; echo $GIVEN $INHERITED", env={"GIVEN": "a 'b'"}, merged=True)
    assert shown(answer).decode() == f"{job.work}\na 'b' yes\n"
    assert not list(job.folder.glob("*.json"))


def test_the_call_that_starts_it_may_end_at_once(job: Job) -> None:
    assert job.start("read x; echo $x", "0", stdin=True)["state"] == "running"
    job.piece("0-4", b"end\n")
    assert job.wait()["exit"]["code"] == 0
    assert job.out() == b"end\n"


def test_the_same_order_twice_starts_it_once(job: Job) -> None:
    job.start("echo up >>ups; read x", "0", stdin=True)
    again = job.start("echo up >>ups", "0")
    assert (again["state"], again["order"]) == ("running", "a")
    job.piece("0-end")
    job.wait()
    assert job.start("echo up >>ups")["exit"]["code"] == 1
    assert (job.work / "ups").read_text() == "up\n"


def test_another_order_learns_whose_the_program_is(job: Job) -> None:
    job.start("exit 3")
    job.order("exit 4", "b")
    answer = ask("start", str(job.folder), "b", SOON, INLINE)
    assert (answer["order"], answer["exit"]["code"]) == ("a", 3)


def test_of_many_starters_at_once_one_wins(job: Job) -> None:
    starters = []
    for name in "abcd":
        job.order(f"echo {name} >>ups", name)
        words = [*PROGRAM, "start", str(job.folder), name, SOON, INLINE]
        starters.append(subprocess.Popen(words, env={"PATH": os.defpath}, stdout=subprocess.PIPE))
    answers = [json.loads(starter.communicate(timeout=PATIENCE_SECONDS)[0]) for starter in starters]
    winner = (job.work / "ups").read_text()
    assert [answer["order"] + "\n" for answer in answers] == [winner] * 4
    assert {answer["state"] for answer in answers} == {"ended"}


def test_what_was_never_started_is_said_to_be_so(job: Job) -> None:
    assert job.wait("0")["state"] == "never"
    assert job.kill()["state"] == "never"


def test_stdin_comes_in_pieces_and_ends(job: Job) -> None:
    job.start("cat", "0", stdin=True)
    job.piece("0-4", b"one\n")
    until(lambda: job.out() == b"one\n")
    answer = job.wait("0")
    assert (answer["state"], answer["chunks"], answer["closed"]) == ("running", 1, False)
    job.piece("1-4", b"two\n")
    job.piece("2-end")
    answer = job.wait()
    assert (answer["state"], answer["chunks"], answer["closed"]) == ("ended", 2, True)
    assert job.out() == b"one\ntwo\n"


def test_a_piece_counts_once_it_is_whole(job: Job) -> None:
    job.piece("0-4", b"on")
    job.piece("1-4", b"two\n")
    assert job.start("cat", "0", stdin=True)["chunks"] == 0
    job.piece("0-4", b"one\n")
    until(lambda: job.out() == b"one\ntwo\n")
    job.kill()


def test_a_piece_larger_than_a_pipe_reaches_a_program_that_answers_meanwhile(job: Job) -> None:
    data = os.urandom(3_000_000)
    job.piece(f"0-{len(data)}", data)
    job.piece("1-end")
    job.start("cat", stdin=True, limit_bytes=4_000_000)
    assert job.out() == data


def test_input_that_is_not_wanted_is_dropped(job: Job) -> None:
    job.piece("0-3000000", bytes(3_000_000))
    assert job.start("exec <&-; sleep 0.2; exit 3", stdin=True)["exit"]["code"] == 3


def test_it_is_ended_when_it_takes_too_long(job: Job) -> None:
    answer = job.start("echo begun; sleep 60", merged=True, seconds=0.5)
    assert (answer["exit"]["timed_out"], answer["exit"]["code"], shown(answer)) == (True, -9, b"begun\n")


def test_long_output_keeps_its_ends(job: Job) -> None:
    answer = job.start("echo first; seq 100000; echo last", merged=True, limit_bytes=1000)
    output = shown(answer)
    assert (answer["exit"]["cut"], len(output)) == (True, 1000)
    assert output.startswith(b"first\n1\n")
    assert output.endswith(b"100000\nlast\n")


def test_output_of_a_long_lived_program_is_bounded(job: Job) -> None:
    answer = job.start("yes", limit_bytes=100_000)
    assert (answer["exit"]["code"], answer["exit"]["reason"], len(job.out())) == (-9, "disk", 100_000)


def test_stderr_of_a_long_lived_program_keeps_its_end(job: Job) -> None:
    answer = job.start("seq 100000 >&2")
    stderr = base64.b64decode(answer["exit"]["stderr"])
    assert (len(stderr), stderr.endswith(b"99999\n100000\n")) == (64 * 1024, True)


@pytest.mark.parametrize("end", ["exit 3", "sleep 60"], ids=["ends by itself", "is ended"])
def test_nothing_that_it_started_lives_on(job: Job, end: str) -> None:
    job.start(f'setsid sh -c "{TICKER}" & setsid setsid sh -c "{TICKER}" & sleep 0.2; {end}', seconds=1)
    assert job.wait("0")["state"] == "ended"
    assert job.ticks()
    assert job.stands_still()


def test_children_that_make_children_are_dead_too(job: Job) -> None:
    line = f'spawn() {{ setsid sh -c "{TICKER}" & }}; n=0; while test $n -lt 20; do spawn; n=$((n+1)); done; exit 0'
    job.start(line)
    assert job.stands_still()


def test_kill_ends_a_program_and_all_that_it_started(job: Job) -> None:
    job.start(f'setsid sh -c "{TICKER}" & echo up; sleep 60', "0")
    until(lambda: job.out() == b"up\n" and (job.work / "ticks").exists())
    answer = job.kill()
    assert (answer["state"], answer["exit"]["code"], answer["exit"]["timed_out"]) == ("ended", -9, False)
    assert job.kill()["exit"] == answer["exit"]
    assert job.stands_still()


def test_all_output_is_there_when_the_exit_is(job: Job) -> None:
    job.start("(setsid sh -c 'seq 200000' &); sleep 0.05; seq 200000; echo last", "0", limit_bytes=10**8)
    until((job.folder / "exit").exists)
    found = job.out()
    assert json.loads((job.folder / "exit").read_bytes())["code"] == 0
    assert job.out() == found
    assert b"\nlast\n" in found


def test_a_supervisor_that_was_killed_leaves_no_exit_and_no_program(job: Job) -> None:
    job.start("echo $$; exec sleep 60", "0")
    until(lambda: job.out().endswith(b"\n"))
    program = Path("/proc", job.out().decode().strip())
    os.kill(job.supervisor(), signal.SIGKILL)
    assert job.wait()["state"] == "dead"
    until(lambda: not program.exists() or b"Z (zombie)" in (program / "status").read_bytes())
    assert job.kill()["state"] == "dead"


def test_a_supervisor_that_stands_still_is_killed(job: Job) -> None:
    job.start("exec sleep 60", "0")
    os.kill(job.supervisor(), signal.SIGSTOP)
    answer = ask("kill", str(job.folder), "0.2", INLINE)
    assert answer["state"] == "dead"
