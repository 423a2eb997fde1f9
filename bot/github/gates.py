"""What may leave a run: a diff passes every gate or is refused with all that is wrong with it. No I/O."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import takewhile
from typing import TypeAlias

from bot.github.diff import SUBMODULE, SYMLINK, Change, Diff

ALWAYS_PROTECTED = (".github/**", "CODEOWNERS")
"""What decides how the repository is built and who reviews it, this bot's settings included."""

_GLOBS = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_WORKFLOWS = (".github/workflows/**", ".github/actions/**")


class Rule(StrEnum):
    PROTECTED_PATH = "protected-path"
    WORKFLOW = "workflow"
    ODD_PATH = "odd-path"
    LINK_LEAVES_TREE = "link-leaves-tree"
    SUBMODULE = "submodule"
    TOO_MANY_FILES = "too-many-files"
    DIFF_TOO_LARGE = "diff-too-large"
    BINARY_TOO_LARGE = "binary-too-large"
    SECRET = "secret"  # noqa: S105  the name of a rule


@dataclass(frozen=True)
class Rules:
    protected_paths: tuple[str, ...] = ()
    """Globs besides ALWAYS_PROTECTED: `*` within a name, `**` across folders; a folder means all in it."""
    max_changed_files: int = 100
    max_diff_bytes: int = 1024**2
    max_binary_bytes: int = 1024**2


@dataclass(frozen=True)
class Violation:
    path: str
    """Empty when it is about the diff as a whole."""
    rule: Rule
    detail: str
    """What exactly, in a few words; never content of the file."""
    line: int | None = None


@dataclass(frozen=True)
class Passed:
    pass


@dataclass(frozen=True)
class Refused:
    violations: tuple[Violation, ...]


Verdict: TypeAlias = Passed | Refused


def judge(diff: Diff, rules: Rules, secrets: tuple[Violation, ...] = ()) -> Verdict:
    """`secrets`: what the scanner found in the same diff."""
    violations = (*_whole(diff, rules), *(v for change in diff.changes for v in _one(change, rules)), *secrets)
    return Refused(violations) if violations else Passed()


def _whole(diff: Diff, rules: Rules) -> Iterator[Violation]:
    if len(diff.changes) > rules.max_changed_files:
        yield Violation("", Rule.TOO_MANY_FILES, f"{len(diff.changes)} files, {rules.max_changed_files} are allowed")
    if not diff.patch_complete or len(diff.patch) > rules.max_diff_bytes:
        more = "" if diff.patch_complete else "more than "
        yield Violation(
            "", Rule.DIFF_TOO_LARGE, f"{more}{len(diff.patch) >> 10} kB, {rules.max_diff_bytes >> 10} kB are allowed"
        )


def _one(change: Change, rules: Rules) -> Iterator[Violation]:
    if change.odd_path:
        yield Violation(change.path, Rule.ODD_PATH, "the name is not plain UTF-8 text")
    if matching(change.path, _WORKFLOWS):
        yield Violation(change.path, Rule.WORKFLOW, "workflows run with the repository's secrets")
    elif pattern := matching(change.path, (*ALWAYS_PROTECTED, *rules.protected_paths)):
        yield Violation(change.path, Rule.PROTECTED_PATH, f"protected by `{pattern}`")
    if SUBMODULE in (change.mode, change.old_mode) or change.path.casefold() == ".gitmodules":
        yield Violation(change.path, Rule.SUBMODULE, "submodules bring in code from elsewhere")
    if change.mode == SYMLINK and _leaves_tree(change):
        yield Violation(change.path, Rule.LINK_LEAVES_TREE, "the link does not lead to a file of the repository")
    if change.binary and change.size > rules.max_binary_bytes:
        yield Violation(
            change.path,
            Rule.BINARY_TOO_LARGE,
            f"{change.size >> 10} kB, {rules.max_binary_bytes >> 10} kB are allowed",
        )


def _leaves_tree(change: Change) -> bool:
    target = change.link_target
    if not target or target.startswith("/") or "\\" in target or "\0" in target:
        return True
    # `..` behind a name may pass through another link, and then leads elsewhere than it says.
    names = [part for part in target.split("/") if part not in ("", ".")]
    if ".." in names[sum(1 for _ in takewhile(lambda part: part == "..", names)) :]:
        return True
    landing = posixpath.normpath(posixpath.join(posixpath.dirname(change.path), target)).split("/")
    return ".." in landing or ".git" in landing


def matching(path: str, patterns: tuple[str, ...]) -> str | None:
    """The first pattern that covers the path. Case does not count: on some disks it does not either."""
    return next((pattern for pattern in patterns if _compile(pattern).fullmatch(path.casefold())), None)


@cache
def _compile(pattern: str) -> "re.Pattern[str]":
    """Globs as in .gitignore, from the root unless the pattern is a bare name: then at any depth."""
    pattern = pattern.casefold().strip("/")
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    tokens = re.findall(r"\*\*/|/\*\*$|\*\*|\*|\?|[^*?/]+|/", pattern)
    return re.compile("".join(_GLOBS.get(token, re.escape(token)) for token in tokens) + "(?:/.*)?", re.DOTALL)
