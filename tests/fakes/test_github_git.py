"""Real git at the GitHub stand-in: clone and push, the git data API, pull requests over real branches."""

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.github import Fault
from tests.fakes.github.bare import git_environment
from tests.fakes.github_scene import Client, Scene

pytestmark = pytest.mark.slow


@dataclass
class Workplace:
    """A person's machine: git, a home, a credential for one host."""

    scene: Scene
    home: Path
    token: str | None

    def git(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = git_environment(self.home)
        if self.token:
            basic = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
            environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{self.scene.fake.web_url}/.extraheader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
            }
        identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.invalid"]
        return subprocess.run(
            ["git", *identity, *argv],
            env=environment,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    @property
    def url(self) -> str:
        return f"{self.scene.fake.web_url}/acme/widgets.git"

    @property
    def clone(self) -> Path:
        return self.home / "widgets"

    def cloned(self) -> Path:
        done = self.git("clone", "--depth", "1", "--single-branch", "--no-tags", self.url, str(self.clone))
        assert done.returncode == 0, done.stderr
        return self.clone

    def commit_and_push(self, branch: str, path: str, content: str | bytes) -> subprocess.CompletedProcess[str]:
        file = self.clone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("-C", str(self.clone), "add", "--all")
        self.git("-C", str(self.clone), "commit", "-m", f"Change {path}")
        return self.git("-C", str(self.clone), "push", "origin", f"HEAD:refs/heads/{branch}")


@pytest.fixture
def workplace(scene: Scene, tmp_path: Path) -> Workplace:
    home = tmp_path / "home"
    home.mkdir()
    return Workplace(scene, home, scene.token())


# Smart HTTP


def test_a_clone_brings_the_files_and_a_push_brings_them_back(workplace: Workplace) -> None:
    assert sorted(file.name for file in workplace.cloned().iterdir()) == [".git", "README.md", "run.sh", "src"]
    done = workplace.commit_and_push("topic", "new.bin", bytes(range(256)) * 8_000)
    assert done.returncode == 0, done.stderr
    assert workplace.scene.fake.file("new.bin", "topic") == bytes(range(256)) * 8_000


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        pytest.param({"contents": "write"}, {"clone", "push"}, id="write"),
        pytest.param({"contents": "read"}, {"clone"}, id="read"),
        pytest.param({"issues": "write"}, set(), id="no contents"),
    ],
)
def test_a_token_clones_and_pushes_as_far_as_its_permissions_go(
    workplace: Workplace, permissions: dict[str, str], may: set[str]
) -> None:
    workplace.cloned()
    workplace.token = workplace.scene.token(permissions=permissions)
    assert (workplace.git("ls-remote", workplace.url).returncode == 0) is ("clone" in may)
    done = workplace.commit_and_push("topic", "a", "b")
    assert (done.returncode == 0) is ("push" in may)
    assert ("topic" in workplace.scene.fake.branches()) is ("push" in may)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        pytest.param(None, "could not read Username", id="none"),
        pytest.param("ghs_of_nobody", "could not read Username", id="unknown"),
    ],
)
def test_without_a_good_token_there_is_no_private_repository(
    workplace: Workplace, token: str | None, words: str
) -> None:
    workplace.token = token
    done = workplace.git("ls-remote", workplace.url)
    assert done.returncode != 0
    assert words in done.stderr


def test_a_repository_outside_the_installation_is_not_found(workplace: Workplace) -> None:
    workplace.scene.fake.add_repo("acme/secret", {"a": "b"})
    done = workplace.git("ls-remote", f"{workplace.scene.fake.web_url}/acme/secret.git")
    assert "not found" in done.stderr


def test_a_public_repository_is_cloned_by_anybody(workplace: Workplace) -> None:
    workplace.scene.fake.add_repo("acme/open", {"a": "b"}, private=False)
    workplace.token = None
    url = f"{workplace.scene.fake.web_url}/acme/open"
    assert "refs/heads/main" in workplace.git("ls-remote", url).stdout


def test_workflow_files_need_their_own_permission(workplace: Workplace) -> None:
    workplace.cloned()
    done = workplace.commit_and_push("topic", ".github/workflows/ci.yml", "on: push\n")
    assert done.returncode != 0
    assert (
        "refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml` "
        "without `workflows` permission"
    ) in done.stderr
    assert "topic" not in workplace.scene.fake.branches()


def test_a_rule_for_signatures_refuses_an_unsigned_push(workplace: Workplace, client: Client) -> None:
    workplace.scene.repository.rules.append("required_signatures")
    assert [rule["type"] for rule in client("GET", "/rules/branches/main").json()] == ["required_signatures"]
    workplace.cloned()
    done = workplace.commit_and_push("topic", "a", "b")
    assert "GH013: Repository rule violations found for refs/heads/topic" in done.stderr
    workplace.scene.fake.assert_clean()


def test_a_compressed_request_body_is_understood(workplace: Workplace) -> None:
    """git compresses a long list of what it has."""
    clone = workplace.cloned()
    for number in range(40):
        workplace.git("-C", str(clone), "commit", "--allow-empty", "-m", str(number))
    workplace.scene.fake.commit("acme/widgets", "main", {"later": "file"})
    done = workplace.git("-C", str(clone), "-c", "protocol.version=0", "fetch", "origin", "main")
    assert done.returncode == 0, done.stderr


def test_git_meets_faults_too(workplace: Workplace) -> None:
    workplace.scene.fake.fail("GET", "/acme/widgets.git/info/refs", Fault.SERVER_ERROR)
    assert "500" in workplace.git("ls-remote", workplace.url).stderr
    workplace.scene.fake.fail("GET", "/acme/widgets.git/info/refs", Fault.DROP)
    assert workplace.git("ls-remote", workplace.url).returncode != 0
    assert workplace.git("ls-remote", workplace.url).returncode == 0


def test_a_directory_becomes_a_repository_with_its_modes(workplace: Workplace, tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    sample.mkdir()
    (sample / "tool").write_text("#!/bin/sh\n")
    (sample / "tool").chmod(0o755)
    (sample / "link").symlink_to("tool")
    repository = workplace.scene.fake.add_repo("acme/sample", sample)
    modes = {entry.path: entry.mode for entry in repository.bare.children("main^{tree}")}
    assert modes == {"link": "120000", "tool": "100755"}


# Contents


def test_contents_are_read_at_a_ref(scene: Scene, client: Client) -> None:
    scene.fake.commit("acme/widgets", "topic", {".github/backspace.yml": "checks: []\n"})
    answer = client("GET", "/contents/.github/backspace.yml", params={"ref": "topic"}).json()
    assert base64.b64decode(answer["content"]) == b"checks: []\n"
    raw = client("GET", "/contents/README.md", headers={"accept": "application/vnd.github.raw+json"})
    assert raw.text == "# Widgets\n"
    assert [row["name"] for row in client("GET", "/contents/").json()] == ["README.md", "run.sh", "src"]
    assert client("GET", "/contents/.github/backspace.yml").status_code == 404
    scene.fake.assert_clean()


# The git data API


@dataclass
class Tip:
    commit: str
    tree: str


@pytest.fixture
def tip(client: Client) -> Tip:
    sha = client("GET", "/git/ref/heads/main").json()["object"]["sha"]
    return Tip(sha, client("GET", f"/git/commits/{sha}").json()["tree"]["sha"])


def _tree(client: Client, base: str | None, *rows: dict[str, str | None]) -> str:
    body = {"tree": list(rows), **({"base_tree": base} if base else {})}
    answer = client("POST", "/git/trees", json=body)
    assert answer.status_code == 201, answer.text
    sha: str = answer.json()["sha"]
    return sha


def _blob_row(path: str, sha: str | None, mode: str = "100644") -> dict[str, str | None]:
    return {"path": path, "mode": mode, "type": "blob", "sha": sha}


def test_a_tree_is_laid_over_another(scene: Scene, client: Client, tip: Tip) -> None:
    blob = client("POST", "/git/blobs", json={"content": "bmV3Cg==", "encoding": "base64"}).json()["sha"]
    tree = _tree(
        client,
        tip.tree,
        _blob_row("src/new.sh", blob, "100755"),
        _blob_row("src/a.py", None),
        _blob_row("link", blob, "120000"),
        {"path": "inline.txt", "mode": "100644", "type": "blob", "content": "inline"},
    )
    bare = scene.repository.bare
    rows = {entry.path: entry.mode for entry in bare.children(tree)}
    assert rows == {
        "README.md": "100644",
        "inline.txt": "100644",
        "link": "120000",
        "run.sh": "100755",
        "src": "040000",
    }
    src = next(entry for entry in bare.children(tree) if entry.path == "src")
    assert [(entry.path, entry.mode) for entry in bare.children(src.sha)] == [("new.sh", "100755")]
    scene.fake.assert_clean()


@pytest.mark.parametrize(
    ("row", "status"),
    [
        pytest.param(_blob_row("gone", None), 422, id="deleting what is not there"),
        pytest.param(_blob_row("a", "0" * 40), 422, id="unknown blob"),
        pytest.param(_blob_row("../a", "0" * 40), 422, id="path out of the tree"),
        pytest.param(
            {"path": ".github/workflows/x.yml", "mode": "100644", "type": "blob", "content": "on: push"},
            403,
            id="workflow",
        ),
    ],
)
def test_a_wrong_tree_is_refused(client: Client, tip: Tip, row: dict[str, str | None], status: int) -> None:
    answer = client("POST", "/git/trees", json={"base_tree": tip.tree, "tree": [row]})
    assert answer.status_code == status
    assert ("workflows=write" in answer.headers.get("x-accepted-github-permissions", "")) is (status == 403)


def test_the_apps_plain_commit_is_verified(scene: Scene, client: Client, tip: Tip) -> None:
    commit = client("POST", "/git/commits", json={"message": "One\n\nTwo", "tree": tip.tree, "parents": [tip.commit]})
    made = commit.json()
    bot = scene.fake.identity.bot
    assert made["verification"]["verified"] is True
    assert made["message"] == "One\n\nTwo"
    assert made["author"]["name"] == "backspace[bot]"
    assert made["author"]["email"] == f"{bot.id}+backspace[bot]@users.noreply.github.com"
    assert client("GET", f"/git/commits/{made['sha']}").json() == made
    scene.fake.assert_clean()


def test_a_commit_with_an_author_is_not_verified(client: Client, tip: Tip) -> None:
    author = {"name": "octo", "email": "octo@example.invalid"}
    body = {"message": "x", "tree": tip.tree, "parents": [tip.commit], "author": author}
    made = client("POST", "/git/commits", json=body).json()
    assert made["verification"] | {"payload": None} == {
        "verified": False,
        "reason": "unsigned",
        "signature": None,
        "payload": None,
        "verified_at": None,
    }
    assert made["author"]["name"] == "octo"


def test_a_ref_is_made_moved_forward_and_deleted(scene: Scene, client: Client, tip: Tip) -> None:
    made = client("POST", "/git/commits", json={"message": "x", "tree": tip.tree, "parents": [tip.commit]}).json()
    ref = {"ref": "refs/heads/backspace/1-x", "sha": tip.commit}
    assert client("POST", "/git/refs", json=ref).status_code == 201
    again = client("POST", "/git/refs", json=ref)
    assert (again.status_code, again.json()["message"]) == (422, "Reference already exists")
    assert client("PATCH", "/git/refs/heads/backspace/1-x", json={"sha": made["sha"]}).status_code == 200
    back = client("PATCH", "/git/refs/heads/backspace/1-x", json={"sha": tip.commit})
    assert (back.status_code, back.json()["message"]) == (422, "Update is not a fast forward")
    forced = client("PATCH", "/git/refs/heads/backspace/1-x", json={"sha": tip.commit, "force": True})
    assert forced.status_code == 200
    assert client("DELETE", "/git/refs/heads/backspace/1-x").status_code == 204
    assert client("GET", "/git/ref/heads/backspace/1-x").status_code == 404
    scene.fake.assert_clean()


def test_pushed_blobs_serve_a_commit_that_github_signs(workplace: Workplace, client: Client) -> None:
    """The way by a private ref: push what was made, then have GitHub make the commit again."""
    workplace.cloned()
    assert workplace.commit_and_push("x", "new.txt", "new").returncode == 0
    fake = workplace.scene.fake
    pushed = workplace.scene.repository.bare.commit(fake.branches()["x"])
    body = {"message": "x", "tree": pushed.tree, "parents": list(pushed.parents)}
    made = client("POST", "/git/commits", json=body).json()
    assert client("POST", "/git/refs", json={"ref": "refs/heads/topic", "sha": made["sha"]}).status_code == 201
    assert fake.file("new.txt", "topic") == b"new"
    clone = workplace.git("clone", "--branch", "topic", workplace.url, str(workplace.home / "again"))
    assert clone.returncode == 0, clone.stderr
    checked = workplace.git("-C", str(workplace.home / "again"), "fsck", "--strict")
    assert checked.returncode == 0, checked.stderr


# Pull requests


def test_a_pull_request_is_opened_found_and_changed(scene: Scene, client: Client) -> None:
    scene.fake.commit("acme/widgets", "topic", {"src/a.py": "print(2)\n", "new.txt": "new\n"})
    body = {"title": "Two", "head": "topic", "base": "main", "body": "Closes #1", "draft": True}
    made = client("POST", "/pulls", json=body).json()
    assert (made["number"], made["draft"], made["user"]["login"]) == (2, True, "backspace[bot]")
    assert (made["commits"], made["additions"], made["deletions"], made["changed_files"]) == (1, 2, 1, 2)
    assert [row["number"] for row in client("GET", "/pulls", params={"head": "acme:topic"}).json()] == [2]
    assert client("GET", "/pulls", params={"head": "acme:other"}).json() == []
    assert {row["filename"]: row["status"] for row in client("GET", "/pulls/2/files").json()} == {
        "new.txt": "added",
        "src/a.py": "modified",
    }
    assert client("PATCH", "/pulls/2", json={"body": "Closes #1, closed"}).json()["body"] == "Closes #1, closed"
    assert client("GET", "/issues/2").json()["pull_request"]["html_url"].endswith("/acme/widgets/pull/2")
    compared = client("GET", "/compare/main...topic").json()
    assert (compared["status"], compared["ahead_by"]) == ("ahead", 1)
    scene.fake.assert_clean()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param({"head": "main", "base": "main"}, "No commits between main and main", id="no commits"),
        pytest.param({"head": "nowhere", "base": "main"}, '"field": "head"', id="no such head"),
        pytest.param({"head": "topic", "base": "nowhere"}, '"field": "base"', id="no such base"),
        pytest.param({"head": "topic", "base": "taken"}, "already exists for acme:topic", id="already there"),
    ],
)
def test_a_pull_request_that_cannot_be_is_refused(
    scene: Scene, client: Client, body: dict[str, str], words: str
) -> None:
    scene.fake.commit("acme/widgets", "taken", {"b": "c"})
    scene.fake.commit("acme/widgets", "topic", {"a": "b"})
    scene.fake.open_pull("octo", "First", head="topic", base="taken")
    answer = client("POST", "/pulls", json={"title": "t", **body})
    assert answer.status_code == 422
    assert words in answer.text


def test_drafts_may_be_unavailable(scene: Scene, client: Client) -> None:
    scene.repository.drafts_allowed = False
    scene.fake.commit("acme/widgets", "topic", {"a": "b"})
    body = {"title": "t", "head": "topic", "base": "main"}
    refused = client("POST", "/pulls", json={**body, "draft": True})
    assert (refused.status_code, refused.json()["message"]) == (
        422,
        "Draft pull requests are not supported in this repository.",
    )
    assert client("POST", "/pulls", json=body).status_code == 201


def test_a_pull_request_follows_its_branch(workplace: Workplace, client: Client) -> None:
    scene = workplace.scene
    first = scene.fake.commit("acme/widgets", "topic", {"a": "b"})
    pull = scene.fake.open_pull("octo", "A pull", head="topic")
    assert client("GET", f"/pulls/{pull.number}").json()["head"]["sha"] == first
    second = scene.fake.commit("acme/widgets", "topic", {"c": "d"})
    assert client("GET", f"/pulls/{pull.number}").json()["head"]["sha"] == second
    assert second in workplace.git("ls-remote", workplace.url, f"refs/pull/{pull.number}/head").stdout


def test_a_forks_pull_request_names_the_fork(scene: Scene, client: Client) -> None:
    fork = scene.fake.fork("acme/widgets", "guest")
    sha = scene.fake.commit(fork, "topic", {"a": "b"})
    pull = scene.fake.open_pull("guest", "From outside", head="topic", head_repo=fork)
    head = client("GET", f"/pulls/{pull.number}").json()["head"]
    assert (head["repo"]["fork"], head["repo"]["full_name"], head["sha"]) == (True, "guest/widgets", sha)
    assert scene.fake.file("a", f"refs/pull/{pull.number}/head") == b"b"
    scene.fake.assert_clean()
