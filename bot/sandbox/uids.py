"""Which unprivileged account a sandbox's processes have on the host.

A host process of root gives each sandbox an account of its own. Two workers on one machine never give the same:
an account is held by a name in the machine's abstract socket space, which is free again when its holder dies.
"""

import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox import SandboxFailed
from bot.sandbox.bwrap_options import SUPERVISOR
from bot.sandbox.limits import Account

# Between the ranges that systemd and the shadow tools hand out: https://systemd.io/UIDS-GIDS/
_FIRST_UID = 1_900_000_000
_COUNT = 10_000
_SWEEPS = 50
_SWEEP_SECONDS = 0.02


def first_uid(uid_map: str) -> int:
    """The first of the accounts, given `/proc/self/uid_map`; a container may know 65,536 users only."""
    extents = [(int(start), int(length)) for start, _, length in (line.split() for line in uid_map.splitlines())]
    if any(start <= _FIRST_UID and start + length >= _FIRST_UID + _COUNT for start, length in extents):
        return _FIRST_UID
    start, length = max(extents, key=lambda extent: extent[1])
    if length <= 2 * _COUNT:
        raise SandboxFailed(
            "uids: this container has too few user ids to give each sandbox its own; "
            "run Backspace as an ordinary user, or map at least 65536 ids into the container"
        )
    return start + length - _COUNT - 10  # the last ones are nobody and its like


@dataclass
class Lease:
    """An account that is ours until `release`."""

    account: Account
    _holder: socket.socket | None = None

    def release(self) -> None:
        if self._holder:
            self._holder.close()


def lease(avoid: frozenset[int]) -> Lease:
    """An account that no living sandbox has, `avoid` left out."""
    if os.geteuid() != 0:
        return Lease(Account(os.geteuid(), os.getegid(), own=False))
    first = first_uid(Path("/proc/self/uid_map").read_text())
    for uid in range(first, first + _COUNT):
        if uid in avoid:
            continue
        if held := hold(Account(uid, uid, own=True)):
            if sweep(held.account):
                return held
            held.release()
    raise SandboxFailed("uids: every account for sandboxes is taken")


def hold(account: Account) -> Lease | None:
    """That very account, or None when another sandbox of this machine has it."""
    if not account.own:
        return Lease(account)
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0backspace.sandbox-account.{account.uid}")
    except OSError:
        holder.close()
        return None
    return Lease(account, holder)


def sweep(account: Account) -> bool:
    """Kill what an earlier holder of the account left, which cannot be much: it dies with its worker.

    False while some of it still counts against the account's limit of processes: the dead do until their parent
    collects them, and a container's first process may never do so.
    """
    if not account.own:
        return True
    for _ in range(_SWEEPS):
        found = _processes(account.uid)
        if not any(found.values()):
            return not found
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_SWEEP_SECONDS)
    return False


def sweep_orphans(bwrap: Path) -> None:
    """Kill the bwrap processes of workers that are gone: those that died in the instant in which bwrap forks."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            ours = words[0] == bytes(bwrap) and bytes(SUPERVISOR) in words
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
            if ours and parent == "1" and os.getpid() != 1:
                os.kill(int(path.name), signal.SIGKILL)
        except OSError:
            continue  # it has just ended, or is another user's


def _processes(uid: int) -> dict[int, bool]:
    """The user's processes; whether each is alive, rather than a zombie."""
    found: dict[int, bool] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "status").read_text()
        except OSError:
            continue  # it has just ended
        fields = dict(line.split(":", 1) for line in text.splitlines())
        if int(fields["Uid"].split()[0]) == uid:
            found[int(path.name)] = fields["State"].split()[0] != "Z"
    return found


def unreachable(path: Path, account: Account) -> Path | None:
    """The first directory on the way to `path` that the account may not pass, if there is one."""
    for directory in reversed(path.parents):
        status = directory.stat()
        if status.st_uid == account.uid:
            passable = status.st_mode & 0o100
        elif status.st_gid == account.gid:
            passable = status.st_mode & 0o010
        else:
            passable = status.st_mode & 0o001
        if not passable:
            return directory
    return None
