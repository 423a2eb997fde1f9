"""A GitHub for tests and the demo: stateful, on loopback, over real HTTP, with real bare repositories.

Inside a test::

    fake = FakeGitHub.create(tmp_path / "github")
    repository = fake.add_repo("acme/widgets", {"README.md": "# Widgets\\n"})   # private unless told otherwise
    fake.add_user("octo", "write")                    # a role in the first repository
    installation_id = fake.install("acme", [repository])
    with serve(fake) as web_url:                      # or: async with
        fake.webhook("http://127.0.0.1:8000/webhook", "a secret")
        issue = fake.open_issue("octo", "Title", "Body")
        delivery = fake.comment(issue, "octo", "/backspace do it")   # blocks until it is answered
        assert delivery.status == 202
        fake.wait_until(lambda: bool(fake.pulls()), "a pull request")
        (pull,) = fake.pulls()
        fake.submit_review(pull, "octo", [("README.md", 1, "/backspace say more")])
        sha = fake.push(pull.pull.head_ref, {"README.md": "# More\\n"}, "octo")    # the pull request's head moves
        fake.check_run(sha, "tests", "failure", {"summary": "1 failed"})           # of GitHub Actions
        fake.close_pull(pull, "octo", merged=True)
        fake.assert_clean()                           # nothing that GitHub would not have understood

The app's settings: `fake.identity.id`, `.client_id`, `.client_secret`, `.slug`, `.bot`, `.private_key_pem`;
`fake.api_url` (behind `/api/v3`, as on GitHub Enterprise Server) and `fake.web_url` (pages and git).
As a process: `python -m tests.fakes.github --help`.
"""

from tests.fakes.github.answers import Refusal
from tests.fakes.github.fake import API_PREFIX, EVENTS, PERMISSIONS, FakeGitHub
from tests.fakes.github.faults import Fault, Plan
from tests.fakes.github.hooks import Delivery, Outgoing, sign
from tests.fakes.github.log import Logged
from tests.fakes.github.people import NothingSent
from tests.fakes.github.server import Serving, serve
from tests.fakes.github.view import CommitFacts
from tests.fakes.github.world import Account, Clock, Comment, Issue, Repository, Role

__all__ = [
    "API_PREFIX",
    "EVENTS",
    "PERMISSIONS",
    "Account",
    "Clock",
    "Comment",
    "CommitFacts",
    "Delivery",
    "FakeGitHub",
    "Fault",
    "Issue",
    "Logged",
    "NothingSent",
    "Outgoing",
    "Plan",
    "Refusal",
    "Repository",
    "Role",
    "Serving",
    "serve",
    "sign",
]
