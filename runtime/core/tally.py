"""Consensus-critical: the reducer that counts how things ended, and what needs a person.

Counts only rise; a report is the difference between two of them. A streak is a row of failures of
one kind, for whatever reasons: a success ends it, and the newest reason is told. A link of the
model chain that was passed over neither failed nor succeeded, nor did a tool that was not called:
denied, or refused. An alarm stands from the event that raised it
until the one that says it is over. What raises one is decided in `runtime.core.alarms`; this only
remembers.

Entries:

    tally/turn/<outcome>    tally/job/<outcome>    tally/model/<name>    tally/refused
    tally/elsewhere         runs of shared jobs that another member did
    tally/shared/<why>      runs of shared jobs that were left, and nobody is known to have done
    streak/<what>           [newest reason, how many in a row], of: turn, model/<link>, tool/<name>
    alarms                  [[trigger, subject], ...], oldest first
    alarm/<trigger>/<subject>    [position of the event, since]
    beat                    position of the newest heartbeat
    report                  [position of the newest report, its time, the tallies it was made of]
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change

Entries: TypeAlias = Mapping[str, Any]
_PREFIX: Final = "tally/"
_MODEL: Final = "model/"
_TOOL: Final = "tool/"
_MADE: Final = {"done": None, "error": "error", "interrupted": "interrupted"}
"""How calls of tools end that were made: with which reason to count them as failed, or None."""
_PASSED_OVER: Final = re.compile(
    r"not for |resting for |(local|trusted|public), and these words are |its safety test failed"
    r"|it was not tested for safety|the day's |context overflow|it is being loaded"
)
"""How reasons begin that do not speak against a link, in events that do not say it themselves."""
_FAILED_TURNS: Final = frozenset({"failed", "diverged"})
_COUNTED_TYPES: Final = (
    types.MESSAGE_RECEIVED.name,
    types.MESSAGE_SENT.name,
    types.MEMORY_NOTED.name,
    types.JOB_SKIPPED.name,
    types.NODE_STARTED.name,
    types.NODE_ESCALATED.name,
    types.REDACTED.name,
)
"""What a report tells of, counted by `reduce_basics`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that needs a person. `position`: the event that said so first."""

    trigger: str
    subject: str
    position: int
    since_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The newest report. `tallies`: the counts it was made of."""

    position: int
    at_s: int
    tallies: dict[str, int]


def tallies(entries: Entries) -> dict[str, int]:
    """Return every count, by name: of ends, and of the event types a report tells of."""
    found = {key: entries[key] for key in entries.get("tallies", ())}
    for kind in _COUNTED_TYPES:
        if f"type/{kind}" in entries:
            found[kind] = entries[f"type/{kind}"]
    return found


def streaks(entries: Entries) -> Iterator[tuple[str, str, int]]:
    """Yield (what, newest reason, how many in a row) of every streak."""
    for what in entries.get("streaks", ()):
        reason, count = entries[f"streak/{what}"]
        yield what, reason, count


def alarms(entries: Entries) -> list[Alarm]:
    """Return the alarms that stand, oldest first."""
    found = []
    for trigger, subject in entries.get("alarms", ()):
        position, since_s = entries[f"alarm/{trigger}/{subject}"]
        found.append(Alarm(trigger=trigger, subject=subject, position=position, since_s=since_s))
    return found


def reported(entries: Entries) -> Reported | None:
    """Return the newest report, if there was one."""
    value = entries.get("report")
    return value and Reported(position=value[0], at_s=value[1], tallies=value[2])


def reduce_tally(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


def _get(payload: dict[str, Any], name: str, kind: type) -> Any:
    value = payload.get(name)
    return value if type(value) is kind else None


def _count(entries: Entries, *names: str) -> Iterable[Change]:
    keys = [_PREFIX + name for name in names]
    for key in keys:
        yield key, entries.get(key, 0) + 1
    known = entries.get("tallies", [])
    if new := [key for key in dict.fromkeys(keys) if key not in known]:
        yield "tallies", [*known, *new]


def _streak(entries: Entries, ends: dict[str, str | None]) -> Iterable[Change]:
    """Take in how each thing ended: a reason for a failure, None for a success."""
    known = entries.get("streaks", [])
    left = list(known)
    for what, reason in ends.items():
        key = f"streak/{what}"
        if reason is None and what in left:
            left.remove(what)
            yield key, None
        elif reason is not None:
            yield key, [reason, entries.get(key, ["", 0])[1] + 1]
            left += [] if what in left else [what]
    if left != known:
        yield "streaks", left or None


def _turn(entries: Entries, event: Event) -> Iterable[Change]:
    outcome = _get(event.payload, "outcome", str)
    if outcome is None:
        return
    yield from _count(entries, f"turn/{outcome}")
    failed = outcome in _FAILED_TURNS
    reason = f"{outcome}: {_get(event.payload, 'reason', str)}" if failed else None
    yield from _streak(entries, {"turn": reason})


def _model(entries: Entries, event: Event) -> Iterable[Change]:
    """A link that is not among those that were tried in vain has answered, or was not needed."""
    name = _get(event.payload, "model", str)
    if name is None:
        return
    yield from _count(entries, f"model/{name}")
    ends: dict[str, str | None] = dict.fromkeys(
        what for what in entries.get("streaks", ()) if what.startswith(_MODEL)
    )
    for one in _get(event.payload, "tried", list) or ():
        link = one if type(one) is dict else {}
        tried, reason = _get(link, "name", str), _get(link, "reason", str)
        if tried is None or reason is None:
            continue
        if _failed(link, reason):
            ends[_MODEL + tried] = reason
        else:
            ends.pop(_MODEL + tried, None)
    yield from _streak(entries, ends)


def _failed(link: dict[str, Any], reason: str) -> bool:
    said = _get(link, "failed", bool)
    return _PASSED_OVER.match(reason) is None if said is None else bool(said)


def _stepped(entries: Entries, event: Event) -> Iterable[Change]:
    return _count(entries, "refused") if "refused" in event.payload else ()


def _returned(entries: Entries, event: Event) -> Iterable[Change]:
    name, outcome = (_get(event.payload, field, str) for field in ("name", "outcome"))
    if name is None or outcome not in _MADE:
        return ()
    return _streak(entries, {_TOOL + name: _MADE[outcome]})


def _tool_removed(entries: Entries, event: Event) -> Iterable[Change]:
    name = _get(event.payload, "name", str)
    return () if name is None else _streak(entries, {_TOOL + name: None})


def _job(entries: Entries, event: Event) -> Iterable[Change]:
    outcome = _get(event.payload, "outcome", str)
    return () if outcome is None else _count(entries, f"job/{outcome}")


def _left(entries: Entries, event: Event) -> Iterable[Change]:
    """A run of a shared job is none of those that were missed: its fleet decided."""
    reason = _get(event.payload, "reason", str)
    if reason is None or _get(event.payload, "run", bytes) is None:
        return ()
    by_other = bool(_get(event.payload, "holder", bytes))
    return _count(entries, "elsewhere" if by_other else f"shared/{reason}")


def _named(event: Event) -> tuple[str, str] | None:
    trigger, subject = (_get(event.payload, name, str) for name in ("trigger", "subject"))
    return None if trigger is None or subject is None else (trigger, subject)


def _escalated(entries: Entries, event: Event) -> Iterable[Change]:
    named, at_s = _named(event), _get(event.payload, "at_s", int)
    known = entries.get("alarms", [])
    if named is None or at_s is None or list(named) in known:
        return ()
    key = f"alarm/{named[0]}/{named[1]}"
    return ((key, [event.position, at_s]), ("alarms", [*known, list(named)]))


def _relieved(entries: Entries, event: Event) -> Iterable[Change]:
    named = _named(event)
    known = entries.get("alarms", [])
    if named is None or list(named) not in known:
        return ()
    left = [one for one in known if one != list(named)]
    return ((f"alarm/{named[0]}/{named[1]}", None), ("alarms", left or None))


def _beat(_entries: Entries, event: Event) -> Iterable[Change]:
    return (("beat", event.position),)


def _reported(_entries: Entries, event: Event) -> Iterable[Change]:
    at_s, counted = _get(event.payload, "at_s", int), _get(event.payload, "tallies", dict)
    if at_s is None or counted is None or not all(type(n) is int for n in counted.values()):
        return ()
    return (("report", [event.position, at_s, counted]),)


_HANDLERS: Final[Mapping[str, Callable[[Entries, Event], Iterable[Change]]]] = {
    types.TURN_FINISHED.name: _turn,
    types.MODEL_REPLIED.name: _model,
    types.TURN_STEPPED.name: _stepped,
    types.TOOL_RETURNED.name: _returned,
    types.TOOL_REMOVED.name: _tool_removed,
    types.JOB_FINISHED.name: _job,
    types.JOB_SKIPPED.name: _left,
    types.NODE_ESCALATED.name: _escalated,
    types.NODE_RELIEVED.name: _relieved,
    types.NODE_BEAT.name: _beat,
    types.NODE_REPORTED.name: _reported,
}
