"""Accounts, repositories, threads and the app in the shapes of GitHub's REST API. No I/O."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from tests.fakes.github.world import (
    Account,
    App,
    Comment,
    Installation,
    Issue,
    IssueEvent,
    Label,
    Reaction,
    Repository,
    ReviewComment,
    Role,
    World,
)

Json: TypeAlias = dict[str, Any]

_REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")

_ACCOUNT_URLS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}

_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}

_RANKS = [Role.READ, Role.TRIAGE, Role.WRITE, Role.MAINTAIN, Role.ADMIN]


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _maybe(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment else None


def node_id(kind: str, number: int | str) -> str:
    return f"{kind}_{base64.urlsafe_b64encode(str(number).encode()).decode().rstrip('=')}"


@dataclass
class Links:
    """Where the stand-in answers; the web address is known once its server listens."""

    web: str
    api_prefix: str

    @property
    def api(self) -> str:
        return self.web + self.api_prefix

    def repository(self, repository: Repository) -> str:
        return f"{self.api}/repos/{repository.full_name}"

    def page(self, repository: Repository) -> str:
        return f"{self.web}/{repository.full_name}"

    def thread_page(self, repository: Repository, issue: Issue) -> str:
        return f"{self.page(repository)}/{'pull' if issue.pull else 'issues'}/{issue.number}"


class Shapes:
    def __init__(self, world: World, app: App, links: Links) -> None:
        self.world = world
        self.app = app
        self.links = links

    def account(self, account: Account) -> Json:
        url = f"{self.links.api}/users/{account.login}"
        return {
            "login": account.login,
            "id": account.id,
            "node_id": node_id("U", account.id),
            "avatar_url": f"{self.links.web}/_assets/avatar/{account.id}.svg",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.links.web}/{account.login}",
            **{key: url + rest for key, rest in _ACCOUNT_URLS.items()},
            "type": account.type,
            "user_view_type": "public",
            "site_admin": False,
        }

    def profile(self, account: Account) -> Json:
        return {
            **self.account(account),
            "name": None,
            "company": None,
            "blog": "",
            "location": None,
            "email": None,
            "hireable": None,
            "bio": None,
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": timestamp(account.created_at),
            "updated_at": timestamp(account.created_at),
        }

    def collaborator(self, repository: Repository, account: Account) -> Json:
        """Custom words are kept: `maintain` counts as write and `triage` as read.

        https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user
        """
        role = repository.role_of(account)
        rank = _RANKS.index(role) if role in _RANKS else -1
        permission = {Role.MAINTAIN: Role.WRITE, Role.TRIAGE: Role.READ}.get(role, role)
        return {
            "permission": permission.value,
            "role_name": role.value,
            "user": {
                **self.account(account),
                "role_name": role.value,
                "permissions": {
                    "pull": rank >= 0,
                    "triage": rank >= 1,
                    "push": rank >= 2,
                    "maintain": rank >= 3,
                    "admin": rank >= 4,
                },
            },
        }

    def repository(self, repository: Repository) -> Json:
        url, page = self.links.repository(repository), self.links.page(repository)
        open_threads = sum(thread.state == "open" for thread in repository.all_threads)
        return {
            "id": repository.id,
            "node_id": node_id("R", repository.id),
            "name": repository.name,
            "full_name": repository.full_name,
            "owner": self.account(repository.owner),
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "html_url": page,
            "description": None,
            "fork": repository.fork_of is not None,
            "url": url,
            **{key: url + rest for key, rest in _REPOSITORY_URLS.items()},
            "clone_url": f"{page}.git",
            "git_url": f"git:{page.partition(':')[2]}.git",
            "ssh_url": f"git@localhost:{repository.full_name}.git",
            "svn_url": page,
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            "topics": [],
            "is_template": False,
            "forks": 0,
            "forks_count": 0,
            "stargazers_count": 0,
            "watchers": 0,
            "watchers_count": 0,
            "open_issues": open_threads,
            "open_issues_count": open_threads,
            "size": repository.size_kilobytes,
            "default_branch": repository.default_branch,
            "has_issues": repository.issues_enabled,
            "has_projects": False,
            "has_wiki": False,
            "has_pages": False,
            "has_discussions": False,
            "archived": repository.archived,
            "disabled": False,
            "allow_forking": True,
            "allow_merge_commit": True,
            "allow_squash_merge": True,
            "allow_rebase_merge": True,
            "allow_auto_merge": False,
            "allow_update_branch": False,
            "delete_branch_on_merge": False,
            "web_commit_signoff_required": False,
            "created_at": timestamp(repository.created_at),
            "updated_at": timestamp(repository.pushed_at),
            "pushed_at": timestamp(repository.pushed_at),
        }

    def full_repository(self, repository: Repository) -> Json:
        more: Json = {"network_count": 0, "subscribers_count": 0}
        if repository.owner.type == "Organization":
            more["organization"] = self.account(repository.owner)
        if repository.fork_of:
            more["parent"] = more["source"] = self.repository(repository.fork_of)
        return {**self.repository(repository), **more}

    def short_repository(self, repository: Repository) -> Json:
        return {
            "id": repository.id,
            "node_id": node_id("R", repository.id),
            "name": repository.name,
            "full_name": repository.full_name,
            "private": repository.private,
        }

    def label(self, repository: Repository, label: Label) -> Json:
        return {
            "id": label.id,
            "node_id": node_id("LA", label.id),
            "url": f"{self.links.repository(repository)}/labels/{label.name}",
            "name": label.name,
            "color": label.color,
            "description": label.description,
            "default": False,
        }

    def labels(self, repository: Repository, labels: Sequence[Label]) -> list[Json]:
        return [self.label(repository, label) for label in labels]

    def reaction(self, reaction: Reaction) -> Json:
        return {
            "id": reaction.id,
            "node_id": node_id("REA", reaction.id),
            "user": self.account(reaction.author),
            "content": reaction.content,
            "created_at": timestamp(reaction.created_at),
        }

    def reaction_rollup(self, url: str, reactions: Sequence[Reaction]) -> Json:
        counts = Counter(reaction.content for reaction in reactions)
        return {"url": f"{url}/reactions", "total_count": len(reactions), **{word: counts[word] for word in _REACTIONS}}

    def issue(self, repository: Repository, issue: Issue) -> Json:
        url = f"{self.links.repository(repository)}/issues/{issue.number}"
        shape: Json = {
            "id": issue.id,
            "node_id": node_id("PR" if issue.pull else "I", issue.id),
            "url": url,
            "repository_url": self.links.repository(repository),
            "labels_url": url + "/labels{/name}",
            "comments_url": url + "/comments",
            "events_url": url + "/events",
            "timeline_url": url + "/timeline",
            "html_url": self.links.thread_page(repository, issue),
            "number": issue.number,
            "title": issue.title,
            "body": issue.body or None,
            "user": self.account(issue.author),
            "labels": self.labels(repository, issue.labels),
            "state": issue.state,
            "state_reason": "completed" if issue.state == "closed" else None,
            "locked": issue.locked,
            "active_lock_reason": None,
            "assignees": [self.account(assignee) for assignee in issue.assignees],
            "milestone": None,
            "comments": len(issue.comments),
            "created_at": timestamp(issue.created_at),
            "updated_at": timestamp(issue.updated_at),
            "closed_at": _maybe(issue.closed_at),
            "author_association": self.association(repository, issue.author),
            "performed_via_github_app": self.integration() if issue.via_app else None,
            "reactions": self.reaction_rollup(url, issue.reactions),
        }
        if issue.pull:
            page = self.links.thread_page(repository, issue)
            shape["draft"] = issue.pull.draft
            shape["pull_request"] = {
                "url": f"{self.links.repository(repository)}/pulls/{issue.number}",
                "html_url": page,
                "diff_url": page + ".diff",
                "patch_url": page + ".patch",
            }
            if issue.pull.merged_at:
                shape["pull_request"]["merged_at"] = timestamp(issue.pull.merged_at)
        return shape

    def comment(self, repository: Repository, issue: Issue, comment: Comment) -> Json:
        url = f"{self.links.repository(repository)}/issues/comments/{comment.id}"
        return {
            "id": comment.id,
            "node_id": node_id("IC", comment.id),
            "url": url,
            "html_url": f"{self.links.thread_page(repository, issue)}#issuecomment-{comment.id}",
            "issue_url": f"{self.links.repository(repository)}/issues/{issue.number}",
            "user": self.account(comment.author),
            "body": comment.body,
            "created_at": timestamp(comment.created_at),
            "updated_at": timestamp(comment.updated_at),
            "author_association": self.association(repository, comment.author),
            "performed_via_github_app": self.integration() if comment.via_app else None,
            "reactions": self.reaction_rollup(url, comment.reactions),
        }

    def review_comment(self, repository: Repository, issue: Issue, comment: ReviewComment) -> Json:
        url = f"{self.links.repository(repository)}/pulls/comments/{comment.id}"
        page = f"{self.links.thread_page(repository, issue)}#discussion_r{comment.id}"
        pull_url = f"{self.links.repository(repository)}/pulls/{issue.number}"
        shape: Json = {
            "id": comment.id,
            "node_id": node_id("PRRC", comment.id),
            "url": url,
            "html_url": page,
            "pull_request_url": pull_url,
            "pull_request_review_id": comment.review_id,
            "diff_hunk": comment.diff_hunk,
            "path": comment.path,
            "line": comment.line,
            "original_line": comment.line,
            "side": "RIGHT",
            "subject_type": "line",
            "commit_id": comment.commit_sha,
            "original_commit_id": comment.commit_sha,
            "user": self.account(comment.author),
            "body": comment.body,
            "created_at": timestamp(comment.created_at),
            "updated_at": timestamp(comment.updated_at),
            "author_association": self.association(repository, comment.author),
            "reactions": self.reaction_rollup(url, comment.reactions),
            "_links": {"self": {"href": url}, "html": {"href": page}, "pull_request": {"href": pull_url}},
        }
        if comment.in_reply_to_id:
            shape["in_reply_to_id"] = comment.in_reply_to_id
        return shape

    def issue_event(self, repository: Repository, event: IssueEvent) -> Json:
        return {
            "id": event.id,
            "node_id": node_id("LE", event.id),
            "url": f"{self.links.repository(repository)}/issues/events/{event.id}",
            "actor": self.account(event.actor),
            "event": event.kind,
            "commit_id": None,
            "commit_url": None,
            "created_at": timestamp(event.created_at),
            "label": {"name": event.label.name, "color": event.label.color},
            "performed_via_github_app": None,
        }

    def association(self, repository: Repository, account: Account) -> str:
        if account is repository.owner:
            return "OWNER"
        role = repository.roles.get(account.id, Role.NONE)
        return "COLLABORATOR" if role in (Role.ADMIN, Role.MAINTAIN, Role.WRITE, Role.TRIAGE) else "NONE"

    def integration(self) -> Json:
        app = self.app
        return {
            "id": app.id,
            "slug": app.slug,
            "client_id": app.client_id,
            "node_id": node_id("A", app.id),
            "owner": self.account(app.owner),
            "name": app.name,
            "description": None,
            "external_url": self.links.web,
            "html_url": f"{self.links.web}/apps/{app.slug}",
            "created_at": timestamp(app.created_at),
            "updated_at": timestamp(app.created_at),
            "permissions": dict(app.permissions),
            "events": list(app.events),
        }

    def installation(self, installation: Installation) -> Json:
        url = f"{self.links.api}/app/installations/{installation.id}"
        suspended = installation.suspended_at
        return {
            "id": installation.id,
            "client_id": self.app.client_id,
            "account": self.account(installation.account),
            "repository_selection": "selected",
            "access_tokens_url": url + "/access_tokens",
            "repositories_url": f"{self.links.api}/installation/repositories",
            "html_url": f"{self.links.web}/settings/installations/{installation.id}",
            "app_id": self.app.id,
            "app_slug": self.app.slug,
            "target_id": installation.account.id,
            "target_type": installation.account.type,
            "permissions": dict(installation.permissions),
            "events": list(self.app.events),
            "created_at": timestamp(installation.created_at),
            "updated_at": timestamp(installation.created_at),
            "single_file_name": None,
            "suspended_by": self.account(installation.account) if suspended else None,
            "suspended_at": _maybe(suspended),
        }
