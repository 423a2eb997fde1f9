"""The shape of the project: its map, sizes and docstrings, and what no file of it may contain."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import bot
from tests.project import ROOT, files, module_name, pyproject, short, sources, texts, tree

_MOST_LINES = 450
"""A file has one thing to say: about 400 lines hold it, and this many do not."""


def import_rule(name: str) -> dict[str, Any]:
    (rule,) = (rule for rule in pyproject()["tool"]["importlinter"]["contracts"] if rule["id"] == name)
    return dict(rule)


def is_within(path: Path, modules: Iterable[str]) -> bool:
    """Whether the file is one of the modules or below one."""
    name = module_name(path)
    return any(name == module or name.startswith(f"{module}.") for module in modules)


# Words


def test_every_module_says_what_it_is_in_its_first_line() -> None:
    speechless = []
    for path in sources("bot", "tests"):
        if path.name == "__init__.py" and path.is_relative_to(ROOT / "tests"):
            continue
        first_line = (ast.get_docstring(tree(path)) or "").partition("\n")[0]
        if not first_line.endswith("."):
            speechless.append(short(path))
    assert speechless == []


def test_the_modules_that_claim_to_do_no_io_are_the_ones_held_to_it() -> None:
    claim = re.compile(r"No I/O\.$", re.MULTILINE)
    pure = import_rule("pure")["source_modules"]
    claiming = {short(path) for path in sources("bot") if claim.search(ast.get_docstring(tree(path)) or "")}
    held = {short(path) for path in sources("bot") if is_within(path, pure)}
    assert sorted(claiming) == sorted(held)


def test_no_file_is_overlong() -> None:
    lengths = {short(path): len(path.read_text().splitlines()) for path in sources("bot")}
    assert {name: lines for name, lines in lengths.items() if lines >= _MOST_LINES} == {}


# The map


def drawn() -> dict[str, set[str]]:
    """The map in bot's docstring: each entry at the top, and the modules listed under it.

    An entry is indented by four spaces and followed by prose; the modules of a package follow, deeper.
    """
    entries: dict[str, set[str]] = {}
    latest = ""
    for line in (bot.__doc__ or "").partition("\nThe modules\n")[2].splitlines():
        if entry := re.match(r" {4}(\w+)/? ", line):
            latest = entry[1]
            entries[latest] = set()
        elif line.startswith(" " * 8):
            entries[latest] |= set(line.split())
    return entries


def real() -> dict[str, set[str]]:
    entries: dict[str, set[str]] = {}
    for path in sources("bot"):
        _, *below = module_name(path).split(".")
        if below:
            entries.setdefault(below[0], set()).update(below[1:2])
    return {name: modules for name, modules in entries.items() if name != "__main__"}


def test_the_map_is_the_territory() -> None:
    assert drawn() == real()


def test_every_module_has_its_place_among_the_layers() -> None:
    placed = re.findall(r"[\w.]+", " ".join(import_rule("layers")["layers"]))
    entry_points = {"bot", "bot.__main__"}
    astray = [
        module_name(path)
        for path in sources("bot")
        if path.name != "__init__.py" and module_name(path) not in entry_points and not is_within(path, placed)
    ]
    assert astray == []


# What no file may contain


def test_no_file_names_a_package_registry() -> None:
    hosts = [
        ".".join(parts)
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("yarnpkg", "com"),
            ("deb", "debian", "org"),
            ("security", "debian", "org"),
        )
    ]
    named = [(short(path), host) for path, text in texts() for host in hosts if host in text]
    assert named == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    place = re.compile(r"(?<![\w.])/(?:" + "|".join(("root", "work", "home/(?!agent)[a-z]+")) + r")/\w+")
    found = [(short(path), match[0]) for path, text in texts() for match in place.finditer(text)]
    assert found == []


def test_locks_hold_versions_and_hashes_and_no_addresses() -> None:
    for lock in ("requirements.lock", "requirements-run.lock", "requirements-web.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text, lock
        pins = re.findall(r"^[\w.-]+(?:\[[^\]]*\])?==", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"==.*\\\n +--hash=sha256:", text)), lock


def starts_a_program(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return bool(
        re.search(r"(^|\.)(create_subprocess_exec|create_subprocess_shell|Popen)$", name)
        or re.fullmatch(r"subprocess\.(run|call|check_call|check_output)", name)
    )


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def test_every_child_gets_an_environment_of_its_own() -> None:
    """A program started without `env` inherits ours, and ours has keys in it."""
    heirs = [
        f"{short(path)}:{call.lineno}"
        for path in sources("bot", "tests")
        for call in calls(path)
        if starts_a_program(call) and not any(keyword.arg in {"env", None} for keyword in call.keywords)
    ]
    assert heirs == []


def test_our_environment_is_never_copied() -> None:
    ours = r"\bos\.environ\b"
    copied = re.compile(
        rf"\*\*\s*{ours}|{ours}\.(?:copy|items)\b|dict\(\s*{ours}|{ours}\s*\||\|\s*{ours}|env\s*=\s*{ours}(?![\[.])"
    )
    copies = [
        f"{short(path)}: {match[0]}"
        for path in sources("bot", "tests")
        if path != Path(__file__)
        for match in copied.finditer(path.read_text())
    ]
    assert copies == []


def test_stand_ins_stand_behind_the_wire() -> None:
    """Nothing is patched: a stand-in is a server, an executable or another implementation of a Protocol."""
    patched = [
        f"{short(path)}:{call.lineno}"
        for path in sources("tests")
        for call in calls(path)
        if ast.unparse(call.func) in {"monkeypatch.setattr", "mocker.patch"}
    ]
    assert patched == []


# What belongs together


def test_every_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:dependencies|agent|daytona|dev) = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert len(lists) == 4
    unexplained = [line for block in lists for line in block.splitlines() if not re.search(r'",\s+# \S', line)]
    assert unexplained == []


def imported(path: Path) -> set[str]:
    """The packages that a file imports, by their first name."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("folder", ["bot", "tests"])
def test_what_is_imported_is_declared(folder: str) -> None:
    """A package that comes only because another one needs it goes when that one no longer does."""
    project, dev = pyproject()["project"], pyproject()["dependency-groups"]["dev"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    requirements = project["dependencies"] + extras
    requirements += dev if folder == "tests" else []
    declared = {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements}
    providers = packages_distributions()
    foreign = {name for path in sources(folder) for name in imported(path)} - sys.stdlib_module_names
    undeclared = [
        name
        for name in sorted(foreign - {"bot", "tests"})
        if not {dist.lower().replace("_", "-") for dist in providers.get(name, ())} & declared
    ]
    assert undeclared == []


def test_every_dependency_is_locked() -> None:
    project = pyproject()["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    wanted = {
        "requirements-web.lock": project["dependencies"],
        "requirements-run.lock": project["dependencies"] + extras,
        "requirements.lock": project["dependencies"]
        + extras
        + pyproject()["dependency-groups"]["dev"]
        + pyproject()["build-system"]["requires"],
    }
    for lock, requirements in wanted.items():
        locked = set(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==", (ROOT / lock).read_text(), re.MULTILINE))
        names = {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements}
        assert names <= locked, f"{lock} is behind pyproject.toml: run `make lock`"


def test_what_the_program_reads_is_installed_with_it() -> None:
    """A file beside the modules that package-data does not name would be missing from an installation."""
    packaged = pyproject()["tool"]["setuptools"]["package-data"]
    taken = {
        path
        for package, globs in packaged.items()
        for glob in globs
        for path in (ROOT / package.replace(".", "/")).glob(glob)
    }
    left_behind = [
        short(path)
        for path in files()
        if path.is_relative_to(ROOT / "bot") and path.suffix != ".py" and path not in taken
    ]
    assert left_behind == []


def test_the_readme_names_every_make_target() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    assert [target for target in targets if not re.search(rf"[`$] ?make {target}\b", readme)] == []
