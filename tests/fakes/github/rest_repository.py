"""REST: a repository, its people, contents, branches, rules and comparisons."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.github import shapes_git
from tests.fakes.github.answers import Answer, Refusal, not_found
from tests.fakes.github.operations import Call, operation

_LARGEST_CONTENT_BYTES = 1_000_000
_MOST_COMPARED = 250


@operation("GET", "/repos/{owner}/{repo}", needs="metadata=read")
def get_repository(call: Call) -> Answer:
    return Answer(body=call.parts.shapes.full_repository(call.repository))


@operation("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission", needs="metadata=read")
def get_permission(call: Call) -> Answer:
    account = call.parts.world.account(call.params["username"])
    if account is None or account.type == "Organization":
        raise not_found()
    return Answer(body=call.parts.shapes.collaborator(call.repository, account))


@operation("GET", "/repos/{owner}/{repo}/contents/{path}", needs="contents=read")
def get_content(call: Call) -> Answer:
    repository, path = call.repository, call.params["path"]
    if repository.bare.is_empty():
        raise Refusal(404, "This repository is empty.")
    ref_name = call.query.get("ref") or repository.default_branch
    commit = repository.bare.resolve(ref_name)
    if commit is None:
        raise Refusal(404, f"No commit found for the ref {ref_name}")
    entry = repository.bare.entry(commit, path)
    if entry is None:
        raise not_found()
    links = call.parts.links
    if entry.type == "tree":
        return Answer(body=shapes_git.content_directory(links, repository, ref_name, path, entry.sha))
    if entry.type == "commit":
        return Answer(body=shapes_git.content_submodule(links, repository, ref_name, entry))
    blob = repository.bare.blob(entry.sha)
    if "raw" in call.accept:
        return Answer(body=blob, media="application/vnd.github.raw+json; charset=utf-8")
    shape = shapes_git.content_file(links, repository, ref_name, replace(entry, path=path.strip("/")), blob)
    if len(blob) > _LARGEST_CONTENT_BYTES and shape["type"] == "file":
        shape |= {"content": "", "encoding": "none"}
    return Answer(body=shape)


@operation("GET", "/repos/{owner}/{repo}/branches/{branch}", needs="contents=read")
def get_branch(call: Call) -> Answer:
    name = call.params["branch"]
    sha = call.repository.bare.ref(f"refs/heads/{name}")
    if sha is None:
        raise Refusal(404, "Branch not found")
    return Answer(body=shapes_git.branch(call.parts.links, call.repository, name, call.repository.bare.commit(sha)))


@operation("GET", "/repos/{owner}/{repo}/rules/branches/{branch}", needs="metadata=read")
def get_branch_rules(call: Call) -> Answer:
    source = call.repository.full_name
    facts = {"ruleset_source_type": "Repository", "ruleset_source": source, "ruleset_id": call.repository.id}
    return Answer(body=[{"type": rule, **facts} for rule in call.repository.rules])


@operation("GET", "/repos/{owner}/{repo}/compare/{basehead}", needs="contents=read")
def compare(call: Call) -> Answer:
    repository, links = call.repository, call.parts.links
    base_name, dots, head_name = call.params["basehead"].partition("...")
    bare = repository.bare
    base, head = bare.resolve(base_name), bare.resolve(head_name)
    start = bare.merge_base(base, head) if base and head else None
    if not (dots and base and head and start):
        raise not_found()
    ahead, behind = bare.commits_between(base, head), bare.commits_between(head, base)
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    url = f"{links.repository(repository)}/compare/{call.params['basehead']}"
    page = f"{links.page(repository)}/compare/{call.params['basehead']}"
    return Answer(
        body={
            "url": url,
            "html_url": page,
            "permalink_url": page,
            "diff_url": page + ".diff",
            "patch_url": page + ".patch",
            "base_commit": shapes_git.commit(links, repository, bare.commit(base)),
            "merge_base_commit": shapes_git.commit(links, repository, bare.commit(start)),
            "status": status,
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [shapes_git.commit(links, repository, bare.commit(sha)) for sha in ahead[:_MOST_COMPARED]],
            "files": [shapes_git.file_change(links, repository, head, change) for change in bare.changes(start, head)],
        }
    )
