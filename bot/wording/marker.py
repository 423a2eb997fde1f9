"""The mark by which a comment of ours is found again. No I/O."""

from bot.model import RunId


def marker(run_id: RunId) -> str:
    """Stands in the first line of every comment of a run."""
    return f"<!-- backspace:run={run_id} -->"
