"""Commits and branches of a repository, made and looked up by GitHub."""

from collections.abc import Sequence
from urllib.parse import quote

from bot.github import answers
from bot.github.answers import At, CommitOnGitHub, SignedCommit, TreeEntry
from bot.github.calls import Calls
from bot.github.failures import NotFound, Unprocessable
from bot.github.limits import WRITE
from bot.github.tokens import PUBLISH
from bot.model import Sha


class Commits:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def sign(
        self, at: At, base_sha: Sha, entries: Sequence[TreeEntry], message: str, parents: Sequence[Sha]
    ) -> tuple[Sha, SignedCommit]:
        """The tree that GitHub made of `base_sha` plus `entries`, and a commit of it on `parents`.

        GitHub signs it because it names no author and no committer:
        https://docs.github.com/en/authentication/managing-commit-signature-verification/about-commit-signature-verification#signature-verification-for-bots
        Neither is reachable from a branch yet, so both POSTs may be repeated freely.
        """
        tree = [{"path": e.path, "mode": e.mode, "type": "blob", "sha": e.sha} for e in entries]
        reply = await self._calls.send(
            at, "POST", "/git/trees", body={"base_tree": base_sha, "tree": tree}, scope=PUBLISH, weight=WRITE
        )
        tree_sha = Sha(str(reply.body["sha"]))
        reply = await self._calls.send(
            at,
            "POST",
            "/git/commits",
            body={"message": message, "tree": tree_sha, "parents": list(parents)},
            scope=PUBLISH,
            weight=WRITE,
        )
        return tree_sha, answers.signed_commit(reply.body)

    async def head(self, at: At, branch: str) -> Sha | None:
        try:
            reply = await self._calls.send(at, "GET", f"/git/ref/heads/{quote(branch)}", scope=PUBLISH)
        except NotFound:
            return None
        return Sha(str(reply.body["object"]["sha"]))

    async def find(self, at: At, sha: Sha) -> CommitOnGitHub:
        return answers.commit((await self._calls.send(at, "GET", f"/git/commits/{sha}", scope=PUBLISH)).body)

    async def create_branch(self, at: At, branch: str, sha: Sha) -> Sha:
        """The head that the branch has now: `sha`, or another one when it existed before."""
        try:
            return await self._calls.create(
                at,
                "/git/refs",
                body={"ref": f"refs/heads/{branch}", "sha": sha},
                parse=lambda answer: Sha(str(answer["object"]["sha"])),
                find=lambda: self.head(at, branch),
                scope=PUBLISH,
                weight=WRITE,
            )
        except Unprocessable as exc:
            if "already exists" in str(exc).lower() and (found := await self.head(at, branch)):
                return found
            raise

    async def update_branch(self, at: At, branch: str, sha: Sha) -> bool:
        """Move the branch forward; False when that is no fast-forward any more."""
        try:
            await self._calls.send(
                at,
                "PATCH",
                f"/git/refs/heads/{quote(branch)}",
                body={"sha": sha, "force": False},
                scope=PUBLISH,
                weight=WRITE,
            )
        except Unprocessable as exc:
            if "fast forward" in str(exc).lower() or "fast-forward" in str(exc).lower():
                return False
            raise
        return True
