"""A live model for a fork: the host's chain, within so many calls, tokens and seconds.

The fork asks through this door only, and only for what is not on record; no model runs in the
sandbox, and no key is there. When a bound is reached the model is silent, and the turn goes on as
it does in a node whose models fail. The reply that passes the bound of tokens is still given: what
one costs is known afterwards. When its money is spent, only models that cost nothing are asked.

Not covered: what the chain itself refuses (reach, gates, a day's money); it does so as ever.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from genesis.core.errors import ForkError
from genesis.core.front import Budget as Allowed
from runtime.asking import Completes
from runtime.core.chat import DraftSink, ModelRequest, Reply
from runtime.core.errors import ModelFailed

TOKENS_MAX: Final = 1_000_000
"""What a person may lose by a mistyped number."""
MICRO: Final = 1_000_000
CALLS_MAX: Final = 256
SECONDS_MAX: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveBudget:
    """What a fork's live model may take altogether."""

    tokens: int
    calls: int = 32
    seconds: float = 300.0
    microusd: int | None = None
    """Of money; None leaves it to the chain."""

    def __post_init__(self) -> None:
        for name, most in (("tokens", TOKENS_MAX), ("calls", CALLS_MAX), ("seconds", SECONDS_MAX)):
            if not 0 < getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, above 0 and at most {most}")

    def within(self, allowed: Allowed) -> "LiveBudget":
        """Return this, but no more than a proposal allows. Raises ForkError where it is nothing."""
        for name in ("tokens", "seconds"):
            if not getattr(allowed, name):
                raise ForkError(
                    f"the proposal allows its evaluation no {name}, and a live model takes some",
                    hint=f"[budget] {name} in its front matter, or fork without a live model",
                )
        return replace(
            self,
            tokens=min(self.tokens, allowed.tokens),
            seconds=min(self.seconds, allowed.seconds),
            microusd=allowed.usd * MICRO,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveUse:
    """What it took."""

    calls: int
    tokens: int
    seconds: float
    microusd: int = 0


class Metered:
    """Stands for a `runtime.chain.Chain`. `clock` gives seconds."""

    def __init__(
        self, chain: Completes, budget: LiveBudget, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._chain = chain
        self._budget = budget
        self._clock = clock
        self._calls = 0
        self._tokens = 0
        self._seconds = 0.0
        self._microusd = 0

    @property
    def use(self) -> LiveUse:
        """What was taken so far."""
        return LiveUse(
            calls=self._calls,
            tokens=self._tokens,
            seconds=round(self._seconds, 3),
            microusd=self._microusd,
        )

    async def complete(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """Ask the chain. Raises ModelFailed when a bound is reached, and as the chain does."""
        bounds = self._budget
        left = bounds.seconds - self._seconds
        if self._calls >= bounds.calls or self._tokens >= bounds.tokens or left <= 0:
            raise ModelFailed(
                f"the fork's model has had {self._calls} of {bounds.calls} calls, {self._tokens} "
                f"of {bounds.tokens} tokens, {self._seconds:.0f} of {bounds.seconds:.0f} s"
            )
        if bounds.microusd is not None and self._microusd >= bounds.microusd:
            request = replace(request, free=True)
        self._calls += 1
        began = self._clock()
        try:
            async with asyncio.timeout(left) as limit:
                reply = await self._chain.complete(request, draft)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ModelFailed(
                f"the fork's {bounds.seconds:g} s of a live model are over"
            ) from error
        finally:
            self._seconds += max(0.0, self._clock() - began)
        self._tokens += (reply.tokens_in or 0) + (reply.tokens_out or 0)
        self._microusd += reply.microusd
        return reply
