"""Warnings of what others do to us: each once a day by who did it and why, however much comes.

When there are more than are told of one by one, of all or of one sender, one line says so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mesh.core.told import Told

_WHY_CHARS_MAX: Final = 200


@dataclass(slots=True, kw_only=True)
class Complaints:
    """Warns `log` (a structlog logger) of `what` others do. `now` gives seconds that only rise."""

    log: Any
    what: str
    told: Told = field(default_factory=Told)
    now: Callable[[], float] = time.monotonic

    def of(self, who: str, why: str, *, kind: str = "", usual: bool = False, **more: Any) -> None:
        """Log it, if this is the first of its kind: of `why`, unless that has words of theirs.

        What is `usual` is no warning: honest members do it, too.
        """
        crowded = self.told.left_out > 0
        if self.told.first(who, kind or why, self.now()):
            say = self.log.info if usual else self.log.warning
            say(self.what, peer=who, why=why[:_WHY_CHARS_MAX], **more)
        elif self.told.left_out and not crowded:
            hint = "as many as may be were logged today, of one sender or of all"
            self.log.warning("more of these are not logged", of=self.what, hint=hint)

    def well(self, who: str) -> None:
        """It did what it should: what it has not done wrong for CLEAN_SECONDS is news again."""
        self.told.well(who, self.now())
