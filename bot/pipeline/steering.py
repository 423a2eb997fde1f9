"""More words for a run that is at work: stored for it, given to its agent, and said so where they were said."""

from bot.intake.triggers import Further
from bot.model import RunId
from bot.pipeline.job import Tools
from bot.runs.lifecycle import NewRun


async def run(errand: Further, tools: Tools) -> None:
    """Keep the words for the run at work on the thread; without one they are a run of their own."""
    await tools.store.steer(NewRun(RunId(tools.new_id()), errand.request, errand.intent), tools.clock())
