"""The snapshot that every sandbox on Daytona starts from: what is in it, how large, and its name. No I/O."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

CLAUDE_VERSION = "2.1.330"
"""The version of the Claude Code program that the extra `agent` ships, so that both backends run the same one."""


@dataclass(frozen=True)
class Definition:
    """`steps` are instructions of a Dockerfile after `FROM base`."""

    base: str
    steps: Sequence[str]
    cpu: int
    memory_gib: int
    disk_gib: int

    @property
    def dockerfile(self) -> str:
        return "\n".join([f"FROM {self.base}", *self.steps, ""])

    @property
    def name(self) -> str:
        """Follows from all the rest: another definition is another snapshot, and the same one is built once."""
        whole = json.dumps([self.dockerfile, self.cpu, self.memory_gib, self.disk_gib])
        return f"backspace-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


# Debian 13 with Node.js 22, and with what the full image has besides: git, curl, gcc, g++, make, Python 3.13, Perl.
_BASE = "node:22-trixie"
_PACKAGES = (
    *("bash", "ca-certificates", "coreutils", "curl", "diffutils", "file", "findutils", "git", "git-lfs", "jq", "less"),
    *("patch", "procps", "ripgrep", "rsync", "tar", "tree", "unzip", "util-linux", "xz-utils", "zip"),
    *("build-essential", "cmake", "ninja-build", "pkg-config"),
    *("python3", "python3-dev", "python3-pip", "python3-venv", "pipx"),
    *("golang-go", "default-jdk-headless", "maven", "ruby-full", "php-cli", "composer", "cargo", "rustc"),
    *("sqlite3", "libpq-dev", "libssl-dev", "libffi-dev"),
)

# bot.agent.command starts it by this path, on every backend.
_CLAUDE = (
    f"npm install -g @anthropic-ai/claude-code@{CLAUDE_VERSION}",
    "mkdir -p /opt/claude",
    'ln -s "$(command -v claude)" /opt/claude/claude',
    f"/opt/claude/claude --version | grep -F '{CLAUDE_VERSION}'",
)
# The base image has a user of number 1000 already.
_USER = (
    "userdel --remove node",
    "groupadd --gid 1000 agent",
    "useradd --uid 1000 --gid 1000 --create-home --home-dir /home/agent --shell /bin/bash agent",
    "mkdir -p /workspace/repo /workspace/.backspace",
    "chown -R agent:agent /workspace",
)


def _run(*commands: str) -> str:
    return f"RUN {' && '.join(commands)}"


DEFINITION = Definition(
    base=_BASE,
    steps=(
        "USER root",
        "ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8",
        _run(
            "apt-get update",
            f"apt-get install -y --no-install-recommends {' '.join(_PACKAGES)}",
            "rm -rf /var/lib/apt/lists/*",
        ),
        _run("ln -sf /usr/bin/python3 /usr/local/bin/python", "npm install -g pnpm@10"),
        _run(*_CLAUDE),
        _run(*_USER),
        "USER agent",
        # pip as this user installs below its home, although the distribution would rather not have it.
        "ENV HOME=/home/agent PATH=/home/agent/.local/bin:$PATH PIP_BREAK_SYSTEM_PACKAGES=1",
        "ENV DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
        "WORKDIR /workspace",
        'ENTRYPOINT ["sleep", "infinity"]',
    ),
    cpu=2,
    memory_gib=4,
    disk_gib=10,
)
