"""Memory and process limits by control group, where this process may make one: version 1 or 2.

Without them a sandbox has its rlimits and the watchdog only.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "backspace-"
# bwrap's own two processes, the supervisor and what takes care of the files count as well.
_OVERHEAD_PROCESSES = 16
_REMOVE_SECONDS = 2.0


@dataclass(frozen=True)
class Hierarchies:
    """The directories of our own groups: under version 2 both are the same."""

    version: int
    memory: Path
    pids: Path


def own_hierarchies(own: str, mounts: str) -> Hierarchies | None:
    """Read from `/proc/self/cgroup` and `/proc/self/mounts`; None when a controller is not mounted."""
    mounted: dict[str, Path] = {}
    for line in mounts.splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            mounted[""] = Path(point)
        elif kind == "cgroup":
            mounted |= {option: Path(point) for option in options.split(",")}
    groups: dict[str, Path] = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if controller in mounted:
                groups[controller] = mounted[controller] / path.lstrip("/")
    if "memory" in groups and "pids" in groups:
        return Hierarchies(1, groups["memory"], groups["pids"])
    if "" in groups:
        return Hierarchies(2, groups[""], groups[""])
    return None


@dataclass(frozen=True)
class Group:
    """One sandbox's control groups."""

    version: int
    memory: Path
    pids: Path

    @property
    def joins(self) -> Sequence[Path]:
        """The files to which a process writes `0` to belong to it."""
        return [path / "cgroup.procs" for path in dict.fromkeys((self.memory, self.pids))]

    def memory_kills(self) -> int:
        """How often the memory limit has killed a process."""
        counts = self.memory / ("memory.oom_control" if self.version == 1 else "memory.events")
        for line in counts.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0

    def remove(self) -> None:
        """Best effort, after its last process is gone: an empty group costs nothing."""
        for path in dict.fromkeys((self.memory, self.pids)):
            deadline = time.monotonic() + _REMOVE_SECONDS
            while path.exists():
                try:
                    path.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.01)


def _write(path: Path, value: int | str) -> None:
    path.write_text(str(value))


def make(name: str, *, memory_bytes: int, processes: int) -> Group | None:
    """A new group below our own, or None where this process may not make one."""
    hierarchies = own_hierarchies(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mounts").read_text())
    if not hierarchies:
        return None
    full_name = f"{_PREFIX}{os.getpid()}-{name}"
    group = Group(hierarchies.version, hierarchies.memory / full_name, hierarchies.pids / full_name)
    try:
        if group.version == 2:
            _write(hierarchies.memory / "cgroup.subtree_control", "+memory +pids")
        for path in dict.fromkeys((group.memory, group.pids)):
            path.mkdir(exist_ok=True)
        if group.version == 1:
            _write(group.memory / "memory.limit_in_bytes", memory_bytes)
            with contextlib.suppress(OSError):  # absent without swap accounting
                _write(group.memory / "memory.memsw.limit_in_bytes", memory_bytes)
        else:
            _write(group.memory / "memory.max", memory_bytes)
            with contextlib.suppress(OSError):
                _write(group.memory / "memory.swap.max", 0)
            _write(group.memory / "memory.oom.group", 0)
        _write(group.pids / "pids.max", processes + _OVERHEAD_PROCESSES)
    except OSError:
        group.remove()
        return None
    return group


def sweep() -> None:
    """Remove the empty groups of workers that are gone."""
    hierarchies = own_hierarchies(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mounts").read_text())
    if not hierarchies:
        return
    for parent in {hierarchies.memory, hierarchies.pids}:
        for path in parent.glob(f"{_PREFIX}*"):
            pid = path.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdigit() and not Path("/proc", pid).exists():
                with contextlib.suppress(OSError):
                    path.rmdir()
