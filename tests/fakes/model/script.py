"""What the scripted model says: steps of text, thinking and tool calls, chosen by how far a conversation is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

_CWD = re.compile(r"Primary working directory: ([^\n\\]+)")
_NAMED = re.compile(r"scenario:([a-z0-9-]+)")
_FILLER = "No response requested."
"""Claude Code puts it in the model's mouth when a session goes on after an interruption."""
_FAILED = "FAILED (failures="
_TASK = "You work for Backspace"
"""How the prompt of a run begins."""
_COMPACTION = "CRITICAL: Respond with TEXT ONLY"


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Thinking:
    text: str


@dataclass(frozen=True)
class Call:
    """A tool call; `{cwd}` in its texts becomes the agent's working directory."""

    name: str
    input: Mapping[str, Any]


Block: TypeAlias = Text | Thinking | Call


@dataclass(frozen=True)
class Tokens:
    """What one answer is said to have used."""

    input: int = 1200
    cache_write: int = 300
    cache_read: int = 5000
    output: int = 80


@dataclass(frozen=True)
class Step:
    """One answer of the model."""

    blocks: tuple[Block, ...]
    tokens: Tokens = field(default_factory=Tokens)
    pace_seconds: float = 0.0
    """Time between two pieces of the answer."""


@dataclass(frozen=True)
class Conversation:
    """What a request shows of the run: nothing is remembered between requests, so retries and resumes fit in."""

    model: str
    stream: bool
    has_tools: bool
    cwd: str
    answers: int
    """How often the model has answered already."""
    prompts: str
    """Every text that people wrote, in order."""
    last_text: str
    results: tuple[str, ...]
    """What the tools of the latest answer gave."""
    failed_tests: int
    """How often a run of the tests has failed."""
    tools_used: int = 0
    """How many tool calls have been answered."""

    @property
    def tests_just_failed(self) -> bool:
        return any(_FAILED in result for result in self.results)

    @property
    def named(self) -> str:
        """The scenario that the prompt asks for (`scenario:fix-calc`); the last one counts."""
        names: list[str] = _NAMED.findall(self.prompts)
        return names[-1] if names else ""

    @property
    def is_compaction(self) -> bool:
        return self.last_text.startswith(_COMPACTION)


Scenario: TypeAlias = Callable[[Conversation], Step]

END = Step((Text("There is nothing left to do."),))


def steps(*script: Step) -> Scenario:
    """A script in order; after its end the model has nothing left to do."""

    def choose(conversation: Conversation) -> Step:
        return script[conversation.answers] if conversation.answers < len(script) else END

    return choose


def say(*blocks: Block | str, tokens: Tokens | None = None, pace_seconds: float = 0.0) -> Step:
    made = tuple(Text(block) if isinstance(block, str) else block for block in blocks)
    return Step(made, tokens or Tokens(), pace_seconds)


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    texts: list[str] = []
    earlier: list[str] = []
    answers = failed_tests = tools_used = 0
    results: tuple[str, ...] = ()
    for message in body["messages"]:
        said = _texts(message["content"])
        if message["role"] == "assistant":
            answers += said != [_FILLER]
        else:
            if any(text.startswith(_TASK) for text in said):
                # A session may go on with another task: what came before it is remembered, and over.
                earlier, texts = [*earlier, *texts], []
                answers = failed_tests = tools_used = 0
            texts += said
            results = _results(message["content"])
            failed_tests += any(_FAILED in result for result in results)
            tools_used += len(results)
    everything = "\n".join([*earlier, *texts, *_texts(body.get("system") or "")])
    cwd = _CWD.search(everything)
    return Conversation(
        model=str(body["model"]),
        stream=bool(body.get("stream")),
        has_tools=bool(body.get("tools")),
        cwd=cwd.group(1).strip() if cwd else "/workspace/repo",
        answers=answers,
        prompts="\n".join(texts),
        last_text=texts[-1] if texts else "",
        results=results,
        failed_tests=failed_tests,
        tools_used=tools_used,
    )


def _results(content: object) -> tuple[str, ...]:
    if not isinstance(content, list):
        return ()
    return tuple(str(block.get("content")) for block in content if block.get("type") == "tool_result")


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [block["text"] for block in content if block.get("type") == "text"]
