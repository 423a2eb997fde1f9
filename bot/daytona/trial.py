"""A sandbox on Daytona that is made only to try everything a run needs of one, and deleted again."""

import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from bot.daytona import network
from bot.daytona.cloud import Cloud, Found
from bot.daytona.failures import DaytonaFailed, PolicyRefused
from bot.daytona.jobs import OURS, PYTHON
from bot.daytona.prices import SOURCE, usd, usd_per_hour
from bot.diagnosis import Diagnosis, Verdict, ok, warning, wrong
from bot.sandbox import REPO, SandboxFailed, SandboxLost
from bot.sandbox.bwrap_options import CLAUDE

KEY_PREFIX = "doctor-"
_TTL_MINUTES = 15
"""Then Daytona takes the sandbox away should this process be killed."""
_TTL_TOLERANCE = timedelta(minutes=5)
_CALL_SECONDS = 25.0
_PROBE = OURS / "probe.py"
_SAMPLE = OURS / "trial"
_CONTENT = bytes(range(256)) * 64
_OFFSET, _LENGTH = 5000, 3000
_PROGRAMS = ("python3", "git", "bash", "tar", "gzip", "head", "tail", "base64", "stat")
_LOOK_AROUND = f"""echo "uid $(id -u)"
for program in {" ".join(_PROGRAMS)}; do
  command -v "$program" >/dev/null || echo "missing $program"; done
for folder in {REPO} {OURS}; do
  mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] || echo "missing $folder, writable"; done
echo "claude $({CLAUDE} --version 2>&1 | head -n 1)"
"""
_REBUILD = "Run `backspace daytona snapshot`, which builds the default one; or put it into yours."
_REMEDIES = {
    "daytona-key-refused": "Set DAYTONA_API_KEY to a key that may write sandboxes and read snapshots.",
    "daytona-unanswered": "See whether this machine reaches DAYTONA_API_URL and what Daytona's status page says.",
    "daytona-quota": "End other sandboxes of the organization, or raise its tier.",
    "daytona-snapshot-unusable": "Run `backspace daytona snapshot`, which builds or wakes it.",
    "daytona-no-ttl": "Use Daytona's cloud; a server that knows no `ttlMinutes` cannot be used.",
    "daytona-ceiling": "Wait until runs have ended, or raise BACKSPACE_DAYTONA_MAX_SANDBOXES.",
    "daytona-too-many-hosts": "Name fewer hosts.",
}
_OTHERWISE = "Try again; if it stays so, ask Daytona with these words."


@dataclass
class Trial:
    """Tells `say` of each step, and never raises but for being cancelled."""

    cloud: Cloud
    snapshot: str
    broker_url: str
    hosts: Sequence[str]
    """What sandboxes of every run may reach besides the broker."""
    accept_open_network: bool
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    say: Callable[[Diagnosis], None]

    async def look(self) -> bool:
        """Whether a sandbox can be tried; makes none."""
        return await self._step("daytona-snapshot", self._look_for_snapshot)

    async def attempt(self, key: str) -> None:
        """`key`: the name of the sandbox, which begins with KEY_PREFIX."""
        begun = self.monotonic()
        try:
            if await self._step("daytona-create", lambda: self._create(key)):
                await self._use(key)
        finally:
            if self._made:
                await self._end(key, self._made, begun)

    def __post_init__(self) -> None:
        self._made: Found | None = None
        self._names: list[str] = []

    async def _use(self, key: str) -> None:
        steps = {
            "daytona-exec": self._look_around,
            "daytona-upload": self._upload,
            "daytona-read": self._read,
            "daytona-network": self._try_network,
        }
        for code, step in steps.items():
            if not await self._step(code, partial(step, key)):
                return

    async def _step(self, code: str, work: Callable[[], Awaitable[Diagnosis]]) -> bool:
        """Whether to go on with the next one."""
        begun = self.monotonic()
        try:
            found = await work()
        except (SandboxFailed, SandboxLost) as error:
            known: str = getattr(error, "code", DaytonaFailed.code)
            found = wrong(
                code if known == DaytonaFailed.code else known,
                f"{code} failed: {error}",
                _REMEDIES.get(known, _OTHERWISE),
            )
        self.say(replace(found, seconds=self.monotonic() - begun))
        return found.verdict is not Verdict.WRONG

    # The steps

    async def _look_for_snapshot(self) -> Diagnosis:
        found = await self.cloud.snapshots.find(self.snapshot)
        if found is None or found.state in ("error", "build_failed"):
            return wrong(
                "daytona-snapshot-missing",
                f"the key is good, but Daytona has no snapshot {self.snapshot}",
                "Run `backspace daytona snapshot`, which builds it, or mend BACKSPACE_DAYTONA_SNAPSHOT.",
            )
        if found.state != "active":
            return warning(
                "daytona-snapshot-asleep",
                f"the snapshot {self.snapshot} is {found.state}; the next sandbox waits until it is active",
                "Run `backspace daytona snapshot`, which waits for it.",
            )
        return ok("daytona-snapshot", f"the key is good, and the snapshot {self.snapshot} is active")

    async def _create(self, key: str) -> Diagnosis:
        self._names = network.allowed(self.broker_url, self.hosts)
        try:
            found = await self._ask_for(key, self._names)
        except PolicyRefused:
            found = await self._ask_for(key, None)
            return warning(
                "daytona-policy-refused",
                "Daytona takes no list of the names that a sandbox may reach: the organization's tier is 1 or 2",
                "Raise it to 3 or higher for sandboxes with a closed network that reach Backspace.",
            )
        left = _time_left(found, self.clock())
        if left is None or abs(left - timedelta(minutes=_TTL_MINUTES)) > _TTL_TOLERANCE:
            return warning(
                "daytona-ttl",
                f"Daytona destroys the sandbox at {found.destroyed_at}, and should in {_TTL_MINUTES} minutes",
                "Set this machine's clock; if it is right, ask Daytona: what is left behind is paid for till then.",
            )
        size = f"{found.cpu:g} vCPU, {found.memory_gib:g} GiB of memory, {found.disk_gib:g} GiB of disk"
        return ok("daytona-create", f"a sandbox with {size}; Daytona destroys it at {found.destroyed_at} at the latest")

    async def _ask_for(self, key: str, hosts: Sequence[str] | None) -> Found:
        self._made = await self.cloud.create(
            key, run=key, snapshot=self.snapshot, ttl_minutes=_TTL_MINUTES, hosts=hosts
        )
        return self._made

    async def _look_around(self, key: str) -> Diagnosis:
        _, said = await self.cloud.execute(
            key, f"sh -c {shlex.quote(_LOOK_AROUND)} </dev/null", timeout_seconds=_CALL_SECONDS
        )
        lines = [line.partition(" ")[::2] for line in said.splitlines()]
        missing = [rest for first, rest in lines if first == "missing"]
        claude = next((rest for first, rest in lines if first == "claude"), "")
        if not claude[:1].isdigit():
            missing.append(f"the Claude Code program as {CLAUDE}")
        if missing:
            return wrong("daytona-contents", f"the snapshot lacks {', '.join(missing)}", _REBUILD)
        if ("uid", "0") in lines:
            return warning("daytona-root", "programs in the sandbox run as root", "Give the snapshot a USER `agent`.")
        return ok("daytona-exec", f"commands run, and what runs need is there: {claude}")

    async def _upload(self, key: str) -> Diagnosis:
        probe = Path(__file__).with_name("probe.py")
        await self.cloud.upload(key, {_SAMPLE: _CONTENT, _PROBE: probe})
        return ok("daytona-upload", "files get in")

    async def _read(self, key: str) -> Diagnosis:
        part = await self.cloud.download(key, _SAMPLE, offset=_OFFSET, limit_bytes=_LENGTH)
        behind = await self.cloud.download(key, _SAMPLE, offset=len(_CONTENT), limit_bytes=_LENGTH)
        if part != _CONTENT[_OFFSET : _OFFSET + _LENGTH] or behind != b"":
            return wrong("daytona-read", "a part of a file comes back other than it was sent", _OTHERWISE)
        if not self.cloud.heeds_ranges:
            return warning(
                "daytona-range-ignored",
                "Daytona does not heed Range when a file is read, so commands in the sandbox read it instead: slower",
                "Nothing to do; tell Daytona if you like.",
            )
        return ok("daytona-read", "files are read from where one left off, for Daytona heeds Range")

    async def _try_network(self, key: str) -> Diagnosis:
        command = network.command(PYTHON, _PROBE, self.broker_url, self._names)
        found = network.read(*await self.cloud.execute(key, command, timeout_seconds=_CALL_SECONDS))
        if found.broker:
            return wrong(
                "broker-unreachable",
                f"the sandbox cannot reach Backspace at {self.broker_url}, so no agent would have a model "
                f"({found.broker})",
                "Make BACKSPACE_PUBLIC_URL an address that Daytona reaches, in front of this server; on tiers 1 and 2 "
                "there is none.",
            )
        if not found.closed:
            accepted = "and are begun all the same" if self.accept_open_network else "and are refused"
            return warning(
                "sandbox-network-open",
                f"the sandbox reaches {', '.join(found.reached)}: code in it could send a repository anywhere. "
                f"Runs on private repositories see that {accepted}",
                "Raise the organization's tier to 3 or higher"
                + ("." if self.accept_open_network else ", or set BACKSPACE_DAYTONA_ACCEPT_OPEN_NETWORK=true."),
            )
        return ok(
            "daytona-network", f"the sandbox reaches Backspace at {self.broker_url}, and nothing that it should not"
        )

    # The end

    async def _end(self, key: str, made: Found, begun: float) -> None:
        if not await self._step("daytona-delete", lambda: self._delete(key)):
            return
        per_hour = usd_per_hour(cpu=made.cpu, memory_gib=made.memory_gib, disk_gib=made.disk_gib)
        paid = usd(seconds=self.monotonic() - begun, per_hour=per_hour)
        self.say(
            ok("daytona-price", f"this trial cost about ${paid:.4f}, and an hour costs ${per_hour:.2f}, by {SOURCE}")
        )
        await self._step("daytona-list", self._look_for_rest)

    async def _delete(self, key: str) -> Diagnosis:
        try:
            await self.cloud.delete(key)
        except SandboxFailed as error:
            return wrong(
                "daytona-delete",
                f"the sandbox {self.cloud.name(key)} could not be deleted: {error}",
                "Delete it in Daytona's dashboard; else Daytona destroys it in a quarter of an hour.",
            )
        return ok("daytona-delete", "the sandbox is deleted")

    async def _look_for_rest(self) -> Diagnosis:
        owned = await self.cloud.owned()
        trials = [found.name for found in owned if found.key.startswith(KEY_PREFIX)]
        if trials:
            return wrong(
                "daytona-list",
                f"Daytona still lists {', '.join(trials)}",
                "Look again in some minutes; what is there still, delete in Daytona's dashboard.",
            )
        return ok("daytona-list", f"nothing of a trial is left; of runs, {len(owned)} sandbox(es)")


def _time_left(found: Found, now: datetime) -> timedelta | None:
    try:
        return datetime.fromisoformat(found.destroyed_at) - now
    except (ValueError, TypeError):
        return None
