"""The door to croniter: five-field cron as arithmetic on wall-clock seconds.

A wall clock is counted here like Unix time, as if its place had no offset to UTC: the 24 hours of
every day are there once. What a time zone makes of that is `runtime.core.schedule`'s business.

Fields are those of crontab(5): minute, hour, day of month, month, day of week, with lists, ranges,
steps and names, `L` for the last day of a month and `5#2` for the second Friday; @hourly, @daily,
@weekly, @monthly and @yearly stand for their five. As there, a day matches if either of two
restricted day fields does. Not taken: seconds and years (croniter's sixth and seventh field), and
`R` and `H`, whose times are drawn by chance: a plan must be the same wherever it is computed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from croniter import CroniterBadDateError, croniter

from runtime.core.errors import JobRefused
from runtime.core.limits import CRON_CHARS_MAX, PLAN_S_MAX

_FIELD: Final = r"[0-9A-Za-z*?,/#-]+"
_FIELDS: Final = re.compile(rf"{_FIELD}(?: {_FIELD}){{4}}")
_CHANCE: Final = re.compile(r"(?<![A-Za-z])[HhRr](?![A-Za-z])")
_YEARS_MAX: Final = 9
"""29 February is eight years from the next one around 2100: what is rarer never comes."""
_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ENDS: Final = (CroniterBadDateError, OverflowError)
"""There is no such day within reach."""
_HINT: Final = "minute hour day month weekday, for example: 30 2 * * mon-fri"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron expression that comes round. `text` has its fields, one blank between them.

    Making one raises JobRefused for an expression that is none, or that never comes.
    """

    text: str

    def __post_init__(self) -> None:
        _check(self.text)

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Read an expression as people write it. Raises JobRefused."""
        plain = " ".join(text.split())
        return cls(text=_ALIASES.get(plain.lower(), plain))

    @property
    def every_hour(self) -> bool:
        """Whether the hours are all or every n-th: such a plan means a pace, not a time of day."""
        return self.text.split(" ")[1].startswith(("*", "?"))

    def after(self, wall_s: int) -> Iterator[int]:
        """Yield wall seconds after `wall_s` at which it comes, in order; bounded by PLAN_S_MAX."""
        found = _iterator(self.text, wall_s)
        while True:
            try:
                wall = int(found.get_next(float))
            except _ENDS:
                return
            if wall > PLAN_S_MAX:
                return
            yield wall

    def before(self, wall_s: int) -> Iterator[int]:
        """Yield wall seconds before `wall_s` at which it came, newest first, back to 1970."""
        found = _iterator(self.text, wall_s)
        while True:
            try:
                wall = int(found.get_prev(float))
            except _ENDS:
                return
            if wall < 0:
                return
            yield wall


def _iterator(text: str, wall_s: int) -> croniter:
    start = min(max(wall_s, 0), PLAN_S_MAX)
    return croniter(text, start_time=float(start), max_years_between_matches=_YEARS_MAX)


@lru_cache(maxsize=1024)
def _check(text: str) -> None:
    """Raise JobRefused unless it comes round. Kept: a job is read at every look at the plan."""
    if len(text) > CRON_CHARS_MAX:
        raise JobRefused(f"cron of {len(text)} characters, at most {CRON_CHARS_MAX}", hint=_HINT)
    if not _FIELDS.fullmatch(text) or _CHANCE.search(text):
        raise JobRefused(f"{text!r} is not a cron expression", hint=_HINT)
    try:
        _iterator(text, 0).get_next(float)
    except CroniterBadDateError as error:
        raise JobRefused(
            f"cron {text!r} never comes: no year has such a day",
            hint="the last day of a month is L, as in: 0 6 L * *",
        ) from error
    except ValueError as error:
        what = str(error).lower().replace(f"[{text.lower()}]", "").strip(" .")
        raise JobRefused(f"cron {text!r}: {what}", hint=_HINT) from error
