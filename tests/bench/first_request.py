"""From webhook to the first request at the model, beside a bare clone and a bare start of Claude Code."""

import os
import shutil
import subprocess
import time
from pathlib import PurePosixPath
from statistics import median

from bot.agent.claude import claude_program
from bot.agent.command import ModelAccess, Order, argv, environment, user_line
from tests.bench.report import Measure, milliseconds
from tests.deployment import Deployment, deployed, until

_AIM = 1.5
_PAIRS = 9
_RUN_SECONDS = 60.0
_SESSION = "00000000-0000-4000-8000-{:012d}"
_PROMPT = "Please fix this: `add(2, 3)` gives -1, it should give 5."


def measure() -> Measure:
    ours, bare = [], []
    with deployed(described=False) as deployment:
        for number in range(_PAIRS + 1):
            pair = (_ours(deployment), _bare(deployment, number))
            if number > 0:  # the first pair fills the caches for both
                ours.append(pair[0])
                bare.append(pair[1])
    ratio = median(ours) / median(bare)
    rows = [
        [name, milliseconds(median(seconds)), milliseconds(min(seconds)), milliseconds(max(seconds))]
        for name, seconds in (("Backspace, from the webhook", ours), ("bare clone and start", bare))
    ]
    return Measure(
        "From webhook to the first request at the model",
        f"at most {_AIM} times a bare clone and start",
        ratio <= _AIM,
        ["", "median ms", "min ms", "max ms"],
        rows,
        [f"{_PAIRS} pairs, one after the other in turns; ratio of the medians: **{ratio:.2f}**.\n"],
    )


def _ours(deployment: Deployment) -> float:
    github, model = deployment.github, deployment.model
    issue = deployment.issue("no-changes")
    before = len(model.requests)
    since = time.time()
    delivery = deployment.ask(issue)
    assert delivery.status == 202, delivery.body
    until(lambda: len(model.requests) > before, what="a request at the model")
    took = model.requests[before].arrived - since
    asked = issue.comments[0]
    github.wait_until(lambda: "rocket" in github.reactions(asked), "the run ends", _RUN_SECONDS)
    return took


def _bare(deployment: Deployment, number: int) -> float:
    """The program with the arguments and the environment that it has in our sandbox, outside of any."""
    github, model = deployment.github, deployment.model
    home = deployment.backspace.home / f"bare-{number}"
    home.mkdir()
    tree = home / "calc"
    host = github.web_url.removeprefix("http://")
    url = f"http://octo:{github.personal_token('octo')}@{host}/acme/calc.git"
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    order = Order(_PROMPT, "claude-sonnet-5-5", _SESSION.format(number), ModelAccess("dummy", model.url, None))
    told = {**path, **environment(order), "CLAUDE_CONFIG_DIR": str(home / ".claude")}
    if os.geteuid() == 0:
        told["IS_SANDBOX"] = "1"  # the program refuses to be root otherwise
    before = len(model.requests)
    since = time.time()
    subprocess.run(["git", "clone", "--quiet", "--depth=1", url, str(tree)], env=path, check=True)
    with subprocess.Popen(
        argv(order, PurePosixPath(claude_program())),
        cwd=tree,
        env=told,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as program:
        assert program.stdin is not None
        try:
            program.stdin.write(user_line(order.prompt))
            program.stdin.flush()
            until(lambda: len(model.requests) > before, what="a request at the model")
        finally:
            program.kill()
    shutil.rmtree(home)
    return model.requests[before].arrived - since
