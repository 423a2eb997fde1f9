"""The app was installed, suspended or removed: labels to make, runs to end, tokens to forget."""

import structlog

from bot.github.app import Standing
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
    """What works there ends, with its work kept here, for nothing can be pushed any more.

    GitHub is asked how things stand: a delivery may be late, and an installation active again.
    """
    app = tools.github.app
    app.forget(errand.installation_id)
    standing = await app.standing(errand.installation_id)
    if standing is Standing.ACTIVE and errand.repo_ids is None:
        return
    gone_ids = errand.repo_ids
    if standing is Standing.ACTIVE and errand.repo_ids is not None:
        gone_ids = tuple([one for one in errand.repo_ids if not await app.holds(errand.installation_id, one)])
    await tools.label_work.drop(errand.installation_id, gone_ids)
    stopped = await tools.store.stop_all(errand.installation_id, gone_ids, _REASONS[standing], tools.clock())
    log.info("installation.gone", installation=errand.installation_id, runs_stopped=len(stopped))
