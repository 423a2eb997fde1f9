"""Which package registries this host's own package managers use, found by asking them.

A company's mirror is found as they find it: in their configuration, which nobody has to repeat for us. Credentials
in a mirror's URL stay here: a sandbox gets the URL without them.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import TypeAdapter, ValidationError

from bot.sandbox import pip_output
from bot.sandbox.allow import WEB_PORTS, Allow, Rule, normal_host, rules

_ASK_SECONDS = 60.0
_MAX_AGE = timedelta(hours=24)
_RETRY_AGE = timedelta(minutes=5)
# Small, old and on every mirror; only the address that it would be fetched from is of interest.
_PIP_PROBE = "six"
_NPM_PROBE = "is-number"
_VISIBLE_INSIDE = ("/etc/ssl/", "/usr/")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_PASSED_ENVIRONMENT = (
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "LANG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
_PASSED_PREFIXES = ("PIP_", "npm_config_", "NPM_CONFIG_")


@dataclass(frozen=True)
class Registries:
    """URLs without credentials; file and loopback URLs are left out."""

    pip_index: str = ""
    pip_extra: tuple[str, ...] = ()
    npm: str = ""
    files: tuple[str, ...] = ()
    """Where packages themselves come from, when that is another host: URLs without a path."""
    cert: str = ""
    """The bundle of certificate authorities that pip was told to use."""
    found_at: datetime | None = None
    """None: nobody was asked yet."""


_codec = TypeAdapter(Registries)


def without_credentials(url: str) -> str:
    """Empty for what a sandbox cannot reach over the network anyway."""
    parts = urlsplit(url)
    host = normal_host(parts.hostname or "")
    if parts.scheme not in ("http", "https") or not host or host in _LOCAL_NAMES:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def allow_list(
    registries: Registries, settings: Iterable[str], repo: Iterable[str] = (), private: Iterable[str] = ()
) -> Allow:
    """What one run may reach: the registries, `settings` and the repository's `network.allow`.

    The registries may have a private address, as a company's mirror does: the host's own package managers fetch from
    there. So may the hosts in `private`, which come from settings. What a repository names may not.
    """
    urls = (registries.pip_index, *registries.pip_extra, registries.npm, *registries.files)
    found = [_rule(url) for url in urls if url]
    trusted = {normal_host(host) for host in private} | {rule.host for rule in found}
    return Allow((*found, *rules(settings), *rules(repo)), frozenset(trusted - {""}))


def _rule(url: str) -> Rule:
    parts = urlsplit(url)
    return Rule(normal_host(parts.hostname or ""), ports=WEB_PORTS | ({parts.port} if parts.port else set()))


def client_env(registries: Registries) -> dict[str, str]:
    """What package managers inside need to use the same registries. No credential is among it."""
    found = {
        "PIP_INDEX_URL": registries.pip_index,
        "UV_DEFAULT_INDEX": registries.pip_index,
        "PIP_EXTRA_INDEX_URL": " ".join(registries.pip_extra),
        "npm_config_registry": registries.npm,
    }
    if registries.cert.startswith(_VISIBLE_INSIDE):
        found |= dict.fromkeys(
            ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), registries.cert
        )
    return {name: value for name, value in found.items() if value}


class RegistryFinder:
    """Asks in the background and keeps the answer on disk, so that a run never waits for a second asking."""

    def __init__(self, *, cache: Path, environment: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        """`environment` is the host process's own; only the package managers' part of it is passed on."""
        self._cache = cache
        self._clock = clock
        self._environment = {
            name: value
            for name, value in environment.items()
            if name in _PASSED_ENVIRONMENT or name.startswith(_PASSED_PREFIXES)
        } | {"PATH": environment.get("PATH", "/usr/local/bin:/usr/bin:/bin")}
        self._known = self._load()
        self._asking = asyncio.Lock()

    def known(self) -> Registries:
        """What was found last; empty when nobody was asked yet."""
        return self._known

    async def ready(self) -> Registries:
        """What is known, waiting for the first asking where there was none."""
        return self._known if self._known.found_at else await self.refresh()

    async def refresh(self) -> Registries:
        """Ask now, unless what is known is fresh. What could not be found out is left empty, and asked again soon."""
        async with self._asking:
            if self._fresh():
                return self._known
            pip, npm = await asyncio.gather(self._ask_pip(), self._ask_npm())
            self._known = Registries(
                pip_index=without_credentials(pip.index_url),
                pip_extra=tuple(url for extra in pip.extra_index_urls if (url := without_credentials(extra))),
                npm=without_credentials(npm.registry),
                files=tuple(sorted(_origins((*pip.files, *npm.files)))),
                cert=pip.cert,
                found_at=self._clock(),
            )
            self._store()
            return self._known

    def _fresh(self) -> bool:
        if not self._known.found_at:
            return False
        age = self._clock() - self._known.found_at
        return age < (_MAX_AGE if self._known.files else _RETRY_AGE)

    def _load(self) -> Registries:
        try:
            return _codec.validate_json(self._cache.read_bytes())
        except (OSError, ValidationError):
            return Registries()

    def _store(self) -> None:
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._cache.with_name(f"{self._cache.name}.new")
        fresh.write_bytes(_codec.dump_json(self._known))
        fresh.rename(self._cache)

    async def _ask_pip(self) -> pip_output.Pip:
        installed = shutil.which("pip3", path=self._environment["PATH"])
        for pip in ([sys.executable, "-m", "pip"], [installed] if installed else []):
            # Its help shows the index that is in force, pip's own default included.
            shown = pip_output.shown_index(await self._say([*pip, "download", "--help"], COLUMNS="1000")) if pip else ""
            if shown:
                return await self._ask_this_pip(pip, shown)
        return pip_output.Pip()

    async def _ask_this_pip(self, pip: list[str], shown_index: str) -> pip_output.Pip:
        configured = pip_output.configuration(await self._say([*pip, "config", "list"]))
        index = configured.index_url or shown_index
        with_index = pip_output.Pip(index, configured.extra_index_urls, configured.cert)
        files: list[str] = []
        for url in (index, *configured.extra_index_urls):
            if without_credentials(url):
                files += await self._pip_files(pip, url, configured.cert)
        return with_index.with_files(files)

    async def _pip_files(self, pip: list[str], index: str, cert: str) -> list[str]:
        """Where that index alone would have a package fetched from."""
        only = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
        if cert:
            only["PIP_CERT"] = cert
        words = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report=-", _PIP_PROBE]
        return pip_output.report_urls(await self._say([*pip, *words], **only))

    async def _ask_npm(self) -> "_Npm":
        npm = shutil.which("npm", path=self._environment["PATH"])
        if not npm:
            return _Npm()
        registry = (await self._say([npm, "config", "get", "registry"])).strip()
        if not without_credentials(registry):
            return _Npm()
        tarball = await self._say([npm, "view", _NPM_PROBE, "dist.tarball", "--json"])
        with contextlib.suppress(ValueError):
            return _Npm(registry, (str(json.loads(tarball)),))
        return _Npm(registry)

    async def _say(self, argv: list[str], **more: str) -> str:
        """What a package manager prints; empty when it fails or takes too long."""
        with tempfile.TemporaryDirectory() as directory:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._environment | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"} | more,
                cwd=directory,
            )
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    output, _ = await process.communicate()
            except TimeoutError:
                return ""
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return output.decode(errors="replace") if process.returncode == 0 else ""


@dataclass(frozen=True)
class _Npm:
    registry: str = ""
    files: tuple[str, ...] = ()


def _origins(urls: Iterable[str]) -> set[str]:
    clean = (urlsplit(without_credentials(url)) for url in urls)
    return {urlunsplit((parts.scheme, parts.netloc, "", "", "")) for parts in clean if parts.netloc}
