"""The scenarios by name, and the sample repository that they work on."""

import re
from collections.abc import Mapping
from dataclasses import replace

from tests.fakes.model.script import Call, Conversation, Scenario, Step, Text, Thinking, say, steps

CALC_FILES: Mapping[str, str] = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "test_calc.py": (
        "import unittest\n\nfrom calc import add\n\n\n"
        "class AddTest(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n\n\n"
        'if __name__ == "__main__":\n    unittest.main()\n'
    ),
    "README.md": "# calc\n\nAdds numbers. `python3 -m unittest -q` runs the tests.\n",
}
"""A repository whose one test fails until `fix-calc` has been played."""

_READ = Call("Read", {"file_path": "{cwd}/calc.py"})
_TEST = Call("Bash", {"command": "python3 -m unittest -q", "description": "Run the tests"})
_REPAIR_WORDS = "checks fail"
_SLOW_PIECES = 400


def _edit(old: str, new: str) -> Call:
    return Call("Edit", {"file_path": "{cwd}/calc.py", "old_string": old, "new_string": new})


def _write(path: str, content: str) -> Call:
    return Call("Write", {"file_path": f"{{cwd}}/{path}", "content": content})


def _task(subject: str) -> Call:
    return Call("TaskCreate", {"subject": subject, "description": subject, "activeForm": subject})


def _task_is(number: int, status: str) -> Call:
    return Call("TaskUpdate", {"taskId": str(number), "status": status})


_FIX = steps(
    say(Thinking("The test names the expected sum, so I look at add first."), "I'll look at calc.py.", _READ),
    say("Here is the plan.", _task("Fix add in calc.py"), _task("Run the tests")),
    say(
        Text("`add` subtracts; it has to add."),
        _task_is(1, "in_progress"),
        _edit("return a - b", "return a + b"),
    ),
    say(_task_is(1, "completed"), _task_is(2, "in_progress"), Text("Now the tests."), _TEST),
    say(_task_is(2, "completed")),
    say("Fixed `add` in calc.py: it returned the difference instead of the sum. `python3 -m unittest -q` passes now."),
)

_FIX_AGAIN = say("The change is not in the file any more.", _READ, _edit("return a - b", "return a + b"), _TEST)


def _fix_calc(conversation: Conversation) -> Step:
    """Goes on right, too, where a resumed session remembers more than the saved tree has."""
    if conversation.tests_just_failed:
        return _FIX_AGAIN
    return _FIX(replace(conversation, answers=conversation.answers - conversation.failed_tests))


_NO_CHANGES = steps(
    say("I'll look at calc.py.", _READ),
    say("`calc.py` already does what the issue asks for, so there is nothing to change."),
)

_BREAK = steps(
    say("I'll look at calc.py.", _READ),
    say("`add` uses the wrong operator.", _edit("return a - b", "return a * b")),
    say("Changed the operator in `add`."),
)

_REPAIR = steps(
    say("The check is right: the operator is still wrong.", _READ),
    say(_edit("return a * b", "return a + b")),
    say("Now `add` adds."),
)
_BREAK_ANSWERS = 3


def _failing_then_repair(conversation: Conversation) -> Step:
    if _REPAIR_WORDS not in conversation.prompts:
        return _BREAK(conversation)
    return _REPAIR(_later(conversation, _BREAK_ANSWERS))


def _later(conversation: Conversation, answers: int) -> Conversation:
    """The same conversation counted from a later beginning, where it is that far already."""
    from_there = conversation.answers - answers if conversation.answers >= answers else conversation.answers
    return replace(conversation, answers=from_there)


_NEVER_REPAIRED = steps(
    say(_READ),
    say(_edit("return a - b", "return a * b")),
    say("Changed the operator in `add`."),
    say("I believe that the operator is right."),
    say("I still believe that the operator is right."),
)

_TOUCH_WORKFLOW = steps(
    say("I'll add a workflow.", _write(".github/workflows/ci.yml", "on: push\njobs: {}\n")),
    say("Added a workflow that runs on every push."),
)

# Put together here so that a scanner of this project does not find a secret in it.
_AWS_KEY = "AKIA" + "Q3EGRZ7XKQYB2M4P"
_WRITE_SECRET = steps(
    say("I'll add the settings.", _write("settings.py", f'AWS_ACCESS_KEY_ID = "{_AWS_KEY}"\n')),
    say("Added settings.py."),
)

_SLOW = steps(
    say("I'll look at calc.py.", _READ),
    say("thinking it over " * (_SLOW_PIECES * 20 // 17), pace_seconds=0.25),
    say("Done at last."),
)

_NEEDS_INPUT = steps(
    say("I'll look at calc.py.", _READ),
    say(
        "Two readings of the issue are possible.\n\n"
        "BACKSPACE-NEEDS-INPUT: Should `add` raise for text arguments, or join them?"
    ),
)

_LONG_COMMAND = steps(
    say(
        "This takes a while.",
        Call("Bash", {"command": "python3 -c 'import time; time.sleep(300)'", "description": "Wait"}),
    ),
    say("Done waiting."),
)

_MAKE_HUGE = (
    "python3 -c \"open('generated.txt', 'w').writelines(f'line {n} of a generated file\\n' for n in range(100000))\""
)
_HUGE_PATH = "{cwd}/generated.txt"
# The result of the edit holds the whole file: one line of 3 MB on the program's stdout.
_HUGE_FILE = steps(
    say("I'll make a large file.", Call("Bash", {"command": _MAKE_HUGE, "description": "Generate"})),
    say(Call("Read", {"file_path": _HUGE_PATH, "limit": 3})),
    say(
        Call(
            "Edit",
            {
                "file_path": _HUGE_PATH,
                "old_string": "line 77 of a generated file",
                "new_string": "line seventy-seven",
            },
        )
    ),
    say("Edited."),
)

_SUBAGENT_PROMPT = "Look for the callers of add."
_DELEGATE = steps(
    say(
        "I'll delegate the search.",
        Call(
            "Agent",
            {
                "description": "Find callers",
                "prompt": _SUBAGENT_PROMPT,
                "subagent_type": "general-purpose",
            },
        ),
    ),
    say("Only the test calls `add`; nothing to change."),
)
_SEARCH = steps(say(_READ), say("Only test_calc.py calls add."))


def _subagent(conversation: Conversation) -> Step:
    if _SUBAGENT_PROMPT in conversation.prompts:
        return _SEARCH(conversation)
    return _DELEGATE(conversation)


def _shell(conversation: Conversation) -> Step:
    """Every line `$ command` of the prompt, one after the other."""
    commands = re.findall(r"^\s*\$ (.+)$", conversation.prompts, flags=re.MULTILINE)
    if conversation.tools_used < len(commands):
        return say(Call("Bash", {"command": commands[conversation.tools_used], "description": "As asked"}))
    return say("Ran the commands.")


def _look_at_images(conversation: Conversation) -> Step:
    """Reads every image that the prompt names a file for, then does as `fix-calc`."""
    paths = list(dict.fromkeys(re.findall(r"\[image: (/[^\]\s]+)\]", conversation.prompts)))
    if conversation.tools_used < len(paths):
        return say(Call("Read", {"file_path": paths[conversation.tools_used]}))
    return _fix_calc(_later(conversation, len(paths)))


SCENARIOS: Mapping[str, Scenario] = {
    "fix-calc": _fix_calc,
    "no-changes": _NO_CHANGES,
    "failing-then-repair": _failing_then_repair,
    "never-repaired": _NEVER_REPAIRED,
    "touch-workflow": _TOUCH_WORKFLOW,
    "write-secret": _WRITE_SECRET,
    "slow": _SLOW,
    "needs-input": _NEEDS_INPUT,
    "long-command": _LONG_COMMAND,
    "huge-file": _HUGE_FILE,
    "subagent": _subagent,
    "shell": _shell,
    "look-at-images": _look_at_images,
}
