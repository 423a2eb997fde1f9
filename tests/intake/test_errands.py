"""What a delivery asks for waits as JSON, and comes back the same."""

import json

import pytest

from bot.intake import errands
from bot.intake.triggers import Ignored, Start
from tests.intake.deliveries import decided, recorded

REMARK = "pull_request_review_comment.created"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("issue_comment.created", {"comment.body": "/backspace stop"}, id="command"),
        pytest.param("issue_comment.created", {"comment.body": "/backspace --speed 11"}, id="mistake"),
        pytest.param("pull_request_review.submitted", {"review.body": "/backspace status"}, id="command in a review"),
        pytest.param(REMARK, {"comment.body": "/backspace --add --budget .5 more"}, id="further"),
        pytest.param("issues.labeled", {"label.name": "robot"}, id="labelled"),
        pytest.param("installation.created", {}, id="installed"),
        pytest.param("installation.created", {"repositories": ...}, id="installed on all"),
        pytest.param("installation.deleted", {"action": "suspend"}, id="suspended"),
        pytest.param("installation_repositories.removed", {}, id="repositories removed"),
        pytest.param("pull_request.closed", {}, id="merged"),
        pytest.param("check_run.completed", {}, id="check failed"),
    ],
)
def test_an_errand_comes_back_the_same(name: str, changes: dict[str, object]) -> None:
    errand = decided(name.partition(".")[0], recorded(name, changes))
    assert not isinstance(errand, Start | Ignored), errand
    assert errands.load(json.loads(json.dumps(errands.dump(errand)))) == errand
