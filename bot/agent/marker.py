"""How the agent says that it needs a person: one line with a mark. No I/O."""

import re

MARKER = "BACKSPACE-NEEDS-INPUT:"
_LINE = re.compile(rf"^[ \t>*_`]*{MARKER}[ \t]*(?P<question>.*)\Z", re.MULTILINE | re.DOTALL)


def question_in(answer: str) -> str:
    """The question of an answer that ends with one; empty where it asks nothing."""
    match = _LINE.search(answer)
    if match is None:
        return ""
    before = answer[: match.start()].strip()
    question = match["question"].strip().strip("`*_").strip()
    return "\n\n".join(part for part in (before, question) if part)
