"""`backspace doctor`: what is well, what is not, and what it leaves behind."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.diagnosis import Diagnosis, Verdict
from bot.doctor import examine
from bot.github.app import EVENTS, PERMISSIONS
from bot.runs import database
from bot.settings import load
from tests.deployment import MODEL_KEY, WEBHOOK_SECRET, Deployment, deployed, free_port, until
from tests.fakes.daytona import Fault
from tests.fakes.github import FakeGitHub, serve
from tests.project import ROOT

pytestmark = pytest.mark.slow

TRIED = [
    *("settings", "home", "database"),
    *("github-app", "github-permissions", "github-events", "github-webhook", "github-installations"),
    "model",
    *("daytona-snapshot", "daytona-create", "daytona-exec", "daytona-upload", "daytona-read", "daytona-network"),
    *("daytona-delete", "daytona-price", "daytona-list"),
]


@pytest.fixture(scope="module")
def around() -> Iterator[Deployment]:
    """All that a Backspace needs, but no Backspace."""
    with deployed(start=False, sandbox="daytona") as deployment:
        yield deployment


@pytest.fixture(autouse=True)
def no_faults(around: Deployment) -> Iterator[None]:
    yield
    assert around.daytona
    around.daytona.faults.clear()
    assert around.sandboxes() == []


def typed(around: Deployment, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bot", "doctor"],
        env={**around.backspace.environment(), **settings},
        cwd=around.backspace.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def found(around: Deployment, changed: Mapping[str, str], *, trial: bool = False) -> dict[str, Diagnosis]:
    """By code; asked of this process, which has imported everything already."""
    told: list[Diagnosis] = []
    whole = await examine(load({**around.backspace.environment(), **changed}, None), told.append, trial=trial)
    assert whole is all(one.verdict is not Verdict.WRONG for one in told)
    assert all(one.remedy.endswith(".") for one in told if one.verdict is not Verdict.OK)
    return {one.code: one for one in told}


def amiss(told: Mapping[str, Diagnosis]) -> dict[str, Verdict]:
    return {code: one.verdict for code, one in told.items() if one.verdict is not Verdict.OK}


def another_key(folder: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    path = folder / "another.pem"
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return path


# As it is typed


def test_all_is_well_line_by_line(around: Deployment) -> None:
    ended = typed(around)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    lines = ended.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", code] for code in TRIED]
    timed = [line.split()[1] for line in lines if re.search(r"\(\d+\.\d s\)$", line)]
    assert timed == [code for code in TRIED if code.startswith("daytona-") and code != "daytona-price"]
    assert any(re.search(r"cost about \$0\.0\d{3}, and an hour costs \$0\.17", line) for line in lines)
    for secret in (MODEL_KEY, around.github.identity.private_key_pem[100:160]):
        assert secret not in ended.stdout


def test_all_that_is_wrong_is_told_at_once_and_nobody_sees_a_traceback(around: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    ended = typed(
        around,
        GITHUB_PRIVATE_KEY_PATH=str(another_key(tmp_path)),
        ANTHROPIC_BASE_URL=f"http://127.0.0.1:{free_port()}",
        BACKSPACE_HOME=str(file / "home"),
        DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/backspace",
        BACKSPACE_DAYTONA_SNAPSHOT="nonesuch",
    )
    assert ended.returncode == 1
    wrong = [line.split()[1] for line in ended.stdout.splitlines() if line.startswith("wrong ")]
    assert wrong == [
        *("home-not-writable", "database-unavailable", "app-refused", "model-unreachable"),
        "daytona-snapshot-missing",
    ]
    assert "Traceback" not in ended.stdout + ended.stderr


def test_settings_are_told_as_by_serve(around: Deployment) -> None:
    ended = typed(around, GITHUB_APP_ID="x", BACKSPACE_PORT="0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "2 problem(s)" in ended.stderr
    assert "GITHUB_APP_ID" in ended.stderr
    assert "BACKSPACE_PORT" in ended.stderr


def test_who_interrupts_it_leaves_no_sandbox_behind(around: Deployment) -> None:
    assert around.daytona
    around.daytona.fail(Fault.SLOW, match="* /toolbox/*", seconds=30)
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "doctor"],
        env=around.backspace.environment(),
        cwd=around.backspace.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: not around.daytona or not around.daytona.faults.pending(), what="a command runs in the sandbox")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "daytona-delete" in said
    assert "Traceback" not in said


# GitHub, the model, the database


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"GITHUB_API_URL": "http://127.0.0.1:9"}, {"github-unavailable": Verdict.WRONG}, id="no-github"),
        pytest.param({"GITHUB_APP_ID": "4711"}, {"github-app-unknown": Verdict.WRONG}, id="another-app"),
        pytest.param(
            {"BACKSPACE_PUBLIC_URL": "https://backspace.example.com"},
            {"github-webhook": Verdict.WARNING},
            id="webhook-goes-elsewhere",
        ),
        pytest.param({"BACKSPACE_MODEL": "gpt"}, {"model-unlisted": Verdict.WARNING}, id="model-is-not-listed"),
    ],
)
async def test_what_is_amiss_has_its_code(
    around: Deployment, settings: dict[str, str], expected: dict[str, Verdict]
) -> None:
    assert amiss(await found(around, settings)) == expected


@pytest.mark.parametrize(
    ("permissions", "events", "expected"),
    [
        pytest.param(
            {"contents": "read"}, (), {"github-permissions-missing": Verdict.WRONG}, id="may-not-write-what-it-must"
        ),
        pytest.param({"checks": ""}, (), {"github-permissions-missing": Verdict.WARNING}, id="without-ci-fix"),
        pytest.param({"workflows": "write"}, (), {"github-permissions-excessive": Verdict.WARNING}, id="may-too-much"),
        pytest.param({"actions": "read"}, (), {}, id="may-read-logs"),
        pytest.param({}, ("issue_comment",), {"github-events-missing": Verdict.WRONG}, id="hears-no-comments"),
        pytest.param({}, ("check_run",), {"github-events-missing": Verdict.WARNING}, id="hears-of-no-checks"),
    ],
)
async def test_the_app_is_held_against_its_manifest(
    around: Deployment,
    tmp_path: Path,
    permissions: dict[str, str],
    events: tuple[str, ...],
    expected: dict[str, Verdict],
) -> None:
    granted = {name: level for name, level in {**PERMISSIONS, **permissions}.items() if level}
    heard = [event for event in EVENTS if event not in events]
    with FakeGitHub.create(tmp_path, permissions=granted, events=heard) as github, serve(github):
        github.webhook(f"{around.backspace.url}/webhook", WEBHOOK_SECRET)
        told = await found(around, {"GITHUB_API_URL": github.api_url, "GITHUB_URL": github.web_url})
    assert amiss(told) == {**expected, "github-installations": Verdict.WARNING}


def test_the_manifest_is_what_the_app_is_held_against() -> None:
    manifest = yaml.safe_load((ROOT / "app.yml").read_text())
    assert manifest["default_permissions"] == PERMISSIONS
    assert manifest["default_events"] == list(EVENTS)


async def test_a_database_is_looked_at_and_left_as_it_is(around: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "backspace.db"
    settings = {"DATABASE_URL": f"sqlite:///{path}"}
    assert "will be made" in (await found(around, settings))["database"].words
    assert not path.exists()
    path.write_bytes(b"")
    assert "from nothing" in (await found(around, settings))["database"].words
    engine = database.open_engine(settings["DATABASE_URL"], pool_size=1)
    database.migrate(engine)
    assert "up to date" in (await found(around, settings))["database"].words
    with engine.begin() as connection:
        connection.execute(sa.text("update backspace_schema set version_num = 'v9999'"))
    engine.dispose()
    assert amiss(await found(around, settings)) == {"database-newer": Verdict.WRONG}
    path.write_bytes(b"no database at all, and long enough to be seen as none" * 50)
    assert amiss(await found(around, settings)) == {"database-unavailable": Verdict.WRONG}


async def test_bubblewrap_is_tried_where_sandboxes_are_on_this_machine(around: Deployment) -> None:
    told = await found(around, {"BACKSPACE_SANDBOX": "bubblewrap"}, trial=True)
    assert amiss(told) == {}
    assert "bubblewrap" in told["sandbox"].words
    assert not any(code.startswith("daytona") for code in told)


# The trial on Daytona


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(Fault.UNAUTHORIZED, {"daytona-key-refused": Verdict.WRONG}, id="key"),
        pytest.param(Fault.START_FAILS, {"daytona-create": Verdict.WRONG}, id="create"),
        pytest.param(Fault.WITHOUT_TTL, {"daytona-no-ttl": Verdict.WRONG}, id="no-time-to-live"),
        pytest.param(Fault.STOPS, {"daytona-gone": Verdict.WRONG}, id="gone-in-between"),
        pytest.param(Fault.RANGE_IGNORED, {"daytona-range-ignored": Verdict.WARNING}, id="range-ignored"),
        pytest.param(
            Fault.POLICY_REFUSED,
            {"daytona-policy-refused": Verdict.WARNING, "sandbox-network-open": Verdict.WARNING},
            id="tier-too-low",
        ),
    ],
)
async def test_a_step_that_fails_has_its_code_and_the_sandbox_goes(
    around: Deployment, fault: Fault, expected: dict[str, Verdict]
) -> None:
    assert around.daytona
    around.daytona.fail(fault)
    told = await found(around, {}, trial=True)
    assert amiss(told) == expected
    assert ("daytona-delete" in told) is (fault not in (Fault.UNAUTHORIZED, Fault.START_FAILS, Fault.WITHOUT_TTL))


async def test_a_public_url_that_daytona_does_not_reach_is_wrong(around: Deployment) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    told = await found(around, {"BACKSPACE_PUBLIC_URL": url}, trial=True)
    assert amiss(told) == {"github-webhook": Verdict.WARNING, "broker-unreachable": Verdict.WRONG}
    assert url in told["broker-unreachable"].words


async def test_a_snapshot_that_lacks_something_is_wrong(around: Deployment) -> None:
    assert around.daytona
    around.daytona.add_snapshot("sleepy", state="inactive")
    told = await found(around, {"BACKSPACE_DAYTONA_SNAPSHOT": "sleepy"}, trial=True)
    assert amiss(told) == {"daytona-snapshot-asleep": Verdict.WARNING}
