"""app.yml asks GitHub for what the code needs and for nothing more."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.github import registration
from bot.web import asked_for
from tests.shared_data import SHARED_DATA, needs_shared_data

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "app.yml").read_text())
    return loaded


def test_permissions_are_those_the_code_uses(manifest: dict[str, Any]) -> None:
    assert manifest["default_permissions"] == {
        "metadata": "read",
        "contents": "write",
        "issues": "write",
        "pull_requests": "write",
        "checks": "read",
    }


def test_events_are_those_the_door_reads(manifest: dict[str, Any]) -> None:
    assert manifest["default_events"] == [
        "issues",
        "issue_comment",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
        "check_run",
    ]


def test_every_event_is_named_in_the_readme(manifest: dict[str, Any]) -> None:
    events = (ROOT / "README.md").read_text().partition("\nEvents: ")[2].partition("\n\n")[0]
    assert [event for event in manifest["default_events"] if f"`{event}`" not in events] == []


def test_installable_on_the_owning_account_only(manifest: dict[str, Any]) -> None:
    assert manifest["public"] is False


def test_addresses_are_left_to_the_registration(manifest: dict[str, Any]) -> None:
    """A key in app.yml wins over what the registration page fills in, so an address here would be everyone's."""
    assert not {"url", "hook_attributes", "redirect_url", "setup_url", "callback_urls"} & manifest.keys()


def test_the_app_that_setup_registers_is_the_one_in_the_file(manifest: dict[str, Any]) -> None:
    made = registration.manifest(public_url="https://backspace.example", redirect_url="http://127.0.0.1/setup/done")
    addresses = {"url", "hook_attributes", "redirect_url", "setup_url", "callback_urls"}
    assert {key: value for key, value in made.items() if key not in addresses} == manifest
    assert addresses <= made.keys()


def test_setup_says_why_for_each_permission_and_event(manifest: dict[str, Any]) -> None:
    assert asked_for.PERMISSION_REASONS.keys() == manifest["default_permissions"].keys()
    assert asked_for.EVENT_REASONS.keys() == set(manifest["default_events"])


@pytest.mark.parametrize(("key", "route"), [("hook_attributes.url", "/webhook"), ("callback_urls", "/login/callback")])
def test_what_the_registration_has_to_fill_in_is_said(key: str, route: str) -> None:
    address = f"<BACKSPACE_PUBLIC_URL>{route}"
    assert f"`{key}` as {address}" in (ROOT / "app.yml").read_text()
    assert f"`{address}`" in (ROOT / "README.md").read_text()


def test_every_permission_is_explained_in_the_readme(manifest: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text()
    for name, level in manifest["default_permissions"].items():
        assert f"`{name}: {level}`" in readme


@needs_shared_data
def test_permission_names_and_levels_are_githubs(manifest: dict[str, Any]) -> None:
    description = json.loads((SHARED_DATA / "github" / "openapi-2026-03-10.json").read_text())
    known = description["components"]["schemas"]["app-permissions"]["properties"]
    for name, level in manifest["default_permissions"].items():
        assert level in known[name]["enum"]
