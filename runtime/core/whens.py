"""What people write for a time: `every 15m`, `in 2h`, `2026-12-24 18:00`, cron, or
`on patch.judged`: an event of the ledger; `on file PATH`; `on commit PATH [BRANCH]`;
`on nostr KIND NPUB`.

A date without an offset is the wall clock of the job's own zone: it must exist there, and one that
comes twice is the first. Not covered: words (`tomorrow`), which mean something else every day.
"""

import calendar
import re
from typing import Final

from runtime.core.cron import Cron
from runtime.core.errors import JobRefused
from runtime.core.schedule import (
    COMMIT,
    NOSTR,
    Every,
    Offset,
    On,
    Once,
    Schedule,
    Watch,
    instants,
)

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN: Final = re.compile(r"(every|in)?\s*([0-9]{1,9})\s*([smhdw])", re.IGNORECASE | re.ASCII)
_DATE: Final = re.compile(
    r"(?:at\s+)?(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?(Z|[+-]\d\d:\d\d)?",
    re.IGNORECASE | re.ASCII,
)
_WATCH: Final = re.compile(r"on\s+(file|commit|nostr)\s+(\S.*)", re.IGNORECASE | re.ASCII)
HINT: Final = "every 15m, in 2h, 2026-12-24T18:00, or cron: 30 2 * * mon-fri"


def parse_when(text: str, *, now_s: int, offset: Offset) -> Schedule:
    """Read a time or a plan. Raises JobRefused for what is none, is past, or never comes."""
    plain = " ".join(text.split())
    if span := _SPAN.fullmatch(plain):
        word, number, unit = span.groups()
        seconds = int(number) * _UNITS[unit.lower()]
        if (word or "in").lower() == "every":
            return Every(seconds=seconds, anchor_s=now_s)
        return _future(now_s + seconds, now_s)
    if date := _DATE.fullmatch(plain):
        return _future(_instant(date, offset), now_s)
    if watch := _WATCH.fullmatch(text.strip()):
        return _watch(watch[1].lower(), watch[2])
    if plain.lower().startswith("on "):
        return On(type=plain[3:])
    if plain.count(" ") == 4 or plain.startswith("@"):
        return Cron.parse(plain)
    raise JobRefused(f"{plain[:80]!r} is not a time", hint=HINT)


def describe(schedule: Schedule) -> str:
    """Return a plan as people write it; of a moment only that it is one."""
    match schedule:
        case Cron(text=text):
            return text
        case Every(seconds=seconds):
            unit = max((u for u in _UNITS if seconds % _UNITS[u] == 0), key=_UNITS.__getitem__)
            return f"every {seconds // _UNITS[unit]}{unit}"
        case Once():
            return "once"
        case On(type=type_):
            return f"on {type_}"
        case Watch(what=what, path=path, branch=branch):
            shown = path[1:].replace("/", " ") if what == NOSTR else path
            return f"on {what} {shown} {branch}".rstrip()


def _watch(what: str, rest: str) -> Watch:
    """A file's path may hold spaces; of a repository the last word is its branch, if not a path."""
    if what == NOSTR:
        return Watch(what=what, path="/" + "/".join(rest.split()))
    path, _, last = rest.rpartition(" ")
    if what == COMMIT and path and not last.startswith("/"):
        return Watch(what=what, path=path.rstrip(), branch=last)
    return Watch(what=what, path=rest)


def _future(at_s: int, now_s: int) -> Once:
    if at_s <= now_s:
        raise JobRefused(f"the time is {now_s - at_s} seconds past", hint="give one to come")
    return Once(at_s=at_s)


def _instant(date: re.Match[str], offset: Offset) -> int:
    year, month, day, hour, minute, second = (int(part or 0) for part in date.groups()[:6])
    known = year >= 1970 and 1 <= month <= 12 and hour < 24 and minute < 60 and second < 60
    if not known or not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise JobRefused(f"there is no {date.group()}", hint="year-month-day hour:minute, 24 hours")
    wall = calendar.timegm((year, month, day, hour, minute, second))
    zone = date.group(7)
    if zone is None:
        at = instants(wall, offset)[0]
        if at + offset(at) != wall:
            raise JobRefused(
                f"{date.group()} is skipped by the clocks of this zone",
                hint="give another hour, or one with an offset: 2026-03-29T02:30+01:00",
            )
        return at
    if zone in "Zz":
        return wall
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise JobRefused(f"there is no offset {zone}", hint="-14:00 to +14:00")
    return wall - (1 if zone[0] == "+" else -1) * (3600 * hours + 60 * minutes)
