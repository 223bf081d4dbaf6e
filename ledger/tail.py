"""What lies in a ledger above its last released head, checked before a node signs over it.

Whoever can write `ledger.db` while the node is stopped can append rows; nothing tells them from the
node's own. But rows that break a rule of the log must never come under a signed head: every
verifier would find that log BROKEN, for good.

Not covered: whether the node wrote them (nobody can tell), and that a redaction's targets are
erased.
"""

from collections import defaultdict

from ledger.core import types
from ledger.core.errors import InvalidEvent, StoreDamaged
from ledger.core.event import Event
from ledger.core.redaction import targets
from ledger.log import Log


def check_tail(log: Log, start: int) -> None:
    """Check time, stream and causes of every event from position `start` on.

    Raises StoreDamaged, with its position, at the first event that no verifier would take.
    """
    last_ms = log.read(start - 1).ts_ms if start else 0
    streams: dict[bytes, list[Event]] = defaultdict(list)
    for event in log.events(start):
        if event.ts_ms < last_ms:
            raise _damaged(event, f"time {event.ts_ms} is before its predecessor's {last_ms}")
        last_ms = event.ts_ms
        _check_causes(log, event)
        if event.type == types.REDACTED.name:
            _check_targets(event)
        streams[event.stream].append(event)
    for tail in streams.values():
        _check_stream(log, tail)


def _check_causes(log: Log, event: Event) -> None:
    for cause in event.envelope.causes:
        if cause.ledger is None and (
            cause.position >= event.position or log.read(cause.position).id != cause.id
        ):
            raise _damaged(event, f"cause {cause.position} is not an earlier event of this log")


def _check_targets(event: Event) -> None:
    try:
        targets(event)
    except InvalidEvent as error:
        raise _damaged(event, str(error)) from error


def _check_stream(log: Log, tail: list[Event]) -> None:
    """The tail's events are the newest of their stream, numbered on from the one before them."""
    found = log.stream(tail[0].stream, last=len(tail) + 1)
    before = found[: -len(tail)]
    expected = before[0].envelope.stream_sequence + 1 if before else 0
    for event, filed in zip(tail, found[len(before) :], strict=False):
        sequence = event.envelope.stream_sequence
        if sequence != expected or filed.position != event.position:
            raise _damaged(event, f"stream sequence {sequence}, expected {expected}")
        expected += 1


def _damaged(event: Event, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"event {event.position}: {why}", position=event.position, hint="run: timmy doctor"
    )
