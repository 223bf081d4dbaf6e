"""When a link that keeps failing is left alone, and when it is asked again.

After FAILURES_MAX failures in a row it rests; each further failure doubles the rest, one reply ends
it all. After a rest it is asked once more, and rests longer if that fails too: a provider that is
down costs a user one time-out in a while, not one in every turn. A provider may name the time
itself (Retry-After), within REST_MAX_S. Pure: the clock (seconds, monotonic) is an argument.
"""

from dataclasses import dataclass
from typing import Final

FAILURES_MAX: Final = 3
"""A single time-out happens to everybody; three in a row are a state."""
REST_FIRST_S: Final = 15.0
REST_MAX_S: Final = 600.0
"""So late may it be noticed that a provider is back."""


@dataclass(slots=True)
class Breaker:
    """Of one link."""

    failures: int = 0
    until: float = float("-inf")

    def rests_s(self, now: float) -> float:
        """Seconds for which it is left alone; 0 if it may be asked."""
        return max(0.0, self.until - now)

    def succeeded(self) -> None:
        """Note a reply."""
        self.failures, self.until = 0, float("-inf")

    def failed(self, now: float, wait_s: float | None = None) -> None:
        """Note a failure; `wait_s` is how long the provider wants to be left alone."""
        self.failures += 1
        beyond = self.failures - FAILURES_MAX
        rest = 0.0 if beyond < 0 else REST_FIRST_S * 2.0 ** min(beyond, 16)
        self.until = now + min(REST_MAX_S, max(rest, wait_s or 0.0))
