"""The machine in general words, so that a number is never read without it."""

import os
import platform
from pathlib import Path


def description() -> str:
    total, free = _memory_gib()
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {total:.0f} GiB memory ({free:.0f} free), "
        f"{_distribution()}, Python {platform.python_version()}; load at the start {load:.1f}"
    )


def _memory_gib() -> tuple[float, float]:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) / 2**20 for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]  # two names, two numbers


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
