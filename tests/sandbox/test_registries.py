"""A company's mirror is found where its package managers are told of it, and its password stays there."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.sandbox import REPO, Spec, pip_output
from bot.sandbox.egress import EgressGateway, Refused
from bot.sandbox.registries import Registries, RegistryFinder, allow_list, client_env, without_credentials
from tests.sandbox.backends import bubblewrap, reachable_directory

pytestmark = pytest.mark.slow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MIRROR = Registries(
    pip_index="https://pip.corp.test:8443/simple",
    pip_extra=("https://extra.corp.test/simple",),
    npm="http://npm.corp.test/",
    files=("https://files.corp.test",),
    cert="/etc/ssl/certs/corp.pem",
    found_at=NOON,
)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:secret@pip.corp.test:8443/simple", "https://pip.corp.test:8443/simple"),
        ("https://token@pip.corp.test/simple", "https://pip.corp.test/simple"),
        ("https://pip.corp.test/simple", "https://pip.corp.test/simple"),
        ("file:///srv/wheels", ""),
        ("/srv/wheels", ""),
        ("http://localhost:3141/root", ""),
        ("http://127.0.0.1:3141/root", ""),
        ("http://[::1]:3141/root", ""),
        ("undefined", ""),
        ("", ""),
    ],
)
def test_a_sandbox_gets_urls_without_credentials(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


@pytest.mark.parametrize(
    ("host", "port", "permitted"),
    [
        ("pip.corp.test", 8443, True),
        ("extra.corp.test", 443, True),
        ("extra.corp.test", 8443, False),
        ("files.corp.test", 443, True),
        ("npm.corp.test", 80, True),
        ("set.test", 443, True),
        ("deep.repo.test", 443, True),
        ("other.test", 443, False),
    ],
)
def test_the_list_is_registries_settings_and_the_repositorys(host: str, port: int, *, permitted: bool) -> None:
    allow = allow_list(MIRROR, ["set.test"], ["*.repo.test"], ["Set.test"])
    assert allow.permits(host, port) is permitted


def test_only_what_the_host_names_may_be_private() -> None:
    allow = allow_list(MIRROR, ["set.test", "public.test"], ["repo.test"], ["set.test"])
    assert allow.private == {"pip.corp.test", "extra.corp.test", "npm.corp.test", "files.corp.test", "set.test"}


def test_clients_inside_are_told_of_the_same_registries() -> None:
    told = client_env(MIRROR)
    assert told["PIP_INDEX_URL"] == MIRROR.pip_index
    assert told["PIP_EXTRA_INDEX_URL"] == "https://extra.corp.test/simple"
    assert told["npm_config_registry"] == MIRROR.npm
    assert told["PIP_CERT"] == "/etc/ssl/certs/corp.pem"


@pytest.mark.parametrize("cert", ["", "/srv/corp.pem"], ids=["none", "not visible inside"])
def test_a_certificate_that_is_not_visible_inside_is_not_named(cert: str) -> None:
    assert client_env(Registries(cert=cert)) == {}


def test_pips_configuration_is_read_as_pip_prints_it() -> None:
    listed = (
        "global.cert='/etc/ssl/corp.pem'\n"
        "global.extra-index-url='\\nhttps://a.test/simple\\nhttps://b.test/simple'\n"
        "global.index-url='https://me:it%27s@pip.corp.test/simple'\n"
        "freeze.timeout='10'\n"
        ":env:.cert='/etc/ssl/other.pem'\n"
    )
    assert pip_output.configuration(listed) == pip_output.Pip(
        "https://me:it%27s@pip.corp.test/simple",
        ("https://a.test/simple", "https://b.test/simple"),
        "/etc/ssl/other.pem",
    )


@pytest.mark.parametrize("report", ["", "no json", "[]", '{"install": [{}]}', '{"install": 1}'])
def test_a_report_that_is_none_has_no_urls(report: str) -> None:
    assert pip_output.report_urls(report) == []


@dataclass
class Index:
    """A package index on loopback with one package, whose file is on another port's host name."""

    port: int = 0
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        page = b"<!doctype html><a href='six-1.0-py3-none-any.whl'>six-1.0-py3-none-any.whl</a>"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + page)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def index() -> AsyncIterator[Index]:
    here = Index()
    async with await asyncio.start_server(here.serve, "127.0.0.1", 0) as server:
        here.port = server.sockets[0].getsockname()[1]
        yield here


def finder(home: Path, clock: list[datetime], **settings: str) -> RegistryFinder:
    environment = {"PATH": str(home / "no-npm"), "HOME": str(home), "PIP_CONFIG_FILE": "/dev/null", **settings}
    environment["PIP_NO_INDEX"] = "1"  # asked for what it would do, it must not try to do it
    return RegistryFinder(cache=home / "cache" / "registries.json", environment=environment, clock=lambda: clock[0])


async def test_the_real_pip_is_asked_for_its_index_and_its_password_is_not_kept(tmp_path: Path) -> None:
    found = await finder(
        tmp_path, [NOON], PIP_INDEX_URL="https://me:hunter2@mirror.invalid/simple", PIP_CERT="/etc/ssl/corp.pem",
        PIP_EXTRA_INDEX_URL="file:///srv/simple",
    ).refresh()  # fmt: skip
    assert found == Registries(pip_index="https://mirror.invalid/simple", cert="/etc/ssl/corp.pem", found_at=NOON)
    assert b"hunter2" not in (tmp_path / "cache" / "registries.json").read_bytes()


async def test_pips_own_default_is_pips_own_word(tmp_path: Path) -> None:
    found = await finder(tmp_path, [NOON]).refresh()
    assert found.pip_index.startswith("https://")
    assert found.pip_index.endswith("/simple")


async def test_a_loopback_index_is_not_for_sandboxes(tmp_path: Path, index: Index) -> None:
    found = await finder(tmp_path, [NOON], PIP_INDEX_URL=f"http://127.0.0.1:{index.port}/simple").refresh()
    assert found == Registries(found_at=NOON)
    assert index.asked == []


@pytest.mark.slow
async def test_what_was_found_is_kept_on_disk_and_asked_again_after_a_while(tmp_path: Path) -> None:
    clock = [NOON]
    first = finder(tmp_path, clock, PIP_INDEX_URL="https://one.invalid/simple")
    assert first.known() == Registries()
    found = await first.ready()
    changed = finder(tmp_path, clock, PIP_INDEX_URL="https://two.invalid/simple")
    assert changed.known() == found
    assert await changed.refresh() == found
    clock[0] += timedelta(days=2)
    assert (await changed.ready()).pip_index == "https://one.invalid/simple"
    assert (await changed.refresh()).pip_index == "https://two.invalid/simple"


async def test_a_broken_cache_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "registries.json").write_text("{")
    assert finder(tmp_path, [NOON]).known() == Registries()


@pytest.mark.slow
async def test_pip_install_works_inside_with_the_registries_of_this_host(tools: Path, tmp_path: Path) -> None:
    found = await RegistryFinder(
        cache=tmp_path / "registries.json", environment=os.environ, clock=lambda: NOON
    ).refresh()
    if not found.files:
        pytest.skip("this host has no package index that answers")
    refused: list[Refused] = []

    async def note(refusal: Refused) -> None:
        refused.append(refusal)

    project = (
        '[project]\nname = "sample"\nversion = "1"\ndependencies = ["iniconfig"]\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    )
    with reachable_directory() as directory:
        async with bubblewrap(tools) as sandbox, EgressGateway(directory / "egress") as gateway:
            socket = await gateway.open("run", allow_list(found, []), note)
            box = await sandbox.create("run", Spec(egress_socket=socket))
            await sandbox.put(box, REPO / "pyproject.toml", project.encode())
            await sandbox.put(box, REPO / "sample.py", b"import iniconfig\n")
            installed = await sandbox.run(
                box, ["pip", "install", "-e", "."], timeout_seconds=100, env=client_env(found)
            )
            assert installed.exit_code == 0, installed.output.decode()
            assert (await sandbox.run(box, ["python", "-c", "import sample"], timeout_seconds=30)).exit_code == 0
    assert refused == []
