"""What one relay takes: as its document says (NIP-11), and as its refusals teach.

Nobody has to serve a document, and one may lie. So each figure is optional, a strange one is left
out, and what a relay *did* overrides what it said. A figure only makes us more modest: the worst a
relay reaches by lying is that it is used less.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import msgspec

from mesh.core import limits
from mesh.core.nip01 import Event
from mesh.core.pool.refusals import Refusal

_MESSAGE_OVERHEAD_BYTES: Final = len('["EVENT",]')
_FIGURE_MAX: Final = 2**40
"""No figure of a document is larger: seconds of 30,000 years, a terabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """Bounds of one relay, None where nothing is known.

    `event_bytes_max` is of the event's JSON, `content_chars_max` of its content. Ages are seconds
    before and after now. `reconciles` tells whether it speaks NIP-77: its document says so, or it
    answered, or (False) refused or kept silent. Whether it wants to know who we are is not asked of
    its document: it says so by refusing (NIP-42), and who is not refused need not be known.
    """

    event_bytes_max: int | None = None
    content_chars_max: int | None = None
    tags_max: int | None = None
    page_events_max: int | None = None
    subscriptions_max: int | None = None
    age_seconds_max: int | None = None
    future_seconds_max: int | None = None
    reconciles: bool | None = None

    @property
    def page_events(self) -> int:
        """Events to ask for in one REQ. A relay that names a few is asked for a few more."""
        known = self.page_events_max or limits.FILTER_LIMIT_MAX
        return max(limits.PAGE_EVENTS_MIN, min(known, limits.FILTER_LIMIT_MAX))

    @property
    def subscriptions(self) -> int:
        """Subscriptions to hold open at once."""
        known = self.subscriptions_max or limits.SUBSCRIPTIONS_MAX
        return max(1, min(known, limits.SUBSCRIPTIONS_MAX))

    def objection(self, event: Event, *, now: int) -> Refusal | None:
        """Return why this relay would refuse the event, or None. `now` is Unix seconds."""
        size = len(event.to_json().encode())
        if (
            _beyond(size, self.event_bytes_max)
            or _beyond(len(event.content), self.content_chars_max)
            or _beyond(len(event.tags), self.tags_max)
        ):
            return Refusal.SIZE
        if _beyond(now - event.created_at, self.age_seconds_max):
            return Refusal.AGE
        if _beyond(event.created_at - now, self.future_seconds_max):
            return Refusal.FUTURE
        return None

    def refused_size(self, event: Event) -> Self:
        """Note that an event was too large."""
        size = len(event.to_json().encode()) - 1
        known = self.event_bytes_max
        return replace(self, event_bytes_max=size if known is None else min(known, size))

    def took(self, event: Event) -> Self:
        """Note that an event was taken: a bound that it breaks is not one."""
        size = len(event.to_json().encode())
        found = self
        if _beyond(size, self.event_bytes_max):
            found = replace(found, event_bytes_max=size)
        if _beyond(len(event.content), self.content_chars_max):
            found = replace(found, content_chars_max=len(event.content))
        if _beyond(len(event.tags), self.tags_max):
            found = replace(found, tags_max=len(event.tags))
        return found

    def told(self, document: bytes) -> Self:
        """Take a NIP-11 document. What this relay taught us already is kept; garbage is ignored."""
        try:
            value = msgspec.json.decode(document)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self
        if not isinstance(value, dict):
            return self
        said = _figures(value)
        return replace(self, **{name: said[name] for name in said if getattr(self, name) is None})

    def known(self) -> dict[str, int | bool]:
        """Return what is known, by name."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> str:
        """Return it as one line, for the disk."""
        return msgspec.json.encode(self.known()).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; anything else is nothing known."""
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return cls()
        if not isinstance(value, dict):
            return cls()
        known: dict[str, Any] = {one.name: _figure(value.get(one.name)) for one in fields(cls)}
        return cls(**known | {"reconciles": _flag(value.get("reconciles"))})


def _beyond(figure: int, bound: int | None) -> bool:
    return bound is not None and figure > bound


def _figures(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a document says, without what it does not say or says strangely."""
    limitation = document.get("limitation")
    given = limitation if isinstance(limitation, dict) else {}
    message = _figure(given.get("max_message_length"))
    nips = document.get("supported_nips")
    found = {
        "event_bytes_max": None if message is None else max(1, message - _MESSAGE_OVERHEAD_BYTES),
        "content_chars_max": _figure(given.get("max_content_length")),
        "tags_max": _figure(given.get("max_event_tags")),
        "page_events_max": _figure(given.get("max_limit")),
        "subscriptions_max": _figure(given.get("max_subscriptions")),
        "age_seconds_max": _figure(given.get("created_at_lower_limit")),
        "future_seconds_max": _figure(given.get("created_at_upper_limit")),
        "reconciles": True if isinstance(nips, list) and 77 in nips else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _figure(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= _FIGURE_MAX else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
