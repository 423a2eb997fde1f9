"""GitHub Actions: a job ends and its check tells."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.github.forge import Act, Forge
from tests.fakes.github.shapes_checks import check_run, check_suite
from tests.fakes.github.world import Account, CheckRun, Repository


def complete_check(
    forge: Forge,
    repository: Repository,
    sender: Account,
    head_sha: str,
    *,
    name: str,
    conclusion: str,
    output: Mapping[str, str],
    log: str,
) -> Act[CheckRun]:
    """A run of a check, in a suite of its own. Raises KeyError when the repository has no such commit."""
    bare, world = repository.bare, forge.world
    if bare.object_type(head_sha) != "commit":
        raise KeyError(head_sha)
    heads = bare.refs("refs/heads")
    branch = next((name.removeprefix("refs/heads/") for name, sha in heads.items() if sha == head_sha), None)
    run = CheckRun(
        id=world.next_id(),
        suite_id=world.next_id(),
        name=name,
        head_sha=head_sha,
        head_branch=branch,
        conclusion=conclusion,
        title=output.get("title"),
        summary=output.get("summary"),
        text=output.get("text"),
        completed_at=world.clock(),
        log=log,
    )
    repository.check_runs[run.id] = run
    told = forge.tell("check_run", "completed", repository, sender, check_run=check_run(forge.shapes, repository, run))
    told += forge.tell(
        "check_suite", "completed", repository, sender, check_suite=check_suite(forge.shapes, repository, run)
    )
    return Act(run, told)
