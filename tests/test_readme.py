"""The README keeps up with the code: settings, routes, codes, commands, keys of the config file."""

import ast
import re

import pytest
import yaml

from bot import settings
from bot.cli import backspace
from bot.github.gates import Rule
from bot.intake import repo_config
from bot.intake.repo_config import RepoConfig
from bot.model import Outcome
from bot.wording.refusals import SENTENCES
from tests.project import ROOT, short, sources, tree

README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """What stands under a heading, down to the next one of the same rank or higher."""
    rank = re.escape(title.partition(" ")[0])
    match = re.search(rf"^{re.escape(title)}\n(.*?)(?=^#{{1,{len(rank)}}} |\Z)", README, re.MULTILINE | re.DOTALL)
    assert match, f"the README has no section {title!r}"
    return match[1]


def test_the_config_example_is_valid() -> None:
    example = re.search(r"```yaml\n(.*?)```", section("### `.github/backspace.yml`"), re.DOTALL)
    assert example
    parsed = repo_config.parse(example[1].encode())
    assert isinstance(parsed, RepoConfig), parsed
    assert yaml.safe_load(example[1]).keys() <= RepoConfig.model_fields.keys()


@pytest.mark.parametrize("key", RepoConfig.model_fields)
def test_every_key_of_the_config_file_is_explained(key: str) -> None:
    assert re.search(rf"^\|.*`{key}(?:\.\w+)?`.*\|", section("### `.github/backspace.yml`"), re.MULTILINE)


@pytest.mark.parametrize("code", SENTENCES)
def test_every_refusal_is_explained(code: str) -> None:
    assert f"`{code}`" in section("### When it says no")


@pytest.mark.parametrize("rule", Rule)
def test_every_gate_is_explained(rule: Rule) -> None:
    assert f"`{rule}`" in section("### When it says no")


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_explained(outcome: Outcome) -> None:
    assert f"`{outcome}`" in section("## For developers on GitHub")


def test_commands_are_those_that_exist() -> None:
    told = README.replace(section("### Not yet"), "")
    assert set(re.findall(r"(?:`|bin/)backspace ([a-z]+)", told)) == set(backspace.commands)


def routes() -> list[str]:
    """Paths given to `Route` in the web part and the broker, with their parameters as `{id}`."""
    return [
        re.sub(r"\{\w+(?::\w+)?\}", "{id}", call.args[0].value)
        for path in sources("bot")
        if short(path).startswith(("bot/web/", "bot/broker/"))
        for call in ast.walk(tree(path))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in {"Route", "Mount"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]


def test_every_route_is_in_the_table() -> None:
    assert routes()
    table = section("### Operating")
    assert [route for route in routes() if f"{route}`" not in table and f"{route}/…`" not in table] == []


def test_links_into_the_readme_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", README)) <= anchors


def test_links_to_files_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)]+)\)", README)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_settings_table_is_what_the_settings_say() -> None:
    table = "\n".join(
        ["| Setting | Default | Meaning |", "|---|---|---|"]
        + [f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.meaning} |" for s in settings.describe()]
    )
    assert table in section("### Settings"), f"put this into the README:\n{table}"
