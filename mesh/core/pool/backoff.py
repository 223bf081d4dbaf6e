"""When to dial again: exponential back-off with a cap and jitter from outside."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """`first_seconds`, doubled per failure, up to `cap_seconds`; half of it is jitter."""

    first_seconds: float = 1.0
    cap_seconds: float = 300.0

    def delay_seconds(self, failures: int, jitter: float) -> float:
        """Return the pause after `failures` (from 1) in a row; `jitter` is in [0, 1).

        Half fixed, half random: peers do not come back in step, and none comes back at once.
        """
        exponent = min(max(failures, 1) - 1, 30)  # 2**30 s is beyond any cap; no overflow
        full = min(self.cap_seconds, self.first_seconds * float(1 << exponent))
        return full * (0.5 + jitter / 2)
