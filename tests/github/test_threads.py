"""The calls around a thread: who asks, what the repository says, reactions, comments."""

from datetime import timedelta

import pytest

from bot.github.answers import OnComment, OnIssue, OnReviewComment
from bot.github.failures import GitHubFailed, RepositoryReadOnly
from bot.model import Actor
from tests.fakes.github import FakeGitHub, Fault
from tests.github.conftest import Scene

pytestmark = pytest.mark.slow

_MARKER = "<!-- backspace:run=0f3c -->"
_BODY = f"{_MARKER}\nOn it."


class TestPermission:
    @pytest.mark.parametrize(
        ("role", "level"),
        [("admin", "admin"), ("maintain", "write"), ("write", "write"), ("triage", "read"), ("read", "read")],
    )
    async def test_is_what_github_says_now(self, scene: Scene, role: str, level: str) -> None:
        user = scene.fake.add_user("someone", role)
        permission = await scene.client.permission(scene.at, Actor(user.id, "someone"))
        assert permission
        assert (permission.level, permission.user_id, permission.user_type) == (level, user.id, "User")
        scene.fake.assert_clean()

    async def test_a_login_that_passed_to_somebody_else_shows_the_new_id(self, scene: Scene) -> None:
        permission = await scene.client.permission(scene.at, Actor(4711, scene.actor.login))
        assert permission
        assert permission.user_id == scene.actor.id

    async def test_nobody_of_that_name(self, scene: Scene) -> None:
        assert await scene.client.permission(scene.at, Actor(4711, "nobody")) is None

    async def test_a_server_that_fails_is_no_answer(self, scene: Scene) -> None:
        scene.fake.fail("GET", "*/permission", Fault.SERVER_ERROR, count=-1)
        with pytest.raises(GitHubFailed) as failure:
            await scene.client.permission(scene.at, scene.actor)
        assert failure.value.retry_helps


class TestFile:
    async def test_the_configuration_comes_from_the_default_branch(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "topic", {".github/backspace.yml": "checks: [evil]\n"})
        assert await scene.client.config_file(scene.at) == b"checks: [make test]\n"
        scene.fake.assert_clean()

    async def test_none_where_there_is_none(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "main", {".github/backspace.yml": None})
        assert await scene.client.config_file(scene.at) is None

    async def test_a_folder_is_no_file(self, scene: Scene) -> None:
        assert await scene.client.file(scene.at, "src") is None

    async def test_at_another_ref(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "topic", {"a b.txt": "\xe9\n"})
        assert await scene.client.file(scene.at, "a b.txt", "topic") == "\xe9\n".encode()


class TestReactions:
    async def test_come_and_go_on_an_issue(self, scene: Scene) -> None:
        target = OnIssue(scene.issue.number)
        await scene.client.react(scene.at, target, "eyes")
        await scene.client.react(scene.at, target, "eyes")
        assert scene.fake.reactions(scene.issue) == ["eyes"]
        await scene.client.unreact(scene.at, target, "eyes")
        await scene.client.react(scene.at, target, "rocket")
        assert scene.fake.reactions(scene.issue) == ["rocket"]

    async def test_come_and_go_on_a_comment(self, scene: Scene) -> None:
        comment = scene.fake.say(scene.issue, "octo", "/backspace do it")
        await scene.client.react(scene.at, OnComment(comment.id), "eyes")
        assert scene.fake.reactions(comment) == ["eyes"]
        await scene.client.unreact(scene.at, OnComment(comment.id), "eyes")
        assert scene.fake.reactions(comment) == []
        scene.fake.assert_clean()

    async def test_only_ours_goes(self, scene: Scene) -> None:
        comment = scene.fake.say(scene.issue, "octo", "/backspace do it")
        await scene.client.react(scene.at, OnComment(comment.id), "eyes")
        ours = comment.reactions[0]
        comment.reactions.append(type(ours)(99, scene.fake.user("octo"), "eyes", scene.fake.clock()))
        await scene.client.unreact(scene.at, OnComment(comment.id), "eyes")
        assert scene.fake.reactions(comment, by=scene.fake.user("octo")) == ["eyes"]
        assert scene.fake.reactions(comment, by=scene.fake.identity.bot) == []

    async def test_taking_back_what_is_gone_is_no_error(self, scene: Scene) -> None:
        comment = scene.fake.say(scene.issue, "octo", "/backspace do it")
        await scene.client.react(scene.at, OnComment(comment.id), "eyes")
        comment.reactions.clear()
        await scene.client.unreact(scene.at, OnComment(comment.id), "eyes")

    async def test_taking_back_what_an_earlier_process_gave(self, scene: Scene) -> None:
        comment = scene.fake.say(scene.issue, "octo", "/backspace do it")
        await scene.client.unreact(scene.at, OnComment(comment.id), "eyes")
        assert scene.fake.reactions(comment) == []

    async def test_in_a_review_thread(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "topic", {"README.md": "# More widgets\n"})
        pull = scene.fake.open_pull("octo", "More", head="topic")
        scene.fake.webhook(None)
        act = scene.fake._parts.forge.review_comment(
            pull.repository, pull, scene.fake.user("octo"), "/backspace do it", path="README.md", line=1, reply_to=None
        )
        await scene.client.react(scene.at, OnReviewComment(act.subject.id), "eyes")
        assert scene.fake.reactions(act.subject) == ["eyes"]
        scene.fake.assert_clean()


class TestComment:
    async def test_is_posted_found_and_edited(self, scene: Scene) -> None:
        number = scene.issue.number
        comment_id = await scene.client.post_comment(scene.at, number, _BODY, _MARKER)
        assert await scene.client.find_comment(scene.at, number, _MARKER) == comment_id
        assert await scene.client.edit_comment(scene.at, comment_id, f"{_MARKER}\nDone.")
        [comment] = scene.fake.bot_comments(scene.issue)
        assert comment.body == f"{_MARKER}\nDone."
        scene.fake.assert_clean()

    async def test_nothing_is_looked_up_before_the_first_try(self, scene: Scene) -> None:
        await scene.client.post_comment(scene.at, scene.issue.number, _BODY, _MARKER)
        assert scene.fake.api_calls()[1:] == ["POST /repos/{owner}/{repo}/issues/{issue_number}/comments"]

    @pytest.mark.parametrize(
        "fault",
        [Fault.SERVER_ERROR, Fault.DROP, Fault.BAD_GATEWAY_AFTER, Fault.DROP_AFTER, Fault.TOO_MANY, Fault.UNAUTHORIZED],
    )
    async def test_is_there_once_whatever_happens_to_the_first_try(self, scene: Scene, fault: Fault) -> None:
        scene.fake.fail("POST", "*/comments", fault)
        comment_id = await scene.client.post_comment(scene.at, scene.issue.number, _BODY, _MARKER)
        assert [comment.id for comment in scene.fake.bot_comments(scene.issue)] == [comment_id]

    async def test_a_marker_that_somebody_else_wrote_is_not_ours(self, scene: Scene) -> None:
        scene.fake.say(scene.issue, "octo", _BODY)
        other_bot = scene.fake.world.add_account("other[bot]", "Bot")
        scene.fake.say(scene.issue, other_bot.login, _BODY)
        assert await scene.client.find_comment(scene.at, scene.issue.number, _MARKER) is None

    async def test_a_marker_further_down_is_quoted_text(self, scene: Scene) -> None:
        await scene.client.post_comment(scene.at, scene.issue.number, f"Help\n{_MARKER}", "Help")
        assert await scene.client.find_comment(scene.at, scene.issue.number, _MARKER) is None

    async def test_is_found_behind_hundreds_of_others(self, scene: Scene) -> None:
        for number in range(205):
            scene.fake.say(scene.issue, "octo", f"me too {number}")
        comment_id = await scene.client.post_comment(scene.at, scene.issue.number, _BODY, _MARKER)
        assert await scene.client.find_comment(scene.at, scene.issue.number, _MARKER) == comment_id

    async def test_editing_a_deleted_one_says_so(self, scene: Scene) -> None:
        comment_id = await scene.client.post_comment(scene.at, scene.issue.number, _BODY, _MARKER)
        scene.issue.comments.clear()
        assert await scene.client.edit_comment(scene.at, comment_id, _BODY) is False

    async def test_in_an_archived_repository_is_refused_for_good(self, scene: Scene) -> None:
        scene.repository.archived = True
        with pytest.raises(RepositoryReadOnly) as failure:
            await scene.client.post_comment(scene.at, scene.issue.number, _BODY, _MARKER)
        assert not failure.value.retry_helps
        assert scene.calls("POST /repos") == 1


class TestThread:
    async def test_ends_at_the_trigger_and_knows_who_wrote_what(self, scene: Scene) -> None:
        scene.fake.say(scene.issue, "octo", "before")
        await scene.client.post_comment(scene.at, scene.issue.number, _BODY, _MARKER)
        trigger = scene.fake.clock()
        scene.fake.clock.advance(60)
        scene.fake.say(scene.issue, "octo", "after")
        first, ours = await scene.client.comments(scene.at, scene.issue.number, trigger)
        assert (first.author, first.author_type, first.body, first.by_app) == (
            scene.actor,
            "User",
            "before",
            False,
        )
        assert ours.by_app
        assert scene.client.is_ours(ours)
        scene.fake.assert_clean()

    async def test_shows_what_was_edited_later(self, scene: Scene) -> None:
        comment = scene.fake.say(scene.issue, "octo", "harmless")
        trigger = scene.fake.clock()
        comment.updated_at = trigger + timedelta(minutes=1)
        [seen] = await scene.client.comments(scene.at, scene.issue.number, trigger)
        assert seen.updated_at > trigger >= seen.created_at

    async def test_of_several_pages_is_read_to_its_end(self, scene: Scene) -> None:
        for number in range(150):
            scene.fake.say(scene.issue, "octo", str(number))
        seen = await scene.client.comments(scene.at, scene.issue.number, scene.fake.clock())
        assert [comment.body for comment in seen] == [str(number) for number in range(150)]


class TestOtherThreads:
    async def test_an_issue_is_read_as_it_is_now(self, scene: Scene) -> None:
        scene.fake.edit_issue(scene.issue, "octo", body="Make them three.")
        found = await scene.client.threads.thread(scene.at, scene.issue.number)
        assert found
        issue = found.issue
        assert (issue.title, issue.body, issue.author) == ("Widgets are too small", "Make them three.", scene.actor)
        assert (found.author_type, issue.is_pull_request) == ("User", False)
        scene.fake.assert_clean()

    async def test_a_pull_request_is_known_as_one(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "topic", {"README.md": "# More widgets\n"})
        pull = scene.fake.open_pull("octo", "More", head="topic")
        found = await scene.client.threads.thread(scene.at, pull.number)
        assert found
        assert found.issue.is_pull_request

    async def test_none_of_that_number(self, scene: Scene) -> None:
        assert await scene.client.threads.thread(scene.at, 4711) is None

    async def test_a_deleted_one_is_none(self, scene: Scene) -> None:
        scene.issue.deleted = True
        assert await scene.client.threads.thread(scene.at, scene.issue.number) is None


class TestPullRequest:
    async def test_its_changes(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "topic", {"README.md": "# More widgets\n", "new.bin": b"\0\1"})
        pull = scene.fake.open_pull("octo", "More", head="topic")
        readme, binary = await scene.client.threads.changed_files(scene.at, pull.number)
        assert (readme.path, readme.status, readme.additions, readme.deletions) == ("README.md", "modified", 1, 1)
        assert "+# More widgets" in readme.patch
        assert (binary.path, binary.status, binary.patch) == ("new.bin", "added", "")
        scene.fake.assert_clean()

    async def test_its_review_comments_by_thread_up_to_the_trigger(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "topic", {"README.md": "# More widgets\n"})
        pull = scene.fake.open_pull("octo", "More", head="topic")
        forge, octo = scene.fake._parts.forge, scene.fake.user("octo")
        first = forge.review_comment(scene.repository, pull, octo, "one", path="README.md", line=1, reply_to=None)
        reply = forge.review_comment(
            scene.repository, pull, octo, "two", path="README.md", line=1, reply_to=first.subject.id
        )
        trigger = scene.fake.clock()
        scene.fake.clock.advance(60)
        forge.review_comment(scene.repository, pull, octo, "three", path="README.md", line=1, reply_to=None)
        seen = await scene.client.threads.review_comments(scene.at, pull.number, trigger)
        assert [(one.comment.id, one.comment.body, one.thread_id) for one in seen] == [
            (first.subject.id, "one", first.subject.id),
            (reply.subject.id, "two", first.subject.id),
        ]
        scene.fake.assert_clean()


class TestLabels:
    async def test_are_made_once(self, scene: Scene) -> None:
        assert await scene.client.create_label(scene.at, "backspace", "5319e7", "Starts a run")
        assert not await scene.client.create_label(scene.at, "backspace", "5319e7", "Starts a run")
        scene.fake.assert_clean()

    async def test_are_put_on_a_pull_request(self, scene: Scene) -> None:
        scene.fake.commit(scene.repository, "topic", {"README.md": "# More widgets\n"})
        pull = scene.fake.open_pull("octo", "More", head="topic")
        await scene.client.add_labels(scene.at, pull.number, ["backspace"])
        assert [label.name for label in pull.labels] == ["backspace"]


async def test_a_pull_requests_thread_is_answered_with_the_permission_it_needs(scene: Scene, fake: FakeGitHub) -> None:
    fake.commit(scene.repository, "topic", {"README.md": "# More widgets\n"})
    pull = fake.open_pull("octo", "More", head="topic")
    at = type(scene.at)(scene.at.installation_id, scene.at.repo, on_pull_request=True)
    await scene.client.post_comment(at, pull.number, _BODY, _MARKER)
    [token] = fake.world.tokens.values()
    assert token.permissions["pull_requests"] == "write"
