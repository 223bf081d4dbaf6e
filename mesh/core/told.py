"""What the log was told already: who did what, each once a day, however often it happens."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

_VARIES: Final = re.compile(r"[0-9a-f]{8,}|[0-9]+")
"""Digests, sizes, seconds, ports: one reason has others of them each time."""
_CHARS_MAX: Final = 200
"""Of a reason: enough to tell two apart."""


@dataclass(slots=True, kw_only=True)
class Told:
    """Who was told of for what, `most` pairs at the most: a flood of names is no flood of lines."""

    most: int = 512
    seconds: float = 86_400.0
    """After which the same is worth a line again."""
    _told: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    def first(self, who: str, why: str, now: float) -> bool:
        """Whether this is to be said. `now`: seconds of any clock that does not go back."""
        while self._told and next(iter(self._told.values())) + self.seconds <= now:
            self._told.popitem(last=False)
        pair = who, _VARIES.sub("#", why)[:_CHARS_MAX]
        if pair in self._told or len(self._told) >= self.most:
            return False
        self._told[pair] = now
        return True

    def forget(self, who: str) -> None:
        """All is well there: what happens next is news."""
        for pair in [pair for pair in self._told if pair[0] == who]:
            del self._told[pair]
