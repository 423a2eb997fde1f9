"""An answer in the thread to something that is no run of its own: once for each comment, also at a second try."""

from dataclasses import dataclass

from bot.github.answers import At, OnComment, OnReviewComment, Target
from bot.intake import access
from bot.intake.access import Allowed, Denied, Facts, RepoState
from bot.model import Actor, RunId
from bot.pipeline.job import Tools
from bot.wording import refusals, replies

THUMBS_UP = "+1"
CONFUSED = "confused"


@dataclass(frozen=True)
class Said:
    """Who said something, and where."""

    at: At
    thread: str
    number: int
    actor: Actor
    comment_id: int
    """Of the comment; 0 where there is none to react on, as with the text of a review."""
    in_review: bool
    key: int
    """Of the comment, or of the review whose text it is: what was answered is not answered again."""

    @property
    def target(self) -> Target | None:
        if not self.comment_id:
            return None
        return OnReviewComment(self.comment_id) if self.in_review else OnComment(self.comment_id)


async def may_ask(said: Said, tools: Tools) -> Allowed | Denied:
    permission = await tools.github.permission(said.at, said.actor)
    return access.decide(Facts(said.actor, permission, RepoState()))


async def refuse(said: Said, denied: Denied, tools: Tools) -> None:
    """At most one visible refusal a person, thread and day."""
    key = RunId(f"comment-{said.key}")
    first = denied.visible and await tools.store.may_refuse(
        key, day=tools.clock().date().isoformat(), thread=said.thread, actor_id=said.actor.id
    )
    if first:
        await reply(said, refusals.refusal(denied.code, run_id=key, actor=said.actor.login), tools)


async def acknowledge(said: Said, reaction: str, tools: Tools) -> None:
    if said.target is not None:
        await tools.github.react(said.at, said.target, reaction)


async def reply(said: Said, words: str, tools: Tools) -> None:
    mark = replies.reply_marker(said.key)
    if await tools.github.find_comment(said.at, said.number, mark) is None:
        await tools.github.post_comment(said.at, said.number, replies.marked(words, said.key), mark)
