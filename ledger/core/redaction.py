"""Consensus-critical: what a redaction names, and what may be stored of a log that has redactions.

A node, an importer and a mirror all keep the same promise: what a log's owner has erased is not
stored again, whoever still holds it. So the redactions of a log are read before the contents of its
events are stored. Not covered: whether a redaction is of this log at all. Only one that stands
under a signed head counts; a stranger's could empty every copy.
"""

from collections.abc import Container, Iterable, Iterator

from ledger.core import types
from ledger.core.errors import InvalidEvent, Refused
from ledger.core.event import Event, Record


def targets(event: Event) -> list[int]:
    """Return the positions whose content `event` erases: none, unless it is a redaction.

    Raises InvalidEvent if they are not an array of integers.
    """
    named = event.payload.get("targets", []) if event.type == types.REDACTED.name else []
    if type(named) is not list or any(type(target) is not int for target in named):
        raise InvalidEvent("targets is not an array of positions")
    return named


def storable(records: Iterable[Record], redacted: Container[int]) -> Iterator[Record]:
    """Yield of each record what may be stored: content and its salt only where not redacted.

    `redacted` holds the `targets` of every redaction of the log that is known, wherever it stands:
    before the record, after it, or in a newer copy of the log than the record came from.
    """
    for record in records:
        if record.content is not None and record.position in redacted:
            yield record._replace(content=None, content_salt=None)
        else:
            yield record


def require_erasable(event: Event) -> None:
    """Raise Refused unless this version knows that what `event` says may be erased for good."""
    kind = types.KNOWN.get(event.type)
    if kind is None and event.has_content:
        raise Refused(
            f"event {event.position} is of type {event.type}, unknown to this version: "
            "whether its content may be erased is unknown, too",
            hint="upgrade timmy to the version that wrote it, and redact it there",
        )
    if kind is None or not kind.content or not event.has_content:
        raise Refused(
            f"event {event.position} ({event.type}) has no content to redact",
            hint="only words of people and models can be erased, never facts, keys and rules",
        )
