"""A check failed on a commit of ours: where the repository wants that, it goes back to the agent."""

from bot.intake.triggers import CheckFailed
from bot.pipeline.job import Tools


async def run(errand: CheckFailed, tools: Tools) -> None:
    raise NotImplementedError(errand, tools)
