"""The form in which what a delivery asks for waits in the engine. No I/O."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from bot.intake.triggers import Errand

_CODEC: TypeAdapter[Errand] = TypeAdapter(Annotated[Errand, Field(discriminator="kind")])


def dump(errand: Errand) -> dict[str, Any]:
    """As JSON types."""
    dumped: dict[str, Any] = _CODEC.dump_python(errand, mode="json")
    return dumped


def load(body: dict[str, Any]) -> Errand:
    return _CODEC.validate_python(body)
