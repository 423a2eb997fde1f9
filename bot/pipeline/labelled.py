"""A label that may be the repository's own: a run when its settings say so, silence when not."""

from bot.github.answers import At
from bot.intake import repo_config
from bot.intake.repo_config import RepoConfig
from bot.intake.triggers import Labelled
from bot.model import RunId
from bot.pipeline.job import Tools
from bot.runs.lifecycle import NewRun


async def run(errand: Labelled, tools: Tools) -> None:
    request = errand.request
    content = await tools.github.config_file(At(request.installation_id, request.repo))
    config = repo_config.parse(content) if content else repo_config.DEFAULTS
    # A file that cannot be read names no label; whoever asks by a comment is told what is wrong with it.
    if isinstance(config, RepoConfig) and config.label and config.label.casefold() == request.label.casefold():
        await tools.store.start(NewRun(RunId(tools.new_id()), request, errand.intent), tools.clock())
