"""What the log was told already: who did what, each once a day, however often it happens."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from mesh.core import limits

_VARIES: Final = re.compile(r"[0-9a-f]{8,}|[0-9]+")
"""Digests, sizes, seconds, ports: one reason has others of them each time."""
_CHARS_MAX: Final = 200
"""Of a reason: enough to tell two apart."""


REASONS_MAX: Final = 32
"""Of one in a day: many have his own words in them, and of those he has as many as he likes."""


@dataclass(slots=True, kw_only=True)
class Told:
    """Who was told of for what, `most` pairs at the most: a flood of names is no flood of lines."""

    most: int = 512
    seconds: float = 86_400.0
    """After which the same is worth a line again."""
    left_out: int = 0
    """What was not said for want of room, since there last was some."""
    _told: OrderedDict[tuple[str, str], tuple[float, float]] = field(default_factory=OrderedDict)
    """When it was said, and when it happened last."""

    def first(self, who: str, why: str, now: float) -> bool:
        """Whether this is to be said. `now`: seconds of any clock that does not go back."""
        while self._told and next(iter(self._told.values()))[0] + self.seconds <= now:
            self._told.popitem(last=False)
        pair = who, _VARIES.sub("#", why)[:_CHARS_MAX]
        known = self._told.get(pair)
        if known is None and self._is_full(who):
            self.left_out += 1
            return False
        if known is None:
            self.left_out = 0
        self._told[pair] = (now if known is None else known[0]), now
        return known is None

    def _is_full(self, who: str) -> bool:
        """Whether there is no room for another pair at all, or none of his."""
        if len(self._told) >= self.most:
            return True
        return sum(one == who for one, _ in self._told) >= REASONS_MAX

    def well(self, who: str, now: float) -> None:
        """It did what it should: what it has not done wrong for CLEAN_SECONDS is news again."""
        for pair, (_, last) in list(self._told.items()):
            if pair[0] == who and now - last >= limits.CLEAN_SECONDS:
                del self._told[pair]

    def forget(self, who: str) -> None:
        """All is well there: what happens next is news."""
        for pair in [pair for pair in self._told if pair[0] == who]:
            del self._told[pair]
