"""A sandbox's directory on the host: made, found and taken apart.

`workspace/` and `home/` are what the sandbox sees and belong to its account. `jobs/` has what its programs
print and is ours alone. `sockets/` has links to the broker's and the gateway's sockets. Nobody but the host
process and that account may pass through the directory.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox import SandboxFailed
from bot.sandbox.installation import check_reachable
from bot.sandbox.limits import Account

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """A key or a program's name becomes a directory's name."""
    if not _NAME.fullmatch(name):
        raise SandboxFailed(f"{name!r} cannot be the name of a sandbox or of a program")
    return name


@dataclass(frozen=True)
class Place:
    """Paths only; the directory may be gone."""

    directory: Path

    @property
    def key(self) -> str:
        return self.directory.name

    @property
    def workspace(self) -> Path:
        return self.directory / "workspace"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def job(self, name: str) -> Path:
        return self.directory / "jobs" / check_name(name)

    def owner(self) -> Account | None:
        """Whose files they are, also after a restart; None while it is half made or half gone."""
        try:
            status = self.workspace.lstat()
        except FileNotFoundError:
            return None
        return Account(status.st_uid, status.st_gid, own=status.st_uid != os.geteuid())

    def make(self, account: Account) -> None:
        self.directory.mkdir(mode=0o700)
        _give(self.directory, 0 if account.own else account.uid, account.gid, 0o710)
        (self.directory / "jobs").mkdir(mode=0o700)
        (self.directory / "sockets").mkdir(mode=0o700)
        _give(self.directory / "sockets", 0 if account.own else account.uid, account.gid, 0o710)
        for path in (self.home, self.workspace / "repo", self.workspace):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _give(path, account.uid, account.gid, 0o700)
        check_reachable(self.workspace, account)

    def socket(self, source: Path | None, name: str, account: Account) -> Path | None:
        """A path of that socket which the account can reach.

        The link's directory is what keeps others out, so the socket itself may be open to all; where its own
        directory is, is its maker's choice.
        """
        if not source or not account.own:
            return source
        link = self.directory / "sockets" / name
        source.chmod(0o666)
        try:
            os.link(source, link)
        except OSError:  # another file system
            check_reachable(source, account)
            return source
        return link

    def remove(self) -> None:
        """What is ours, after the account's own files are gone."""
        for path in (self.directory / "jobs", self.directory / "sockets"):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.workspace, self.home, self.directory):
            if path.exists():
                path.rmdir()


def _give(path: Path, uid: int, gid: int, mode: int) -> None:
    os.chown(path, uid, gid)
    path.chmod(mode)


def places(root: Path) -> Sequence[Place]:
    if not root.is_dir():
        return []
    return [Place(path) for path in sorted(root.iterdir()) if _NAME.fullmatch(path.name) and path.is_dir()]


def make_root(root: Path) -> None:
    if not root.exists():
        root.mkdir(parents=True)
        root.chmod(0o711)
