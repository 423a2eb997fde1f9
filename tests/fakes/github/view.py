"""What came of it: reactions, comments, branches, files, pull requests and their commits."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fakes.github.scene import Scene
from tests.fakes.github.world import Account, Comment, Issue, Repository, ReviewComment


@dataclass(frozen=True)
class CommitFacts:
    sha: str
    message: str
    author: str
    email: str
    verified: bool


class View(Scene):
    def bot_comments(self, issue: Issue) -> list[Comment]:
        return [comment for comment in issue.comments if comment.author is self.identity.bot]

    @staticmethod
    def review_comments(pull: Issue) -> list[ReviewComment]:
        """Oldest first."""
        return list(pull.pull.review_comments) if pull.pull else []

    @staticmethod
    def reactions(target: Issue | Comment | ReviewComment, by: Account | None = None) -> list[str]:
        return [reaction.content for reaction in target.reactions if by in (None, reaction.author)]

    def branches(self, repo: Repository | str | None = None) -> dict[str, str]:
        """Short name to sha."""
        heads = self.repo(repo).bare.refs("refs/heads")
        return {name.removeprefix("refs/heads/"): sha for name, sha in heads.items()}

    def file(self, path: str, ref: str, repo: Repository | str | None = None) -> bytes | None:
        bare = self.repo(repo).bare
        commit = bare.resolve(ref)
        entry = bare.entry(commit, path) if commit else None
        return bare.blob(entry.sha) if entry and entry.type == "blob" else None

    def diff(self, pull: Issue) -> str:
        assert pull.pull is not None
        bare = pull.repository.bare
        base = bare.merge_base(pull.pull.base_sha, pull.pull.head_sha) or pull.pull.base_sha
        return bare.diff(base, pull.pull.head_sha)

    def commits(self, pull: Issue) -> list[CommitFacts]:
        """Oldest first."""
        assert pull.pull is not None
        repository = pull.repository
        facts = []
        for sha in repository.bare.commits_between(pull.pull.base_sha, pull.pull.head_sha):
            found = repository.bare.commit(sha)
            facts.append(
                CommitFacts(
                    sha, found.message, found.author.name, found.author.email, sha in repository.verified_commits
                )
            )
        return facts
