"""Second stage: the workplace, and what the agent will be told, frozen as it was when somebody asked."""

import asyncio
from datetime import timedelta
from pathlib import Path

from bot.agent import prompt
from bot.agent.prompt import InstructionFile, Material, Permitted
from bot.github.answers import ThreadComment
from bot.intake.access import WRITERS
from bot.model import Actor, ContextComment, Withheld
from bot.pipeline.job import Job, Tools
from bot.pipeline.outputs import Prepared
from bot.pipeline.workplace import Workplaces

PROMPT_ARTEFACT = "prompt"
_INSTRUCTION_FILES = ("CLAUDE.md", "AGENTS.md")
_INSTRUCTION_LIMIT_BYTES = 256 * 1024
_AUTHORS_LOOKED_UP = 20


_ANSWERS_FIRST = timedelta(seconds=3)
_LOOK_SECONDS = 0.05


async def run(job: Job, tools: Tools, workplaces: Workplaces) -> Prepared:
    """Clone, sandbox, setup; and beside them the thread is read, so that neither waits for the other."""
    await _let_answers_pass(tools)
    place, permitted = await asyncio.gather(workplaces.ensure(job), _permitted_comments(job, tools))
    await tools.store.remember_base(job.id, place.clone.base_sha)
    files = tuple(_instruction_files(place.clone.tree))
    request = job.request
    built = prompt.build(
        Material(
            request=request.prompt,
            issue=request.issue,
            comments=permitted.comments,
            withheld=permitted.withheld,
            instruction_files=files,
            instructions=job.config.instructions,
            checks=job.config.checks,
        )
    )
    await tools.store.save(job.id, PROMPT_ARTEFACT, built.text.encode(), tools.clock())
    return Prepared(
        base_sha=place.clone.base_sha,
        instructions=tuple(file.path for file in files),
        comments_shown=built.comments_shown,
        withheld=built.withheld,
    )


async def _let_answers_pass(tools: Tools) -> None:
    """A start takes a machine's whole attention; somebody who just asked waits for no more than a word."""
    began = tools.clock()
    while (now := tools.clock()) - began < _ANSWERS_FIRST and await tools.store.unanswered(now - _ANSWERS_FIRST):
        await tools.sleep(_LOOK_SECONDS)


async def _permitted_comments(job: Job, tools: Tools) -> Permitted:
    """Those of people with write access, other than the request itself and what programs wrote."""
    request = job.request
    if request.issue is None:
        return Permitted((), Withheld())
    thread = await tools.github.comments(job.at, request.issue.number, request.triggered_at)
    by_people = [c for c in thread if c.author_type == "User" and not c.by_app and c.id != request.comment_id]
    writers = await _writers(job, tools, by_people)
    offered = [ContextComment(c.author, c.body, c.created_at, c.updated_at) for c in by_people]
    return prompt.permitted(offered, writers, request.triggered_at)


async def _writers(job: Job, tools: Tools, thread: list[ThreadComment]) -> set[int]:
    """Who of the thread may ask Backspace. Beyond the first few authors nobody is looked up, so nobody is let in."""
    asked = job.request.actor
    authors: dict[int, Actor] = {c.author.id: c.author for c in thread if c.author.id != asked.id}
    writers = {asked.id}
    for author in list(authors.values())[:_AUTHORS_LOOKED_UP]:
        permission = await tools.github.permission(job.at, author)
        if permission is not None and permission.user_id == author.id and permission.level in WRITERS:
            writers.add(author.id)
    return writers


def _instruction_files(tree: Path) -> list[InstructionFile]:
    """From our own fresh clone; a link is not followed, for it may lead anywhere."""
    found = []
    for name in _INSTRUCTION_FILES:
        path = tree / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _INSTRUCTION_LIMIT_BYTES:
            found.append(InstructionFile(name, path.read_text(encoding="utf-8", errors="replace")))
    return found
