"""What can go wrong with GitHub and git: typed, each with a code and a next step. No I/O."""

from datetime import datetime
from typing import ClassVar

from bot.errors import BackspaceError


class GitHubFailed(BackspaceError):
    """GitHub refused the call."""

    code: ClassVar[str] = "github-failed"
    next_step: ClassVar[str] = "Look at Backspace's log for GitHub's answer."

    def __init__(self, message: str | None = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unavailable(GitHubFailed):
    """GitHub did not answer, or answered with an error of its own."""

    # Whether the call took effect is unknown.

    code = "github-unavailable"
    next_step = "Try again in a few minutes; githubstatus.com tells about outages."
    retry_helps = True


class RateLimited(GitHubFailed):
    """GitHub's rate limit for this installation is used up."""

    code = "github-rate-limited"
    next_step = "Nothing to do: it goes on when GitHub's limit allows."
    retry_helps = True

    def __init__(self, until: datetime, *, status: int | None = None) -> None:
        super().__init__(f"rate limited until {until.isoformat()}", status=status)
        self.until = until


class Unauthorized(GitHubFailed):
    """GitHub does not accept the token."""

    code = "github-token-refused"
    next_step = "Check that the app is still installed."


class NotFound(GitHubFailed):
    """GitHub has no such thing, or the app may not see it."""

    code = "github-not-found"
    next_step = "Check that the repository exists and that the app is installed on it."


class Forbidden(GitHubFailed):
    """GitHub does not allow the call."""

    code = "github-forbidden"
    next_step = "Check the app's permissions on this repository."


class RepositoryReadOnly(Forbidden):
    """The repository is archived or disabled, so nothing can be written to it."""

    code = "repository-read-only"
    next_step = "Unarchive the repository, then ask again."


class ThreadLocked(Forbidden):
    """The conversation is locked, so no comment can be made in it."""

    code = "thread-locked"
    next_step = "Unlock the conversation, then ask again."


class PermissionMissing(Forbidden):
    """The app's installation lacks a permission."""

    code = "permission-missing"
    next_step = "An owner of the account must accept the app's permissions, in the account's settings."

    def __init__(self, message: str | None = None, *, accepted: str = "", status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.accepted = accepted
        """GitHub's `X-Accepted-GitHub-Permissions`: what would have sufficed; may be empty."""


class InstallationSuspended(Forbidden):
    """The app's installation is suspended."""

    code = "installation-suspended"
    next_step = "An owner of the account must unsuspend the app."


class InstallationGone(GitHubFailed):
    """The app is not installed on this account any more."""

    code = "installation-gone"
    next_step = "Install the app on the account again."


class RepositoryNotInstalled(GitHubFailed):
    """The app's installation does not include this repository."""

    code = "repository-not-installed"
    next_step = "Add the repository to the app's installation."


class AppRefused(GitHubFailed):
    """GitHub does not accept the app's own credentials."""

    code = "app-refused"
    next_step = "Check GITHUB_APP_ID, the private key and this machine's clock."


class Unprocessable(GitHubFailed):
    """GitHub understood the call but cannot do it."""

    code = "github-unprocessable"


class Conflict(GitHubFailed):
    """The call does not fit the repository's present state."""

    code = "github-conflict"


class FileTooLarge(GitHubFailed):
    """The file is too large to be read through the API."""

    code = "file-too-large"
    next_step = "Make the file smaller than 1 MB."


class BaseMissing(GitHubFailed):
    """The branch that the pull request should go to does not exist."""

    code = "base-missing"
    next_step = "Name an existing branch as `base` in .github/backspace.yml."


class NothingToMerge(GitHubFailed):
    """The branch has no commits that its base lacks."""

    code = "nothing-to-merge"
    next_step = "Nothing to do: the base branch has this change already."


class BranchTaken(GitHubFailed):
    """The branch exists and is not this run's, or it moved on meanwhile."""

    code = "branch-taken"
    next_step = "Somebody else moved the branch; ask again to start from its present state."


class CheckoutFailed(BackspaceError):
    """git could not do it."""

    code: ClassVar[str] = "git-failed"
    next_step: ClassVar[str] = "Look at Backspace's log for git's words."


class EmptyRepository(CheckoutFailed):
    """The repository has no commits."""

    code = "repository-empty"
    next_step = "Push a first commit, then ask again."


class RepositoryUnreachable(CheckoutFailed):
    """The repository does not exist, or the app may not read it."""

    code = "repository-unreachable"
    next_step = "Check that the repository exists and that the app is installed on it."


class BranchMissing(CheckoutFailed):
    """The repository has no such branch or commit."""

    code = "branch-missing"
    next_step = "Name one that exists: with `--base` in the comment, or as `base` in `.github/backspace.yml`."


class RepositoryTooLarge(CheckoutFailed):
    """The repository is larger than Backspace may fetch."""

    code = "repository-too-large"
    next_step = "Repositories of this size cannot be worked on by this installation of Backspace."


class GitTimedOut(CheckoutFailed):
    """git took too long."""

    code = "git-timed-out"
    next_step = "Try again; if it stays, the repository may be too large."
    retry_helps = True


class GitUnavailable(CheckoutFailed):
    """The git host did not answer."""

    code = "git-unavailable"
    next_step = "Try again in a few minutes; githubstatus.com tells about outages."
    retry_helps = True


class PushRefused(CheckoutFailed):
    """The git host refused the push."""

    code = "push-refused"
    next_step = "Look at the rules of the repository's branches; they may forbid this push."


class BundleRefused(CheckoutFailed):
    """The work that came out of the sandbox is not a sound continuation of the base commit."""

    code = "bundle-refused"
    next_step = "Ask again; the run's work is kept as it was."
