"""The gates: what may leave a run, and what is said about what may not."""

import pytest

from bot.github.diff import Change, Diff
from bot.github.gates import Passed, Refused, Rule, Rules, Violation, judge, matching
from bot.model import Sha

_SHA = Sha("b" * 40)


def _change(path: str, **facts: object) -> Change:
    known: dict[str, object] = {
        "odd_path": False,
        "old_mode": "100644",
        "mode": "100644",
        "sha": _SHA,
        "status": "M",
        "added": 1,
        "deleted": 1,
        "binary": False,
    }
    return Change(path=path, **{**known, **facts})  # type: ignore[arg-type]  # a table's row, checked by its use


def _diff(*changes: Change, patch: bytes = b"x") -> Diff:
    return Diff(changes, patch, patch_complete=True)


def _rules_broken(diff: Diff, rules: Rules | None = None) -> list[Rule]:
    verdict = judge(diff, rules or Rules())
    return [violation.rule for violation in verdict.violations] if isinstance(verdict, Refused) else []


def test_ordinary_work_passes() -> None:
    assert (
        judge(_diff(_change("src/a.py"), _change("docs/b.md"), _change("logo.png", binary=True)), Rules()) == Passed()
    )


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (".github/workflows/ci.yml", Rule.WORKFLOW),
        (".GitHub/Workflows/ci.yml", Rule.WORKFLOW),
        (".github/actions/setup/action.yml", Rule.WORKFLOW),
        (".github/backspace.yml", Rule.PROTECTED_PATH),
        (".github/CODEOWNERS", Rule.PROTECTED_PATH),
        ("CODEOWNERS", Rule.PROTECTED_PATH),
        ("docs/CODEOWNERS", Rule.PROTECTED_PATH),
        ("infra/prod/main.tf", Rule.PROTECTED_PATH),
        ("deep/below/secrets.env", Rule.PROTECTED_PATH),
        (".gitmodules", Rule.SUBMODULE),
    ],
)
def test_protected_places(path: str, rule: Rule) -> None:
    rules = Rules(protected_paths=("infra/**", "*.env"))
    assert _rules_broken(_diff(_change(path)), rules) == [rule]
    assert _rules_broken(_diff(_change(path, mode="000000", status="D", sha=None)), rules) == [rule]


def test_the_pattern_is_named() -> None:
    verdict = judge(_diff(_change("infra/main.tf")), Rules(protected_paths=("infra/**",)))
    assert verdict == Refused((Violation("infra/main.tf", Rule.PROTECTED_PATH, "protected by `infra/**`"),))


@pytest.mark.parametrize(
    ("pattern", "path", "covers"),
    [
        ("infra/**", "infra/a/b.tf", True),
        ("infra/**", "infrastructure/a.tf", False),
        ("infra", "infra/a.tf", True),
        ("infra/", "infra/a.tf", True),
        ("/infra", "infra", True),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/deep/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/deep/er/a.py", True),
        ("**/migrations/**", "app/migrations/1.sql", True),
        ("**/migrations/**", "migrations/1.sql", True),
        ("*.lock", "deep/uv.lock", True),
        ("a?c.txt", "abc.txt", True),
        ("a?c.txt", "a/c.txt", False),
        ("file.(txt)", "file.(txt)", True),
        ("README.md", "readme.MD", True),
        ("**", "anything/at/all", True),
    ],
)
def test_patterns(pattern: str, path: str, covers: bool) -> None:  # noqa: FBT001  a table's column
    assert (matching(path, (pattern,)) is not None) is covers


@pytest.mark.parametrize(
    ("path", "target", "passes"),
    [
        ("a/link", "../b/file", True),
        ("link", "file", True),
        ("a/b/link", "./../../c", True),
        ("link", "../outside", False),
        ("a/link", "../../outside", False),
        ("link", "..", False),
        ("link", "/etc/passwd", False),
        ("link", ".git/config", False),
        ("a/link", "../.git", False),
        ("link", "folder/../file", False),
        ("link", "", False),
        ("link", "..\\outside", False),
    ],
)
def test_symlinks_stay_in_the_tree(path: str, target: str, passes: bool) -> None:  # noqa: FBT001  a table's column
    link = _change(path, mode="120000", link_target=target)
    assert _rules_broken(_diff(link)) == ([] if passes else [Rule.LINK_LEAVES_TREE])


def test_a_link_that_goes_away_is_no_matter() -> None:
    assert _rules_broken(_diff(_change("link", old_mode="120000", mode="000000", sha=None))) == []


@pytest.mark.parametrize("modes", [("000000", "160000"), ("160000", "000000"), ("160000", "160000")])
def test_submodules(modes: tuple[str, str]) -> None:
    assert _rules_broken(_diff(_change("vendor", old_mode=modes[0], mode=modes[1]))) == [Rule.SUBMODULE]


def test_sizes() -> None:
    rules = Rules(max_changed_files=2, max_diff_bytes=2048, max_binary_bytes=4096)
    assert _rules_broken(_diff(_change("a"), _change("b")), rules) == []
    assert _rules_broken(_diff(_change("a"), _change("b"), _change("c")), rules) == [Rule.TOO_MANY_FILES]
    assert _rules_broken(_diff(_change("a"), patch=bytes(2049)), rules) == [Rule.DIFF_TOO_LARGE]
    assert _rules_broken(Diff((), b"", patch_complete=False), rules) == [Rule.DIFF_TOO_LARGE]
    assert _rules_broken(_diff(_change("a", binary=True, size=4097)), rules) == [Rule.BINARY_TOO_LARGE]


def test_odd_paths() -> None:
    assert _rules_broken(_diff(_change("two\ufffdlines", odd_path=True))) == [Rule.ODD_PATH]


def test_everything_wrong_is_said_at_once() -> None:
    secret = Violation("a.py", Rule.SECRET, "looks like a secret (AWS key)", 3)
    verdict = judge(_diff(_change(".github/workflows/x.yml"), _change("CODEOWNERS")), Rules(), (secret,))
    assert isinstance(verdict, Refused)
    assert [violation.rule for violation in verdict.violations] == [Rule.WORKFLOW, Rule.PROTECTED_PATH, Rule.SECRET]
