"""How often to ask for news: soon after some, ever more seldom while there is none. No I/O."""

from dataclasses import dataclass

_LONGEST_SECONDS = 3.0
_GROWTH = 1.5


@dataclass
class Pace:
    """Times are of the caller's clock, in seconds."""

    shortest_seconds: float
    due_at: float = 0.0
    pause_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.pause_seconds = self.shortest_seconds

    def is_due(self, now: float) -> bool:
        return now >= self.due_at

    def hurry(self, now: float, *, at_once: bool = False) -> None:
        """There was news, or there will be. `at_once`: there is more of it."""
        self.pause_seconds = self.shortest_seconds
        self.due_at = now if at_once else now + self.shortest_seconds

    def slow_down(self, now: float) -> None:
        """There was none."""
        self.due_at = now + self.pause_seconds
        self.pause_seconds = min(self.pause_seconds * _GROWTH, _LONGEST_SECONDS)
