"""Work out of a sandbox: only sound objects that continue the base get in; what changed is told exactly."""

import os
from pathlib import Path

import pytest

from bot.github.checkout import Checkout, Clone
from bot.github.diff import Change
from bot.github.failures import BundleRefused
from bot.github.git import Remote
from bot.github.quarantine import Quarantine
from bot.model import Sha
from tests.github.sandboxed import Agent

pytestmark = pytest.mark.slow


@pytest.fixture
async def clone(checkout: Checkout, remote: Remote, tmp_path: Path) -> Clone:
    return await checkout.clone(remote, ref="main", into=tmp_path / "clone")


class Work:
    """The agent's tree, and the way from it into the quarantine."""

    def __init__(self, agent: Agent, clone: Clone, quarantine: Quarantine, place: Path) -> None:
        self.agent, self.clone, self.quarantine, self.place = agent, clone, quarantine, place

    @property
    def tree(self) -> Path:
        return self.clone.tree

    async def changes(self) -> dict[str, Change]:
        self.agent.commit(self.tree)
        bundle = self.agent.bundle(self.tree, self.clone.base_sha)
        return await self.changes_of(bundle)

    async def changes_of(self, bundle: bytes) -> dict[str, Change]:
        taken = await self.quarantine.take(
            bundle, base=self.clone.base_sha, pristine=self.clone.pristine, into=self.place
        )
        return {change.path: change for change in (await self.quarantine.changes(taken)).changes}

    async def refused(self, bundle: bytes) -> BundleRefused:
        with pytest.raises(BundleRefused) as failure:
            await self.quarantine.take(bundle, base=self.clone.base_sha, pristine=self.clone.pristine, into=self.place)
        return failure.value


@pytest.fixture
def work(agent: Agent, clone: Clone, quarantine: Quarantine, tmp_path: Path) -> Work:
    return Work(agent, clone, quarantine, tmp_path / "quarantine")


async def test_every_kind_of_change_is_told(work: Work) -> None:
    (work.tree / "new file.txt").write_text("one\ntwo\n")
    (work.tree / "README.md").unlink()
    (work.tree / "src/widget.py").write_text("def size() -> int:\n    return 2\n")
    (work.tree / "run.sh").chmod(0o644)
    (work.tree / "logo.png").write_bytes(b"\x89PNG\0\0" * 100)
    (work.tree / "link").symlink_to("src/widget.py")
    changes = await work.changes()
    assert (changes["new file.txt"].status, changes["new file.txt"].added, changes["new file.txt"].size) == ("A", 2, 8)
    assert changes["README.md"].gone
    assert (changes["src/widget.py"].added, changes["src/widget.py"].deleted) == (1, 1)
    assert (changes["run.sh"].old_mode, changes["run.sh"].mode) == ("100755", "100644")
    assert (changes["logo.png"].binary, changes["logo.png"].size) == (True, 600)
    assert changes["link"].link_target == "src/widget.py"
    assert len(changes) == 6


async def test_a_rename_is_a_deletion_and_an_addition(work: Work) -> None:
    (work.tree / "README.md").rename(work.tree / "READ.md")
    assert {path: change.status for path, change in (await work.changes()).items()} == {
        "README.md": "D",
        "READ.md": "A",
    }


async def test_odd_paths_are_marked(work: Work) -> None:
    (work.tree / os.fsdecode(b"latin\xe9")).write_text("x")
    (work.tree / "two\nlines").write_text("x")
    assert [change.odd_path for change in (await work.changes()).values()] == [True, True]


async def test_several_commits_and_a_merge_are_one_difference(work: Work) -> None:
    (work.tree / "a").write_text("a\n")
    work.agent.commit(work.tree, "A")
    work.agent.git(work.tree, "checkout", "--quiet", "-b", "side", work.clone.base_sha)
    (work.tree / "b").write_text("b\n")
    work.agent.commit(work.tree, "B")
    work.agent.git(work.tree, "merge", "--quiet", "--no-edit", "main")
    assert set(await work.changes()) == {"a", "b"}


async def test_the_patch_rebuilds_the_work(work: Work, tmp_path: Path) -> None:
    (work.tree / "src/widget.py").write_text("def size() -> int:\n    return 2\n")
    (work.tree / "logo.png").write_bytes(b"\0" + os.urandom(100))
    work.agent.commit(work.tree)
    taken = await work.quarantine.take(
        work.agent.bundle(work.tree, work.clone.base_sha),
        base=work.clone.base_sha,
        pristine=work.clone.pristine,
        into=work.place,
    )
    diff = await work.quarantine.changes(taken)
    assert diff.patch_complete
    assert (diff.additions, diff.deletions) == (1, 1)
    work.agent.git(work.tree, "checkout", "--quiet", "-B", "again", work.clone.base_sha)
    work.agent.git(work.tree, "apply", "--index", "-", stdin=diff.patch)
    assert work.agent.git(work.tree, "write-tree").decode().strip() == taken.head_tree


async def test_a_patch_too_large_is_cut_and_says_so(work: Work) -> None:
    work.quarantine._patch_limit_bytes = 1000
    (work.tree / "big.txt").write_text("line\n" * 1000)
    work.agent.commit(work.tree)
    taken = await work.quarantine.take(
        work.agent.bundle(work.tree, work.clone.base_sha),
        base=work.clone.base_sha,
        pristine=work.clone.pristine,
        into=work.place,
    )
    diff = await work.quarantine.changes(taken)
    assert not diff.patch_complete
    assert len(diff.patch) == 1000
    assert diff.changes[0].added == 1000


async def test_attributes_in_the_work_hide_nothing(work: Work) -> None:
    (work.tree / ".gitattributes").write_text("*.py -diff\n*.txt diff=evil\n")
    (work.tree / "src/widget.py").write_text("hidden\n")
    changes = await work.changes()
    assert not changes["src/widget.py"].binary
    assert changes["src/widget.py"].added == 1


async def test_nothing_of_it_is_checked_out_and_no_hook_runs(work: Work, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-push", "update"):
        hook = work.tree / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {trap}\n")
        hook.chmod(0o755)
    work.agent.git(work.tree, "config", "core.fsmonitor", f"touch {trap}")
    work.agent.git(work.tree, "config", "core.hooksPath", "/nonexistent")
    (work.tree / "sentinel-file").write_text("x")
    work.agent.git(work.tree, "-c", "core.fsmonitor=false", "add", "--all")
    work.agent.git(work.tree, "-c", "core.fsmonitor=false", "commit", "--quiet", "-m", "x")
    trap.unlink(missing_ok=True)
    assert set(await work.changes_of(work.agent.bundle(work.tree, work.clone.base_sha))) == {"sentinel-file"}
    assert not trap.exists()
    assert not list(work.place.rglob("sentinel-file"))


class TestRefused:
    async def test_work_on_another_history(self, work: Work) -> None:
        work.agent.git(work.tree, "checkout", "--quiet", "--orphan", "other")
        work.agent.commit(work.tree)
        failure = await work.refused(work.agent.git(work.tree, "bundle", "create", "-", "HEAD"))
        assert "descend" in str(failure)

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"# v2 git bundle\n\nPACK"])
    async def test_what_is_no_bundle(self, work: Work, content: bytes) -> None:
        await work.refused(content)

    async def test_a_bundle_cut_short(self, work: Work) -> None:
        (work.tree / "noise").write_bytes(os.urandom(5000))
        work.agent.commit(work.tree)
        await work.refused(work.agent.bundle(work.tree, work.clone.base_sha)[:-100])

    async def test_a_bundle_without_the_ref(self, work: Work) -> None:
        work.agent.commit(work.tree)
        await work.refused(work.agent.git(work.tree, "bundle", "create", "-", f"{work.clone.base_sha}..main"))

    @pytest.mark.parametrize(
        ("mode", "path"),
        [("100644", ".git/config"), ("040000", ".git"), ("120000", ".gitmodules")],
    )
    async def test_trees_that_would_write_into_git_itself(self, work: Work, mode: str, path: str) -> None:
        blob = work.agent.git(work.tree, "hash-object", "-w", "--stdin", stdin=b"[core]\n\tsshCommand = x\n")
        name, kind, sha = path, b"blob", blob.strip()
        if path.startswith(".git/") or mode == "040000":
            inner = work.agent.git(work.tree, "mktree", stdin=b"100644 blob " + sha + b"\tconfig\n")
            name, kind, sha, mode = ".git", b"tree", inner.strip(), "040000"
        row = mode.encode() + b" " + kind + b" " + sha + b"\t" + name.encode() + b"\n"
        tree = work.agent.git(work.tree, "mktree", stdin=row).strip().decode()
        commit = work.agent.git(work.tree, "commit-tree", tree, "-p", work.clone.base_sha, "-m", "x").strip()
        work.agent.git(work.tree, "update-ref", "HEAD", commit.decode())
        failure = await work.refused(work.agent.bundle(work.tree, work.clone.base_sha))
        assert str(work.place) not in str(failure)

    async def test_a_commit_that_is_no_commit(self, work: Work) -> None:
        work.agent.commit(work.tree)
        blob = work.agent.git(work.tree, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
        work.agent.git(work.tree, "tag", "HEAD2", blob)
        bundle = work.agent.git(work.tree, "bundle", "create", "-", "refs/tags/HEAD2", f"^{work.clone.base_sha}")
        with pytest.raises(BundleRefused):
            await work.quarantine.take(
                bundle,
                base=work.clone.base_sha,
                pristine=work.clone.pristine,
                into=work.place,
                ref="refs/tags/HEAD2",
            )


async def test_taking_it_twice_gives_the_same(work: Work) -> None:
    (work.tree / "a").write_text("a\n")
    work.agent.commit(work.tree)
    bundle = work.agent.bundle(work.tree, work.clone.base_sha)
    assert await work.changes_of(bundle) == await work.changes_of(bundle)


async def test_an_agent_that_writes_to_its_objects_does_not_reach_ours(work: Work, clone: Clone) -> None:
    before = {file: file.read_bytes() for file in clone.pristine.rglob("*") if file.is_file()}
    for file in (clone.tree / ".git/objects").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_bytes(b"spoiled")
    assert {file: file.read_bytes() for file in before} == before
    work.agent.git(clone.pristine, "fsck")


async def test_the_base_can_be_fetched_again_for_a_run_resumed_elsewhere(
    work: Work, checkout: Checkout, remote: Remote, tmp_path: Path
) -> None:
    (work.tree / "a").write_text("a\n")
    work.agent.commit(work.tree)
    pristine = tmp_path / "elsewhere/pristine.git"
    await checkout.fetch(remote, ref=work.clone.base_sha, into=pristine)
    taken = await work.quarantine.take(
        work.agent.bundle(work.tree, work.clone.base_sha),
        base=Sha(work.clone.base_sha),
        pristine=pristine,
        into=tmp_path / "elsewhere/quarantine",
    )
    assert [change.path for change in (await work.quarantine.changes(taken)).changes] == ["a"]
