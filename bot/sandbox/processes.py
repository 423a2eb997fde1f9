"""How one sandbox's processes are started: programs inside, our file tools beside them, and caretakers."""

import asyncio
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bot.sandbox import Spec, bwrap_options, limits
from bot.sandbox.cgroups import Group
from bot.sandbox.contained import Command, Contained
from bot.sandbox.installation import Installation
from bot.sandbox.limits import Account


@dataclass(frozen=True)
class Pipes:
    stdin: int = asyncio.subprocess.DEVNULL
    stdout: int = asyncio.subprocess.DEVNULL
    stderr: int = asyncio.subprocess.PIPE


@dataclass(frozen=True)
class Processes:
    spec: Spec
    ground: bwrap_options.Ground
    account: Account
    group: Group | None
    installation: Installation
    lifeline: int
    """The end of a pipe whose other end only this process holds."""

    async def program(
        self,
        argv: Sequence[str],
        *,
        cwd: PurePosixPath,
        env: Mapping[str, str],
        pipes: Pipes,
        low_priority: bool = False,
    ) -> Contained:
        """Repository code or the agent, under the supervisor."""
        command = bwrap_options.supervised(
            [*limits.inside(self.account, self.spec), *argv],
            python=self.installation.python,
            forwards=self._forwards(),
            lifeline_fd=self.lifeline,
            host_pid_namespace=self.installation.pid_namespace,
        )
        return await self._start(
            command, cwd=cwd, env=env, pipes=pipes, low_priority=low_priority, passed=[self.lifeline]
        )

    async def tool(self, argv: Sequence[str], pipes: Pipes) -> Contained:
        """Our own file tools, seeing what a program inside sees."""
        return await self._start(argv, cwd=PurePosixPath("/"), env={}, pipes=pipes)

    async def caretaker(self, argv: Sequence[str], pipes: Pipes) -> Contained:
        """Our own file tools, for all files of the sandbox, which are below /files."""
        binds = {"/files/workspace": self.ground.workspace, "/files/home": self.ground.home}
        return await start_caretaker(self.installation, self.account, binds, argv, pipes)

    async def _start(
        self,
        argv: Sequence[str],
        *,
        cwd: PurePosixPath,
        env: Mapping[str, str],
        pipes: Pipes,
        low_priority: bool = False,
        passed: Sequence[int] = (),
    ) -> Contained:
        system = self.installation.system
        environment = bwrap_options.environment(system, egress=self.ground.egress_socket is not None, extra=env)
        options = bwrap_options.program_options(self.ground, system, cwd=cwd, environment=environment)
        before = limits.outside(
            self.account,
            self.spec,
            groups=self.group.joins if self.group else (),
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            low_priority=low_priority,
        )
        command = Command(before, self.installation.bwrap, options, argv, passed)
        return await Contained.start(command, stdin=pipes.stdin, stdout=pipes.stdout, stderr=pipes.stderr)

    def _forwards(self) -> Sequence[tuple[int, PurePosixPath]]:
        found: list[tuple[int, PurePosixPath]] = []
        if self.ground.broker_socket:
            found.append((bwrap_options.MODEL_PORT, bwrap_options.MODEL_SOCKET))
        if self.ground.egress_socket:
            found.append((bwrap_options.EGRESS_PORT, bwrap_options.EGRESS_SOCKET))
        return found


async def start_caretaker(
    installation: Installation, account: Account, binds: Mapping[str, Path], argv: Sequence[str], pipes: Pipes
) -> Contained:
    options = bwrap_options.caretaker_options(installation.system, writable=binds)
    command = Command(limits.as_account(account), installation.bwrap, options, argv)
    return await Contained.start(command, stdin=pipes.stdin, stdout=pipes.stdout, stderr=pipes.stderr)
