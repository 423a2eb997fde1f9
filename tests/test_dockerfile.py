"""The Docker image is held by reading its recipe: what it copies, installs and starts exists here."""

import json
import re
import shlex
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, the rest of it) in order, with continued lines joined and comments dropped."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name, rest) for name, rest in pairs]


def of(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def last_stage() -> list[tuple[str, str]]:
    steps = instructions()
    start = max(number for number, (name, _) in enumerate(steps) if name == "FROM")
    return steps[start:]


def copied_from_the_project() -> list[str]:
    return [source for rest in of("COPY") if not rest.startswith("--from=") for source in shlex.split(rest)[:-1]]


def test_every_copied_path_exists_and_is_let_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in copied_from_the_project():
        assert (ROOT / source).exists(), source
        assert source in allowed, f"{source} is held back by .dockerignore"


def test_stages_copied_from_are_built_before() -> None:
    names = {rest.split()[2] for rest in of("FROM") if " AS " in rest}
    wanted = {rest.split()[0].removeprefix("--from=") for rest in of("COPY") if rest.startswith("--from=")}
    assert wanted <= names


def test_what_is_installed_is_locked_with_hashes() -> None:
    installs = [rest for rest in of("RUN") if "pip install" in rest]
    locked = [rest for rest in installs if "--require-hashes" in rest]
    assert len(locked) == 1
    lock = shlex.split(locked[0])[-1]
    assert lock in copied_from_the_project()
    text = (ROOT / lock).read_text()
    assert re.search(r"^claude-agent-sdk==", text, re.MULTILINE), "the image has the agent"
    assert not re.search(r"^pytest==", text, re.MULTILINE), "the image has no test tools"
    unlocked = [rest for rest in installs if rest not in locked]
    assert all("--no-deps" in rest and "--no-build-isolation" in rest for rest in unlocked), (
        "anything else would download what no lock names"
    )


def test_it_starts_the_console_script_with_serve() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    entrypoint = json.loads(of("ENTRYPOINT")[0])
    assert entrypoint[-1] in scripts
    assert json.loads(of("CMD")[0]) == ["serve"]
    installed = " ".join(rest for name, rest in last_stage() if name == "RUN")
    assert "git" in installed.split()
    assert entrypoint[0] in installed.split()


def test_it_does_not_run_as_root_and_keeps_its_state_in_a_volume() -> None:
    stage = dict(last_stage())
    assert stage["USER"] not in {"root", "0"}
    assert f"BACKSPACE_HOME={stage['VOLUME']}" in stage["ENV"].split()
    order = [name for name, _ in last_stage()]
    assert max(n for n, name in enumerate(order) if name in {"RUN", "COPY"}) < order.index("USER")


def test_the_port_is_exposed_and_its_health_asked() -> None:
    stage = dict(last_stage())
    assert f"BACKSPACE_PORT={stage['EXPOSE']}" in stage["ENV"].split()
    assert "/healthz" in stage["HEALTHCHECK"]
    command = json.loads(stage["HEALTHCHECK"].partition("CMD ")[2])
    compile(command[2], "healthcheck", "exec")


def test_the_image_runs_a_python_that_the_project_supports() -> None:
    (version,) = {rest.split()[0] for rest in of("FROM")}
    assert version == "python:3.12-slim-bookworm"
