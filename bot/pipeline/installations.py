"""The app was installed, suspended or removed: labels to make, runs to end, tokens to forget."""

import structlog

from bot.github.app import Standing
from bot.github.failures import GitHubFailed
from bot.intake.triggers import InstallationGone, Installed
from bot.pipeline.job import Tools
from bot.runs.label_work import ALL

_REASONS = {
    Standing.SUSPENDED: "The app's installation was suspended, so nothing more can be done here.",
    Standing.GONE: "The app was uninstalled, so nothing more can be done here.",
    Standing.ACTIVE: "This repository was taken out of the app's installation, so nothing more can be done here.",
}
log = structlog.get_logger("bot.pipeline.installations")


async def installed(errand: Installed, tools: Tools) -> None:
    """The label is made in the background; nothing else is done uninvited."""
    await tools.label_work.add(errand.installation_id, errand.repos or (ALL,), tools.clock())


async def gone(errand: InstallationGone, tools: Tools) -> None:
    """What works there ends, with its work kept here, for nothing can be pushed any more."""
    installation = errand.installation_id
    tools.github.app.forget(installation)
    standing = await _standing(errand, tools)
    if standing is not Standing.ACTIVE:
        await tools.label_work.drop(installation, None)
        stopped = await tools.store.stop_all(installation, None, _REASONS[standing], tools.clock())
    elif errand.repo_ids is not None:
        still = await _back_again(errand, tools)
        repo_ids = [repo_id for repo_id in errand.repo_ids if repo_id not in still]
        await tools.label_work.drop(installation, repo_ids)
        concerned = sorted(await _at_work(errand, tools) - still)
        stopped = await tools.store.stop_all(installation, concerned, _REASONS[standing], tools.clock())
    else:
        stopped = []
    log.info("installation.gone", installation=installation, standing=standing.value, runs_stopped=len(stopped))


async def _standing(errand: InstallationGone, tools: Tools) -> Standing:
    """As it is now, for a delivery may be late, and the installation active again; else as the delivery has it."""
    try:
        return await tools.github.app.standing(errand.installation_id)
    except GitHubFailed as error:
        log.warning("installation.standing_unknown", installation=errand.installation_id, error=str(error))
    if errand.repo_ids is not None:
        return Standing.ACTIVE
    return Standing.SUSPENDED if errand.suspended else Standing.GONE


async def _at_work(errand: InstallationGone, tools: Tools) -> set[int]:
    """The repositories of the errand that have unfinished runs: few, however many were taken out."""
    repo_ids = frozenset(errand.repo_ids or ())
    return {run.request.repo.id for run in await tools.store.unfinished() if run.request.repo.id in repo_ids}


async def _back_again(errand: InstallationGone, tools: Tools) -> set[int]:
    """Those with unfinished runs that were given to the app once more since the delivery."""
    still = set()
    for repo_id in await _at_work(errand, tools):
        try:
            if await tools.github.app.holds(errand.installation_id, repo_id):
                still.add(repo_id)
        except GitHubFailed as error:
            log.warning("installation.standing_unknown", installation=errand.installation_id, error=str(error))
    return still
