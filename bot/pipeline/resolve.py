"""A request by a repository's name alone: where the app is installed there, or with what else it can be worked on."""

from dataclasses import dataclass, replace

from bot.github.answers import At
from bot.github.failures import InstallationSuspended, NotFound, RepositoryNotInstalled
from bot.intake.access import Denial
from bot.model import InstallationId, Repo
from bot.pipeline.job import Tools
from bot.runs.records import Run
from bot.wording import refusals

BY_TOKEN = InstallationId(0)
"""Stands for `GITHUB_TOKEN`, where the app is not installed."""


@dataclass(frozen=True)
class Unreachable:
    """Nothing can be done there, and why."""

    code: str
    words: str


async def run(asked: Run, tools: Tools) -> Run | Unreachable:
    """The run with its repository as GitHub knows it."""
    request = asked.request
    if request.repo.id:
        return asked
    try:
        at = await tools.github.app.installation_of(request.repo.full_name) or await _by_token(asked, tools)
    except InstallationSuspended:
        return Unreachable(Denial.INSTALLATION_SUSPENDED, refusals.sentence(Denial.INSTALLATION_SUSPENDED))
    if at is None:
        page = await tools.github.app.installation_page()
        return Unreachable("app-not-installed", refusals.app_not_installed(request.repo.full_name, page))
    found = replace(request, repo=at.repo, installation_id=at.installation_id)
    return await tools.store.resolved(asked.id, found)


async def _by_token(asked: Run, tools: Tools) -> At | None:
    unknown = At(BY_TOKEN, Repo(0, asked.request.repo.full_name, "", private=True))
    try:
        return At(BY_TOKEN, await tools.github.repository(unknown))
    except (RepositoryNotInstalled, NotFound):
        return None
