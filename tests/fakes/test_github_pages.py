"""Pages of the GitHub stand-in, and the stand-in as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.fakes.github.markdown import render
from tests.fakes.github.pages import diff_files
from tests.fakes.github_scene import Client, Receiver, Scene

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


# Markdown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        pytest.param("**bold** `code`", "<p><strong>bold</strong> <code>code</code></p>\n", id="plain"),
        pytest.param("- [ ] open\n- [x] done", "<ul>\n<li>☐ open</li>\n<li>☑ done</li>\n</ul>\n", id="boxes"),
        pytest.param("<!-- backspace:run=1 -->\nhello", "\n<p>hello</p>\n", id="comment is not shown"),
        pytest.param("a <script>x()</script>", "<p>a &lt;script&gt;x()&lt;/script&gt;</p>\n", id="script is text"),
        pytest.param("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;", id="image is text"),
        pytest.param("<details onclick=x>", "&lt;details onclick=x&gt;", id="no attributes"),
        pytest.param("![a](http://x/y.png)", '<p>!<a href="http://x/y.png">a</a></p>\n', id="image is a link"),
        pytest.param("[a](javascript:x)", "<p>[a](javascript:x)</p>\n", id="script link"),
    ],
)
def test_markdown_is_shown_and_foreign_html_is_text(text: str, html: str) -> None:
    assert render(text) == html


def test_details_are_kept() -> None:
    html = render("<details><summary>Log</summary>\n\n```\nline\n```\n\n</details>")
    assert "<details><summary>Log</summary>" in html
    assert "<code>line" in html
    assert "</details>" in html


def test_a_diff_is_read_by_file_and_line() -> None:
    diff = (
        "diff --git a/a.py b/a.py\nindex 1..2 100644\n--- a/a.py\n+++ b/a.py\n@@ -1 +1,2 @@\n-old\n+new\n+more\n"
        "diff --git a/b b/c\nsimilarity index 100%\nrename from b\nrename to c\n"
    )
    changed, renamed = diff_files(diff)
    assert (changed.path, changed.added, changed.removed) == ("a.py", 2, 1)
    assert [line.kind for line in changed.lines] == ["hunk", "removed", "added", "added"]
    assert (renamed.path, renamed.note) == ("c", "similarity index 100%, rename from b, rename to c")


# Pages


def test_a_thread_shows_what_was_said_and_felt(scene: Scene, client: Client) -> None:
    comment = scene.fake.say(scene.issue, "octo", "<b>hello</b>")
    client("POST", f"/issues/comments/{comment.id}/reactions", json={"content": "eyes"})
    client("POST", "/issues/1/comments", json={"body": "- [x] done"})
    page = scene.http.get(f"{scene.fake.web_url}/acme/widgets/issues/1").text
    for words in ("Widgets are too small", "<strong>two</strong>", "&lt;b&gt;hello&lt;/b&gt;", "👀 1", "☑ done", "bot"):
        assert words in page


def test_a_pull_request_shows_its_diff_and_its_verified_commit(scene: Scene, client: Client) -> None:
    head = client("GET", "/git/ref/heads/main").json()["object"]["sha"]
    tree = client("GET", f"/git/commits/{head}").json()["tree"]["sha"]
    row = {"path": "src/a.py", "mode": "100644", "type": "blob", "content": "print('<two>')\n"}
    made_tree = client("POST", "/git/trees", json={"base_tree": tree, "tree": [row]}).json()["sha"]
    body = {"message": "Two\n\nBecause.", "tree": made_tree, "parents": [head]}
    commit = client("POST", "/git/commits", json=body).json()
    client("POST", "/git/refs", json={"ref": "refs/heads/topic", "sha": commit["sha"]})
    pull = {"title": "Make it two", "head": "topic", "base": "main", "body": "Closes #1", "draft": True}
    url = client("POST", "/pulls", json=pull).json()["html_url"]
    page = scene.http.get(url).text
    for words in (
        "Draft",
        "Make it two",
        "Closes #1",
        "Verified",
        "Because.",
        "src/a.py",
        "print(&#39;&lt;two&gt;&#39;)",
    ):
        assert words in page
    assert "Two" in scene.http.get(commit["html_url"]).text
    assert url.removeprefix(scene.fake.web_url) in scene.http.get(f"{scene.fake.web_url}/acme/widgets").text


def test_a_person_comments_from_the_page(scene: Scene, receiver: Receiver) -> None:
    form = {"user": "octo", "body": "/backspace make it two\r\nplease"}
    address = f"{scene.fake.web_url}/acme/widgets/issues/1"
    answer = scene.http.post(f"{address}/comments", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/acme/widgets/issues/1#newest")
    scene.fake.settle()
    assert receiver.received[0].payload["comment"]["body"] == "/backspace make it two\nplease"
    elsewhere = scene.http.post(f"{address}/comments", data=form, headers={"origin": "http://elsewhere.invalid"})
    assert elsewhere.status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/acme/widgets", "/_assets/style.css", "/_assets/thread.js"], ids=["front", "repository", "css", "js"]
)
def test_a_page_loads_nothing_from_elsewhere(scene: Scene, path: str) -> None:
    answer = scene.http.get(scene.fake.web_url + path)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_an_avatar_is_drawn_here(scene: Scene) -> None:
    answer = scene.http.get(f"{scene.fake.web_url}/_assets/avatar/{scene.fake.user('octo').id}.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ">O</text>" in answer.text


@pytest.mark.parametrize("path", ["/acme/nothing", "/acme/widgets/issues/99", "/_assets/fake.py"])
def test_what_is_not_there_is_not_found(scene: Scene, path: str) -> None:
    assert scene.http.get(scene.fake.web_url + path).status_code == 404


# A process


def test_it_runs_as_a_process_and_is_worked_over_http(tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    sample.mkdir()
    (sample / "README.md").write_text("# Sample\n")
    state = tmp_path / "state"
    argv = [sys.executable, "-m", "tests.fakes.github", "--port", "0", "--state", str(state)]
    argv += ["--repo", f"acme/sample={sample}", "--user", "octo=write", "--webhook-url", "http://127.0.0.1:9/webhook"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            facts = json.loads(process.stdout.readline())
            with httpx.Client(base_url=facts["web_url"], trust_env=False) as http:
                made = http.post("/_issues", json={"user": "octo", "title": "From outside"}).json()
                assert made["number"] == 1
                said = http.post("/_comments", json={"number": 1, "user": "octo", "body": "/backspace x"}).json()
                assert said["status"] == 502
                assert [row["event"] for row in http.get("/_deliveries").json()] == ["issues", "issue_comment"]
                assert http.post("/_comments", json={"number": 7, "user": "octo", "body": "x"}).status_code == 400
                (thread,) = http.get("/_threads").json()
                assert [comment["body"] for comment in thread["comments"]] == ["/backspace x"]
                assert http.get("/_problems").json() == []
                assert "From outside" in http.get("/acme/sample/issues/1").text
            key = Path(facts["private_key_path"])
            assert key.stat().st_mode & 0o077 == 0
            assert key.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
            assert list(facts["installations"]) == ["acme"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
