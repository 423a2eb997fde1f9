"""The options of every bwrap process: what it sees, what it may write, what its environment holds. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bot.sandbox import HOME

EGRESS_PORT = 41280
"""Loopback port inside that leads to /run/egress.sock; every launch has a network namespace of its own."""
MODEL_PORT = 41281
"""Loopback port inside that leads to /run/model.sock, for programs that cannot speak over a Unix socket."""
INSIDE_TOOLS = PurePosixPath("/opt/backspace")
SUPERVISOR = INSIDE_TOOLS / "supervisor.py"
CLAUDE = PurePosixPath("/opt/claude/claude")
MODEL_SOCKET = PurePosixPath("/run/model.sock")
EGRESS_SOCKET = PurePosixPath("/run/egress.sock")

_SHM_BYTES = 64 * 1024**2
_RUN_BYTES = 16 * 1024**2
_TMPFS = ("/dev/shm", "/tmp", "/run")  # noqa: S108 - the sandbox's own, sized
_CARETAKER_CAPABILITIES = ("CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER")
_ISOLATION = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--unshare-net",
    "--die-with-parent",
    "--new-session",
    "--hostname",
    "sandbox",
    "--cap-drop",
    "ALL",
)

ETC_FILES = {
    "passwd": "root:x:0:0::/nonexistent:/usr/sbin/nologin\nagent:x:1000:1000::/home/agent:/bin/bash\n",
    "group": "root:x:0:\nagent:x:1000:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
"""The synthetic /etc: no user of the host is visible inside."""


@dataclass(frozen=True)
class System:
    """The host's read-only part that every sandbox sees."""

    directories: tuple[Path, ...] = (Path("/usr"),)
    links: Mapping[str, str] = field(default_factory=dict)
    """Path to target, for a merged /usr: `/bin` to `usr/bin`."""
    toolchains: tuple[Path, ...] = ()
    """Read-only at the same path inside; their `bin` comes early in PATH."""


@dataclass(frozen=True)
class Ground:
    """The parts of one sandbox that its programs see. Host paths."""

    workspace: Path
    home: Path
    fixtures: Path
    """The directory with `etc/`, `supervisor.py` and `bin/`, seen inside as /opt/backspace."""
    claude: Path | None = None
    broker_socket: Path | None = None
    egress_socket: Path | None = None
    tmp_bytes: int = 1024**3


def _system(system: System) -> list[str]:
    options: list[str] = []
    for directory in system.directories:
        options += ["--ro-bind", str(directory), str(directory)]
    for path, target in system.links.items():
        options += ["--symlink", target, path]
    return options


def program_options(ground: Ground, system: System, *, cwd: PurePosixPath, environment: Mapping[str, str]) -> list[str]:
    """For repository code and the agent: no capability, no network, no further user namespace."""
    etc = ground.fixtures / "etc"
    options = [*_ISOLATION, "--disable-userns", "--uid", "1000", "--gid", "1000", *_system(system)]
    options += ["--dir", "/etc"]
    for name in ETC_FILES:
        options += ["--ro-bind", str(etc / name), f"/etc/{name}"]
    for name in ("ld.so.cache", "ssl", "alternatives", "ca-certificates"):
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    options += ["--ro-bind", str(ground.fixtures), str(INSIDE_TOOLS)]
    if ground.claude:
        options += ["--ro-bind", str(ground.claude), str(CLAUDE)]
    for toolchain in system.toolchains:
        options += ["--ro-bind", str(toolchain), str(toolchain)]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for size, path in zip((_SHM_BYTES, ground.tmp_bytes, _RUN_BYTES), _TMPFS, strict=True):
        options += ["--size", str(size), "--tmpfs", path]
    options += ["--bind", str(ground.home), str(HOME), "--bind", str(ground.workspace), "/workspace"]
    for socket, inside in ((ground.broker_socket, MODEL_SOCKET), (ground.egress_socket, EGRESS_SOCKET)):
        if socket:
            options += ["--bind", str(socket), str(inside)]
    # Otherwise / and /dev are tmpfs without a limit.
    options += ["--remount-ro", "/dev", "--remount-ro", "/", "--clearenv"]
    for name, value in environment.items():
        options += ["--setenv", name, value]
    return [*options, "--chdir", str(cwd)]


def caretaker_options(system: System, *, writable: Mapping[str, Path]) -> list[str]:
    """For our own file tools on files that an agent wrote.

    They run as the sandbox's user and see nothing but those files, so a link leads nowhere; with the
    capabilities over that user's files, a directory of mode 0 hides nothing and can be removed.
    """
    options = [*_ISOLATION, "--uid", "0", "--gid", "0"]
    for capability in _CARETAKER_CAPABILITIES:
        options += ["--cap-add", capability]
    options += _system(system)
    for path, directory in writable.items():
        options += ["--bind", str(directory), path]
    return [*options, "--remount-ro", "/", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]


def environment(system: System, *, egress: bool, extra: Mapping[str, str]) -> dict[str, str]:
    """All that a program inside has; `extra` wins."""
    path = [
        str(HOME / ".local/bin"),
        *(str(toolchain / "bin") for toolchain in system.toolchains),
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        str(INSIDE_TOOLS / "bin"),
    ]
    known = {
        "PATH": ":".join(path),
        "HOME": str(HOME),
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - a sized tmpfs of the sandbox's own
        # The system's packages are read-only here; pip then installs below HOME, which is the sandbox's own.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "npm_config_update_notifier": "false",
    }
    if egress:
        proxy = f"http://127.0.0.1:{EGRESS_PORT}"
        known |= {
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "http_proxy": proxy,
            "https_proxy": proxy,
            # Claude Code applies a proxy to loopback and to its base URL over the Unix socket as well.
            "NO_PROXY": "127.0.0.1,localhost,::1,.invalid",
            "no_proxy": "127.0.0.1,localhost,::1,.invalid",
        }
    return known | dict(extra)


def supervised(
    argv: Sequence[str],
    *,
    python: str,
    forwards: Iterable[tuple[int, PurePosixPath]],
    lifeline_fd: int,
    host_pid_namespace: int,
) -> list[str]:
    """The command inside: the supervisor, which ends everything once `lifeline_fd` says that we are gone."""
    command = [python, "-I", "-S", str(SUPERVISOR), "--lifeline", f"{lifeline_fd}:{host_pid_namespace}"]
    for port, socket in forwards:
        command += ["--forward", f"{port}:{socket}"]
    return [*command, "--", *argv]


def encode(options: Sequence[str]) -> bytes:
    """For `--args FD`: words ended by NUL, so that no value is in an argv."""
    return b"".join(option.encode() + b"\0" for option in options)
