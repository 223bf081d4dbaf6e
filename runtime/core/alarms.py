"""What needs a person: a pure function of the machine's readings and of what the ledger counted.

    stuck       a message waits for its answer for more than half an hour; a run of a job is under
                way for as long, and for more than twice what the job's last good one took
    failures    three failures in a row of one kind of thing, for whatever reasons: of turns, of a
                model's link, of a job, of a tool, whoever called it
    disk        less than a tenth of the home's disk is free
    swap        more than four fifths of the swap space are in use
    tools       steps of the agent were refused, three or more between two heartbeats

An alarm is raised once, stands while its cause does, and is ended on record when that is gone. One
call that ended in an error raises none: a file that is not there is an answer to the agent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

STUCK_S_MAX: Final = 30 * 60
ALIKE_MAX: Final = 3
DISK_FREE_PERCENT_MIN: Final = 10
SWAP_USED_PERCENT_MAX: Final = 80
TOOL_ERRORS_MAX: Final = 3
"""In one quarter of an hour; a step refused now and then is an agent that is learning a bound."""
STUCK_NAMED_MAX: Final = 5
"""Where one message is stuck the others behind it are too: the first few tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """All that alarms are made of. `waiting`: (position, seconds) of messages, longest first."""

    machine: Mapping[str, int]
    waiting: tuple[tuple[int, int], ...] = ()
    runs: tuple[tuple[str, int, int], ...] = ()
    """Runs under way: (name of the job, seconds, seconds of its last good run or 0)."""
    streaks: tuple[tuple[str, str, int], ...] = ()
    """(what, newest reason, how many in a row)."""
    tool_errors: int = 0


def raised(readings: Readings) -> dict[tuple[str, str], str]:
    """Return what stands now: (trigger, subject) to what a person reads."""
    found: dict[tuple[str, str], str] = {}
    for position, seconds in readings.waiting[:STUCK_NAMED_MAX]:
        if seconds > STUCK_S_MAX:
            found["stuck", f"message {position}"] = f"without an answer for {seconds // 60} minutes"
    for name, seconds, before_s in readings.runs:
        if seconds > max(STUCK_S_MAX, 2 * before_s):
            found["stuck", f"job/{name}"] = f"a run is under way for {seconds // 60} minutes"
    for what, reason, count in readings.streaks:
        if count >= ALIKE_MAX:
            found["failures", what] = f"{count} in a row, the newest: {reason}"
    found.update(_machine(readings.machine))
    if readings.tool_errors >= TOOL_ERRORS_MAX:
        count = readings.tool_errors
        found["tools", "steps"] = f"{count} steps were refused since the last heartbeat"
    return found


def _machine(machine: Mapping[str, int]) -> Iterable[tuple[tuple[str, str], str]]:
    total, free = machine.get("disk_bytes", 0), machine.get("disk_free_bytes", 0)
    if total and 100 * free < DISK_FREE_PERCENT_MIN * total:
        yield ("disk", "home"), f"{100 * free // total} % of the disk are free"
    swap, unused = machine.get("swap_bytes", 0), machine.get("swap_free_bytes", 0)
    if swap and 100 * (swap - unused) > SWAP_USED_PERCENT_MAX * swap:
        yield ("swap", "machine"), f"{100 * (swap - unused) // swap} % of the swap space are used"
