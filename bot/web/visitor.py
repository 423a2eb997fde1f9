"""Who looks at a page or calls the API, as far as that has been shown. No I/O."""

import fnmatch
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Key:
    """An API key, without what opens the door."""

    id: str
    name: str
    may_run: bool
    """Start, stop and retry runs; a key without it only reads."""
    repos: tuple[str, ...]
    """Patterns of `owner/name`, such as `acme/*`."""
    runs_per_hour: int

    def covers(self, full_name: str) -> bool:
        return any(fnmatch.fnmatchcase(full_name.lower(), pattern.lower()) for pattern in self.repos)


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
