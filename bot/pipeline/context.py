"""What of GitHub the agent may read for a run: the words of people who may ask, and a pull request's changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.agent.hidden import shown
from bot.agent.material import Asked, Material, PullSoFar, labelled, permitted, reported
from bot.github.answers import ChangedFile, OnComment, OnIssue, OnReviewComment, Target, ThreadComment
from bot.github.answers import target_of as place_of
from bot.intake import access
from bot.intake.access import Allowed, Facts, RepoState
from bot.markdown import linked_issues
from bot.model import Actor, ContextComment, Issue, ReviewPlace, RunRequest, Withheld
from bot.pipeline.job import Job, Tools

DIFF_LIMIT = 60_000
"""In characters."""
_MAX_LOOKED_UP = 20
_MAX_LINKED = 5
_NAMED_LATER = timedelta(minutes=1)
"""Being named by the very comment that asks counts as a change of an issue, a moment after it.

GitHub's REST API does not say when an issue's text was edited. Whoever edits it in that minute may ask: only its
author, who is looked up, and people with write access can.
"""
_PERSON = "User"


@dataclass(frozen=True)
class Text:
    """What is shown to the agent, and where GitHub has it."""

    place: Target | None
    markdown: str


@dataclass(frozen=True)
class Context:
    material: Material
    texts: tuple[Text, ...]
    """The words of people in it."""


async def read(job: Job, asked: Sequence[RunRequest], tools: Tools) -> Context:
    """Of what the thread was when it was `asked`: the request first, then what was added to it."""
    vouched = _Vouched(job, tools)
    texts = [Text(_own_place(one), one.prompt) for one in asked if not reported(one)]
    thread, withheld = await _thread(job, vouched, tools)
    comments, left = await _conversation(job, vouched, tools)
    withheld += left
    said, left = await _review_threads(job, asked, vouched, tools)
    withheld += left
    texts += thread
    texts += [Text(OnComment(comment.id), comment.body) for comment in comments]
    texts += [Text(OnReviewComment(comment.id), comment.body) for one in said.values() for comment in one]
    linked, left = await _linked(job, texts, vouched, tools)
    texts += [Text(OnIssue(issue.number), issue.body) for issue in linked]
    material = Material(
        asked=tuple(Asked(one, tuple(map(_as_context, said.get(index, ())))) for index, one in enumerate(asked)),
        comments=tuple(map(_as_context, comments)),
        linked=tuple(linked),
        pull=await _pull(job, tools),
        withheld=withheld + left,
    )
    return Context(material, tuple(texts))


class _Vouched:
    """Who may ask, each looked up once. Beyond the first few nobody is looked up, so nobody is let in."""

    def __init__(self, job: Job, tools: Tools) -> None:
        self._job = job
        self._tools = tools
        self._known = {0: False, job.request.actor.id: job.request.actor.id > 0}

    async def may_ask(self, actor: Actor) -> bool:
        if actor.id not in self._known:
            self._known[actor.id] = len(self._known) <= _MAX_LOOKED_UP and await self._look_up(actor)
        return self._known[actor.id]

    async def among(self, actors: Iterable[Actor]) -> set[int]:
        return {actor.id for actor in actors if await self.may_ask(actor)}

    async def _look_up(self, actor: Actor) -> bool:
        permission = await self._tools.github.permission(self._job.at, actor)
        return isinstance(access.decide(Facts(actor, permission, RepoState())), Allowed)


def _own_place(request: RunRequest) -> Target | None:
    """Where GitHub has the request's words."""
    return OnIssue(request.issue.number) if labelled(request) and request.issue else place_of(request)


async def _thread(job: Job, vouched: _Vouched, tools: Tools) -> tuple[list[Text], Withheld]:
    """The title and body of the thread, if they are words of somebody who may ask, or of Backspace."""
    issue = job.request.issue
    if issue is None or labelled(job.request) or not (issue.title or issue.body):
        return [], Withheld()
    if await vouched.may_ask(issue.author) or await _is_ours(job, issue, tools):
        return [Text(OnIssue(issue.number), f"{issue.title}\n\n{issue.body}")], Withheld()
    return [], Withheld(thread_text=1)


async def _is_ours(job: Job, issue: Issue, tools: Tools) -> bool:
    """Whether it is a pull request that Backspace opened."""
    if not issue.is_pull_request or await tools.store.on_pull(job.request.repo.id, issue.number, before=job.id) is None:
        return False
    ours = await tools.github.author(job.at)
    return ours.name == issue.author.login and ours.email.startswith(f"{issue.author.id}+")


async def _conversation(job: Job, vouched: _Vouched, tools: Tools) -> tuple[list[ThreadComment], Withheld]:
    """The thread's comments by people who may ask, other than the request itself."""
    request = job.request
    if request.issue is None:
        return [], Withheld()
    thread = await tools.github.comments(job.at, request.issue.number, request.triggered_at)
    offered = [comment for comment in thread if comment.id != request.comment_id]
    programs = [comment for comment in offered if _by_program(comment) and not tools.github.is_ours(comment)]
    kept, left = await _permitted(job, offered, vouched)
    return kept, left + Withheld(by_programs=len(programs))


def _by_program(comment: ThreadComment) -> bool:
    return comment.author_type != _PERSON or comment.by_app


async def _permitted(
    job: Job, offered: Sequence[ThreadComment], vouched: _Vouched
) -> tuple[list[ThreadComment], Withheld]:
    by_people = [comment for comment in offered if not _by_program(comment)]
    may_ask = await vouched.among(comment.author for comment in by_people)
    result = permitted([_as_context(comment) for comment in by_people], may_ask, job.request.triggered_at)
    return [comment for comment in by_people if _as_context(comment) in result.comments], result.withheld


async def _review_threads(
    job: Job, asked: Sequence[RunRequest], vouched: _Vouched, tools: Tools
) -> tuple[dict[int, list[ThreadComment]], Withheld]:
    """By the index in `asked`, what was said before it in the same review thread by people who may ask."""
    replies = {index: one.review for index, one in enumerate(asked) if one.review and _is_reply(one.review)}
    if not replies or job.request.issue is None:
        return {}, Withheld()
    everything = await tools.github.threads.review_comments(job.at, job.request.issue.number, job.request.triggered_at)
    own = {one.review.comment_id for one in asked if one.review}
    said: dict[int, list[ThreadComment]] = {}
    withheld = Withheld()
    for index, place in replies.items():
        earlier = [one.comment for one in everything if one.thread_id == place.thread_id and one.comment.id not in own]
        said[index], left = await _permitted(job, earlier, vouched)
        withheld += left
    return said, withheld


def _is_reply(place: ReviewPlace) -> bool:
    return place.thread_id not in (0, place.comment_id)


async def _linked(job: Job, texts: Sequence[Text], vouched: _Vouched, tools: Tools) -> tuple[list[Issue], Withheld]:
    """Issues and pull requests of this repository that are named in what is shown."""
    request = job.request
    page = tools.github.page(job.at)
    here = {request.issue.number if request.issue else 0, job.run.continues_pull or 0}
    named = dict.fromkeys(number for text in texts for number in linked_issues(shown(text.markdown).text, page))
    numbers = [number for number in named if number not in here]
    kept: list[Issue] = []
    withheld = Withheld(linked_no_room=max(0, len(numbers) - _MAX_LINKED))
    for number in numbers[:_MAX_LINKED]:
        found = await tools.github.threads.thread(job.at, number)
        if found is None:
            continue
        if found.author_type != _PERSON or not await vouched.may_ask(found.issue.author):
            withheld += Withheld(linked_by_others=1)
        elif found.updated_at > request.triggered_at + _NAMED_LATER:
            withheld += Withheld(linked_changed_later=1)
        else:
            kept.append(found.issue)
    return kept, withheld


async def _pull(job: Job, tools: Tools) -> PullSoFar | None:
    number = job.run.continues_pull
    if number is None:
        return None
    return PullSoFar(number, as_diff(await tools.github.threads.changed_files(job.at, number)))


def _as_context(comment: ThreadComment) -> ContextComment:
    return ContextComment(comment.author, comment.body, comment.created_at, comment.updated_at)


def as_diff(files: Sequence[ChangedFile], limit: int = DIFF_LIMIT) -> str:
    """The files' patches, as far as there is room, and the names of the files whose patch is not among them."""
    shown_files: list[str] = []
    only_named: list[str] = []
    room = limit
    for file in files:
        former = f" (formerly {file.former_path})" if file.former_path else ""
        heading = f"{file.status} {file.path}{former} +{file.additions} -{file.deletions}"
        text = f"{heading}\n{file.patch}"
        if file.patch and len(text) <= room:
            room -= len(text)
            shown_files.append(text)
        else:
            only_named.append(heading)
    if only_named:
        names = "\n".join(only_named)
        shown_files.append(f"Changed as well, without the lines here:\n{names[: limit // 4]}")
    return "\n\n".join(shown_files)
