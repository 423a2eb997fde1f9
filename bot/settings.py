"""The deployment's settings: an environment and a `.env` file become one frozen object, or every problem at once."""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal, NamedTuple

from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bot.errors import SettingProblem, SettingsError
from bot.setting_types import (
    CollectorUrl,
    DatabaseUrl,
    Directory,
    Dollars,
    Hosts,
    Prices,
    PrivateKey,
    Secrets,
    Url,
    private_key,
)

_GITHUB_API_URL = "https://api.github.com"
_GITHUB_URL = "https://github.com"
_OURS = "BACKSPACE_"
_OF_THE_CLIENT = frozenset({"BACKSPACE_KEY"})
"""What `backspace run` and `runs` read besides BACKSPACE_PUBLIC_URL; no business of the server's."""
_SYSTEM_HOME = Path("/var/lib/backspace")


class Need(Enum):
    """What a command cannot do without; settings of a need that is not named may be missing."""

    GITHUB_APP = "github_app"
    MODEL = "model"


@dataclass(frozen=True)
class GitHubApp:
    """What it takes to act as the app and to know its deliveries."""

    id: int
    private_key: SecretStr
    webhook_secrets: tuple[SecretStr, ...]


class Settings(BaseModel):
    """Made by `load` only. Each field's alias is the name of its setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    github_app_id: int | None = Field(
        None, alias="GITHUB_APP_ID", gt=0, description="The app's numeric id, from its settings page on GitHub."
    )
    github_private_key: PrivateKey | None = Field(
        None,
        alias="GITHUB_PRIVATE_KEY",
        description="The app's private key: the PEM text, line ends may be written `\\n`.",
    )
    github_private_key_path: Path | None = Field(
        None, alias="GITHUB_PRIVATE_KEY_PATH", description="The file with the app's private key, instead of its text."
    )
    github_webhook_secrets: Secrets | None = Field(
        None,
        alias="GITHUB_WEBHOOK_SECRET",
        description="The app's webhook secret; two, with a comma between them, while it is being changed.",
    )
    github_client_id: str | None = Field(
        None, alias="GITHUB_CLIENT_ID", description="The app's client id, for signing in with GitHub."
    )
    github_client_secret: SecretStr | None = Field(
        None, alias="GITHUB_CLIENT_SECRET", description="The app's client secret, for signing in with GitHub."
    )
    github_api_url: Url = Field(
        _GITHUB_API_URL,
        alias="GITHUB_API_URL",
        description="GitHub's API; `https://<host>/api/v3` on GitHub Enterprise Server.",
    )
    github_url: Url = Field(
        _GITHUB_URL, alias="GITHUB_URL", description="GitHub's web and git host; `https://<host>` on Enterprise Server."
    )
    github_api_version: str = Field(
        "2026-03-10",
        alias="GITHUB_API_VERSION",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="The version of the API to ask for; `2022-11-28` for Enterprise Servers that know no newer one.",
    )
    github_token: SecretStr | None = Field(
        None,
        alias="GITHUB_TOKEN",
        description="A token for `POST /api/code` on repositories where the app is not installed.",
    )
    anthropic_api_key: SecretStr | None = Field(
        None, alias="ANTHROPIC_API_KEY", description="The key for the model API; it never enters a sandbox."
    )
    anthropic_base_url: Url = Field(
        "https://api.anthropic.com", alias="ANTHROPIC_BASE_URL", description="The model API that the broker talks to."
    )
    daytona_api_key: SecretStr | None = Field(
        None, alias="DAYTONA_API_KEY", description="The key for Daytona, when sandboxes run there."
    )
    daytona_api_url: Url = Field("https://app.daytona.io/api", alias="DAYTONA_API_URL", description="Daytona's API.")
    daytona_target: str | None = Field(
        None, alias="DAYTONA_TARGET", description="Daytona's region; the account's own when not set."
    )
    database_url: DatabaseUrl = Field(
        alias="DATABASE_URL", description="`sqlite:///…` for one machine, `postgresql://…` for several."
    )
    home: Directory = Field(alias="BACKSPACE_HOME", description="The directory for everything that is kept on disk.")
    host: str = Field("127.0.0.1", alias="BACKSPACE_HOST", min_length=1, description="The address to listen on.")
    port: int = Field(8000, alias="BACKSPACE_PORT", ge=1, le=65_535, description="The port to listen on.")
    public_url: Url = Field(
        alias="BACKSPACE_PUBLIC_URL", description="Where people, GitHub and remote sandboxes reach this server."
    )
    sandbox: Literal["bubblewrap", "daytona"] = Field(
        alias="BACKSPACE_SANDBOX", description="Where repository code and the agent run: `bubblewrap` or `daytona`."
    )
    daytona_snapshot: str | None = Field(
        None,
        alias="BACKSPACE_DAYTONA_SNAPSHOT",
        description="The snapshot that sandboxes on Daytona are made from; `backspace daytona snapshot` builds the "
        "default one.",
    )
    daytona_max_sandboxes: int = Field(
        20,
        alias="BACKSPACE_DAYTONA_MAX_SANDBOXES",
        ge=1,
        le=10_000,
        description="The most sandboxes that exist on Daytona at once; a run takes up to four.",
    )
    daytona_accept_open_network: bool = Field(
        default=False,
        alias="BACKSPACE_DAYTONA_ACCEPT_OPEN_NETWORK",
        description="Whether runs on private repositories begin although the network of their sandbox on Daytona "
        "cannot be closed: code there could then send the repository anywhere.",
    )
    model: str = Field(
        "claude-sonnet-5-5", alias="BACKSPACE_MODEL", min_length=1, description="The model that does the work."
    )
    command: str = Field(
        "/backspace",
        alias="BACKSPACE_COMMAND",
        pattern=r"^[/!@][A-Za-z][A-Za-z0-9_-]{0,38}$",
        description="The word that starts a command in a comment: `/`, `!` or `@`, then letters and digits.",
    )
    label: str = Field(
        "backspace",
        alias="BACKSPACE_LABEL",
        min_length=1,
        max_length=50,
        description="The label that starts a run when it is put on an issue.",
    )
    max_runs: int = Field(4, alias="BACKSPACE_MAX_RUNS", ge=1, le=1000, description="Runs at once, per worker.")
    max_runs_per_installation: int = Field(
        4, alias="BACKSPACE_MAX_RUNS_PER_INSTALLATION", ge=1, le=1000, description="Runs at once, per installation."
    )
    run_budget_usd: Dollars = Field(
        5.0, alias="BACKSPACE_RUN_BUDGET_USD", description="The most that one run may cost, in US dollars."
    )
    daily_budget_usd: Dollars = Field(
        50.0, alias="BACKSPACE_DAILY_BUDGET_USD", description="The most that one installation may cost in a day."
    )
    run_timeout_minutes: int = Field(
        60, alias="BACKSPACE_RUN_TIMEOUT_MINUTES", ge=1, le=1440, description="The longest that one run may take."
    )
    prices: Prices = Field(
        default_factory=dict,
        alias="BACKSPACE_PRICES",
        description="Prices besides or instead of the built-in ones, in US dollars per million tokens, as JSON: "
        '`{"<model>": {"input": 2, "output": 10, "cache_write": 2.5, "cache_read": 0.1}}`.',
    )
    egress_allow: Hosts = Field(
        (),
        alias="BACKSPACE_EGRESS_ALLOW",
        description="Hosts that sandboxes may reach besides the package registries that this host is configured to "
        "use, with commas between them; `*.example.com` takes in all below it.",
    )
    egress_private_hosts: Hosts = Field(
        (),
        alias="BACKSPACE_EGRESS_PRIVATE_HOSTS",
        description="Hosts that sandboxes may reach although their addresses are private, with commas between them.",
    )
    require_auth: bool = Field(
        default=True, alias="BACKSPACE_REQUIRE_AUTH", description="Whether the API and the pages ask who is there."
    )
    log: Literal["console", "json"] = Field(
        "console", alias="BACKSPACE_LOG", description="How log lines look: `console` or `json`."
    )
    otlp_endpoint: CollectorUrl | None = Field(
        None, alias="OTEL_EXPORTER_OTLP_ENDPOINT", description="Where traces are sent; none are when it is not set."
    )

    @property
    def github_app(self) -> GitHubApp | None:
        """None only when `load` was not told that the app is needed."""
        if self.github_app_id is None or self.github_private_key is None or self.github_webhook_secrets is None:
            return None
        return GitHubApp(self.github_app_id, self.github_private_key, self.github_webhook_secrets)


class SettingMeaning(NamedTuple):
    name: str
    default: str
    """In words where a value would not do; empty for none."""
    meaning: str


_DEFAULTS_IN_WORDS = {
    "BACKSPACE_HOME": "/var/lib/backspace for root, else ~/.local/share/backspace",
    "BACKSPACE_PUBLIC_URL": "http://127.0.0.1:<BACKSPACE_PORT>",
    "BACKSPACE_SANDBOX": "daytona when DAYTONA_API_KEY is set, else bubblewrap",
    "BACKSPACE_DAYTONA_SNAPSHOT": "the one that belongs to this version",
    "BACKSPACE_PRICES": "the built-in table",
    "DATABASE_URL": "sqlite:///<BACKSPACE_HOME>/backspace.db",
}

_REMEDIES = {
    "GITHUB_APP_ID": "Set it to the App ID on the app's settings page; `backspace setup` registers one.",
    "GITHUB_PRIVATE_KEY": "Generate a private key on the app's settings page and set it to the text of the .pem file, "
    "or GITHUB_PRIVATE_KEY_PATH to the file's path.",
    "GITHUB_PRIVATE_KEY_PATH": "Set it to the path of the app's .pem file, readable by the user that runs Backspace.",
    "GITHUB_WEBHOOK_SECRET": "Set it to the webhook secret on the app's settings page; two at most, old and new.",
    "ANTHROPIC_API_KEY": "Set it to a key of the model API.",
    "DAYTONA_API_KEY": "Set it to a key of Daytona, or BACKSPACE_SANDBOX to bubblewrap.",
    "BACKSPACE_PUBLIC_URL": "Set it to the https:// address under which this server is reached from outside.",
    "BACKSPACE_HOME": "Set it to a directory's absolute path.",
}

_NAMES = {field.alias: name for name, field in Settings.model_fields.items() if field.alias}

_NEEDED = {
    Need.GITHUB_APP: ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET"),
    Need.MODEL: ("ANTHROPIC_API_KEY",),
}

_MESSAGES = {
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "json_invalid": "is not JSON",
    "string_pattern_mismatch": "has another form than is asked for",
    "too_short": "is empty",
    "too_long": "has more than {max_length} entries",
    "missing": "is not set",
}


def load(
    environment: Mapping[str, str],
    dotenv: Path | None,
    *,
    needs: frozenset[Need] = frozenset(Need),
    user_id: int | None = None,
) -> Settings:
    """Reads both, the environment before the file; an empty value is no value.

    `user_id` is who runs Backspace (by default, this process): root has another default for BACKSPACE_HOME.
    Raises SettingsError with every problem.
    """
    problems: list[SettingProblem] = []
    given = {**_read_dotenv(dotenv, problems), **{name: value for name, value in environment.items() if value}}
    values = {name: value for name, value in given.items() if name in _NAMES}
    problems.extend(_misspelt(given))
    _read_key_file(values, problems)
    problems.extend(_missing(values, needs))
    problems.extend(_contradictions(values))
    derived = _derived(values, given.get("HOME"), os.geteuid() if user_id is None else user_id)
    try:
        settings = Settings.model_validate({**derived, **values})
    except ValidationError as error:
        problems.extend(problem for problem in _invalid(error) if problem.name not in derived.keys() - values.keys())
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def describe() -> list[SettingMeaning]:
    """Every setting, for the documentation and the help."""
    return [SettingMeaning(alias, _default(alias), _meaning(alias)) for alias in _NAMES]


def _meaning(alias: str) -> str:
    return Settings.model_fields[_NAMES[alias]].description or ""


def _default(alias: str) -> str:
    default = Settings.model_fields[_NAMES[alias]].default
    if alias in _DEFAULTS_IN_WORDS:
        return _DEFAULTS_IN_WORDS[alias]
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default or "")


def _problem(name: str, problem: str, remedy: str = "") -> SettingProblem:
    return SettingProblem(name, problem, remedy or _REMEDIES.get(name) or _meaning(name))


def _read_dotenv(path: Path | None, problems: list[SettingProblem]) -> dict[str, str]:
    if path is None or not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError):
        remedy = "Make it a UTF-8 text file that the user who runs Backspace may read."
        problems.append(SettingProblem(path.name, "cannot be read", remedy))
        return {}
    for binding in bindings:
        if binding.error:
            problem = f"line {binding.original.line} cannot be read"
            problems.append(
                SettingProblem(path.name, problem, "Write NAME=value; put quotes around a value of several lines.")
            )
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value}


def _misspelt(given: Mapping[str, str]) -> Iterator[SettingProblem]:
    known = [name.removeprefix(_OURS) for name in _NAMES if name.startswith(_OURS)]
    for name in sorted(given):
        if name.startswith(_OURS) and name not in _NAMES and name not in _OF_THE_CLIENT:
            near = difflib.get_close_matches(name.removeprefix(_OURS), known, n=1, cutoff=0.5)
            yield SettingProblem(
                name, "is not a setting", f"Did you mean {_OURS}{near[0]}?" if near else "Take it out."
            )


def _read_key_file(values: dict[str, str], problems: list[SettingProblem]) -> None:
    path = values.get("GITHUB_PRIVATE_KEY_PATH")
    if path is None:
        return
    if "GITHUB_PRIVATE_KEY" in values:
        problems.append(
            _problem("GITHUB_PRIVATE_KEY_PATH", "is set besides GITHUB_PRIVATE_KEY", "Take one of them out.")
        )
        return
    try:
        text = Path(path).read_text(encoding="ascii")
        private_key(SecretStr(text))
    except OSError as error:
        problems.append(_problem("GITHUB_PRIVATE_KEY_PATH", f"cannot be read: {error.strerror or 'no such file'}"))
    except ValueError:
        problems.append(_problem("GITHUB_PRIVATE_KEY_PATH", "does not hold an RSA private key in PEM form"))
    else:
        values["GITHUB_PRIVATE_KEY"] = text


def _missing(values: Mapping[str, str], needs: frozenset[Need]) -> Iterator[SettingProblem]:
    for need in Need:
        for name in _NEEDED[need] if need in needs else ():
            given_by_path = name == "GITHUB_PRIVATE_KEY" and "GITHUB_PRIVATE_KEY_PATH" in values
            if name not in values and not given_by_path:
                yield _problem(name, "is not set")


def _contradictions(values: Mapping[str, str]) -> Iterator[SettingProblem]:
    api_is_github = values.get("GITHUB_API_URL", _GITHUB_API_URL).rstrip("/") == _GITHUB_API_URL
    web_is_github = values.get("GITHUB_URL", _GITHUB_URL).rstrip("/") == _GITHUB_URL
    if api_is_github != web_is_github:
        name = "GITHUB_API_URL" if api_is_github else "GITHUB_URL"
        other = "GITHUB_URL" if api_is_github else "GITHUB_API_URL"
        yield _problem(name, f"is github.com's, but {other} is another server's", "Set both to the same server.")
    if values.get("BACKSPACE_SANDBOX") == "daytona" and "DAYTONA_API_KEY" not in values:
        yield _problem("DAYTONA_API_KEY", "is not set, but BACKSPACE_SANDBOX is daytona")
    if _sandbox(values) == "daytona" and "BACKSPACE_PUBLIC_URL" not in values:
        yield _problem("BACKSPACE_PUBLIC_URL", "is not set, but sandboxes on Daytona must reach this server")


def _sandbox(values: Mapping[str, str]) -> str:
    return values.get("BACKSPACE_SANDBOX") or ("daytona" if "DAYTONA_API_KEY" in values else "bubblewrap")


def _derived(values: Mapping[str, str], user_home: str | None, user_id: int) -> dict[str, str]:
    """The defaults that follow from other settings."""
    derived = {"BACKSPACE_SANDBOX": _sandbox(values)}
    derived["BACKSPACE_PUBLIC_URL"] = f"http://127.0.0.1:{values.get('BACKSPACE_PORT', 8000)}"
    if user_id == 0:
        derived["BACKSPACE_HOME"] = str(_SYSTEM_HOME)
    elif user_home:
        derived["BACKSPACE_HOME"] = str(Path(user_home, ".local/share/backspace"))
    home = values.get("BACKSPACE_HOME") or derived.get("BACKSPACE_HOME", "")
    derived["DATABASE_URL"] = f"sqlite:///{home}/backspace.db"
    return derived


def _invalid(error: ValidationError) -> Iterator[SettingProblem]:
    """Pydantic's findings in our words, one for each name; a value is never repeated, for it may be a secret."""
    found = {
        str(finding["loc"][0]): finding for finding in reversed(error.errors(include_url=False, include_input=False))
    }
    for name, finding in reversed(found.items()):
        context = finding.get("ctx", {})
        if finding["type"] == "value_error":
            message = str(context["error"])
        elif len(finding["loc"]) > 1:
            message = "has another form than is asked for"
        elif finding["type"] in _MESSAGES:
            message = _MESSAGES[finding["type"]].format(**context)
        else:
            message = finding["msg"].replace("Input should be", "must be").replace("String should have", "must have")
        yield _problem(name, message)
