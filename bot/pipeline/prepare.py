"""Second stage: the workplace, and what the agent will be told, frozen as it was when somebody asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from pydantic import TypeAdapter

from bot.agent import prompt
from bot.agent.material import InstructionFile
from bot.github.attachments import Fetched
from bot.github.checkout import Clone
from bot.github.failures import FileTooLarge
from bot.model import RunRequest, Seen, Stage
from bot.pipeline import context, heads, images, steering
from bot.pipeline.context import Context
from bot.pipeline.job import Job, Tools
from bot.pipeline.outputs import Prepared
from bot.pipeline.workplace import Workplaces
from bot.runs.records import Message

PROMPT_ARTEFACT = "prompt"
_ADDED_ARTEFACT = "added"
_ADDED = TypeAdapter(tuple[Message, ...])
_INSTRUCTION_FILES = ("CLAUDE.md", "AGENTS.md")
_INSTRUCTION_LIMIT_BYTES = 256 * 1024

_ANSWERS_FIRST = timedelta(seconds=3)
_LOOK_SECONDS = 0.05


async def run(job: Job, tools: Tools, workplaces: Workplaces) -> Prepared:
    """Clone, sandbox, setup; and beside them the thread is read, so that neither waits for the other."""
    await _let_answers_pass(tools)
    job = await heads.settle(job, tools)
    added, fresh = await _added(job, tools)
    asked = (job.request, *(message.request for message in added))
    place, (known, fetched) = await asyncio.gather(workplaces.ensure(job), _read(job, asked, tools))
    await images.lay(job, place.sandbox, tools)
    files = await _instruction_files(job, place.clone, tools)
    built = prompt.build(
        replace(
            known.material,
            images=images.in_place(fetched),
            instruction_files=files,
            instructions=job.config.instructions,
            checks=job.config.checks,
        )
    )
    await tools.store.save(job.id, PROMPT_ARTEFACT, built.text.encode(), tools.clock())
    for message in fresh:
        await steering.given(message, job, tools, Stage.ANALYZING)
    return Prepared(
        base_sha=place.clone.base_sha,
        seen=Seen(
            comments=built.comments_shown,
            linked=tuple(issue.number for issue in known.material.linked),
            images=len(fetched.files),
            images_left_out=tuple(skipped.why for skipped in fetched.skipped),
            instructions=tuple(file.path for file in files),
            withheld=built.withheld,
        ),
    )


async def _let_answers_pass(tools: Tools) -> None:
    """A start takes a machine's whole attention; somebody who just asked waits for no more than a word."""
    began = tools.clock()
    while (now := tools.clock()) - began < _ANSWERS_FIRST and await tools.store.unanswered(now - _ANSWERS_FIRST):
        await tools.sleep(_LOOK_SECONDS)


async def _added(job: Job, tools: Tools) -> tuple[Sequence[Message], Sequence[Message]]:
    """What was added to the request before its agent begins; and what of it nobody has been told yet that it is heard.

    Kept with the run: when this stage is done again, what was heard the first time is no message any more.
    """
    kept = _ADDED.validate_json(await tools.store.saved(job.id, _ADDED_ARTEFACT) or b"[]")
    fresh = await tools.store.messages(job.id)
    known = {message.key for message in kept}
    added = (*kept, *(message for message in fresh if message.key not in known))
    if len(added) > len(kept):
        await tools.store.save(job.id, _ADDED_ARTEFACT, _ADDED.dump_json(added), tools.clock())
    return added, fresh


async def _read(job: Job, asked: Sequence[RunRequest], tools: Tools) -> tuple[Context, Fetched]:
    known = await context.read(job, asked, tools)
    return known, await images.fetch(job, known.texts, tools)


async def _instruction_files(job: Job, clone: Clone, tools: Tools) -> tuple[InstructionFile, ...]:
    """From the default branch, whatever branch the run works on."""
    on_default = job.run.continues_pull is None and job.base == job.request.repo.default_branch
    found = []
    for name in _INSTRUCTION_FILES:
        content = _in_clone(clone, name) if on_default else await _on_github(job, name, tools)
        if content is not None and len(content) <= _INSTRUCTION_LIMIT_BYTES:
            found.append(InstructionFile(name, content.decode("utf-8", "replace")))
    return tuple(found)


async def _on_github(job: Job, name: str, tools: Tools) -> bytes | None:
    try:
        return await tools.github.file(job.at, name)
    except FileTooLarge:
        return None


def _in_clone(clone: Clone, name: str) -> bytes | None:
    """From our own fresh clone; a link is not followed, for it may lead anywhere."""
    path = clone.tree / name
    if not path.is_file() or path.is_symlink() or path.stat().st_size > _INSTRUCTION_LIMIT_BYTES:
        return None
    return path.read_bytes()
