"""Calls to Daytona that are made again, as long as there is hope."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    wait_random_exponential,
)

from bot.daytona.failures import Unanswered

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

_TRIES = 8
_SECONDS = 60.0
_RETRY_AFTER_LIMIT_SECONDS = 60.0
_BACKOFF = wait_random_exponential(multiplier=0.2, max=8)


class Patience:
    """Of one deployment, with its own `sleep`."""

    def __init__(self, sleep: Sleep = asyncio.sleep) -> None:
        self.sleep = sleep

    async def take(self, call: Callable[[], Awaitable[T]], *, tries: int = _TRIES, seconds: float = _SECONDS) -> T:
        """For calls that may be made twice. Raises what the last one raised, Unanswered when it got no answer."""

        async def once() -> T:
            # Tenacity awaits only what was written with `async def`.
            return await call()

        again = AsyncRetrying(
            sleep=self.sleep,
            retry=retry_if_exception_type(Unanswered),
            wait=_wait,
            stop=stop_any(stop_after_attempt(tries), stop_after_delay(seconds)),
            reraise=True,
        )
        return await again(once)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, Unanswered) else None
    return max(_BACKOFF(state), min(asked or 0.0, _RETRY_AFTER_LIMIT_SECONDS))
