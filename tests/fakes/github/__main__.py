"""The stand-in as a process: prints one JSON line with its addresses, then serves until it is interrupted."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from tests.fakes.github import FakeGitHub, serve
from tests.fakes.github.fake import API_PREFIX


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.github", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True, help="directory for repositories and the app's key")
    parser.add_argument("--api-prefix", default=API_PREFIX)
    parser.add_argument("--slug", default="backspace")
    parser.add_argument(
        "--repo", action="append", default=[], metavar="OWNER/NAME=DIRECTORY", help="a repository made of a directory"
    )
    parser.add_argument("--public", action="store_true", help="repositories are public")
    parser.add_argument("--user", action="append", default=[], metavar="LOGIN=ROLE", help="a role in the repositories")
    parser.add_argument("--webhook-url")
    parser.add_argument("--webhook-secret", default="")
    parser.add_argument("--secondary-limits", action="store_true")
    return parser.parse_args()


def main() -> int:
    given = _arguments()
    given.state.mkdir(parents=True, exist_ok=True)
    fake = FakeGitHub.create(
        given.state, slug=given.slug, api_prefix=given.api_prefix, secondary_limits=given.secondary_limits
    )
    repositories = []
    for words in given.repo:
        full_name, _, directory = words.partition("=")
        repositories.append(fake.add_repo(full_name, Path(directory), private=not given.public))
    for words in given.user:
        login, _, role = words.partition("=")
        for repository in repositories:
            fake.add_user(login, role or None, repository)
    installations = {
        owner: fake.install(owner, [one for one in repositories if one.owner.login == owner])
        for owner in {one.owner.login for one in repositories}
    }
    fake.webhook(given.webhook_url, given.webhook_secret)
    key = given.state / "app.pem"
    key.touch(mode=0o600)
    key.write_text(fake.identity.private_key_pem)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serve(fake, host=given.host, port=given.port) as web_url:
        facts = {
            "web_url": web_url,
            "api_url": fake.api_url,
            "app_id": fake.identity.id,
            "client_id": fake.identity.client_id,
            "slug": fake.identity.slug,
            "private_key_path": str(key.resolve()),
            "installations": installations,
        }
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
