"""What models may cost: so much a day for those that cost money, so many tokens a turn for all.

When the day's money is spent, links with a price are passed over and those without go on. The last
reply may go beyond the bound by what it costs: nobody knows that before. Event time decides what a
day is, so a clock that is set does not begin a new one twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.core.chat import Link
from runtime.core.errors import StepRefused
from runtime.core.spending import Spent, spent_on
from runtime.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """0: no bound."""

    day_microusd: int = 0
    turn_tokens: int = 0


class Budget:
    """Asks the ledger what was spent. `clock` gives milliseconds since 1970."""

    def __init__(self, journal: Journal, limits: BudgetLimits, clock: Callable[[], int]) -> None:
        self._journal = journal
        self._limits = limits
        self._clock = clock

    @property
    def today(self) -> Spent:
        """What was spent today."""
        return spent_on(self._journal.state.entries, self._clock())

    def refuses(self, link: Link) -> str | None:
        """Return why a link that costs money may not be asked now, or None."""
        bound = self._limits.day_microusd
        if link.price is None or not bound or self.today.microusd < bound:
            return None
        return f"the day's {bound / 1e6:.2f} dollars are spent"

    def check_turn(self, turn: bytes) -> None:
        """Raise StepRefused if a turn has used up its tokens."""
        bound, opened = self._limits.turn_tokens, self._journal.turns.open.get(turn)
        if not bound or opened is None:
            return
        used = sum(
            self._tokens(step.result)
            for step in opened.steps.values()
            if step.op == "model" and step.result is not None
        )
        if used >= bound:
            raise StepRefused(f"this turn has used {used} tokens, at most {bound}")

    def _tokens(self, position: int) -> int:
        payload = self._journal.log.read(position).payload
        return (payload.get("tokens_in") or 0) + (payload.get("tokens_out") or 0)
