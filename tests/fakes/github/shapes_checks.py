"""Checks of GitHub Actions as deliveries have them."""

from __future__ import annotations

from tests.fakes.github.shapes import Json, Shapes, node_id, timestamp
from tests.fakes.github.shapes_git import git_commit
from tests.fakes.github.world import CheckRun, Issue, Repository

_ACTIONS_ID = 15368
"""The app that runs GitHub Actions on github.com."""

_OWNER_ID = 9919


def check_run(shapes: Shapes, repository: Repository, run: CheckRun) -> Json:
    url = f"{shapes.links.repository(repository)}/check-runs/{run.id}"
    page = f"{shapes.links.page(repository)}/actions/runs/{run.suite_id}/job/{run.id}"
    suite = _suite(shapes, repository, run)
    return {
        "id": run.id,
        "node_id": node_id("CR", run.id),
        "head_sha": run.head_sha,
        "external_id": str(run.id),
        "url": url,
        "html_url": page,
        "details_url": page,
        "status": "completed",
        "conclusion": run.conclusion,
        "started_at": timestamp(run.completed_at),
        "completed_at": timestamp(run.completed_at),
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": 0,
            "annotations_url": f"{url}/annotations",
        },
        "name": run.name,
        "check_suite": suite,
        "app": suite["app"],
        "pull_requests": suite["pull_requests"],
    }


def check_suite(shapes: Shapes, repository: Repository, run: CheckRun) -> Json:
    suite = _suite(shapes, repository, run)
    commit = git_commit(shapes.links, repository, repository.bare.commit(run.head_sha))
    return {
        **suite,
        "latest_check_runs_count": 1,
        "check_runs_url": f"{suite['url']}/check-runs",
        "head_commit": {
            "id": run.head_sha,
            "tree_id": commit["tree"]["sha"],
            "message": commit["message"],
            "timestamp": commit["committer"]["date"],
            "author": {key: commit["author"][key] for key in ("name", "email")},
            "committer": {key: commit["committer"][key] for key in ("name", "email")},
        },
    }


def _suite(shapes: Shapes, repository: Repository, run: CheckRun) -> Json:
    parents = repository.bare.commit(run.head_sha).parents
    return {
        "id": run.suite_id,
        "node_id": node_id("CS", run.suite_id),
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "status": "completed",
        "conclusion": run.conclusion,
        "url": f"{shapes.links.repository(repository)}/check-suites/{run.suite_id}",
        "before": parents[0] if parents else "0" * 40,
        "after": run.head_sha,
        "pull_requests": [
            _short_pull(shapes, repository, thread)
            for thread in repository.pulls
            if thread.state == "open" and thread.pull and thread.pull.head_sha == run.head_sha
        ],
        "app": _actions(shapes),
        "created_at": timestamp(run.completed_at),
        "updated_at": timestamp(run.completed_at),
    }


def _short_pull(shapes: Shapes, repository: Repository, issue: Issue) -> Json:
    pull = issue.pull
    assert pull is not None

    def end(owner: Repository, ref: str, sha: str) -> Json:
        url = shapes.links.repository(owner)
        return {"ref": ref, "sha": sha, "repo": {"id": owner.id, "url": url, "name": owner.name}}

    return {
        "url": f"{shapes.links.repository(repository)}/pulls/{issue.number}",
        "id": pull.id,
        "number": issue.number,
        "head": end(pull.head_repo, pull.head_ref, pull.head_sha),
        "base": end(repository, pull.base_ref, pull.base_sha),
    }


def _actions(shapes: Shapes) -> Json:
    # Like any account of the owner of an app, but for the name.
    owner = shapes.account(shapes.app.owner)
    return {
        "id": _ACTIONS_ID,
        "slug": "github-actions",
        "client_id": f"Iv1.{_ACTIONS_ID}",
        "node_id": node_id("A", _ACTIONS_ID),
        "owner": {**owner, "login": "github", "id": _OWNER_ID, "type": "Organization"},
        "name": "GitHub Actions",
        "description": "Automate your workflow from idea to production",
        "external_url": "https://help.github.com/en/actions",
        "html_url": f"{shapes.links.web}/apps/github-actions",
        "created_at": timestamp(shapes.app.created_at),
        "updated_at": timestamp(shapes.app.created_at),
        "permissions": {"actions": "write", "checks": "write", "contents": "read", "metadata": "read"},
        "events": ["check_run", "check_suite", "push", "workflow_dispatch"],
    }
