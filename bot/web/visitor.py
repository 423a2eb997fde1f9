"""Who looks at a page or calls the API, as far as that has been shown. No I/O."""

from dataclasses import dataclass
from typing import TypeAlias

from bot.model import Actor
from bot.runs.records import Key


@dataclass(frozen=True)
class ByKey:
    key: Key


@dataclass(frozen=True)
class Person:
    """Signed in with GitHub."""

    user_id: int
    login: str
    form_token: str
    """What each form of this sign-in has to bring along."""


@dataclass(frozen=True)
class Everyone:
    """`BACKSPACE_REQUIRE_AUTH=false`, on loopback."""


Visitor: TypeAlias = ByKey | Person | Everyone


def asked_by(visitor: Visitor) -> str:
    """As it is kept with a run."""
    match visitor:
        case ByKey(key):
            return f"key:{key.id}"
        case Person():
            return f"user:{visitor.user_id}"
        case Everyone():
            return "everyone"


def actor_of(visitor: Visitor) -> Actor:
    """As whose wish a run is kept; a key and everyone are nobody on GitHub."""
    match visitor:
        case ByKey(key):
            return Actor(0, key.name)
        case Person():
            return Actor(visitor.user_id, visitor.login)
        case Everyone():
            return Actor(0, "local")
