"""What git is told to do with the tree in a sandbox, where an agent may have written anything. No I/O."""

from bot.sandbox import HOME

WORK_REF = "refs/backspace/work"
BUNDLE = HOME / ".backspace-work.bundle"

# What `setup` leaves untracked is not the agent's change.
EXCLUDE_LEFTOVERS = """mkdir -p .git/info
git ls-files --others --exclude-standard -z | tr '\\0' '\\n' | sed 's|^|/|' >>.git/info/exclude
"""
# What tools leave beside the code when they run; nobody wants it in a commit, whether or not it is ignored.
_LITTER = ("__pycache__/", "'*.pyc'", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", "node_modules/", ".DS_Store")
# An index of its own: the agent's staging area stays as it is, and commits of its own are squashed.
HARVEST = f"""set -e
export GIT_INDEX_FILE="$HOME/.backspace-index"
printf '%s\\n' {" ".join(_LITTER)} >"$HOME/.backspace-exclude"
git read-tree "$BASE"
git -c core.excludesFile="$HOME/.backspace-exclude" add --all .
tree=$(git write-tree)
rm -f "$GIT_INDEX_FILE" {BUNDLE}
if [ "$tree" = "$(git rev-parse "$BASE^{{tree}}")" ]; then exit 42; fi
git update-ref {WORK_REF} "$(git commit-tree "$tree" -p "$BASE" -m work)"
git bundle create -q {BUNDLE} "$BASE..{WORK_REF}"
"""
NO_CHANGE_EXIT = 42
APPLY = f"""set -e
git fetch -q --update-head-ok {BUNDLE} {WORK_REF}
git checkout -q --force --detach FETCH_HEAD
rm -f {BUNDLE}
"""
# The agent goes on from saved work with the tree as it was: changed, not committed.
RESTORE = f"""set -e
git fetch -q {BUNDLE} {WORK_REF}
git read-tree --reset -u FETCH_HEAD
git reset -q
rm -f {BUNDLE}
"""


def identity(base_sha: str) -> dict[str, str]:
    """The environment of HARVEST: what the work is compared with, and a name that goes nowhere."""
    known = {"BASE": base_sha}
    for role in ("AUTHOR", "COMMITTER"):
        known |= {f"GIT_{role}_NAME": "backspace", f"GIT_{role}_EMAIL": "backspace@invalid"}
    return known
