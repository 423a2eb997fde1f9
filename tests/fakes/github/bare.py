"""One bare git repository, worked by git's own plumbing."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_GIT_SECONDS = 60

_PRE_RECEIVE = """#!/bin/sh
while read -r old new ref; do
  case $new in *[!0]*) ;; *) continue ;; esac
  if [ "$GITHUB_WORKFLOWS" = refused ]; then
    path=$(git log -m --format= --name-only "$new" --not --all -- .github/workflows | head -n 1)
    if [ -n "$path" ]; then
      echo "refusing to allow a GitHub App to create or update workflow \\`$path\\` without \\`workflows\\` permission"
      exit 1
    fi
  fi
  case $ref in refs/heads/*) ;; *) continue ;; esac
  if [ "$GITHUB_SIGNATURES" = required ]; then
    for commit in $(git rev-list "$new" --not --all); do
      if ! git cat-file commit "$commit" | sed '/^$/q' | grep -q '^gpgsig '; then
        echo "error: GH013: Repository rule violations found for $ref."
        echo "- Commits must have verified signatures."
        exit 1
      fi
    done
  fi
done
"""


_CONFIG = """
[receive]
	hideRefs = refs/pull
	autogc = false
[uploadpack]
	allowAnySHA1InWant = true
	allowFilter = true
[gc]
	auto = 0
"""


class GitFailed(Exception):
    """A git command ended with an error."""

    def __init__(self, argv: Sequence[str], stderr: str) -> None:
        super().__init__(f"git {' '.join(argv)}: {stderr.strip()}")
        self.stderr = stderr


@dataclass(frozen=True)
class Entry:
    """A row of a tree listing; `size` is None for anything but a blob."""

    mode: str
    type: str
    sha: str
    size: int | None
    path: str


@dataclass(frozen=True)
class Ident:
    name: str
    email: str
    date: datetime

    def line(self) -> str:
        offset = self.date.strftime("%z") or "+0000"
        return f"{self.name} <{self.email}> {int(self.date.timestamp())} {offset}"


@dataclass(frozen=True)
class CommitObject:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Ident
    committer: Ident
    message: str
    signature: str | None


@dataclass(frozen=True)
class FileChange:
    status: str
    """git's letter: A, M, D, R, C or T."""
    path: str
    previous_path: str | None
    blob: str
    additions: int
    deletions: int
    patch: str


def git_environment(home: Path) -> dict[str, str]:
    """An environment in which git reads no configuration but the repository's own."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


class Bare:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment = git_environment(path.parent)

    @classmethod
    def create(cls, path: Path, *, default_branch: str) -> "Bare":
        path.parent.mkdir(parents=True, exist_ok=True)
        bare = cls(path)
        bare._run("init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}", str(path))
        with (path / "config").open("a") as config:
            config.write(_CONFIG)
        hook = path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_PRE_RECEIVE)
        hook.chmod(0o755)
        return bare

    def _run(self, *argv: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
        done = subprocess.run(
            ["git", *argv],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
            env={**self._environment, "GIT_DIR": str(self.path), **(extra or {})},
        )
        if done.returncode != 0:
            raise GitFailed(argv, done.stderr.decode(errors="replace"))
        return done.stdout

    def _text(self, *argv: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
        return self._run(*argv, stdin=stdin, extra=extra).decode(errors="replace").strip()

    def is_empty(self) -> bool:
        return not self._text("for-each-ref", "--count=1")

    def size_kilobytes(self) -> int:
        return sum(file.stat().st_size for file in (self.path / "objects").rglob("*") if file.is_file()) // 1024

    # Reading.

    def resolve(self, name: str, kind: str = "commit") -> str | None:
        """The sha of what `name` (a ref, a short branch name, a sha) stands for, as an object of that kind."""
        if not name or name.startswith("-"):
            return None
        try:
            return self._text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{{kind}}}")
        except GitFailed:
            return None

    def ref(self, name: str) -> str | None:
        """The sha at exactly this full ref name."""
        try:
            return self._text("show-ref", "--verify", "--hash", name)
        except GitFailed:
            return None

    def refs(self, prefix: str) -> dict[str, str]:
        rows = self._text("for-each-ref", "--format=%(objectname) %(refname)", prefix).splitlines()
        return {name: sha for sha, _, name in (row.partition(" ") for row in rows)}

    def object_type(self, sha: str) -> str | None:
        try:
            return self._text("cat-file", "-t", sha)
        except GitFailed:
            return None

    def blob(self, sha: str) -> bytes:
        return self._run("cat-file", "blob", sha)

    def entry(self, commit: str, path: str) -> Entry | None:
        if not path.strip("/"):
            tree = self.resolve(commit, "tree")
            return Entry("040000", "tree", tree, None, "") if tree else None
        found = self._entries("ls-tree", "-z", "--long", "--full-tree", commit, "--", path.strip("/"))
        return found[0] if found else None

    def children(self, tree: str) -> list[Entry]:
        return self._entries("ls-tree", "-z", "--long", tree)

    def _entries(self, *argv: str) -> list[Entry]:
        entries = []
        for row in self._run(*argv).decode(errors="surrogateescape").split("\0"):
            if row:
                facts, _, path = row.partition("\t")
                mode, kind, sha, size = facts.split()
                entries.append(Entry(mode, kind, sha, None if size == "-" else int(size), path))
        return entries

    def commit(self, sha: str) -> CommitObject:
        head, _, message = self._run("cat-file", "commit", sha).decode(errors="replace").partition("\n\n")
        fields: dict[str, list[str]] = {}
        last = ""
        for line in head.split("\n"):
            if line.startswith(" "):
                fields[last][-1] += "\n" + line[1:]
            else:
                last, _, value = line.partition(" ")
                fields.setdefault(last, []).append(value)
        return CommitObject(
            sha=sha,
            tree=fields["tree"][0],
            parents=tuple(fields.get("parent", [])),
            author=_ident(fields["author"][0]),
            committer=_ident(fields["committer"][0]),
            message=message,
            signature=fields["gpgsig"][0] if "gpgsig" in fields else None,
        )

    def merge_base(self, one: str, other: str) -> str | None:
        try:
            return self._text("merge-base", one, other)
        except GitFailed:
            return None

    def commits_between(self, base: str, head: str) -> list[str]:
        """What `head` has and `base` has not, oldest first."""
        return self._text("rev-list", "--reverse", "--topo-order", head, f"^{base}").splitlines()

    def is_ancestor(self, old: str, new: str) -> bool:
        try:
            self._run("merge-base", "--is-ancestor", old, new)
        except GitFailed:
            return False
        return True

    def diff(self, base: str, head: str) -> str:
        return self._run("diff", "--no-color", "-M", base, head).decode(errors="replace")

    def changes(self, base: str, head: str) -> list[FileChange]:
        rows = self._run("diff", "--raw", "--abbrev=40", "-z", "-M", base, head).decode(errors="replace").split("\0")
        changes: list[tuple[str, str, str | None, str]] = []
        at = 0
        while at < len(rows) and rows[at]:
            _, _, before, after, letter = rows[at].lstrip(":").split()
            renamed = letter[0] in "RC"
            path = rows[at + 2] if renamed else rows[at + 1]
            changes.append((letter[0], path, rows[at + 1] if renamed else None, before if letter[0] == "D" else after))
            at += 3 if renamed else 2
        counts = self._numstat(base, head)
        pieces = self._text("diff", "--no-color", "-M", base, head).split("\ndiff --git ")
        found = []
        for index, (letter, path, previous, blob) in enumerate(changes):
            added, removed = counts[index]
            piece = pieces[index] if index < len(pieces) else ""
            start = piece.find("\n@@ ")
            found.append(
                FileChange(letter, path, previous, blob, added, removed, piece[start + 1 :] if start >= 0 else "")
            )
        return found

    def _numstat(self, base: str, head: str) -> list[tuple[int, int]]:
        rows = self._text("diff", "--numstat", "-M", base, head).splitlines()
        return [
            tuple(0 if number == "-" else int(number) for number in row.split("\t")[:2])  # type: ignore[misc] # always two
            for row in rows
        ]

    # Writing.

    def write_blob(self, content: bytes) -> str:
        return self._text("hash-object", "-w", "--stdin", stdin=content)

    def write_tree(self, base_tree: str | None, entries: Sequence[tuple[str, str, str | None]]) -> str:
        """A tree of `base_tree` with (mode, path, sha) laid over it; a sha of None takes the path away.

        Raises GitFailed when an object is missing or a path to take away is not there.
        """
        with tempfile.TemporaryDirectory(dir=self.path) as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            if base_tree:
                self._run("read-tree", base_tree, extra=index)
            lines: list[bytes] = []
            for mode, path, sha in entries:
                if sha is None:
                    if not self._run("ls-files", "-z", "--", path, extra=index):
                        raise GitFailed(["write-tree"], f"nothing at {path}")
                    lines.append(f"0 {'0' * 40}\t{path}\0".encode())
                elif mode == "040000":
                    lines.extend(
                        f"{below.mode} {below.sha}\t{path}/{below.path}\0".encode()
                        for below in self._entries("ls-tree", "-r", "-z", "--long", sha)
                    )
                else:
                    lines.append(f"{mode} {sha}\t{path}\0".encode())
            self._run("update-index", "-z", "--add", "--replace", "--index-info", stdin=b"".join(lines), extra=index)
            return self._text("write-tree", extra=index)

    def tree_of_directory(self, directory: Path) -> str:
        """A tree of everything in a directory, executable bits and symbolic links included."""
        with tempfile.TemporaryDirectory(dir=self.path) as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            work_tree = ["-c", "core.bare=false", "-c", "core.autocrlf=false", f"--work-tree={directory}"]
            self._run(*work_tree, "add", "--force", "--all", str(directory), extra=index)
            return self._text("write-tree", extra=index)

    def write_commit(
        self,
        tree: str,
        parents: Sequence[str],
        *,
        author: Ident,
        committer: Ident,
        message: str,
        signature: str | None = None,
    ) -> str:
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {author.line()}", f"committer {committer.line()}"]
        if signature:
            lines.append("gpgsig " + signature.replace("\n", "\n "))
        content = "\n".join(lines) + "\n\n" + message
        return self._text("hash-object", "-t", "commit", "-w", "--stdin", stdin=content.encode())

    def merged_tree(self, one: str, other: str) -> str | None:
        """The tree of both; None when they conflict."""
        try:
            return self._text("merge-tree", "--write-tree", one, other)
        except GitFailed:
            return None

    def update_ref(self, name: str, new: str, old: str | None = None) -> None:
        self._run("update-ref", name, new, *([old] if old is not None else []))

    def delete_ref(self, name: str) -> None:
        self._run("update-ref", "-d", name)

    def fetch(self, other: "Bare", refspec: str) -> None:
        self._run("fetch", "--quiet", "--no-tags", str(other.path), refspec)


def _ident(line: str) -> Ident:
    who, _, when = line.rpartition("> ")
    name, _, email = who.rpartition(" <")
    seconds, _, offset = when.partition(" ")
    zone = datetime.strptime(offset or "+0000", "%z").tzinfo
    return Ident(name, email, datetime.fromtimestamp(int(seconds), tz=zone))
