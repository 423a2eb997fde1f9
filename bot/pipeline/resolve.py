"""A request by a repository's name alone: where the app is installed there, or with what else it can be worked on."""

from dataclasses import dataclass, replace

from bot.github.answers import At
from bot.github.failures import NotFound, RepositoryNotInstalled
from bot.model import InstallationId, Repo
from bot.pipeline.job import Tools
from bot.runs.records import Run

BY_TOKEN = InstallationId(0)
"""Stands for `GITHUB_TOKEN`, where the app is not installed."""


@dataclass(frozen=True)
class NotInstalled:
    words: str


async def run(asked: Run, tools: Tools) -> Run | NotInstalled:
    """The run with its repository as GitHub knows it."""
    request = asked.request
    if request.repo.id:
        return asked
    at = await tools.github.app.installation_of(request.repo.full_name) or await _by_token(asked, tools)
    if at is None:
        page = await tools.github.app.installation_page()
        return NotInstalled(
            f"The app is not installed on {request.repo.full_name}, or there is no such repository. "
            f"Install it at {page}; or whoever runs this server sets `GITHUB_TOKEN`."
        )
    found = replace(request, repo=at.repo, installation_id=at.installation_id)
    return await tools.store.resolved(asked.id, found)


async def _by_token(asked: Run, tools: Tools) -> At | None:
    unknown = At(BY_TOKEN, Repo(0, asked.request.repo.full_name, "", private=True))
    try:
        return At(BY_TOKEN, await tools.github.repository(unknown))
    except (RepositoryNotInstalled, NotFound):
        return None
