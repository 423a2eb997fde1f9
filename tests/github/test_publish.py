"""Publishing: the branch holds exactly the work, signed where GitHub signs, once whatever happens on the way."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bot.github.answers import OnComment, OpenedPull
from bot.github.checkout import Checkout, Clone
from bot.github.failures import BranchTaken, GitHubFailed, NothingToMerge, PushRefused
from bot.github.git import Remote
from bot.github.publish import Commit, How, Publisher
from bot.github.quarantine import Quarantine
from bot.model import RunId, Sha
from tests.fakes.github import Fault
from tests.github.conftest import Scene
from tests.github.sandboxed import Agent

pytestmark = pytest.mark.slow

_RUN = RunId("0f3c9a52-7d1e-4b7e-9f0a-2f6f7f1b2c3d")
_BRANCH = "backspace/1-widgets-0f3c9a52"
_MESSAGE = "Make widgets two\n\nCo-authored-by: octo <1+octo@users.noreply.github.com>"
_WORK = {"src/widget.py": "def size() -> int:\n    return 2\n", "docs/new.md": "new\n", "README.md": None}

Prepare = Callable[..., Awaitable[Commit]]


@pytest.fixture
async def clone(checkout: Checkout, remote: Remote, tmp_path: Path) -> Clone:
    return await checkout.clone(remote, ref="main", into=tmp_path / "clone")


@pytest.fixture
def prepare(scene: Scene, clone: Clone, agent: Agent, quarantine: Quarantine, tmp_path: Path) -> Prepare:
    async def prepare(files: Mapping[str, str | None] = _WORK) -> Commit:
        for path, content in files.items():
            file = clone.tree / path
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(exist_ok=True)
            file.write_text(content)
        agent.commit(clone.tree)
        work = await quarantine.take(
            agent.bundle(clone.tree, clone.base_sha),
            base=clone.base_sha,
            pristine=clone.pristine,
            into=tmp_path / "quarantine",
        )
        return Commit(scene.at, _RUN, work, await quarantine.changes(work), _BRANCH, _MESSAGE)

    return prepare


@pytest.fixture
def publisher(scene: Scene, quarantine: Quarantine) -> Publisher:
    return Publisher(scene.client, quarantine, clock=scene.fake.clock)


def _hidden(scene: Scene) -> dict[str, str]:
    return scene.repository.bare.refs("refs/backspace")


async def test_the_branch_holds_the_work_in_one_commit_that_github_signed(
    scene: Scene, prepare: Prepare, publisher: Publisher
) -> None:
    commit = await prepare()
    published = await publisher.publish(commit)
    bare = scene.repository.bare
    made = bare.commit(published.sha)
    assert (published.verified, published.how, published.reason) == (True, How.API, "")
    assert scene.fake.branches()[_BRANCH] == published.sha
    assert made.tree == commit.work.head_tree
    assert made.parents == (commit.work.base_sha,)
    assert made.author.name == "backspace[bot]"
    assert made.message.splitlines()[-2:] == [_MESSAGE.splitlines()[-1], f"Backspace-Run: {_RUN}"]
    assert _hidden(scene) == {}
    scene.fake.assert_clean()


async def test_executables_links_and_swaps_of_file_and_folder_survive(
    scene: Scene, clone: Clone, prepare: Prepare, publisher: Publisher
) -> None:
    (clone.tree / "tool").write_text("#!/bin/sh\n")
    (clone.tree / "tool").chmod(0o755)
    (clone.tree / "link").symlink_to("src/widget.py")
    (clone.tree / "README.md").unlink()
    (clone.tree / "README.md").mkdir()
    commit = await prepare({"README.md/inside.txt": "x\n"})
    published = await publisher.publish(commit)
    assert scene.repository.bare.commit(published.sha).tree == commit.work.head_tree


async def test_running_it_twice_makes_one_commit(scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
    commit = await prepare()
    first = await publisher.publish(commit)
    scene.fake.clock.advance(60)
    second = await publisher.publish(commit)
    assert (second.sha, second.verified, second.how) == (first.sha, True, How.FOUND)
    assert scene.fake.branches()[_BRANCH] == first.sha


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.BAD_GATEWAY_AFTER, Fault.DROP, Fault.DROP_AFTER])
@pytest.mark.parametrize("path", ["*/git/trees", "*/git/commits", "*/git/refs"])
async def test_a_passing_fault_changes_nothing(
    scene: Scene, prepare: Prepare, publisher: Publisher, fault: Fault, path: str
) -> None:
    scene.fake.fail("POST", path, fault)
    published = await publisher.publish(await prepare())
    assert published.verified
    assert scene.fake.branches()[_BRANCH] == published.sha


async def test_a_foreign_branch_of_that_name_is_left_alone(
    scene: Scene, prepare: Prepare, publisher: Publisher
) -> None:
    theirs = scene.fake.commit(scene.repository, _BRANCH, {"theirs": "x"})
    with pytest.raises(BranchTaken):
        await publisher.publish(await prepare())
    assert scene.fake.branches()[_BRANCH] == theirs


async def test_main_may_move_on_meanwhile(scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
    commit = await prepare()
    scene.fake.commit(scene.repository, "main", {"other": "x"})
    published = await publisher.publish(commit)
    assert scene.repository.bare.commit(published.sha).parents == (commit.work.base_sha,)


class TestOntoAnExistingBranch:
    async def test_it_moves_forward(self, scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
        commit = await prepare()
        scene.repository.bare.update_ref("refs/heads/topic", commit.work.base_sha)
        published = await publisher.publish(replace(commit, branch="topic", new_branch=False))
        assert scene.fake.branches()["topic"] == published.sha
        scene.fake.clock.advance(60)
        again = await publisher.publish(replace(commit, branch="topic", new_branch=False))
        assert (again.sha, again.how) == (published.sha, How.FOUND)

    async def test_it_is_not_forced_over_new_work(self, scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
        commit = await prepare()
        theirs = scene.fake.commit(scene.repository, "topic", {"theirs": "x"})
        with pytest.raises(BranchTaken):
            await publisher.publish(replace(commit, branch="topic", new_branch=False))
        assert scene.fake.branches()["topic"] == theirs


class TestPlainPush:
    @pytest.fixture(autouse=True)
    def _no_trees(self, scene: Scene) -> None:
        scene.fake.fail("POST", "*/git/trees", Fault.UNAUTHORIZED, count=-1)

    async def test_takes_over_when_the_api_will_not(self, scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
        commit = await prepare()
        published = await publisher.publish(commit)
        made = scene.repository.bare.commit(published.sha)
        bot = scene.fake.identity.bot
        assert (published.verified, published.how) == (False, How.PUSH)
        assert "401" in published.reason
        assert made.tree == commit.work.head_tree
        assert made.author.name == "backspace[bot]"
        assert made.author.email == f"{bot.id}+backspace[bot]@users.noreply.127.0.0.1"
        assert scene.fake.branches()[_BRANCH] == published.sha
        assert _hidden(scene) == {}

    async def test_twice_makes_one_commit(self, scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
        commit = await prepare()
        first = await publisher.publish(commit)
        scene.fake.clock.advance(60)
        assert (await publisher.publish(commit)).sha == first.sha

    async def test_where_signatures_are_required_the_hosts_words_are_kept(
        self, scene: Scene, prepare: Prepare, publisher: Publisher
    ) -> None:
        scene.repository.rules.append("required_signatures")
        with pytest.raises(PushRefused, match="verified signatures") as failure:
            await publisher.publish(await prepare())
        assert scene.fake.web_url not in str(failure.value)

    async def test_does_not_force_an_existing_branch(
        self, scene: Scene, prepare: Prepare, publisher: Publisher
    ) -> None:
        theirs = scene.fake.commit(scene.repository, _BRANCH, {"theirs": "x"})
        with pytest.raises(BranchTaken):
            await publisher.publish(await prepare())
        assert scene.fake.branches()[_BRANCH] == theirs


async def test_an_outage_is_not_worked_around(scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
    scene.fake.fail("POST", "*/git/trees", Fault.SERVER_ERROR, count=-1)
    with pytest.raises(GitHubFailed) as failure:
        await publisher.publish(await prepare())
    assert failure.value.retry_helps
    assert _BRANCH not in scene.fake.branches()


async def test_a_workflow_file_is_refused_by_the_host_too(scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
    with pytest.raises(PushRefused, match="workflows"):
        await publisher.publish(await prepare({".github/workflows/ci.yml": "on: push\n"}))


class TestPullRequest:
    async def _open(
        self, scene: Scene, *, draft: bool = True, title: str = "Widgets", base: str = "main"
    ) -> OpenedPull:
        return await scene.client.open_pull(
            scene.at, branch=_BRANCH, base=base, title=title, body=f"Closes #{scene.issue.number}", draft=draft
        )

    async def test_is_opened(self, scene: Scene, prepare: Prepare, publisher: Publisher) -> None:
        await publisher.publish(await prepare())
        opened = await self._open(scene)
        [pull] = scene.fake.pulls()
        assert (opened.number, opened.draft, opened.reused) == (pull.number, True, False)
        assert opened.url == f"{scene.fake.web_url}/acme/widgets/pull/{pull.number}"
        scene.fake.assert_clean()

    async def test_a_second_try_finds_it_and_brings_it_up_to_date(
        self, scene: Scene, prepare: Prepare, publisher: Publisher
    ) -> None:
        await publisher.publish(await prepare())
        first = await self._open(scene)
        second = await self._open(scene, title="Better widgets")
        assert (second.number, second.reused) == (first.number, True)
        assert [pull.title for pull in scene.fake.pulls()] == ["Better widgets"]
        scene.fake.assert_clean()

    @pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.BAD_GATEWAY_AFTER, Fault.DROP, Fault.DROP_AFTER])
    async def test_is_one_whatever_happens_to_the_first_try(
        self, scene: Scene, prepare: Prepare, publisher: Publisher, fault: Fault
    ) -> None:
        await publisher.publish(await prepare())
        scene.fake.fail("POST", "*/pulls", fault)
        opened = await self._open(scene)
        assert [pull.number for pull in scene.fake.pulls()] == [opened.number]

    async def test_is_no_draft_where_the_plan_has_none(
        self, scene: Scene, prepare: Prepare, publisher: Publisher
    ) -> None:
        scene.repository.drafts_allowed = False
        await publisher.publish(await prepare())
        assert not (await self._open(scene)).draft

    async def test_without_commits_is_told_apart(self, scene: Scene) -> None:
        scene.repository.bare.update_ref(f"refs/heads/{_BRANCH}", scene.fake.branches()["main"])
        with pytest.raises(NothingToMerge):
            await self._open(scene)

    async def test_onto_a_missing_base_is_told_apart(
        self, scene: Scene, prepare: Prepare, publisher: Publisher
    ) -> None:
        await publisher.publish(await prepare())
        with pytest.raises(GitHubFailed) as failure:
            await self._open(scene, base="gone")
        assert failure.value.code == "base-missing"


async def test_the_whole_path_takes_fifteen_calls(
    scene: Scene, checkout: Checkout, prepare: Prepare, publisher: Publisher, tmp_path: Path
) -> None:
    scene.fake.log.requests.clear()
    client, at, marker = scene.client, scene.at, f"<!-- backspace:run={_RUN} -->"
    trigger = OnComment(scene.fake.say(scene.issue, "octo", "/backspace make them two").id)
    assert await client.permission(at, scene.actor)
    assert await client.config_file(at)
    await client.react(at, trigger, "eyes")
    comment = await client.post_comment(at, scene.issue.number, marker, marker)
    assert await client.comments(at, scene.issue.number, scene.fake.clock())
    await checkout.clone(Remote(client.git_url(at), await client.clone_token(at)), ref="main", into=tmp_path / "path")
    commit = await prepare()
    assert await client.permission(at, scene.actor)
    await publisher.publish(commit)
    await client.open_pull(at, branch=_BRANCH, base="main", title="Widgets", body="", draft=False)
    await client.unreact(at, trigger, "eyes")
    await client.react(at, trigger, "rocket")
    before_edit = scene.fake.api_calls()
    assert await client.edit_comment(at, comment, f"{marker}\nDone.")
    assert len(before_edit) <= 15, before_edit
    scene.fake.assert_clean()


async def test_a_branch_head_is_told(scene: Scene) -> None:
    assert await scene.client.commits.head(scene.at, "main") == Sha(scene.fake.branches()["main"])
    assert await scene.client.commits.head(scene.at, "no/such") is None
