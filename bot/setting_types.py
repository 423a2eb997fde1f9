"""The forms that a setting's text may have: URL, hosts, key, database, prices. No I/O."""

import functools
import ipaddress
import re
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import SplitResult, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Json, SecretStr

_HOST = re.compile(r"(?=.{1,253}$)(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)
    cache_write: float = Field(ge=0, allow_inf_nan=False)
    cache_read: float = Field(ge=0, allow_inf_nan=False)


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"https", "http"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable:
        raise ValueError("is not a URL such as https://example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be a URL without user name, password, `?` and `#`")
    return parts


def _url(value: str) -> str:
    parts = _split(value)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://; plain http is only for this machine itself")
    return value.rstrip("/")


def _collector_url(value: str) -> str:
    _split(value)
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def private_key(value: SecretStr) -> SecretStr:
    # An environment often cannot carry line ends, so they come written as \n.
    text = value.get_secret_value().replace("\\n", "\n").strip() + "\n"
    rsa_key(text)
    return SecretStr(text)


@functools.lru_cache(maxsize=1)
def rsa_key(pem: str) -> RSAPrivateKey:
    """Raises ValueError. The last one is remembered, for it takes 40 ms to look whether a key is sound."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("is not an RSA private key in PEM form without a password")  # noqa: TRY004  pydantic's way
    return key


def _at_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _host(value: str) -> str:
    host = value.lower()
    if _HOST.fullmatch(host):
        return host
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise ValueError("must be hosts without scheme, port and path") from None


def _database_url(value: SecretStr) -> SecretStr:
    scheme, _, rest = value.get_secret_value().partition("://")
    if scheme in {"postgresql", "postgresql+psycopg"} and rest:
        return value
    if scheme != "sqlite":
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if not rest.startswith("//") or rest.endswith("/"):
        raise ValueError("must name a file by its absolute path: sqlite:////var/lib/backspace/backspace.db")
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("must be an absolute path")
    return value


Url: TypeAlias = Annotated[str, AfterValidator(_url)]
Hosts: TypeAlias = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], BeforeValidator(_at_commas)]
Secrets: TypeAlias = Annotated[tuple[SecretStr, ...], BeforeValidator(_at_commas), Field(min_length=1, max_length=2)]
Dollars: TypeAlias = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
CollectorUrl: TypeAlias = Annotated[str, AfterValidator(_collector_url)]
PrivateKey: TypeAlias = Annotated[SecretStr, AfterValidator(private_key)]
DatabaseUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_database_url)]
Directory: TypeAlias = Annotated[Path, AfterValidator(_absolute)]
Prices: TypeAlias = Json[dict[str, Price]]
