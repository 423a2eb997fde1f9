"""Git objects, contents and pull requests in the shapes of GitHub's REST API."""

from __future__ import annotations

import base64
from functools import lru_cache

from tests.fakes.github.bare import CommitObject, Entry, FileChange, Ident
from tests.fakes.github.shapes import Json, Links, Shapes, node_id, timestamp
from tests.fakes.github.world import Issue, Pull, Repository, Review

_STATUS = {
    "A": "added",
    "M": "modified",
    "D": "removed",
    "R": "renamed",
    "C": "copied",
    "T": "changed",
}
_CONTENT_TYPES = {"blob": "file", "tree": "dir", "commit": "submodule"}


def ref(links: Links, repository: Repository, name: str, sha: str) -> Json:
    url = f"{links.repository(repository)}/git"
    kind = repository.bare.object_type(sha) or "commit"
    return {
        "ref": name,
        "node_id": node_id("REF", f"{repository.id}:{name}"),
        "url": f"{url}/{name}",
        "object": {"sha": sha, "type": kind, "url": f"{url}/{kind}s/{sha}"},
    }


def tree(links: Links, repository: Repository, sha: str) -> Json:
    url = f"{links.repository(repository)}/git"
    rows = []
    for entry in repository.bare.children(sha):
        row: Json = {"path": entry.path, "mode": entry.mode, "type": entry.type, "sha": entry.sha}
        if entry.type != "commit":
            row["url"] = f"{url}/{entry.type}s/{entry.sha}"
        if entry.size is not None:
            row["size"] = entry.size
        rows.append(row)
    return {"sha": sha, "url": f"{url}/trees/{sha}", "tree": rows, "truncated": False}


def verification(repository: Repository, commit: CommitObject) -> Json:
    signed_at = repository.verified_commits.get(commit.sha)
    reason = "valid" if signed_at else "unknown_key" if commit.signature else "unsigned"
    return {
        "verified": signed_at is not None,
        "reason": reason,
        "signature": commit.signature,
        "payload": f"tree {commit.tree}\n" if commit.signature else None,
        "verified_at": timestamp(signed_at) if signed_at else None,
    }


def _ident(ident: Ident) -> Json:
    return {"name": ident.name, "email": ident.email, "date": timestamp(ident.date)}


def git_commit(links: Links, repository: Repository, commit: CommitObject) -> Json:
    url, page = f"{links.repository(repository)}/git", links.page(repository)
    return {
        "sha": commit.sha,
        "node_id": node_id("C", commit.sha),
        "url": f"{url}/commits/{commit.sha}",
        "html_url": f"{page}/commit/{commit.sha}",
        "author": _ident(commit.author),
        "committer": _ident(commit.committer),
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": f"{url}/trees/{commit.tree}"},
        "parents": [
            {"sha": parent, "url": f"{url}/commits/{parent}", "html_url": f"{page}/commit/{parent}"}
            for parent in commit.parents
        ],
        "verification": verification(repository, commit),
    }


def commit(links: Links, repository: Repository, found: CommitObject) -> Json:
    """The commit of the repository endpoints, which wraps the git commit."""
    url, page = f"{links.repository(repository)}/commits", links.page(repository)
    inner = git_commit(links, repository, found)
    kept = ("url", "author", "committer", "message", "tree", "verification")
    return {
        "sha": found.sha,
        "node_id": inner["node_id"],
        "url": f"{url}/{found.sha}",
        "html_url": inner["html_url"],
        "comments_url": f"{url}/{found.sha}/comments",
        "commit": {**{key: inner[key] for key in kept}, "comment_count": 0},
        "author": None,
        "committer": None,
        "parents": [
            {"sha": parent, "url": f"{url}/{parent}", "html_url": f"{page}/commit/{parent}"} for parent in found.parents
        ],
    }


def branch(links: Links, repository: Repository, name: str, found: CommitObject) -> Json:
    url = f"{links.repository(repository)}/branches/{name}"
    return {
        "name": name,
        "commit": commit(links, repository, found),
        "_links": {"self": url, "html": f"{links.page(repository)}/tree/{name}"},
        "protected": bool(repository.rules),
        "protection": {"enabled": bool(repository.rules)},
        "protection_url": f"{url}/protection",
    }


def _content(links: Links, repository: Repository, ref_name: str, entry: Entry, path: str) -> Json:
    api, page = links.repository(repository), links.page(repository)
    kind = "symlink" if entry.mode == "120000" else _CONTENT_TYPES[entry.type]
    url = f"{api}/contents/{path}?ref={ref_name}"
    git_url = f"{api}/git/{entry.type}s/{entry.sha}"
    html_url = f"{page}/{entry.type}/{ref_name}/{path}"
    return {
        "type": kind,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry.sha,
        "size": entry.size or 0,
        "url": url,
        "git_url": git_url,
        "html_url": html_url,
        "download_url": f"{page}/raw/{ref_name}/{path}" if entry.type == "blob" else None,
        "_links": {"self": url, "git": git_url, "html": html_url},
    }


def content_file(links: Links, repository: Repository, ref_name: str, entry: Entry, blob: bytes) -> Json:
    shape = _content(links, repository, ref_name, entry, entry.path)
    if shape["type"] == "symlink":
        return {**shape, "target": blob.decode(errors="replace")}
    return {**shape, "encoding": "base64", "content": base64.encodebytes(blob).decode()}


def content_submodule(links: Links, repository: Repository, ref_name: str, entry: Entry) -> Json:
    return {**_content(links, repository, ref_name, entry, entry.path), "submodule_git_url": ""}


def content_directory(links: Links, repository: Repository, ref_name: str, path: str, tree_sha: str) -> list[Json]:
    start = f"{path.strip('/')}/" if path.strip("/") else ""
    return [
        _content(links, repository, ref_name, entry, start + entry.path) for entry in repository.bare.children(tree_sha)
    ]


def file_change(links: Links, repository: Repository, head_sha: str, change: FileChange) -> Json:
    page = links.page(repository)
    shape: Json = {
        "sha": change.blob,
        "filename": change.path,
        "status": _STATUS[change.status],
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": f"{page}/blob/{head_sha}/{change.path}",
        "raw_url": f"{page}/raw/{head_sha}/{change.path}",
        "contents_url": f"{links.repository(repository)}/contents/{change.path}?ref={head_sha}",
    }
    if change.patch:
        shape["patch"] = change.patch
    if change.previous_path:
        shape["previous_filename"] = change.previous_path
    return shape


@lru_cache(maxsize=512)
def _extent(repository: Repository, base_sha: str, head_sha: str) -> tuple[int, int, int, int]:
    """Commits, additions, deletions and changed files; two commits never change, so it is counted once."""
    bare = repository.bare
    start = bare.merge_base(base_sha, head_sha) or base_sha
    counts = bare.changes(start, head_sha)
    return (
        len(bare.commits_between(base_sha, head_sha)),
        sum(change.additions for change in counts),
        sum(change.deletions for change in counts),
        len(counts),
    )


def pull_request_simple(shapes: Shapes, repository: Repository, issue: Issue) -> Json:
    pull = _pull(issue)
    links = shapes.links
    url = f"{links.repository(repository)}/pulls/{issue.number}"
    issue_url = f"{links.repository(repository)}/issues/{issue.number}"
    page = links.thread_page(repository, issue)
    statuses = f"{links.repository(repository)}/statuses/{pull.head_sha}"
    head, base = pull.head_repo, repository
    return {
        "id": pull.id,
        "node_id": node_id("PR", issue.id),
        "url": url,
        "html_url": page,
        "diff_url": page + ".diff",
        "patch_url": page + ".patch",
        "issue_url": issue_url,
        "commits_url": url + "/commits",
        "review_comments_url": url + "/comments",
        "review_comment_url": f"{links.repository(repository)}/pulls/comments{{/number}}",
        "comments_url": issue_url + "/comments",
        "statuses_url": statuses,
        "number": issue.number,
        "state": issue.state,
        "locked": issue.locked,
        "active_lock_reason": None,
        "title": issue.title,
        "body": issue.body or None,
        "user": shapes.account(issue.author),
        "labels": shapes.labels(repository, issue.labels),
        "milestone": None,
        "assignees": [shapes.account(assignee) for assignee in issue.assignees],
        "requested_reviewers": [shapes.account(reviewer) for reviewer in pull.reviewers],
        "requested_teams": [],
        "created_at": timestamp(issue.created_at),
        "updated_at": timestamp(issue.updated_at),
        "closed_at": timestamp(issue.closed_at) if issue.closed_at else None,
        "merged_at": timestamp(pull.merged_at) if pull.merged_at else None,
        "head": {
            "label": f"{head.owner.login}:{pull.head_ref}",
            "ref": pull.head_ref,
            "sha": pull.head_sha,
            "user": shapes.account(head.owner),
            "repo": shapes.repository(head),
        },
        "base": {
            "label": f"{base.owner.login}:{pull.base_ref}",
            "ref": pull.base_ref,
            "sha": pull.base_sha,
            "user": shapes.account(base.owner),
            "repo": shapes.repository(base),
        },
        "_links": {
            "self": {"href": url},
            "html": {"href": page},
            "issue": {"href": issue_url},
            "comments": {"href": issue_url + "/comments"},
            "review_comments": {"href": url + "/comments"},
            "review_comment": {"href": f"{links.repository(repository)}/pulls/comments{{/number}}"},
            "commits": {"href": url + "/commits"},
            "statuses": {"href": statuses},
        },
        "author_association": shapes.association(repository, issue.author),
        "auto_merge": None,
        "draft": pull.draft,
    }


def pull_request(shapes: Shapes, repository: Repository, issue: Issue) -> Json:
    pull = _pull(issue)
    commits, additions, deletions, files = _extent(repository, pull.base_sha, pull.head_sha)
    return {
        **pull_request_simple(shapes, repository, issue),
        "merged": pull.merged_at is not None,
        "mergeable": True,
        "rebaseable": True,
        "mergeable_state": "draft" if pull.draft else "clean",
        "merged_by": shapes.account(pull.merged_by) if pull.merged_by else None,
        "comments": len(issue.comments),
        "review_comments": len(pull.review_comments),
        "maintainer_can_modify": False,
        "commits": commits,
        "additions": additions,
        "deletions": deletions,
        "changed_files": files,
    }


def review(shapes: Shapes, repository: Repository, issue: Issue, found: Review) -> Json:
    page = f"{shapes.links.thread_page(repository, issue)}#pullrequestreview-{found.id}"
    pull_url = f"{shapes.links.repository(repository)}/pulls/{issue.number}"
    return {
        "id": found.id,
        "node_id": node_id("PRR", found.id),
        "user": shapes.account(found.author),
        "body": found.body,
        "commit_id": found.commit_sha,
        "submitted_at": timestamp(found.submitted_at),
        "state": found.state,
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": shapes.association(repository, found.author),
        "_links": {"html": {"href": page}, "pull_request": {"href": pull_url}},
    }


def delivered_review(shapes: Shapes, repository: Repository, issue: Issue, found: Review) -> Json:
    """Deliveries have a review without words and in small letters."""
    shape = review(shapes, repository, issue, found)
    return {**shape, "body": found.body or None, "state": found.state.lower(), "updated_at": shape["submitted_at"]}


def _pull(issue: Issue) -> Pull:
    assert issue.pull is not None
    return issue.pull
