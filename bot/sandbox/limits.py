"""The words in front of bwrap: which user, which priority, which limits. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox import Spec

_FILE_BYTES = 2_000_000_000
_OPEN_FILES = 8192
_NICE = 10
_NICE_LOW = 19
# Joins the control groups before the user is changed and before anything forks; `0` is the writer itself.
_JOIN = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'


@dataclass(frozen=True)
class Account:
    """Who the sandbox's processes are on the host."""

    uid: int
    gid: int
    own: bool
    """An account of its own, which only a host process of root can give; else it is the host process's."""


def as_account(account: Account) -> list[str]:
    """For our own file tools, which must work also when the sandbox is at its limits."""
    words = ["nice", "-n", str(_NICE)]
    if account.own:
        words += ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--"]
    return words


def outside(
    account: Account,
    spec: Spec,
    *,
    groups: Sequence[Path] = (),
    open_files: int = _OPEN_FILES,
    low_priority: bool = False,
) -> list[str]:
    """`groups` are the `cgroup.procs` files to join; `open_files` the most that the host process may grant."""
    words: list[str] = []
    if groups:
        words += ["sh", "-c", _JOIN, "sh", *map(str, groups), "--"]
    if account.own:
        words += ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--"]
    words += ["nice", "-n", str(_NICE_LOW if low_priority else _NICE)]
    files = min(_OPEN_FILES, open_files)
    words += [
        "prlimit",
        f"--data={spec.memory_bytes}",
        f"--fsize={min(_FILE_BYTES, spec.disk_bytes)}",
        f"--nofile={files}:{files}",
        "--core=0",
    ]
    if account.own:
        # Counted per host user: an account that is shared would count its owner's own programs too.
        words.append(f"--nproc={spec.processes}")
    return [*words, "--"]


def inside(account: Account, spec: Spec) -> list[str]:
    """In front of the program, in its user namespace: there a shared account's count starts from nothing."""
    return [] if account.own else ["prlimit", f"--nproc={spec.processes}", "--"]
