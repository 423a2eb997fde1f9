"""git on the host: one process with a listed environment, a deadline and no configuration but ours."""

import asyncio
import base64
import os
import re
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bot.github.failures import (
    CheckoutFailed,
    GitTimedOut,
    GitUnavailable,
    RepositoryUnreachable,
)

_PATH = "/usr/local/bin:/usr/bin:/bin"
_LOCAL_TIMEOUT_SECONDS = 120
_NETWORK_TIMEOUT_SECONDS = 600
_OUTPUT_LIMIT_BYTES = 64 * 1024**2
_STDERR_LIMIT_BYTES = 64 * 1024
_WATCH_SECONDS = 0.25

_HARDENING = (
    ("protocol.allow", "never"),
    ("credential.helper", ""),
    ("core.askPass", ""),
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", os.devnull),
    ("core.excludesFile", os.devnull),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    # A transfer that stands still is given up long before the deadline.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
)
_UNREACHABLE = re.compile(
    r"repository .*not found|does not appear to be a git repository|authentication failed|could not read username"
    r"|returned error: 40[134]|access denied|not accessible|repository access blocked",
    re.IGNORECASE,
)
_UNAVAILABLE = re.compile(
    r"could not resolve host|failed to connect|couldn't connect|connection (reset|refused|timed out)|timed out"
    r"|rpc failed|early eof|unexpected disconnect|remote end hung up|returned error: (5\d\d|429)|operation too slow"
    r"|empty reply|expected flush",
    re.IGNORECASE,
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)


@dataclass(frozen=True)
class Remote:
    """A repository elsewhere: an http(s) URL with a token, or a path on this machine without one."""

    url: str
    token: str | None = field(default=None, repr=False)

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme or "file"

    def settings(self) -> tuple[tuple[str, str], ...]:
        """git settings of the one process that talks to it; the token goes nowhere else."""
        allowed = ((f"protocol.{self.scheme}.allow", "always"),)
        if self.token is None:
            return allowed
        parts = urlsplit(self.url)
        return (*allowed, (f"http.{parts.scheme}://{parts.netloc}/.extraheader", f"Authorization: {self._basic()}"))

    def redact(self, text: str) -> str:
        """git's words without the token and without the addresses that it repeats."""
        for secret in (self.token, self._basic().partition(" ")[2] if self.token else None):
            if secret:
                text = text.replace(secret, "***")
        return _URL.sub("<remote>", text.replace(self.url, "<remote>"))

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"x-access-token:{self.token}".encode()).decode()


@dataclass(frozen=True)
class Output:
    exit_code: int
    stdout: bytes
    complete: bool
    """False: there was more than the limit, and git was ended there."""
    stderr: str


class GitRefused(CheckoutFailed):
    """git ended with an error."""

    def __init__(self, command: str, output: Output) -> None:
        super().__init__(f"git {command}: exit code {output.exit_code}: {output.stderr.strip()}")
        self.output = output


class Git:
    def __init__(self, *, home: Path, path: str = _PATH, extra_env: Mapping[str, str] | None = None) -> None:
        """`extra_env`: what git needs on this host to reach the network, such as HTTPS_PROXY or GIT_SSL_CAINFO."""
        self._environment = {
            **(extra_env or {}),
            "PATH": path,
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
        }

    async def run(
        self,
        *argv: str,
        repository: Path | None = None,
        worktree: Path | None = None,
        remote: Remote | None = None,
        settings: tuple[tuple[str, str], ...] = (),
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limit_bytes: int = _OUTPUT_LIMIT_BYTES,
        allowed: tuple[int, ...] = (0,),
        watch: Callable[[], None] | None = None,
    ) -> Output:
        """Raises GitRefused unless the exit code is `allowed`; with a `remote`, the failure that its words tell.

        `watch` is called from time to time while git runs; what it raises ends git.
        """
        output = await self._start(
            ["git", *argv],
            environment={
                **self._environment,
                **_configuration((*_HARDENING, *settings, *(remote.settings() if remote else ()))),
                **({"GIT_DIR": str(repository)} if repository else {}),
                **({"GIT_WORK_TREE": str(worktree)} if worktree else {}),
                **(env or {}),
            },
            # Never where we happen to stand: git would read the configuration of a repository there.
            cwd=worktree or repository or Path("/"),
            stdin=stdin,
            limit_bytes=limit_bytes,
            timeout_seconds=_NETWORK_TIMEOUT_SECONDS if remote else _LOCAL_TIMEOUT_SECONDS,
            watch=watch,
        )
        if output.exit_code in allowed or not output.complete:
            return output
        stderr = output.stderr
        for place, name in ((worktree, "<tree>"), (repository, "<repository>")):
            stderr = stderr.replace(str(place), name) if place else stderr
        stderr = remote.redact(stderr) if remote else stderr
        failure = GitRefused(argv[0], Output(output.exit_code, b"", True, stderr))  # noqa: FBT003  a dataclass field
        if remote and _UNREACHABLE.search(stderr):
            raise RepositoryUnreachable(str(failure))
        if remote and _UNAVAILABLE.search(stderr):
            raise GitUnavailable(str(failure))
        raise failure

    async def _start(
        self,
        argv: list[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        stdin: bytes,
        limit_bytes: int,
        timeout_seconds: float,
        watch: Callable[[], None] | None,
    ) -> Output:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=environment,
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        work = asyncio.ensure_future(_converse(process, stdin, limit_bytes))
        try:
            async with asyncio.timeout(timeout_seconds):
                while not work.done():
                    await asyncio.wait({work}, timeout=_WATCH_SECONDS if watch else None)
                    if watch:
                        watch()
                return await work
        except TimeoutError as exc:
            raise GitTimedOut(f"git {argv[1]} did not end within {timeout_seconds:.0f} s") from exc
        finally:
            # Its children (the transport, the unpacking) are in its group and go with it.
            _kill_group(process)
            await asyncio.shield(_reap(process, work))


async def _converse(process: asyncio.subprocess.Process, stdin: bytes, limit_bytes: int) -> Output:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    feeding = asyncio.create_task(_feed(process.stdin, stdin))
    complaining = asyncio.create_task(_read(process.stderr, _STDERR_LIMIT_BYTES))
    stdout, complete = await _read(process.stdout, limit_bytes)
    if not complete:
        _kill_group(process)
    stderr, _ = await complaining
    await feeding
    return Output(await process.wait(), stdout, complete, stderr.decode(errors="replace"))


async def _feed(pipe: asyncio.StreamWriter, content: bytes) -> None:
    # git may end without wanting all of it; its exit code tells why.
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(content)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()


async def _read(pipe: asyncio.StreamReader, limit_bytes: int) -> tuple[bytes, bool]:
    """What came up to the limit, and whether that is all."""
    content = bytearray()
    while chunk := await pipe.read(65536):
        content += chunk
        if len(content) > limit_bytes:
            return bytes(content[:limit_bytes]), False
    return bytes(content), True


def _kill_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended in this moment
            os.killpg(process.pid, signal.SIGKILL)


async def _reap(process: asyncio.subprocess.Process, work: "asyncio.Future[Output]") -> None:
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
    await process.wait()


def _configuration(settings: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT"""
    named = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (key, value) in enumerate(settings):
        named[f"GIT_CONFIG_KEY_{index}"] = key
        named[f"GIT_CONFIG_VALUE_{index}"] = value
    return named
