"""Images of a thread, fetched from a stand-in over HTTP: what is taken, what is left out, and who is asked."""

import struct
from collections.abc import Sequence

import pytest

from bot.github.answers import OnComment, OnIssue, OnReviewComment, Target
from bot.github.attachments import Attachments, Fetched, Skipped
from bot.markdown.images import references
from tests.fakes.github import FakeGitHub, Fault, serve
from tests.github.conftest import Scene

MB = 1_000_000


def png(size: int = 100, *, width: int = 3, height: int = 2) -> bytes:
    """The header of one, and as many bytes as are asked for."""
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return header + b"\0" * (size - len(header))


JPEG = bytes.fromhex("ffd8 ffc0 0011 08 0002 0003 03")


def markdown(urls: Sequence[str]) -> str:
    return "\n\n".join(f"![shot]({url})" for url in urls)


def attachments(scene: Scene, seconds: float = 20.0) -> Attachments:
    return Attachments(web_url=scene.fake.web_url, rendered=scene.client.threads.rendered, seconds=seconds)


async def fetched(scene: Scene, *urls: str, seconds: float = 20.0) -> Fetched:
    """What is got of an issue with these images."""
    issue = scene.fake.open_issue("octo", "Images", markdown(urls), repo=scene.repository)
    shown = references(issue.body, scene.fake.web_url)
    return await attachments(scene, seconds).fetch(scene.at, [(OnIssue(issue.number), shown)])


async def why(scene: Scene, url: str, seconds: float = 20.0) -> str:
    """Why the only image is left out."""
    got = await fetched(scene, url, seconds=seconds)
    assert not got.files
    (skipped,) = got.skipped
    assert skipped.url == url
    return skipped.why


def asked_for(fake: FakeGitHub) -> int:
    return sum(logged.kind == "asset" for logged in fake.requests)


async def on_review(scene: Scene, text: str) -> OnReviewComment:
    fake = scene.fake
    fake.commit(scene.repository, "topic", {"README.md": "# Larger widgets\n"})
    pull = fake.open_pull("octo", "More", head="topic")
    octo = fake.user("octo")
    act = fake._parts.forge.review_comment(scene.repository, pull, octo, text, path="README.md", line=1, reply_to=None)
    return OnReviewComment(act.subject.id)


class TestTaken:
    async def test_images_come_in_order_with_names_of_ours(self, scene: Scene) -> None:
        urls = [scene.fake.attach(content, "../../evil.png") for content in (png(), JPEG, png(200))]
        got = await fetched(scene, *urls)
        assert [(file.name, file.media_type, file.url, len(file.content)) for file in got.files] == [
            ("1.png", "image/png", urls[0], 100),
            ("2.jpg", "image/jpeg", urls[1], len(JPEG)),
            ("3.png", "image/png", urls[2], 200),
        ]
        assert not got.skipped
        scene.fake.assert_clean()

    @pytest.mark.parametrize("place", ["comment", "review comment"])
    async def test_a_private_image_of_a_comment(self, scene: Scene, place: str) -> None:
        url = scene.fake.attach(png())
        target: Target
        if place == "comment":
            target = OnComment(scene.fake.comment_later(scene.issue, "octo", markdown([url])).id)
        else:
            target = await on_review(scene, markdown([url]))
        shown = references(markdown([url]), scene.fake.web_url)
        got = await attachments(scene).fetch(scene.at, [(target, shown)])
        assert [file.name for file in got.files] == ["1.png"]
        scene.fake.assert_clean()

    async def test_an_image_in_several_texts_is_fetched_once(self, scene: Scene) -> None:
        url = scene.fake.attach(png())
        issue = scene.fake.open_issue("octo", "Images", markdown([url]))
        shown = references(issue.body, scene.fake.web_url)
        got = await attachments(scene).fetch(scene.at, [(None, shown), (OnIssue(issue.number), shown)])
        assert [file.name for file in got.files] == ["1.png"]
        assert asked_for(scene.fake) == 1

    async def test_a_public_image_needs_no_signature(self, scene: Scene) -> None:
        public = scene.fake.add_repo("acme/open", {}, private=False)
        url = scene.fake.attach(png(), repo=public)
        got = await attachments(scene).fetch(scene.at, [(None, references(markdown([url]), scene.fake.web_url))])
        assert [file.name for file in got.files] == ["1.png"]

    async def test_an_address_that_sends_on_within_github(self, scene: Scene) -> None:
        public = scene.fake.add_repo("acme/open", {}, private=False)
        url = scene.fake.attach(png(), repo=public)
        for _ in range(3):
            url = scene.fake.attach(b"", repo=public, moved_to=url)
        assert [file.name for file in (await fetched(scene, url)).files] == ["1.png"]

    async def test_no_token_is_sent_for_an_image(self, scene: Scene) -> None:
        url = scene.fake.attach(png())
        await fetched(scene, url)
        assert scene.secrets
        assert scene.fake.assets.headers
        assert not any("authorization" in headers or "cookie" in headers for headers in scene.fake.assets.headers)

    async def test_nothing_is_asked_when_there_are_no_images(self, scene: Scene) -> None:
        assert await fetched(scene) == Fetched()
        assert not scene.calls("GET /repos")


class TestLeftOut:
    async def test_bad_ones_do_not_stop_the_good_ones(self, scene: Scene) -> None:
        text = scene.fake.attach(b"just text", "shot.png")
        foreign = "https://images.example.com/shot.png"
        good = scene.fake.attach(png())
        got = await fetched(scene, text, foreign, good)
        assert [(file.name, file.url) for file in got.files] == [("1.png", good)]
        assert got.skipped == (
            Skipped(text, "not a PNG, JPEG, GIF or WebP image"),
            Skipped(foreign, "not an attachment of this GitHub"),
        )

    @pytest.mark.parametrize(
        ("content", "name"),
        [
            pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing.svg", id="SVG"),
            pytest.param(b"<!doctype html><title>Sign in</title>", "shot.png", id="an HTML page"),
            pytest.param(b"", "shot.png", id="nothing"),
        ],
    )
    async def test_what_is_no_image(self, scene: Scene, content: bytes, name: str) -> None:
        assert await why(scene, scene.fake.attach(content, name)) == "not a PNG, JPEG, GIF or WebP image"

    async def test_a_large_image(self, scene: Scene) -> None:
        assert await why(scene, scene.fake.attach(png(6 * MB))) == "larger than 5 MB"

    async def test_an_image_that_unpacks_to_very_much(self, scene: Scene) -> None:
        assert await why(scene, scene.fake.attach(png(width=8001))) == "wider or higher than 8000 pixels"

    async def test_more_than_20_mb_together(self, scene: Scene) -> None:
        urls = [scene.fake.attach(png(4_500_000)) for _ in range(5)] + [scene.fake.attach(png())]
        got = await fetched(scene, *urls)
        assert [file.url for file in got.files] == [*urls[:4], urls[5]]
        assert got.skipped == (Skipped(urls[4], "over 20 MB together with the images before it"),)

    async def test_more_than_10_images(self, scene: Scene) -> None:
        urls = [scene.fake.attach(png()) for _ in range(11)]
        got = await fetched(scene, *urls)
        assert [file.name for file in got.files] == [f"{number}.png" for number in range(1, 11)]
        assert got.skipped == (Skipped(urls[10], "beyond the first 10 images"),)
        assert asked_for(scene.fake) == 10

    async def test_an_image_of_a_repository_that_the_thread_is_not_in(self, scene: Scene) -> None:
        other = scene.fake.add_repo("acme/secret", {})
        url = scene.fake.attach(png(), repo=other)
        assert await why(scene, url) == "GitHub does not show it to Backspace"

    async def test_an_image_that_came_in_after_the_trigger(self, scene: Scene) -> None:
        before, after = scene.fake.attach(png()), scene.fake.attach(png())
        issue = scene.fake.open_issue("octo", "Images", markdown([before]))
        shown = references(issue.body, scene.fake.web_url)
        scene.fake.edit_issue(issue, "octo", body=markdown([after]))
        got = await attachments(scene).fetch(scene.at, [(OnIssue(issue.number), shown)])
        assert got == Fetched(skipped=(Skipped(before, "GitHub does not show it to Backspace"),))
        assert asked_for(scene.fake) == 1

    @pytest.mark.parametrize("status", [403, 404, 410])
    async def test_an_image_that_is_not_shown(self, scene: Scene, status: int) -> None:
        assert await why(scene, scene.fake.attach(png(), status=status)) == "GitHub does not show it to Backspace"

    async def test_a_server_error(self, scene: Scene) -> None:
        assert await why(scene, scene.fake.attach(png(), status=500)) == "could not be fetched"

    @pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.TOO_MANY, Fault.UNAUTHORIZED, Fault.DROP])
    async def test_an_outage_of_the_api(self, scene: Scene, fault: Fault) -> None:
        public = scene.fake.add_repo("acme/open", {}, private=False)
        seen, hidden = scene.fake.attach(png(), repo=public), scene.fake.attach(png())
        scene.fake.fail("GET", "/repos/*", fault, count=-1, retry_after_seconds=3600)
        got = await fetched(scene, seen, hidden)
        assert [file.url for file in got.files] == [seen]
        assert got.skipped == (Skipped(hidden, "GitHub does not show it to Backspace"),)

    async def test_a_slow_drip(self, scene: Scene) -> None:
        public = scene.fake.add_repo("acme/open", {}, private=False)
        slow = scene.fake.attach(png(), repo=public, drips=True)
        good = scene.fake.attach(png(), repo=public)
        got = await fetched(scene, slow, good, seconds=1.5)
        assert [file.url for file in got.files] == [good]
        assert got.skipped == (Skipped(slow, "not there within 1.5 s"),)


class TestElsewhere:
    """An answer of GitHub's that sends on to where nobody may be asked."""

    @pytest.mark.parametrize(
        "target",
        [
            pytest.param("http://169.254.169.254/latest/meta-data/", id="a cloud's own service"),
            pytest.param("http://localhost/image.png", id="this machine"),
            pytest.param("https://images.example.com/image.png", id="another host"),
            pytest.param("https://github-production-user-asset.s3.amazonaws.com/x", id="github.com's storage"),
            pytest.param("//images.example.com/image.png", id="without a scheme"),
            pytest.param("file:///etc/passwd", id="a file"),
            pytest.param("https://[::1/", id="no address"),
        ],
    )
    async def test_another_host(self, scene: Scene, target: str) -> None:
        words = await why(scene, scene.fake.attach(b"", moved_to=target))
        assert words in {"kept on a host that is not GitHub's", "could not be fetched"}
        assert asked_for(scene.fake) == 1

    async def test_another_port(self, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
        other = FakeGitHub.create(tmp_path_factory.mktemp("other"))
        with serve(other):
            repository = other.add_repo("acme/open", {}, private=False)
            target = other.attach(png(), repo=repository)
            words = await why(scene, scene.fake.attach(b"", moved_to=target))
            assert words == "kept on a host that is not GitHub's"
            assert not other.requests

    async def test_round_and_round(self, scene: Scene) -> None:
        public = scene.fake.add_repo("acme/open", {}, private=False)
        url = scene.fake.attach(png(), repo=public)
        for _ in range(4):
            url = scene.fake.attach(b"", repo=public, moved_to=url)
        assert await why(scene, url) == "could not be fetched"

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            pytest.param("10.0.0.1", "its address is private", id="private"),
            pytest.param("127.0.0.1", "its address is a loopback address", id="loopback"),
            pytest.param("169.254.169.254", "its address is link-local", id="link-local"),
            pytest.param("::ffff:10.0.0.1", "its address is private", id="private, in another form"),
        ],
    )
    async def test_a_name_that_leads_inside(self, scene: Scene, address: str, words: str) -> None:
        async def resolve(host: str, port: int) -> list[str]:
            return ["192.0.43.8"] if host == "github.com" else ["192.0.43.8", address]

        url = "https://user-images.githubusercontent.com/1/2-118fe7ba-c0fd-459c-ad2c-12c5afba05ef.png"
        inside = Attachments(web_url="https://github.com", rendered=scene.client.threads.rendered, resolve=resolve)
        got = await inside.fetch(scene.at, [(None, references(markdown([url]), "https://github.com"))])
        assert got == Fetched(skipped=(Skipped(url, f"kept on a host that may not be reached: {words}"),))

    async def test_a_name_without_an_address(self, scene: Scene) -> None:
        async def resolve(host: str, port: int) -> list[str]:
            raise OSError

        url = "https://github.com/user-attachments/assets/118fe7ba-c0fd-459c-ad2c-12c5afba05ef"
        nowhere = Attachments(web_url="https://github.com", rendered=scene.client.threads.rendered, resolve=resolve)
        got = await nowhere.fetch(scene.at, [(None, references(markdown([url]), "https://github.com"))])
        assert got == Fetched(skipped=(Skipped(url, "could not be fetched"),))


async def test_a_signature_of_the_stand_in_ends(scene: Scene) -> None:
    url = scene.fake.attach(png())
    issue = scene.fake.open_issue("octo", "Images", markdown([url]))

    async def late(at: object, place: Target) -> str:
        html = await scene.client.threads.rendered(scene.at, place)
        scene.fake.clock.advance(301)
        return html

    slow = Attachments(web_url=scene.fake.web_url, rendered=late)
    got = await slow.fetch(scene.at, [(OnIssue(issue.number), references(issue.body, scene.fake.web_url))])
    assert got == Fetched(skipped=(Skipped(url, "GitHub does not show it to Backspace"),))
