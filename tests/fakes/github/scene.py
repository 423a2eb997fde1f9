"""Setting the scene: accounts, repositories, commits, installations. None of it sends a delivery."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.fakes.github.bare import Bare, Ident
from tests.fakes.github.forge import Act
from tests.fakes.github.operations import Parts
from tests.fakes.github.world import Account, App, Clock, Comment, Installation, Issue, Repository, Role, World


class Scene:
    def __init__(self, parts: Parts, state: Path) -> None:
        self._parts = parts
        self._state = state

    @property
    def identity(self) -> App:
        """The GitHub App: ids, slug, bot account, private key."""
        return self._parts.app

    @property
    def world(self) -> World:
        return self._parts.world

    @property
    def clock(self) -> Clock:
        return self._parts.world.clock

    def repo(self, repo: Repository | str | None = None) -> Repository:
        """By name, or the one that was added first."""
        if isinstance(repo, Repository):
            return repo
        found = next(iter(self.world.all_repositories), None) if repo is None else self.world.repository(repo)
        if found is None:
            raise KeyError(repo)
        return found

    def user(self, login: str) -> Account:
        found = self.world.account(login)
        if found is None:
            raise KeyError(login)
        return found

    def installation(self, installation_id: int) -> Installation:
        return self.world.installations[installation_id]

    def issue(self, number: int, repo: Repository | str | None = None) -> Issue:
        return self.repo(repo).threads[number]

    def pulls(self, repo: Repository | str | None = None) -> list[Issue]:
        return self.repo(repo).pulls

    def add_user(
        self, login: str, role: Role | str | None = None, repo: Repository | str | None = None, kind: str = "User"
    ) -> Account:
        """Known to GitHub from now on, with this role in that repository (the only one, when not named)."""
        account = self.world.account(login) or self.world.add_account(login, kind)
        if role is not None:
            self.repo(repo).roles[account.id] = Role(role)
        return account

    def add_repo(
        self,
        full_name: str,
        files: Mapping[str, str | bytes] | Path | None = None,
        *,
        private: bool = True,
        default_branch: str = "main",
        message: str = "Initial commit",
    ) -> Repository:
        """A bare repository with one commit of these files, or of that directory; without files it is empty."""
        owner_login, _, name = full_name.partition("/")
        owner = self.world.account(owner_login) or self.world.add_account(owner_login, "Organization")
        number = self.world.next_id()
        bare = Bare.create(self._state / "repositories" / f"{number}.git", default_branch=default_branch)
        now = self.clock()
        repository = Repository(number, owner, name, private, default_branch, bare, now, now)
        self.world.repositories[number] = repository
        if files is not None:
            tree = bare.tree_of_directory(files) if isinstance(files, Path) else self._tree(bare, None, files)
            sha = bare.write_commit(tree, [], author=self._ident(owner), committer=self._ident(owner), message=message)
            bare.update_ref(f"refs/heads/{default_branch}", sha)
        return repository

    def fork(self, repo: Repository | str, owner: str) -> Repository:
        source = self.repo(repo)
        self.add_user(owner)
        copy = self.add_repo(f"{owner}/{source.name}", private=source.private, default_branch=source.default_branch)
        copy.fork_of = source
        copy.bare.fetch(source.bare, "+refs/heads/*:refs/heads/*")
        return copy

    def rename_repo(self, repo: Repository | str, name: str) -> None:
        """The old address answers 301 and 307 from now on."""
        repository = self.repo(repo)
        self.world.former_names[repository.full_name.lower()] = repository.id
        repository.name = name

    def commit(
        self,
        repo: Repository | str,
        branch: str,
        files: Mapping[str, str | bytes | None],
        *,
        message: str = "A change",
        author: str | None = None,
    ) -> str:
        """Somebody commits on a branch (made from the default one if new); None deletes a file. The sha."""
        return self._commit(repo, branch, files, message=message, author=author).subject

    def _commit(
        self,
        repo: Repository | str,
        branch: str,
        files: Mapping[str, str | bytes | None],
        *,
        message: str,
        author: str | None,
    ) -> Act[str]:
        repository = self.repo(repo)
        bare = repository.bare
        committer = self.user(author) if author else repository.owner
        who = self._ident(committer)
        parent = bare.ref(f"refs/heads/{branch}") or bare.ref(f"refs/heads/{repository.default_branch}")
        tree = self._tree(bare, parent, files)
        sha = bare.write_commit(tree, [parent] if parent else [], author=who, committer=who, message=message)
        bare.update_ref(f"refs/heads/{branch}", sha)
        return Act(sha, self._parts.forge.refs_changed(repository, committer))

    @staticmethod
    def _tree(bare: Bare, parent: str | None, files: Mapping[str, str | bytes | None]) -> str:
        rows: list[tuple[str, str, str | None]] = []
        for path, content in files.items():
            if content is None:
                rows.append(("100644", path, None))
                continue
            raw = content.encode() if isinstance(content, str) else content
            rows.append(("100755" if raw.startswith(b"#!") else "100644", path, bare.write_blob(raw)))
        return bare.write_tree(bare.resolve(parent, "tree") if parent else None, rows)

    def _ident(self, account: Account) -> Ident:
        email = f"{account.id}+{account.login}@users.noreply.github.com"
        return Ident(account.login, email, self.clock().replace(microsecond=0))

    def install(
        self,
        account: str,
        repos: Iterable[Repository | str],
        *,
        permissions: Mapping[str, str] | None = None,
    ) -> int:
        """The installation's id; `permissions` for an account that has not accepted all that the app asks for."""
        installation = Installation(
            id=self.world.next_id(),
            account=self.user(account),
            repositories=[self.repo(repo) for repo in repos],
            permissions=dict(self.identity.permissions if permissions is None else permissions),
            created_at=self.clock(),
        )
        self.world.installations[installation.id] = installation
        return installation.id

    def personal_token(self, login: str) -> str:
        value = f"github_pat_{secrets.token_hex(20)}"
        self.world.personal_tokens[value] = self.user(login)
        return value

    def find_comment(self, comment_id: int) -> tuple[Issue, Comment]:
        for repository in self.world.all_repositories:
            for issue in repository.all_threads:
                for comment in issue.comments:
                    if comment.id == comment_id:
                        return issue, comment
        raise KeyError(comment_id)
