"""Which models the model API has for our key: the one question that costs nothing."""

from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ValidationError

from bot import certificates
from bot.errors import BackspaceError

_SECONDS = 20.0
_MOST_MODELS = 1000
_VERSION = "2023-06-01"


class ModelUnreachable(BackspaceError):
    """The model API does not answer."""

    retry_helps = True


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


@dataclass(frozen=True)
class Catalogue:
    """`status` is HTTP's. `models`: their ids; empty where the answer has none that can be read."""

    status: int
    models: frozenset[str]


async def ask(*, upstream: str, api_key: str) -> Catalogue:
    """https://docs.claude.com/en/api/models-list

    Raises ModelUnreachable.
    """
    headers = {"x-api-key": api_key, "anthropic-version": _VERSION}
    try:
        async with httpx.AsyncClient(verify=certificates.trusted(), headers=headers, timeout=_SECONDS) as http:
            answer = await http.get(f"{upstream.rstrip('/')}/v1/models", params={"limit": _MOST_MODELS})
    except httpx.HTTPError as error:
        raise ModelUnreachable(type(error).__name__) from error
    try:
        found = _Models.model_validate_json(answer.content)
    except ValidationError:
        return Catalogue(answer.status_code, frozenset())
    return Catalogue(answer.status_code, frozenset(model.id for model in found.data))
