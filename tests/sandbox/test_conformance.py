"""What every backend of the Sandbox Protocol does, whatever it is made of."""

from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

import pytest

from bot.sandbox import HOME, REPO, Exited, Handle, Running, Sandbox, SandboxFailed, SandboxId, SandboxLost, Spec
from tests.sandbox.backends import BACKENDS
from tests.sandbox.waiting import ended, printed

pytestmark = pytest.mark.slow

SPEC = Spec()


@pytest.fixture(params=list(BACKENDS))
async def sandbox(request: pytest.FixtureRequest, tools: Path) -> AsyncIterator[Sandbox]:
    async with BACKENDS[request.param](tools) as backend:
        yield backend


@pytest.fixture
async def box(sandbox: Sandbox) -> SandboxId:
    return await sandbox.create("one", SPEC)


async def shell(sandbox: Sandbox, box: SandboxId, line: str) -> str:
    finished = await sandbox.run(box, ["sh", "-c", line], timeout_seconds=30)
    assert finished.exit_code == 0, finished
    return finished.output.decode()


async def test_a_new_sandbox_has_an_empty_repo_and_a_writable_home(sandbox: Sandbox, box: SandboxId) -> None:
    assert await shell(sandbox, box, "pwd; ls -A; touch $HOME/x && echo $HOME") == f"{REPO}\n{HOME}\n"


async def test_create_destroys_an_earlier_one_of_that_name(sandbox: Sandbox, box: SandboxId) -> None:
    await sandbox.put(box, REPO / "old", b"")
    again = await sandbox.create("one", SPEC)
    assert await shell(sandbox, again, "ls -A") == ""


@pytest.mark.parametrize("content", [b"", b"text\n", bytes(range(256)) * 4096], ids=["empty", "text", "a MiB of bytes"])
async def test_a_file_comes_back_as_it_was_put(sandbox: Sandbox, box: SandboxId, content: bytes) -> None:
    path = REPO / "deep" / "er" / "file name"
    await sandbox.put(box, path, content)
    assert await sandbox.get(box, path, limit_bytes=2**20) == content


async def test_put_replaces_a_file(sandbox: Sandbox, box: SandboxId) -> None:
    await sandbox.put(box, REPO / "f", b"a longer one")
    await sandbox.put(box, REPO / "f", b"short")
    assert await sandbox.get(box, REPO / "f", limit_bytes=100) == b"short"


async def test_a_host_file_is_put_under_another_name(sandbox: Sandbox, box: SandboxId, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"\0\1")
    await sandbox.put(box, HOME / "in.bundle", tmp_path / "bundle")
    assert await sandbox.get(box, HOME / "in.bundle", limit_bytes=2) == b"\0\1"


async def test_a_tree_arrives_with_modes_links_and_hidden_files(
    sandbox: Sandbox, box: SandboxId, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "sub" / "run.sh").chmod(0o755)
    (tmp_path / ".hidden").write_text("h")
    (tmp_path / "link").symlink_to("sub/run.sh")
    await sandbox.put(box, REPO, tmp_path)
    assert await shell(sandbox, box, "./link; cat .hidden; readlink link; touch sub/mine") == "ran\nhsub/run.sh\n"


@pytest.mark.parametrize(
    "make", ["true", "mkdir there", "mkfifo there", "ln -s nowhere there"], ids=["missing", "folder", "fifo", "link"]
)
async def test_get_fails_for_what_is_not_a_file(sandbox: Sandbox, box: SandboxId, make: str) -> None:
    await shell(sandbox, box, make)
    with pytest.raises(SandboxFailed):
        await sandbox.get(box, REPO / "there", limit_bytes=10)


async def test_get_fails_when_the_file_is_larger_than_the_limit(sandbox: Sandbox, box: SandboxId) -> None:
    await sandbox.put(box, REPO / "f", b"12345")
    assert await sandbox.get(box, REPO / "f", limit_bytes=5) == b"12345"
    with pytest.raises(SandboxFailed, match="4 bytes"):
        await sandbox.get(box, REPO / "f", limit_bytes=4)


async def test_put_fails_where_nothing_can_be_written(sandbox: Sandbox, box: SandboxId) -> None:
    with pytest.raises(SandboxFailed):
        await sandbox.put(box, PurePosixPath("/usr/bin/mine"), b"")


async def test_run_gives_exit_code_and_both_outputs_in_order(sandbox: Sandbox, box: SandboxId) -> None:
    finished = await sandbox.run(box, ["sh", "-c", "echo out; echo err >&2; echo more; exit 7"], timeout_seconds=30)
    assert (finished.exit_code, finished.output) == (7, b"out\nerr\nmore\n")
    assert not finished.timed_out
    assert not finished.cut


async def test_run_passes_input_environment_and_folder(sandbox: Sandbox, box: SandboxId) -> None:
    finished = await sandbox.run(
        box,
        ["sh", "-c", "cat; echo $GREETING; pwd"],
        timeout_seconds=30,
        env={"GREETING": "a 'quoted' =value"},
        cwd=HOME,
        stdin=b"from outside\n",
    )
    assert finished.output.decode() == f"from outside\na 'quoted' =value\n{HOME}\n"


async def test_large_input_reaches_a_program_that_answers_while_it_reads(sandbox: Sandbox, box: SandboxId) -> None:
    data = b"x" * 3_000_000
    finished = await sandbox.run(box, ["cat"], timeout_seconds=30, stdin=data, limit_bytes=4_000_000)
    assert finished.output == data


async def test_a_program_that_does_not_read_its_input_is_no_error(sandbox: Sandbox, box: SandboxId) -> None:
    finished = await sandbox.run(box, ["true"], timeout_seconds=30, stdin=b"x" * 3_000_000)
    assert finished.exit_code == 0


async def test_a_missing_program_ends_with_127(sandbox: Sandbox, box: SandboxId) -> None:
    finished = await sandbox.run(box, ["no-such-program"], timeout_seconds=30)
    assert finished.exit_code == 127
    assert b"no-such-program" in finished.output


async def test_long_output_keeps_its_beginning_and_its_end(sandbox: Sandbox, box: SandboxId) -> None:
    finished = await sandbox.run(
        box, ["sh", "-c", "echo first; seq 100000; echo last"], timeout_seconds=30, limit_bytes=1000
    )
    assert finished.cut
    assert len(finished.output) == 1000
    assert finished.output.startswith(b"first\n1\n")
    assert finished.output.endswith(b"100000\nlast\n")


async def test_run_ends_what_takes_too_long(sandbox: Sandbox, box: SandboxId) -> None:
    finished = await sandbox.run(box, ["sh", "-c", "echo begun; sleep 60"], timeout_seconds=0.5)
    assert finished.timed_out
    assert finished.exit_code != 0
    assert finished.output == b"begun\n"


@pytest.mark.parametrize("end", ["exit 3", "sleep 60"], ids=["ends by itself", "is ended"])
async def test_nothing_that_run_started_lives_on(sandbox: Sandbox, box: SandboxId, end: str) -> None:
    ticker = "trap '' TERM HUP; while :; do date +%s%N >>ticks; done"
    await sandbox.run(box, ["sh", "-c", f'setsid sh -c "{ticker}" & sleep 0.2; {end}'], timeout_seconds=1)
    before = await sandbox.get(box, REPO / "ticks", limit_bytes=10**7)
    await sandbox.run(box, ["sleep", "0.1"], timeout_seconds=30)
    assert await sandbox.get(box, REPO / "ticks", limit_bytes=10**7) == before


async def test_a_launched_program_is_read_by_offset(sandbox: Sandbox, box: SandboxId) -> None:
    handle = await sandbox.launch(box, ["sh", "-c", "echo one; echo two; echo bad >&2; exit 5"], name="agent", env={})
    exited = await ended(sandbox, handle)
    assert (exited.code, exited.stderr, exited.reason) == (5, b"bad\n", "")
    assert await sandbox.read(handle, 0) == b"one\ntwo\n"
    assert await sandbox.read(handle, 4) == b"two\n"
    assert await sandbox.read(handle, 4, limit_bytes=2) == b"tw"
    assert await sandbox.read(handle, 8) == b""
    assert await sandbox.read(handle, 1000) == b""


async def test_a_launched_program_reads_what_is_written(sandbox: Sandbox, box: SandboxId) -> None:
    handle = await sandbox.launch(box, ["sh", "-c", 'while read x; do echo "$A $x"; done'], name="p", env={"A": "got"})
    await sandbox.write(handle, b"one\n")
    await printed(sandbox, handle, b"got one\n")
    assert await sandbox.status(handle) == Running()
    await sandbox.write(handle, b"two\n")
    await sandbox.close_stdin(handle)
    assert (await ended(sandbox, handle)).code == 0
    assert await sandbox.read(handle, 0) == b"got one\ngot two\n"


async def test_writing_to_a_program_that_has_ended_does_nothing(sandbox: Sandbox, box: SandboxId) -> None:
    handle = await sandbox.launch(box, ["true"], name="p", env={})
    await ended(sandbox, handle)
    await sandbox.write(handle, b"late\n")
    await sandbox.close_stdin(handle)
    await sandbox.kill(handle)
    assert (await ended(sandbox, handle)).code == 0


async def test_run_and_a_launched_program_share_files(sandbox: Sandbox, box: SandboxId) -> None:
    handle = await sandbox.launch(
        box, ["sh", "-c", "until test -e go; do sleep 0.01; done; echo went >answer"], name="p", env={}
    )
    await sandbox.put(box, REPO / "go", b"")
    await ended(sandbox, handle)
    assert await shell(sandbox, box, "cat answer") == "went\n"


async def test_kill_ends_a_program_and_all_that_it_started(sandbox: Sandbox, box: SandboxId) -> None:
    ticker = "trap '' TERM HUP; while :; do date +%s%N >>ticks; done"
    handle = await sandbox.launch(box, ["sh", "-c", f'setsid sh -c "{ticker}" & echo up; sleep 60'], name="p", env={})
    await printed(sandbox, handle, b"up\n")
    await sandbox.kill(handle)
    status = await sandbox.status(handle)
    assert isinstance(status, Exited)
    assert status.code < 0
    before = await shell(sandbox, box, "wc -l ticks || true")
    assert await shell(sandbox, box, "sleep 0.1; wc -l ticks || true") == before


async def test_a_name_is_launched_once(sandbox: Sandbox, box: SandboxId) -> None:
    await ended(sandbox, await sandbox.launch(box, ["true"], name="p", env={}))
    with pytest.raises(SandboxFailed):
        await sandbox.launch(box, ["true"], name="p", env={})


async def test_a_copy_has_the_files_and_is_apart(sandbox: Sandbox, box: SandboxId) -> None:
    await shell(sandbox, box, "mkdir -m 500 d; echo 1 >f; chmod 600 f; ln -s f l; echo h >$HOME/h")
    copy = await sandbox.copy(box, "two", SPEC)
    assert await shell(sandbox, copy, "cat l $HOME/h; stat -c %a d f; echo 2 >f") == "1\nh\n500\n600\n"
    assert await shell(sandbox, box, "cat f") == "1\n"


async def test_a_copy_of_a_copy_outlives_its_source(sandbox: Sandbox, box: SandboxId) -> None:
    await sandbox.put(box, REPO / "f", b"kept")
    copy = await sandbox.copy(await sandbox.copy(box, "two", SPEC), "three", SPEC)
    await sandbox.delete(box)
    assert await sandbox.get(copy, REPO / "f", limit_bytes=10) == b"kept"


async def test_sandboxes_do_not_see_each_other(sandbox: Sandbox, box: SandboxId) -> None:
    other = await sandbox.create("two", SPEC)
    await sandbox.put(other, REPO / "secret", b"s")
    assert await shell(sandbox, box, "ls -A") == ""


async def test_attach_and_list_know_the_living(sandbox: Sandbox, box: SandboxId) -> None:
    assert await sandbox.attach("one") == box
    assert await sandbox.attach("never") is None
    assert await sandbox.list_owned() == [box]
    await sandbox.delete(box)
    assert await sandbox.attach("one") is None
    assert await sandbox.list_owned() == []


async def test_delete_ends_programs_and_may_be_repeated(sandbox: Sandbox, box: SandboxId) -> None:
    handle = await sandbox.launch(box, ["sleep", "60"], name="p", env={})
    await sandbox.delete(box)
    await sandbox.delete(box)
    with pytest.raises(SandboxLost):
        await sandbox.status(handle)


async def test_what_is_gone_says_so(sandbox: Sandbox, box: SandboxId) -> None:
    await sandbox.delete(box)
    with pytest.raises(SandboxLost):
        await sandbox.run(box, ["true"], timeout_seconds=30)
    with pytest.raises(SandboxLost):
        await sandbox.get(box, REPO / "f", limit_bytes=1)
    with pytest.raises(SandboxLost):
        await sandbox.copy(box, "two", SPEC)
    with pytest.raises(SandboxLost):
        await sandbox.read(Handle(box, "p"), 0)


async def test_a_program_that_was_never_launched_is_lost(sandbox: Sandbox, box: SandboxId) -> None:
    with pytest.raises(SandboxLost):
        await sandbox.status(Handle(box, "never"))


async def test_what_an_agent_locked_can_be_deleted(sandbox: Sandbox, box: SandboxId) -> None:
    await shell(sandbox, box, "mkdir -p a/b; touch a/b/c; chmod 000 a/b; chmod 500 a; chmod 000 $HOME")
    await sandbox.delete(box)
    assert await sandbox.list_owned() == []
