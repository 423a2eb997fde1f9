"""`.github/backspace.yml`: a repository's own settings, or every problem with its line and key. No I/O."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema

from bot.intake import branches

PATH = ".github/backspace.yml"

_MAX_BYTES = 64 * 1024
_MAX_DEPTH = 4
_MAX_ITEMS = 200
_MAX_KEY_CHARACTERS = 80
_NULL = "tag:yaml.org,2002:null"
_HOST = re.compile(r"(?=.{1,253}$)(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def _host(value: str) -> str:
    host = value.lower()
    if not _HOST.fullmatch(host):
        raise ValueError("must be a domain such as `example.com` or `*.example.com`: no scheme, port or path")
    return host


def _branch(value: str) -> str:
    if not branches.is_name(value):
        raise ValueError("cannot be the name of a branch")
    return value


def _path_pattern(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be a path or pattern below the repository's root, such as `infra/**`")
    return value


def _draft(value: object) -> object:
    if not isinstance(value, bool) and value != "on_failing_checks":
        raise ValueError("must be true, false or on_failing_checks")
    return value


_Line: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
_Command: TypeAlias = Annotated[str, Field(min_length=1, max_length=4000)]
# Lenient only in that a list becomes a tuple; what is in it stays strict.
_Commands: TypeAlias = Annotated[tuple[_Command, ...], Field(strict=False, max_length=_MAX_ITEMS)]
_Patterns: TypeAlias = Annotated[
    tuple[Annotated[_Line, AfterValidator(_path_pattern)], ...], Field(strict=False, max_length=_MAX_ITEMS)
]
_Hosts: TypeAlias = Annotated[
    tuple[Annotated[_Line, AfterValidator(_host)], ...], Field(strict=False, max_length=_MAX_ITEMS)
]
_Unset: TypeAlias = SkipJsonSchema[None]
"""Not in the file: the deployment's setting, or the repository's default branch, holds."""


class _Part(BaseModel):
    # Strict: YAML reads 3.10 and yes as a number and a truth value, which must not quietly become text.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Network(_Part):
    """What the sandbox may reach."""

    allow: _Hosts = Field((), description="Domains besides the package registries; `*.` takes in all below one.")


class RepoConfig(_Part):
    """Settings of Backspace for this repository, read from its default branch."""

    setup: _Commands = Field((), description="Shell commands that prepare the tree, run before the agent.")
    checks: _Commands = Field((), description="Shell commands whose exit codes are the evidence.")
    model: _Line | _Unset = Field(None, description="The model that does the work.")
    budget_usd: float | _Unset = Field(
        None,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="The most that one run may cost; never above the server's.",
    )
    timeout_minutes: int | _Unset = Field(
        None, ge=1, le=1440, description="The longest that one run may take; never above the server's."
    )
    draft: Annotated[bool | Literal["on_failing_checks"], BeforeValidator(_draft)] = Field(
        "on_failing_checks", description="Whether pull requests are opened as drafts."
    )
    label: _Line | _Unset = Field(None, description="The label that starts a run, if it is not the server's.")
    base: Annotated[_Line, AfterValidator(_branch)] | _Unset = Field(
        None, description="The branch that pull requests go to; the default branch if not given."
    )
    instructions: Annotated[str, Field(max_length=20_000)] = Field(
        "", description="What the agent is told on each run."
    )
    protected_paths: _Patterns = Field(
        (), description="Paths that a run must not change, besides those always protected."
    )
    max_changed_files: int = Field(100, ge=1, le=3000, description="The most files that a run may change.")
    max_diff_kb: int = Field(1024, ge=1, le=10_240, description="The largest diff that a run may make.")
    ci_fix: int = Field(
        0,
        ge=0,
        le=5,
        description="How many rounds of failing GitHub Actions checks on our own pull request go back to the agent.",
    )
    network: Network = Field(Network(), description="The ways out of the sandbox.")


@dataclass(frozen=True)
class ConfigProblem:
    line: int
    """From 1."""
    key: str
    """As in `network.allow[1]`; empty when the problem is the file's."""
    message: str


@dataclass(frozen=True)
class ConfigInvalid:
    problems: tuple[ConfigProblem, ...]
    """In the order of the lines; at least one."""


DEFAULTS = RepoConfig()
"""For a repository without the file."""

_Path: TypeAlias = tuple[str | int, ...]


def parse(content: bytes) -> RepoConfig | ConfigInvalid:
    """Reads the whole file or nothing of it; never raises, whatever it holds."""
    root = _root(content)
    if isinstance(root, ConfigProblem):
        return _invalid([root])
    tree = _Tree()
    values = tree.read(root, ()) if root else {}
    try:
        config = RepoConfig.model_validate(values)
    except ValidationError as error:
        return _invalid([*tree.problems, *_validation(error, tree.lines)])
    return _invalid(tree.problems) if tree.problems else config


def json_schema() -> dict[str, Any]:
    """For editors: the JSON Schema of the file."""
    schema = RepoConfig.model_json_schema()
    for key in schema["properties"].values():
        if "default" in key and key["default"] is None:
            del key["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": PATH}


def _invalid(problems: list[ConfigProblem]) -> ConfigInvalid:
    return ConfigInvalid(tuple(sorted(problems, key=lambda problem: problem.line)))


def _root(content: bytes) -> yaml.MappingNode | ConfigProblem | None:
    """The file's one mapping; None when it holds nothing."""
    if len(content) > _MAX_BYTES:
        return ConfigProblem(1, "", f"the file is larger than {_MAX_BYTES // 1024} kB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return ConfigProblem(content.count(b"\n", 0, error.start) + 1, "", "the file is not UTF-8 text")
    try:
        refused = next(_refused_yaml(text), None)
        root = None if refused else yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return _syntax(error, text)
    if root is None or root.tag == _NULL:
        return refused
    if isinstance(root, yaml.MappingNode):
        return root
    return ConfigProblem(_line(root), "", "the file must hold keys and values, such as `checks: [make test]`")


def _refused_yaml(text: str) -> Iterator[ConfigProblem]:
    """YAML that this file has no use for and that could be used against us, found before anything is built."""
    depth, documents = 0, 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            yield ConfigProblem(line, "", "aliases are not read; put quotes around a text that starts with `*`")
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                yield ConfigProblem(line, "", "the file must be one document; a `---` starts another one here")
        elif isinstance(event, yaml.NodeEvent):
            if event.anchor or getattr(event, "tag", None):
                yield ConfigProblem(
                    line, "", "anchors and tags are not read; put quotes around text that starts with `&` or `!`"
                )
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > _MAX_DEPTH:
                yield ConfigProblem(line, "", "the file is nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _syntax(error: yaml.YAMLError, text: str) -> ConfigProblem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return ConfigProblem(line, "", "there is a character that YAML does not allow")
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ConfigProblem(1, "", "the file is not valid YAML")
    line, what = error.problem_mark.line + 1, error.problem or "cannot be read"
    if "'\\t'" in what:
        return ConfigProblem(line, "", "a tab cannot indent YAML; use spaces")
    if error.context and "alias" in error.context:
        return ConfigProblem(line, "", "put quotes around a text that starts with `*`")
    return ConfigProblem(line, "", f"not valid YAML: {what}")


class _Tree:
    """YAML nodes as plain values; remembers the line of each and what cannot stay as it is."""

    def __init__(self) -> None:
        self.lines: dict[_Path, int] = {}
        self.problems: list[ConfigProblem] = []
        self._scalars = yaml.constructor.SafeConstructor()

    def read(self, node: yaml.Node, path: _Path) -> object:
        self.lines.setdefault(path, _line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: _Path) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(ConfigProblem(_line(key_node), _dotted(path), "a key must be a word"))
                continue
            key = str(key_node.value)
            here = (*path, key)
            if here in self.lines:
                first = self.lines[here]
                message = f"is given twice; the first is in line {first}"
                self.problems.append(ConfigProblem(_line(key_node), _dotted(here), message))
                continue
            self.lines[here] = _line(key_node)
            value = self.read(value_node, here)
            if value is not None:
                values[key] = value
            elif value_node.tag == _NULL:
                message = "has no value; give one or take the key out"
                self.problems.append(ConfigProblem(_line(key_node), _dotted(here), message))
        return values

    def _scalar(self, node: yaml.Node, path: _Path) -> object:
        """None for no value, and for one that cannot be read, which is then a problem."""
        construct = _SCALARS.get(node.tag)
        if construct is None:
            return node.value
        try:
            return construct(self._scalars, node)
        except ValueError:
            self.problems.append(ConfigProblem(_line(node), _dotted(path), "is a number that cannot be read"))
            return None


_SCALARS: Mapping[str, Callable[[yaml.constructor.SafeConstructor, Any], object]] = {
    _NULL: yaml.constructor.SafeConstructor.construct_yaml_null,
    "tag:yaml.org,2002:bool": yaml.constructor.SafeConstructor.construct_yaml_bool,
    "tag:yaml.org,2002:int": yaml.constructor.SafeConstructor.construct_yaml_int,
    "tag:yaml.org,2002:float": yaml.constructor.SafeConstructor.construct_yaml_float,
}

_MESSAGES = {
    "string_type": "must be text; put quotes around it",
    "tuple_type": "must be a list, such as `[make test]`",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "model_type": "must hold keys and values",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters long",
    "too_long": "must have at most {max_length} entries",
}


def _validation(error: ValidationError, lines: Mapping[_Path, int]) -> Iterator[ConfigProblem]:
    for found in error.errors(include_url=False, include_input=False):
        if found["type"] == "none_required":
            continue  # the other arm of an optional key, which says what is wrong
        path = next(path for path in _prefixes(found["loc"]) if path in lines)
        context = found.get("ctx", {})
        if found["type"] == "extra_forbidden":
            message = _unknown(path)
        elif found["type"] == "value_error":
            message = str(context["error"])
        else:
            fallback = found["msg"].replace("Input should be", "must be")
            message = _MESSAGES.get(found["type"], fallback).format(**context)
        yield ConfigProblem(lines[path], _dotted(path), message)


def _prefixes(path: _Path) -> Iterator[_Path]:
    """The path and what it is part of: the last steps may be pydantic's, for an arm of a union."""
    return (path[:length] for length in range(len(path), -1, -1))


def _unknown(path: _Path) -> str:
    model = Network if path[0] == "network" and len(path) > 1 else RepoConfig
    near = difflib.get_close_matches(str(path[-1])[:_MAX_KEY_CHARACTERS], model.model_fields, n=1)
    known = f"did you mean `{near[0]}`?" if near else "the known keys are " + ", ".join(model.model_fields)
    return f"is not a key that Backspace knows; {known}"


def _dotted(path: _Path) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return steps if len(steps) <= _MAX_KEY_CHARACTERS else steps[:_MAX_KEY_CHARACTERS] + "…"


def _line(part: yaml.Node | yaml.Event) -> int:
    return part.start_mark.line + 1 if part.start_mark else 1
