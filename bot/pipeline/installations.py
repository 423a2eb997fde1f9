"""The app was installed, suspended or removed: labels to make, runs to end, tokens to forget."""

from bot.intake.triggers import InstallationGone, Installed
from bot.pipeline.job import Tools


async def installed(errand: Installed, tools: Tools) -> None:
    raise NotImplementedError(errand, tools)


async def gone(errand: InstallationGone, tools: Tools) -> None:
    raise NotImplementedError(errand, tools)
