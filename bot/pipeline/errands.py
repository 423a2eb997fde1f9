"""What a delivery asks for besides a run, carried out beside the runs; each is safe to carry out twice."""

from bot.intake.triggers import (
    CheckFailed,
    Command,
    Errand,
    Further,
    InstallationGone,
    Installed,
    Labelled,
    PullEnded,
)
from bot.pipeline import commands, failed_checks, installations, labelled, steering
from bot.pipeline.job import Tools
from bot.runs.records import PullState


async def run(errand: Errand, tools: Tools) -> None:
    match errand:
        case Command():
            await commands.run(errand, tools)
        case Further():
            await steering.run(errand, tools)
        case Labelled():
            await labelled.run(errand, tools)
        case Installed():
            await installations.installed(errand, tools)
        case InstallationGone():
            await installations.gone(errand, tools)
        case PullEnded():
            await tools.store.pull_ended(errand.repo_id, errand.number, _state(errand))
        case CheckFailed():
            await failed_checks.run(errand, tools)


def _state(errand: PullEnded) -> PullState:
    if errand.reopened:
        return PullState.OPEN
    return PullState.MERGED if errand.merged else PullState.CLOSED
