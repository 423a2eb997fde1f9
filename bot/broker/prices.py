"""What tokens cost, by model. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.model import Usage

_MILLION = 1_000_000
_DATED = re.compile(r"-\d{8}$")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens. `cache_write` is for five minutes; an hour costs twice the input."""

    input: float
    output: float
    cache_write: float
    cache_read: float


@dataclass(frozen=True)
class Tokens:
    """`input` counts neither what was read from the cache nor what was written to it."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_hour: int = 0
    """The part of `cache_write` that is kept for an hour."""


DEFAULT_PRICES: Mapping[str, Price] = {
    "claude-opus-5-5": Price(4, 20, 5, 0.20),
    "claude-sonnet-5-5": Price(2, 10, 2.5, 0.10),
    "claude-sonnet-4-5": Price(3, 15, 3.75, 0.30),
    "claude-haiku-4-5": Price(1, 5, 1.25, 0.10),
}


class PriceTable:
    """The defaults, and what the settings put in their place."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._prices = {**DEFAULT_PRICES, **(own or {})}
        self._dearest = max(self._prices.values(), key=lambda price: (price.output, price.input))

    @property
    def models(self) -> frozenset[str]:
        return frozenset(self._prices)

    def of(self, model: str) -> Price:
        """An unknown model costs as much as the dearest known one, so that a budget is never overrun unseen."""
        return self._prices.get(model) or self._prices.get(_DATED.sub("", model)) or self._dearest

    def usage(self, model: str, tokens: Tokens) -> Usage:
        price = self.of(model)
        cost = (
            tokens.input * price.input
            + tokens.output * price.output
            + tokens.cache_read * price.cache_read
            + (tokens.cache_write - tokens.cache_write_hour) * price.cache_write
            + tokens.cache_write_hour * price.input * 2
        ) / _MILLION
        return Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
            cost_usd=cost,
        )
