"""REST: git refs, trees, blobs and commits, worked on the bare repository."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime

from tests.fakes.github import shapes_git
from tests.fakes.github.access import AsInstallation, allows
from tests.fakes.github.answers import Answer, Refusal, invalid
from tests.fakes.github.bare import GitFailed, Ident
from tests.fakes.github.operations import Call, operation
from tests.fakes.github.shapes import Json

_GIT = "/repos/{owner}/{repo}/git"
_WORKFLOWS = ".github/workflows/"
_WORKFLOW_NEEDS = "contents=write,workflows=write"
_GITHUB = ("GitHub", "noreply@github.com")
"""The committer of what GitHub writes itself."""


def _writable(call: Call, *, empty_allowed: bool = False) -> None:
    if call.repository.archived:
        raise Refusal(403, "Repository was archived so is read-only.")
    if not empty_allowed and call.repository.bare.is_empty():
        raise Refusal(409, "Git Repository is empty.")


# Refs.


@operation("GET", _GIT + "/ref/{ref}", needs="contents=read")
def get_ref(call: Call) -> Answer:
    if call.repository.bare.is_empty():
        raise Refusal(409, "Git Repository is empty.")
    name = f"refs/{call.params['ref']}"
    sha = call.repository.bare.ref(name)
    if sha is None:
        raise Refusal(404, "Not Found")
    return Answer(body=shapes_git.ref(call.parts.links, call.repository, name, sha))


@operation("POST", _GIT + "/refs", needs="contents=write")
def create_ref(call: Call) -> Answer:
    _writable(call)
    name, sha = call.text("ref", "Reference"), call.text("sha", "Reference")
    if not name.startswith("refs/") or name.count("/") < 2:
        raise Refusal(422, "Reference name must start with 'refs/'.")
    bare = call.repository.bare
    if bare.object_type(sha) is None:
        raise Refusal(422, "Object does not exist")
    if bare.ref(name) is not None:
        raise Refusal(422, "Reference already exists")
    try:
        bare.update_ref(name, sha, "0" * 40)
    except GitFailed as failure:
        raise Refusal(422, f"Reference update failed: {failure.stderr.strip()}") from failure
    told = call.parts.forge.refs_changed(call.repository, call.actor)
    return Answer(201, shapes_git.ref(call.parts.links, call.repository, name, sha), deliveries=told)


@operation("PATCH", _GIT + "/refs/{ref}", needs="contents=write")
def update_ref(call: Call) -> Answer:
    _writable(call)
    name, sha = f"refs/{call.params['ref']}", call.text("sha", "Reference")
    bare = call.repository.bare
    old = bare.ref(name)
    if old is None:
        raise Refusal(422, "Reference does not exist")
    if bare.object_type(sha) is None:
        raise Refusal(422, "Object does not exist")
    if not call.body.get("force") and not bare.is_ancestor(old, sha):
        raise Refusal(422, "Update is not a fast forward")
    try:
        bare.update_ref(name, sha, old)
    except GitFailed as failure:
        raise Refusal(422, "Reference cannot be updated") from failure
    told = call.parts.forge.refs_changed(call.repository, call.actor)
    return Answer(body=shapes_git.ref(call.parts.links, call.repository, name, sha), deliveries=told)


@operation("DELETE", _GIT + "/refs/{ref}", needs="contents=write")
def delete_ref(call: Call) -> Answer:
    _writable(call)
    name = f"refs/{call.params['ref']}"
    if call.repository.bare.ref(name) is None:
        raise Refusal(422, "Reference does not exist")
    call.repository.bare.delete_ref(name)
    return Answer(204, deliveries=call.parts.forge.refs_changed(call.repository, call.actor))


# Blobs and trees.


@operation("POST", _GIT + "/blobs", needs="contents=write")
def create_blob(call: Call) -> Answer:
    _writable(call)
    content = call.text("content", "Blob")
    if call.body.get("encoding", "utf-8") == "base64":
        try:
            raw = base64.b64decode(content)
        except binascii.Error:
            raise Refusal(422, "content is not valid Base64") from None
    else:
        raw = content.encode()
    sha = call.repository.bare.write_blob(raw)
    return Answer(201, {"sha": sha, "url": f"{call.parts.links.repository(call.repository)}/git/blobs/{sha}"})


@operation("POST", _GIT + "/trees", needs="contents=write")
def create_tree(call: Call) -> Answer:
    """Deleting is `sha: null`. Workflow files need `workflows`, as in a push."""
    _writable(call)
    bare = call.repository.bare
    base: str | None = None
    if call.body.get("base_tree") is not None:
        base = bare.resolve(call.text("base_tree", "Tree"), "tree")
        if base is None:
            raise Refusal(404, "Not Found")
    rows = [_tree_row(call, row) for row in call.body.get("tree") or []]
    try:
        sha = bare.write_tree(base, rows)
    except GitFailed as failure:
        raise Refusal(422, "GitRPC::BadObjectState") from failure
    return Answer(201, shapes_git.tree(call.parts.links, call.repository, sha))


def _tree_row(call: Call, row: Json) -> tuple[str, str, str | None]:
    path, mode = str(row.get("path") or ""), str(row.get("mode") or "")
    if not path or path.startswith("/") or any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise Refusal(422, "tree.path contains a malformed path component")
    app_token = call.caller.token if isinstance(call.caller, AsInstallation) else None
    if app_token and path.startswith(_WORKFLOWS) and not allows(app_token.permissions, _WORKFLOW_NEEDS):
        headers = {"X-Accepted-GitHub-Permissions": _WORKFLOW_NEEDS}
        raise Refusal(403, "Resource not accessible by integration", headers=headers)
    if "content" in row and row.get("sha") is not None:
        raise Refusal(422, "tree.content and tree.sha cannot both be given")
    if "content" in row:
        return mode, path, call.repository.bare.write_blob(str(row["content"]).encode())
    sha = row.get("sha")
    if sha is not None and mode != "160000":
        kind = "tree" if mode == "040000" else "blob"
        if call.repository.bare.object_type(str(sha)) != kind:
            raise Refusal(422, f"tree.sha {sha} is not a valid {kind}")
    return mode, path, None if sha is None else str(sha)


# Commits.


@operation("GET", _GIT + "/commits/{commit_sha}", needs="contents=read")
def get_commit(call: Call) -> Answer:
    if call.repository.bare.is_empty():
        raise Refusal(409, "Git Repository is empty.")
    sha = call.params["commit_sha"]
    if call.repository.bare.object_type(sha) != "commit":
        raise Refusal(404, "Not Found")
    return Answer(body=shapes_git.git_commit(call.parts.links, call.repository, call.repository.bare.commit(sha)))


@operation("POST", _GIT + "/commits", needs="contents=write")
def create_commit(call: Call) -> Answer:
    """GitHub signs a commit of the app itself, when no author, committer or signature is given.

    https://docs.github.com/authentication/managing-commit-signature-verification/about-commit-signature-verification#signature-verification-for-bots
    """
    _writable(call)
    bare, actor = call.repository.bare, call.actor
    tree, message = call.text("tree", "Commit"), call.text("message", "Commit")
    parents = [str(parent) for parent in call.body.get("parents") or []]
    if bare.object_type(tree) != "tree":
        raise Refusal(422, "Tree SHA does not exist")
    if any(bare.object_type(parent) != "commit" for parent in parents):
        raise Refusal(422, "Parent SHA does not exist or is not a commit object")
    now = call.parts.world.clock().replace(microsecond=0)
    custom = any(call.body.get(key) for key in ("author", "committer", "signature"))
    own = Ident(actor.login, f"{actor.id}+{actor.login}@users.noreply.github.com", now)
    author = _ident(call, "author", own)
    signed = call.via_app and not custom
    committer = Ident(*_GITHUB, now) if signed else _ident(call, "committer", author)
    signature = _signature(tree, message) if signed else call.maybe_text("signature")
    sha = bare.write_commit(tree, parents, author=author, committer=committer, message=message, signature=signature)
    if signed:
        call.repository.verified_commits[sha] = now
    return Answer(201, shapes_git.git_commit(call.parts.links, call.repository, bare.commit(sha)))


def _ident(call: Call, name: str, default: Ident) -> Ident:
    given = call.body.get(name)
    if not given:
        return default
    who, email = given.get("name"), given.get("email")
    if not who or not email:
        raise invalid("Commit", name, "missing_field")
    date = given.get("date")
    return Ident(str(who), str(email), datetime.fromisoformat(str(date)) if date else default.date)


def _signature(tree: str, message: str) -> str:
    """Shaped like GitHub's own; that the stand-in made it is remembered beside the repository."""
    digest = hashlib.sha256(f"{tree}\n{message}".encode()).digest()
    armour = base64.b64encode(digest).decode()
    return f"-----BEGIN PGP SIGNATURE-----\n\n{armour}\n-----END PGP SIGNATURE-----\n"
