"""The clone on the host: what it holds, what it leaves out, how it fails, and where its token is not."""

import asyncio
import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.github.checkout import Checkout
from bot.github.failures import (
    BranchMissing,
    CheckoutFailed,
    EmptyRepository,
    GitUnavailable,
    RepositoryTooLarge,
    RepositoryUnreachable,
)
from bot.github.git import Git, Remote
from bot.model import Sha
from tests.fakes.github import Fault
from tests.github.conftest import FILES, Scene
from tests.github.sandboxed import Agent

pytestmark = pytest.mark.slow


async def test_the_tree_is_the_branchs_and_has_one_commit(
    scene: Scene, checkout: Checkout, remote: Remote, agent: Agent, tmp_path: Path
) -> None:
    scene.fake.commit(scene.repository, "main", {"new.txt": "new\n"})
    clone = await checkout.clone(remote, ref="main", into=tmp_path / "clone")
    assert clone.base_sha == scene.fake.branches()["main"]
    assert (clone.tree / "new.txt").read_text() == "new\n"
    assert (clone.tree / "src/widget.py").read_text() == FILES["src/widget.py"]
    assert os.access(clone.tree / "run.sh", os.X_OK)
    assert agent.git(clone.tree, "rev-list", "--count", "HEAD").strip() == b"1"
    assert agent.git(clone.tree, "status", "--porcelain") == b""
    assert agent.git(clone.tree, "branch", "--show-current").strip() == b"main"
    assert agent.git(clone.tree, "remote") == b""


async def test_a_commit_is_named_by_its_sha_too(
    scene: Scene, checkout: Checkout, remote: Remote, tmp_path: Path
) -> None:
    earlier = scene.fake.branches()["main"]
    scene.fake.commit(scene.repository, "main", {"new.txt": "new\n"})
    clone = await checkout.clone(remote, ref=earlier, into=tmp_path / "clone")
    assert clone.base_sha == earlier
    assert not (clone.tree / "new.txt").exists()


async def test_a_second_clone_takes_the_place_of_the_first(checkout: Checkout, remote: Remote, tmp_path: Path) -> None:
    first = await checkout.clone(remote, ref="main", into=tmp_path / "clone")
    (first.tree / "left-over").write_text("x")
    again = await checkout.clone(remote, ref="main", into=tmp_path / "clone")
    assert not (again.tree / "left-over").exists()


async def test_a_path_on_this_machine_needs_no_token(scene: Scene, checkout: Checkout, tmp_path: Path) -> None:
    clone = await checkout.clone(Remote(str(scene.repository.bare.path)), ref="main", into=tmp_path / "clone")
    assert clone.base_sha == scene.fake.branches()["main"]


async def test_large_files_and_submodules_are_left_out_and_named(
    scene: Scene, checkout: Checkout, remote: Remote, tmp_path: Path
) -> None:
    scene.fake.commit(scene.repository, "main", {"assets/.gitattributes": "*.psd filter=lfs diff=lfs\n"})
    bare = scene.repository.bare
    head = scene.fake.branches()["main"]
    tree = bare.write_tree(bare.resolve(head, "tree"), [("160000", "vendor/lib", head)])
    ident = scene.fake._ident(scene.repository.owner)
    bare.update_ref(
        "refs/heads/main", bare.write_commit(tree, [head], author=ident, committer=ident, message="Add a submodule")
    )
    clone = await checkout.clone(remote, ref="main", into=tmp_path / "clone")
    assert clone.has_lfs
    assert clone.submodules == ("vendor/lib",)


async def test_without_them_nothing_is_said(checkout: Checkout, remote: Remote, tmp_path: Path) -> None:
    clone = await checkout.clone(remote, ref="main", into=tmp_path / "clone")
    assert not clone.has_lfs
    assert clone.submodules == ()


class TestFailures:
    async def test_empty_repository(self, scene: Scene, checkout: Checkout, tmp_path: Path) -> None:
        empty = scene.fake.add_repo("acme/empty")
        scene.fake.installation(scene.at.installation_id).repositories.append(empty)
        token = scene.fake.personal_token("octo")
        scene.fake.add_user("octo", "read", empty)
        with pytest.raises(EmptyRepository):
            await checkout.clone(
                Remote(f"{scene.fake.web_url}/acme/empty.git", token), ref="main", into=tmp_path / "clone"
            )

    @pytest.mark.parametrize("ref", ["no-such-branch", "0123456789abcdef0123456789abcdef01234567"])
    async def test_missing_branch_or_commit(self, checkout: Checkout, remote: Remote, tmp_path: Path, ref: str) -> None:
        with pytest.raises(BranchMissing):
            await checkout.clone(remote, ref=ref, into=tmp_path / "clone")

    async def test_repository_out_of_reach(self, scene: Scene, checkout: Checkout, tmp_path: Path) -> None:
        token = await scene.client.clone_token(scene.at)
        with pytest.raises(RepositoryUnreachable):
            await checkout.clone(
                Remote(f"{scene.fake.web_url}/acme/other.git", token), ref="main", into=tmp_path / "clone"
            )

    async def test_refused_token(self, scene: Scene, checkout: Checkout, tmp_path: Path) -> None:
        with pytest.raises(RepositoryUnreachable):
            await checkout.clone(
                Remote(scene.client.git_url(scene.at), "ghs_wrong"), ref="main", into=tmp_path / "clone"
            )

    async def test_missing_path(self, checkout: Checkout, tmp_path: Path) -> None:
        with pytest.raises(RepositoryUnreachable):
            await checkout.clone(Remote(str(tmp_path / "nowhere")), ref="main", into=tmp_path / "clone")

    async def test_nobody_listens(self, checkout: Checkout, tmp_path: Path) -> None:
        with pytest.raises(GitUnavailable) as failure:
            await checkout.clone(Remote("http://127.0.0.1:9/acme/widgets.git"), ref="main", into=tmp_path / "clone")
        assert failure.value.retry_helps

    async def test_a_passing_outage_is_sat_out(
        self, scene: Scene, checkout: Checkout, remote: Remote, tmp_path: Path
    ) -> None:
        scene.fake.fail("GET", "*/info/refs", Fault.SERVER_ERROR)
        clone = await checkout.clone(remote, ref="main", into=tmp_path / "clone")
        assert (clone.tree / "README.md").exists()

    async def test_too_large_to_fetch(
        self, scene: Scene, git: Git, executor: ThreadPoolExecutor, remote: Remote, tmp_path: Path
    ) -> None:
        scene.fake.commit(scene.repository, "main", {"noise": os.urandom(300_000)})
        with pytest.raises(RepositoryTooLarge):
            await Checkout(git, executor=executor, size_limit_bytes=100_000).clone(
                remote, ref="main", into=tmp_path / "clone"
            )

    async def test_too_large_to_unpack(
        self, scene: Scene, git: Git, executor: ThreadPoolExecutor, remote: Remote, tmp_path: Path
    ) -> None:
        scene.fake.commit(scene.repository, "main", {"zeros": bytes(3_000_000)})
        with pytest.raises(RepositoryTooLarge):
            await Checkout(git, executor=executor, size_limit_bytes=1_000_000).clone(
                remote, ref="main", into=tmp_path / "clone"
            )
        assert not (tmp_path / "clone/tree").exists()

    async def test_no_token_and_no_address_in_the_words(self, scene: Scene, checkout: Checkout, tmp_path: Path) -> None:
        token = await scene.client.clone_token(scene.at)
        for fault in (Fault.SERVER_ERROR, Fault.UNAUTHORIZED, Fault.SECONDARY_LIMIT):
            scene.fake.fail("GET", "*/info/refs", fault, count=3)
            with pytest.raises(CheckoutFailed) as failure:
                await checkout.clone(Remote(scene.client.git_url(scene.at), token), ref="main", into=tmp_path / "clone")
            scene.fake.faults.clear()
            said = f"{failure.value!r} {failure.value} {failure.value.__cause__!r}"
            assert token not in said
            assert scene.fake.web_url not in said
            assert str(tmp_path) not in said


class TestToken:
    async def test_is_in_no_argument_of_any_process(
        self, scene: Scene, checkout: Checkout, remote: Remote, tmp_path: Path
    ) -> None:
        scene.fake.fail("GET", "*/info/refs", Fault.SLOW, seconds=1.0)
        cloning = asyncio.create_task(checkout.clone(remote, ref="main", into=tmp_path / "clone"))
        seen: set[str] = set()
        while not cloning.done():
            seen |= set(_children().values())
            await asyncio.sleep(0.01)
        await cloning
        assert remote.token
        fetches = [line for line in seen if "fetch" in line or "remote-http" in line]
        assert fetches
        assert not [line for line in seen if remote.token in line or _basic(remote.token) in line]

    async def test_is_in_no_file_of_the_clone(self, checkout: Checkout, remote: Remote, tmp_path: Path) -> None:
        clone = await checkout.clone(remote, ref="main", into=tmp_path / "clone")
        assert remote.token
        secrets = (remote.token.encode(), _basic(remote.token).encode(), remote.url.encode())
        files = [file for file in clone.tree.parent.rglob("*") if file.is_file()]
        assert clone.tree / ".git/config" in files
        assert not [file for file in files if any(secret in file.read_bytes() for secret in secrets)]

    def test_is_not_in_the_remotes_representation(self) -> None:
        assert "ghs_secret" not in repr(Remote("https://github.example/a/b.git", "ghs_secret"))


async def test_a_cancelled_clone_leaves_no_process(
    scene: Scene, checkout: Checkout, remote: Remote, tmp_path: Path
) -> None:
    scene.fake.fail("GET", "*/info/refs", Fault.SLOW, seconds=2)
    cloning = asyncio.create_task(checkout.clone(remote, ref="main", into=tmp_path / "clone"))
    await _until(lambda: any("remote-http" in line for line in _children().values()))
    started = set(_children())
    cloning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cloning
    await _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


async def test_configuration_around_us_is_not_read(
    scene: Scene, checkout: Checkout, remote: Remote, tmp_path: Path, git: Git
) -> None:
    bad = tmp_path / "home/.gitconfig"
    bad.write_text("[core]\n\thooksPath = /nonexistent\n[user]\n\tname = ours\n[alias]\n\tx = y\n")
    output = await git.run("config", "--list", "--show-origin")
    assert b".gitconfig" not in output.stdout
    assert b"/etc/gitconfig" not in output.stdout
    assert b"core.hookspath=/dev/null" in output.stdout


async def test_the_pristine_copy_can_be_fetched_again_elsewhere(
    scene: Scene, checkout: Checkout, remote: Remote, tmp_path: Path
) -> None:
    base = scene.fake.branches()["main"]
    scene.fake.commit(scene.repository, "main", {"new.txt": "new\n"})
    assert await checkout.fetch(remote, ref=base, into=tmp_path / "pristine.git") == Sha(base)


def _basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


def _children() -> dict[int, str]:
    """This process's descendants and their command lines, as anybody on the machine can read them."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return {pid: lines[pid] for pid in ours - {os.getpid()} if pid in lines}


async def _until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110  what other processes do sets no event here
            await asyncio.sleep(0.02)
