"""What an agent does to its own tree, with git as it pleases; stands for a sandbox here."""

import os
import subprocess
from pathlib import Path


class Agent:
    def __init__(self, home: Path) -> None:
        home.mkdir()
        self._environment = {
            "PATH": os.defpath,
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "agent",
            "GIT_AUTHOR_EMAIL": "agent@sandbox.invalid",
            "GIT_COMMITTER_NAME": "agent",
            "GIT_COMMITTER_EMAIL": "agent@sandbox.invalid",
        }

    def git(self, tree: Path, *argv: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            ["git", *argv], cwd=tree, env=self._environment, input=stdin, capture_output=True, check=True
        )
        return done.stdout

    def commit(self, tree: Path, message: str = "Work") -> str:
        self.git(tree, "add", "--all")
        self.git(tree, "commit", "--quiet", "--allow-empty", "-m", message)
        return self.git(tree, "rev-parse", "HEAD").decode().strip()

    def bundle(self, tree: Path, since: str) -> bytes:
        return self.git(tree, "bundle", "create", "-", f"{since}..HEAD")
