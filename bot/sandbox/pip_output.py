"""What pip prints about its configuration, read. No I/O."""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

# The section `global`, the environment and pip's commands that fetch: what counts for `pip install`.
_SETTING = re.compile(r"(?:global|install|download|:env:)\.(?P<name>[a-z-]+)=(?P<value>.*)")
_SHOWN_INDEX = re.compile(r"--index-url <url>\s.*?\(default\s+(?P<url>[^\s)]+)\)", re.DOTALL)


@dataclass(frozen=True)
class Pip:
    index_url: str = ""
    """May hold credentials."""
    extra_index_urls: tuple[str, ...] = ()
    cert: str = ""
    files: tuple[str, ...] = ()
    """URLs that packages would be fetched from."""

    def with_files(self, files: Iterable[str]) -> "Pip":
        return replace(self, files=tuple(files))


def configuration(listed: str) -> Pip:
    """`pip config list`: later lines win, as the environment comes last for pip itself."""
    found: dict[str, str] = {}
    environment: dict[str, str] = {}
    for line in listed.splitlines():
        if match := _SETTING.fullmatch(line):
            target = environment if line.startswith(":env:") else found
            target[match["name"]] = _value(match["value"])
    found |= environment
    return Pip(found.get("index-url", ""), tuple(found.get("extra-index-url", "").split()), found.get("cert", ""))


def _value(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def shown_index(help_text: str) -> str:
    """`pip download --help`: the index in force."""
    match = _SHOWN_INDEX.search(help_text)
    return match["url"] if match else ""


def report_urls(report: str) -> list[str]:
    """`pip install --dry-run --report -`. https://pip.pypa.io/en/stable/reference/installation-report/"""
    try:
        installed = json.loads(report)["install"]
        return [str(item["download_info"]["url"]) for item in installed]
    except (ValueError, KeyError, TypeError):
        return []
