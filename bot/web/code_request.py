"""What `POST /api/code` asks for, or every field of it that is wrong. No I/O."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.intake import branches

_MOST_PROMPT_CHARACTERS = 20_000
_MOST_PROBLEMS = 20
_FULL_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_SCP = re.compile(r"git@(?P<host>[^:/]+):(?P<path>.+)")
# JSON can say NUL and half a surrogate pair; no database stores them.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    repo_url: str | None = None
    repoUrl: str | None = None  # noqa: N815 -- the contract's other spelling
    prompt: str
    base: str | None = None
    model: str | None = None
    budget_usd: float | None = Field(None, gt=0, allow_inf_nan=False)


@dataclass(frozen=True)
class Wanted:
    full_name: str
    prompt: str
    base: str = ""
    model: str = ""
    budget_usd: float | None = None


@dataclass(frozen=True)
class FieldProblem:
    field: str
    detail: str


def read(body: Any, *, github_url: str, models: Collection[str]) -> Wanted | list[FieldProblem]:  # noqa: ANN401 -- JSON
    """`github_url`: the one host whose repositories are worked on. `models`: those that have a price."""
    try:
        read_body = _Body.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return [_said(one) for one in found[:_MOST_PROBLEMS]]
    problems: list[FieldProblem] = []
    given = [_full_name(url.strip(), github_url) for url in (read_body.repo_url, read_body.repoUrl) if url is not None]
    full_name = given[0] if given else None
    if not given:
        problems.append(FieldProblem("repo_url", f"Is missing: the repository's address, {github_url}/owner/name."))
    elif None in given:
        problems.append(
            FieldProblem("repo_url", f"Is not a repository of this server's GitHub: {github_url}/owner/name.")
        )
    elif len({name.lower() for name in given if name}) > 1:
        problems.append(FieldProblem("repo_url", "repo_url and repoUrl name different repositories; give one of them."))
    problems += _texts(read_body, models)
    if problems or full_name is None:
        return problems
    return Wanted(
        full_name, read_body.prompt.strip(), read_body.base or "", read_body.model or "", read_body.budget_usd
    )


def _texts(body: _Body, models: Collection[str]) -> list[FieldProblem]:
    problems = []
    if not body.prompt.strip():
        problems.append(FieldProblem("prompt", "Is empty: say what is to be done."))
    elif len(body.prompt) > _MOST_PROMPT_CHARACTERS:
        problems.append(FieldProblem("prompt", f"Has more than {_MOST_PROMPT_CHARACTERS:,} characters."))
    elif _UNSTORABLE.search(body.prompt):
        problems.append(FieldProblem("prompt", "Has a character that is none: NUL, or half of a surrogate pair."))
    if body.base is not None and not (branches.is_name(body.base) and not _UNSTORABLE.search(body.base)):
        problems.append(FieldProblem("base", "Cannot be the name of a branch."))
    if body.model is not None and body.model not in models:
        problems.append(FieldProblem("model", f"This server knows {', '.join(sorted(models))}."))
    return problems


def _full_name(url: str, github_url: str) -> str | None:
    """`owner/name` of any form in which people copy a repository's address."""
    host = urlsplit(github_url)
    if scp := _SCP.fullmatch(url):
        path = scp["path"] if scp["host"].lower() == host.hostname else ""
    elif "://" in url:
        path = _path_on(url, host.scheme, host.netloc)
    else:
        path = url
    name = path.rstrip("/").removesuffix(".git")
    return name if _FULL_NAME.fullmatch(name) else None


def _path_on(url: str, scheme: str, netloc: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    same = parts.scheme.lower() == scheme and parts.netloc.lower() == netloc.lower()
    return parts.path.lstrip("/") if same and not parts.query and not parts.fragment else ""


def _said(found: Any) -> FieldProblem:  # noqa: ANN401 -- pydantic's error
    field = ".".join(str(step) for step in found["loc"]) or "body"
    match found["type"]:
        case "missing":
            return FieldProblem(field, "Is missing.")
        case "extra_forbidden":
            return FieldProblem(field[:100], "Is not a field of this request.")
        case "model_type":
            return FieldProblem("body", "Must be a JSON object.")
        case kind:
            words = found["msg"].replace("Input should be", "Must be")
            return FieldProblem(field, f"{words}." if kind else words)


def same_wish(wanted: Wanted, full_name: str, prompt: str, options: tuple[str, str, float | None]) -> bool:
    """Whether a request that came earlier under the same key asked for the same."""
    base, model, budget_usd = options
    same_budget = (wanted.budget_usd is None) == (budget_usd is None) and math.isclose(
        wanted.budget_usd or 0, budget_usd or 0
    )
    asked = (wanted.full_name.lower(), wanted.prompt, wanted.base, wanted.model)
    return asked == (full_name.lower(), prompt, base, model) and same_budget
