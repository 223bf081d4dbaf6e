"""The door to the tz database: a zone's name to its offset at any instant.

The names are those of the machine's database (IANA), or of the `tzdata` package where the machine
has none. `UTC` needs neither. A plan is the wall clock of the zone that its job names; the zone of
the machine is nowhere taken for granted.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from runtime.core.errors import JobRefused
from runtime.core.limits import PLAN_S_MAX
from runtime.core.schedule import DAY_S, Offset

_NAME_CHARS_MAX = 64
"""America/Argentina/ComodRivadavia is 32."""


@lru_cache(maxsize=64)
def zone(name: str) -> Offset:
    """Return the offset function of a zone. Raises JobRefused for a name nobody knows."""
    if name == "UTC":
        return _utc
    try:
        found = ZoneInfo(name[: _NAME_CHARS_MAX + 1])
    except (ValueError, OSError, LookupError) as error:  # a path, a folder, no such key
        raise JobRefused(
            f"unknown time zone {name[:_NAME_CHARS_MAX]!r}",
            hint="a name of the tz database, for example Europe/Berlin, or UTC",
        ) from error

    def offset(at_s: int) -> int:
        inside = min(max(at_s, 0), PLAN_S_MAX + DAY_S)
        found_offset = datetime.fromtimestamp(inside, tz=UTC).astimezone(found).utcoffset()
        return 0 if found_offset is None else int(found_offset.total_seconds())

    return offset


def _utc(_at_s: int) -> int:
    return 0


def wall_clock(at_s: int, name: str) -> str:
    """Show an instant as the clock of a zone does, to the minute and with the offset."""
    offset_s = zone(name)(at_s)
    sign, minutes = "-" if offset_s < 0 else "+", abs(offset_s) // 60
    moment = datetime.fromtimestamp(at_s + offset_s, tz=UTC)
    return f"{moment:%Y-%m-%d %H:%M}{sign}{minutes // 60:02}:{minutes % 60:02}"
