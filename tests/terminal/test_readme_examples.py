"""What the README shows of the API in Python and JavaScript, as it stands there, against a real server."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment import Deployment, deployed
from tests.project import ROOT
from tests.terminal.conftest import made_key

pytestmark = pytest.mark.slow

_MOST_LINES = 12
_SECONDS = 90.0
_NODE = shutil.which("node")


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return str(found)


@dataclass(frozen=True)
class Setting:
    environment: dict[str, str]
    folder: Path

    def run(self, *command: str) -> str:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        ).stdout


@pytest.fixture(scope="module")
def strict() -> Iterator[Deployment]:
    with deployed(settings={"BACKSPACE_REQUIRE_AUTH": "true"}) as deployment:
        yield deployment


@pytest.fixture
def setting(strict: Deployment, tmp_path: Path) -> Setting:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "BACKSPACE_PUBLIC_URL": strict.backspace.url,
        "BACKSPACE_KEY": made_key(strict.backspace),
        "REPOSITORY": f"{strict.github.web_url}/acme/calc",
    }
    return Setting(environment, tmp_path)


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_it_is_short(language: str) -> None:
    assert len(example(language).splitlines()) <= _MOST_LINES


def test_python(setting: Setting) -> None:
    told = setting.run(sys.executable, "-c", example("python"))
    assert "'type': 'start'" in told.splitlines()[0]
    assert "'outcome': 'pull_request'" in told.splitlines()[-1]


@pytest.mark.skipif(_NODE is None, reason="there is no node here")
def test_javascript(setting: Setting) -> None:
    told = setting.run(str(_NODE), "--input-type=module", "--eval", example("javascript"))
    assert told.index("type: 'start'") < told.index("type: 'complete'") < told.index("outcome: 'pull_request'")
