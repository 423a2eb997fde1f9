"""The images of what the agent is shown: fetched by the host, given as files, and kept for a sandbox made anew."""

from collections.abc import Sequence

from pydantic import ConfigDict, TypeAdapter

from bot.github.attachments import Fetched
from bot.markdown.images import references
from bot.pipeline.context import Text
from bot.pipeline.job import Job, Tools
from bot.sandbox import HOME, SandboxId

_FOLDER = HOME / "attachments"
_ARTEFACT = "images"
_FILES = TypeAdapter(dict[str, bytes], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
"""By name, the content."""


async def fetch(job: Job, texts: Sequence[Text], tools: Tools) -> Fetched:
    found = [(text.place, references(text.markdown, tools.github.web_url)) for text in texts]
    fetched = await tools.attachments.fetch(job.at, [(place, images) for place, images in found if images])
    if fetched.files:
        files = {image.name: image.content for image in fetched.files}
        await tools.store.save(job.id, _ARTEFACT, _FILES.dump_json(files), tools.clock())
    return fetched


async def lay(job: Job, sandbox: SandboxId, tools: Tools) -> None:
    """Put the run's images into its sandbox."""
    files = _FILES.validate_json(await tools.store.saved(job.id, _ARTEFACT) or b"{}")
    for name, content in files.items():
        await tools.sandbox.put(sandbox, _FOLDER / name, content)


def in_place(fetched: Fetched) -> dict[str, str]:
    """By address, what the agent reads in an image's place."""
    files = {image.url: f"[image: {_FOLDER / image.name}]" for image in fetched.files}
    return files | {skipped.url: f"[image left out: {skipped.why}]" for skipped in fetched.skipped}
