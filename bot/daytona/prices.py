"""What sandboxes on Daytona cost, by their size. No I/O."""

SOURCE = "the prices that Daytona published in May 2026"
"""As reported by others; Daytona's own bill is what counts."""

_USD_PER_VCPU_HOUR = 0.0504
_USD_PER_MEMORY_GIB_HOUR = 0.0162
_USD_PER_DISK_GIB_HOUR = 0.000108
_FREE_DISK_GIB = 5.0
_HOUR_SECONDS = 3600.0


def usd_per_hour(*, cpu: float, memory_gib: float, disk_gib: float) -> float:
    """While it runs; one that is stopped costs its disk only."""
    disk = max(0.0, disk_gib - _FREE_DISK_GIB)
    return cpu * _USD_PER_VCPU_HOUR + memory_gib * _USD_PER_MEMORY_GIB_HOUR + disk * _USD_PER_DISK_GIB_HOUR


def usd(*, seconds: float, per_hour: float) -> float:
    return seconds / _HOUR_SECONDS * per_hour
