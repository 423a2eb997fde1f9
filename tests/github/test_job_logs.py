"""The end of a job's log: read where the app may, and silently not had everywhere else."""

import asyncio

import pytest

from tests.fakes.github import Fault
from tests.github.conftest import Scene

pytestmark = pytest.mark.slow

_LOG = "2026-11-22T10:00:00.0000000Z \x1b[36;1mpytest\x1b[0m\n2026-11-22T10:00:01.0000000Z 1 failed\n"


async def _failed(scene: Scene, log: str = _LOG, *, granted: bool = True) -> int:
    """A job that failed; its id."""
    sha = scene.fake.commit(scene.repository, "topic", {"a": "b"})
    if granted:
        scene.fake.installation(scene.at.installation_id).permissions["actions"] = "read"
    scene.fake.webhook("http://127.0.0.1:9/webhook")
    delivery = await asyncio.to_thread(scene.fake.check_run, sha, "tests", "failure", log=log)
    found: int = delivery.outgoing.payload["check_run"]["id"]
    return found


async def test_the_log_is_read_without_its_timestamps(scene: Scene) -> None:
    job = await _failed(scene)
    assert await scene.client.job_logs.end(scene.at, job) == "\x1b[36;1mpytest\x1b[0m\n1 failed"
    scene.fake.assert_clean()


async def test_of_a_long_log_only_the_end_is_kept(scene: Scene) -> None:
    job = await _failed(scene, "".join(f"line {number}\n" for number in range(200_000)))
    end = await scene.client.job_logs.end(scene.at, job)
    assert end.endswith("line 199999")
    assert len(end) <= 32_000


async def test_an_app_that_may_not_read_it_goes_on_without(scene: Scene) -> None:
    job = await _failed(scene, granted=False)
    assert await scene.client.job_logs.end(scene.at, job) == ""


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.SERVER_ERROR, id="GitHub fails"),
        pytest.param(Fault.DROP, id="GitHub is away"),
    ],
)
async def test_a_log_that_cannot_be_had_is_no_error(scene: Scene, fault: Fault) -> None:
    job = await _failed(scene)
    scene.fake.fail("GET", "*/actions/jobs/*/logs", fault, count=-1)
    assert await scene.client.job_logs.end(scene.at, job) == ""


async def test_a_job_without_a_log_has_none(scene: Scene) -> None:
    job = await _failed(scene, "")
    assert await scene.client.job_logs.end(scene.at, job) == ""
