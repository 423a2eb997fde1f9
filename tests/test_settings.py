"""Settings are read whole, or every problem is named at once with what to do; no secret is ever shown."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from bot.errors import SettingProblem, SettingsError
from bot.settings import Need, Settings, describe, load

NOTHING: frozenset[Need] = frozenset()
SECRET = "do-not-show-this"

# The contract's list; the three after it are ours.
NAMES = [
    *(
        "GITHUB_APP_ID",
        "GITHUB_PRIVATE_KEY",
        "GITHUB_PRIVATE_KEY_PATH",
        "GITHUB_WEBHOOK_SECRET",
        "GITHUB_CLIENT_ID",
        "GITHUB_CLIENT_SECRET",
    ),
    *(
        "GITHUB_API_URL",
        "GITHUB_URL",
        "GITHUB_TOKEN",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "DAYTONA_API_KEY",
        "DAYTONA_API_URL",
    ),
    *(
        "DAYTONA_TARGET",
        "DATABASE_URL",
        "BACKSPACE_HOME",
        "BACKSPACE_HOST",
        "BACKSPACE_PORT",
        "BACKSPACE_PUBLIC_URL",
        "BACKSPACE_SANDBOX",
    ),
    *(
        "BACKSPACE_MODEL",
        "BACKSPACE_COMMAND",
        "BACKSPACE_LABEL",
        "BACKSPACE_MAX_RUNS",
        "BACKSPACE_MAX_RUNS_PER_INSTALLATION",
    ),
    *(
        "BACKSPACE_RUN_BUDGET_USD",
        "BACKSPACE_DAILY_BUDGET_USD",
        "BACKSPACE_RUN_TIMEOUT_MINUTES",
        "BACKSPACE_EGRESS_ALLOW",
    ),
    *("BACKSPACE_REQUIRE_AUTH", "BACKSPACE_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    *("GITHUB_API_VERSION", "BACKSPACE_PRICES", "BACKSPACE_EGRESS_PRIVATE_HOSTS"),
    *("BACKSPACE_DAYTONA_SNAPSHOT", "BACKSPACE_DAYTONA_MAX_SANDBOXES", "BACKSPACE_DAYTONA_ACCEPT_OPEN_NETWORK"),
]


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


RSA_PEM = pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
WHOLE = {
    "GITHUB_APP_ID": "29310",
    "GITHUB_PRIVATE_KEY": RSA_PEM,
    "GITHUB_WEBHOOK_SECRET": SECRET,
    "ANTHROPIC_API_KEY": SECRET,
    "HOME": "/home/agent",
}


def made(environment: dict[str, str], *, needs: frozenset[Need] = NOTHING, user_id: int = 1000) -> Settings:
    return load({"HOME": "/home/agent", **environment}, None, needs=needs, user_id=user_id)


def problems(
    environment: dict[str, str], dotenv: Path | None = None, *, needs: frozenset[Need] = NOTHING
) -> list[SettingProblem]:
    with pytest.raises(SettingsError) as raised:
        load(environment, dotenv, needs=needs, user_id=1000)
    return raised.value.problems


def test_what_it_takes_to_serve() -> None:
    settings = load(WHOLE, None, user_id=1000)
    app = settings.github_app
    assert app is not None
    assert (app.id, app.private_key.get_secret_value()) == (29310, RSA_PEM)
    assert [secret.get_secret_value() for secret in app.webhook_secrets] == [SECRET]
    assert settings.anthropic_api_key is not None


def test_the_defaults() -> None:
    settings = made({})
    assert settings.github_app is None
    assert (settings.github_api_url, settings.github_url) == ("https://api.github.com", "https://github.com")
    assert settings.home == Path("/home/agent/.local/share/backspace")
    assert settings.database_url.get_secret_value() == "sqlite:////home/agent/.local/share/backspace/backspace.db"
    assert (settings.host, settings.port, settings.public_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert (settings.sandbox, settings.command, settings.label) == ("bubblewrap", "/backspace", "backspace")
    assert settings.require_auth
    assert settings.log == "console"


def test_no_secret_has_a_default() -> None:
    settings = made({})
    secrets = {name for name, value in WHOLE.items() if value in {SECRET, RSA_PEM}}
    secrets |= {"GITHUB_CLIENT_SECRET", "GITHUB_TOKEN", "DAYTONA_API_KEY"}
    for name, field in Settings.model_fields.items():
        assert field.alias not in secrets or getattr(settings, name) is None


DAYTONA = {"DAYTONA_API_KEY": "k", "BACKSPACE_PUBLIC_URL": "https://a.example"}


@pytest.mark.parametrize(
    ("environment", "field", "value"),
    [
        ({"BACKSPACE_PORT": "9000"}, "public_url", "http://127.0.0.1:9000"),
        ({"BACKSPACE_PORT": ""}, "port", 8000),
        ({"BACKSPACE_PUBLIC_URL": "https://a.example/"}, "public_url", "https://a.example"),
        ({"ANTHROPIC_BASE_URL": "http://[::1]:9/x"}, "anthropic_base_url", "http://[::1]:9/x"),
        ({"ANTHROPIC_BASE_URL": "http://localhost:9"}, "anthropic_base_url", "http://localhost:9"),
        ({"BACKSPACE_REQUIRE_AUTH": "false"}, "require_auth", False),
        ({"BACKSPACE_COMMAND": "!robot"}, "command", "!robot"),
        ({"BACKSPACE_EGRESS_ALLOW": " A.example, *.b.example,"}, "egress_allow", ("a.example", "*.b.example")),
        (
            {"BACKSPACE_EGRESS_PRIVATE_HOSTS": "mirror,10.0.0.5,::1"},
            "egress_private_hosts",
            ("mirror", "10.0.0.5", "::1"),
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "otlp_endpoint", "http://collector:4318"),
        (DAYTONA, "sandbox", "daytona"),
        ({**DAYTONA, "BACKSPACE_SANDBOX": "bubblewrap"}, "sandbox", "bubblewrap"),
    ],
    ids=str,
)
def test_value(environment: dict[str, str], field: str, value: object) -> None:
    assert getattr(made(environment), field) == value


def test_root_keeps_everything_in_the_systems_place() -> None:
    settings = made({}, user_id=0)
    assert settings.home == Path("/var/lib/backspace")
    assert settings.database_url.get_secret_value() == "sqlite:////var/lib/backspace/backspace.db"
    assert made({"BACKSPACE_HOME": "/srv/b"}, user_id=0).home == Path("/srv/b")


def test_two_secrets_during_a_rotation() -> None:
    secrets = made({"GITHUB_WEBHOOK_SECRET": "new, old"}).github_webhook_secrets
    assert [secret.get_secret_value() for secret in secrets or ()] == ["new", "old"]


def test_a_key_in_one_line() -> None:
    settings = made({"GITHUB_PRIVATE_KEY": RSA_PEM.replace("\n", "\\n")})
    assert settings.github_private_key is not None
    assert settings.github_private_key.get_secret_value() == RSA_PEM


def test_a_key_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_text(RSA_PEM)
    settings = load({**WHOLE, "GITHUB_PRIVATE_KEY": "", "GITHUB_PRIVATE_KEY_PATH": str(path)}, None, user_id=1000)
    assert settings.github_app is not None
    assert settings.github_app.private_key.get_secret_value() == RSA_PEM


def test_prices() -> None:
    settings = made({"BACKSPACE_PRICES": '{"m": {"input": 1, "output": 2, "cache_write": 3, "cache_read": 0.5}}'})
    assert settings.prices["m"].cache_read == 0.5
    assert made({}).prices == {}


def test_enterprise_server() -> None:
    settings = made({"GITHUB_API_URL": "https://git.example.com/api/v3/", "GITHUB_URL": "https://git.example.com"})
    assert settings.github_api_url == "https://git.example.com/api/v3"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("GITHUB_APP_ID", "app", "must be a whole number"),
        ("GITHUB_APP_ID", "0", "must be greater than 0"),
        ("GITHUB_PRIVATE_KEY", "nonsense", "is not an RSA private key"),
        ("GITHUB_PRIVATE_KEY", pem(ed25519.Ed25519PrivateKey.generate()), "is not an RSA private key"),
        ("GITHUB_PRIVATE_KEY_PATH", "/nowhere/app.pem", "No such file"),
        ("GITHUB_PRIVATE_KEY_PATH", "/etc/passwd", "does not hold an RSA private key"),
        ("GITHUB_WEBHOOK_SECRET", "a,b,c", "has more than 2 entries"),
        ("GITHUB_WEBHOOK_SECRET", " , ", "is empty"),
        ("GITHUB_API_VERSION", "latest", "has another form"),
        ("ANTHROPIC_BASE_URL", "http://a.example", "must begin with https://"),
        ("ANTHROPIC_BASE_URL", "a.example", "is not a URL"),
        ("ANTHROPIC_BASE_URL", "file:///etc/passwd", "is not a URL"),
        ("ANTHROPIC_BASE_URL", "https://u:p@a.example", "without user name, password"),
        ("ANTHROPIC_BASE_URL", "https://a.example:http", "is not a URL"),
        ("ANTHROPIC_BASE_URL", "https://[", "is not a URL"),
        ("BACKSPACE_PUBLIC_URL", "https://a.example/?a", "without user name"),
        ("DATABASE_URL", "mysql://a", "must begin with sqlite:/// or postgresql://"),
        ("DATABASE_URL", "postgres://a", "must begin with sqlite:/// or postgresql://"),
        ("DATABASE_URL", "sqlite:///a.db", "by its absolute path"),
        ("DATABASE_URL", "sqlite://", "by its absolute path"),
        ("BACKSPACE_HOME", "data", "must be an absolute path"),
        ("BACKSPACE_PORT", "http", "must be a whole number"),
        ("BACKSPACE_PORT", "65536", "must be less than or equal to 65535"),
        ("BACKSPACE_SANDBOX", "docker", "must be 'bubblewrap' or 'daytona'"),
        ("BACKSPACE_COMMAND", "backspace", "has another form"),
        ("BACKSPACE_COMMAND", "/a b", "has another form"),
        ("BACKSPACE_LABEL", "x" * 51, "must have at most 50 characters"),
        ("BACKSPACE_MAX_RUNS", "0", "must be greater than or equal to 1"),
        ("BACKSPACE_MAX_RUNS", "2.5", "must be a whole number"),
        ("BACKSPACE_RUN_BUDGET_USD", "free", "must be a number"),
        ("BACKSPACE_DAILY_BUDGET_USD", "nan", "must be"),
        ("BACKSPACE_RUN_TIMEOUT_MINUTES", "-1", "must be greater than or equal to 1"),
        ("BACKSPACE_PRICES", "{", "is not JSON"),
        ("BACKSPACE_PRICES", '{"m": {"input": 1}}', "has another form"),
        ("BACKSPACE_EGRESS_ALLOW", "a.example,https://b.example", "without scheme"),
        ("BACKSPACE_REQUIRE_AUTH", "perhaps", "must be true or false"),
        ("BACKSPACE_LOG", "xml", "must be 'console' or 'json'"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "is not a URL"),
        ("BACKSPACE_MAXRUNS", "3", "is not a setting"),
    ],
    ids=lambda part: part[:24],
)
def test_problem(name: str, value: str, problem: str) -> None:
    (found,) = problems({"HOME": "/home/agent", name: value})
    assert found.name == name
    assert problem in found.problem
    assert found.remedy


@pytest.mark.parametrize(
    ("environment", "name", "problem"),
    [
        pytest.param({"HOME": ""}, "BACKSPACE_HOME", "is not set", id="no home"),
        pytest.param(
            {"GITHUB_PRIVATE_KEY_PATH": "/nowhere/app.pem", "GITHUB_PRIVATE_KEY": RSA_PEM},
            "GITHUB_PRIVATE_KEY_PATH",
            "besides GITHUB_PRIVATE_KEY",
            id="key and path",
        ),
        pytest.param(
            {"GITHUB_URL": "https://git.example.com"}, "GITHUB_API_URL", "is github.com's", id="half of another server"
        ),
        pytest.param(
            {"GITHUB_API_URL": "https://git.example.com/api/v3"}, "GITHUB_URL", "is github.com's", id="the other half"
        ),
        pytest.param(
            {"BACKSPACE_SANDBOX": "daytona", "BACKSPACE_PUBLIC_URL": "https://a.example"},
            "DAYTONA_API_KEY",
            "is not set, but BACKSPACE_SANDBOX is daytona",
            id="Daytona without a key",
        ),
        pytest.param(
            {"DAYTONA_API_KEY": "k"}, "BACKSPACE_PUBLIC_URL", "must reach this server", id="Daytona without an address"
        ),
    ],
)
def test_contradiction(environment: dict[str, str], name: str, problem: str) -> None:
    (found,) = problems({"HOME": "/home/agent", **environment})
    assert found.name == name
    assert problem in found.problem
    assert found.remedy


def test_all_problems_at_once() -> None:
    found = problems({"BACKSPACE_PORT": "x", "BACKSPACE_LOGS": "json", "HOME": "/home/agent"}, needs=frozenset(Need))
    assert {problem.name for problem in found} == {
        "GITHUB_APP_ID",
        "GITHUB_PRIVATE_KEY",
        "GITHUB_WEBHOOK_SECRET",
        "ANTHROPIC_API_KEY",
        "BACKSPACE_PORT",
        "BACKSPACE_LOGS",
    }


@pytest.mark.parametrize(
    ("needs", "missing"),
    [
        pytest.param(frozenset({Need.MODEL}), {"ANTHROPIC_API_KEY"}, id="a model"),
        pytest.param(
            frozenset({Need.GITHUB_APP}), {"GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET"}, id="the app"
        ),
    ],
)
def test_only_what_is_needed_must_be_there(needs: frozenset[Need], missing: set[str]) -> None:
    assert {problem.name for problem in problems({"HOME": "/home/agent"}, needs=needs)} == missing


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("BACKSPACE_MAXRUNS", "BACKSPACE_MAX_RUNS?"),
        ("BACKSPACE_RUN_BUDGET", "BACKSPACE_RUN_BUDGET_USD?"),
        ("BACKSPACE_ALLOW", "BACKSPACE_EGRESS_ALLOW?"),
        ("BACKSPACE_XYZ", "Take it out."),
    ],
)
def test_a_misspelt_name_is_told_the_nearest(name: str, remedy: str) -> None:
    (problem,) = problems({name: "1", "HOME": "/home/agent"})
    assert problem.remedy.endswith(remedy)


def test_the_key_of_the_terminal_client_is_no_misspelt_name() -> None:
    assert isinstance(load({"BACKSPACE_KEY": "bsk_dummy"}, None, needs=frozenset()), Settings)


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "# ours\n"
        "BACKSPACE_PORT=9000\n"
        "export BACKSPACE_LABEL='robot'\n"
        "BACKSPACE_MODEL=$HOME\n"
        f'GITHUB_PRIVATE_KEY="{RSA_PEM}"\n'
        "SOMEBODY_ELSES=1\n"
    )
    settings = load({"BACKSPACE_PORT": "9001", "HOME": "/home/agent"}, dotenv, needs=NOTHING, user_id=1000)
    assert (settings.port, settings.label) == (9001, "robot")
    assert settings.model == "$HOME"
    assert settings.github_private_key is not None


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    assert load({"HOME": "/home/agent"}, tmp_path / ".env", needs=NOTHING, user_id=1000).port == 8000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"BACKSPACE_PORT=9000\nBACKSPACE LABEL=x\n", "line 2 cannot be read", id="a blank in a name"),
        pytest.param(b"BACKSPACE_LABEL='x\n", "line 1 cannot be read", id="a quote left open"),
        pytest.param(b"\xff\xfe", "cannot be read", id="not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes, problem: str) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(content)
    (found,) = problems({"HOME": "/home/agent"}, dotenv)
    assert (found.name, found.problem) == (".env", problem)


def test_secrets_are_never_shown() -> None:
    settings = load(
        {
            **WHOLE,
            "GITHUB_TOKEN": SECRET,
            "GITHUB_CLIENT_SECRET": SECRET,
            "DAYTONA_API_KEY": SECRET,
            "BACKSPACE_PUBLIC_URL": "https://a.example",
            "DATABASE_URL": f"postgresql://backspace:{SECRET}@db/backspace",
        },
        None,
    )
    shown = f"{settings} {settings!r} {settings.github_app!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert SECRET not in shown
    assert "PRIVATE KEY" not in shown


def test_a_secret_is_not_repeated_in_a_problem() -> None:
    wrong = dict.fromkeys(
        [name for name in NAMES if name != "GITHUB_PRIVATE_KEY_PATH"], f"{SECRET}://:{SECRET}@\n{SECRET}"
    )
    with pytest.raises(SettingsError) as raised:
        load(wrong, None, user_id=1000)
    assert len(raised.value.problems) > 10
    assert SECRET not in str(raised.value) + repr(raised.value.problems)
    assert raised.value.__cause__ is None


def test_settings_do_not_change() -> None:
    settings = made({})
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]  # that it is refused is the point


def test_every_setting_is_described() -> None:
    described = describe()
    assert sorted(setting.name for setting in described) == sorted(NAMES)
    assert all(setting.meaning for setting in described)
    defaults = {setting.name: setting.default for setting in described}
    assert defaults["BACKSPACE_PORT"] == "8000"
    assert defaults["BACKSPACE_REQUIRE_AUTH"] == "true"
    assert defaults["BACKSPACE_RUN_BUDGET_USD"] == "5"
    assert defaults["GITHUB_WEBHOOK_SECRET"] == ""
