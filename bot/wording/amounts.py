"""Money, durations and counts as people read them. No I/O."""

_MINUTE_SECONDS = 60
_HOUR_SECONDS = 3600


def money(usd: float) -> str:
    """`$0.84`; what is more than nothing never looks like nothing."""
    return "under $0.01" if 0 < usd < 0.005 else f"${usd:,.2f}"


def used(cost_usd: float, budget_usd: float | None) -> str:
    """`used $0.84 of $3.00`."""
    return f"used {money(cost_usd)}" + (f" of {money(budget_usd)}" if budget_usd is not None else "")


def duration(seconds: float) -> str:
    """`45s`, `2m 14s`, `1h 05m`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE_SECONDS:
        return f"{whole}s"
    if whole < _HOUR_SECONDS:
        return f"{whole // _MINUTE_SECONDS}m {whole % _MINUTE_SECONDS:02d}s"
    return f"{whole // _HOUR_SECONDS}h {whole % _HOUR_SECONDS // _MINUTE_SECONDS:02d}m"


def changes(files: int, additions: int, deletions: int) -> str:
    """`3 files changed, +12 −4`."""
    return f"{count(files, 'file')} changed, +{additions:,} −{deletions:,}"


def count(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
