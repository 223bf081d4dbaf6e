"""Who may write to our relay, and what: by default its own fleet, and nothing dated ahead.

A policy answers before the signature is checked, so a stranger costs a look into a set. An event is
judged by its author, whoever brings it, with two exceptions that ask who is connected (NIP-42): a
protected event comes from its author alone (NIP-70); and a gift wrap (NIP-59), which a key signs
that is used once, is judged by whom it is for and by who brings it. A request to vanish (NIP-62) is
followed whoever sends it.

A live gift wrap that one of the fleet brings is taken, whoever it is for: it is not kept, and else
nobody could be answered.
"""

from dataclasses import dataclass
from typing import Final

from mesh.core import limits
from mesh.core.nip01 import Event
from mesh.core.relay import kinds, work
from mesh.core.relay.auth import AUTH_KIND
from mesh.core.relay.deletion import VANISH_KIND
from mesh.core.relay.privacy import GIFT_WRAPS, LIVE_WRAP, receivers

_NOBODY: Final[frozenset[str]] = frozenset()
_BLOCKED: Final = "blocked: this relay keeps events of its own fleet only"


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePolicy:
    """Accept events by `authors` (public keys in hex), or by anyone when None.

    Others show work of `strangers_work_bits` (NIP-13; 0: none, None: they are refused), and of
    `inbox_work_bits` for gift wraps to one of `authors`. A connection of one of `authors` may bring
    those always, and live ones (21059) to anybody. To one of `callees` anybody may bring live ones.
    """

    authors: frozenset[str] | None
    strangers_work_bits: int | None = None
    inbox_work_bits: int | None = None
    callees: frozenset[str] = _NOBODY

    @property
    def restricted(self) -> bool:
        """Whether not everyone may write, whatever work they show."""
        return self.authors is not None and self.strangers_work_bits is None

    @property
    def work_bits(self) -> int:
        """The work that a stranger must show, 0 if none helps or none is asked for."""
        return 0 if self.authors is None else self.strangers_work_bits or 0

    def refusal(self, event: Event, *, now: int, keys: frozenset[str] = _NOBODY) -> str | None:
        """Return why the event is not taken, in the words of an OK message, or None.

        `keys` are those that the connection has proved to hold.
        """
        if event.kind == AUTH_KIND:
            return "invalid: an event of this kind comes in an AUTH message, and goes nowhere"
        if kinds.is_protected(event) and event.pubkey not in keys:
            prefix = "restricted" if keys else "auth-required"
            return f"{prefix}: a protected event is taken from its author only"
        stranger = self._stranger(event, keys) if event.kind != VANISH_KIND else None
        return stranger or _time(event, now)

    def welcomes(self, event: Event, keys: frozenset[str]) -> bool:
        """Tell whether the author, or who brings the event, may write here."""
        return self._stranger(event, keys) is None

    def is_guest(self, event: Event, keys: frozenset[str]) -> bool:
        """Tell whether neither the author nor who brings the event is one of `authors`."""
        return self.authors is not None and self.authors.isdisjoint({event.pubkey, *keys})

    def _stranger(self, event: Event, keys: frozenset[str]) -> str | None:
        if self.authors is None or event.pubkey in self.authors:
            return None
        if event.kind in GIFT_WRAPS:
            return self._stranger_wrap(event, keys, self.authors)
        if self.strangers_work_bits is not None:
            return work.refusal(event, self.strangers_work_bits)
        return _BLOCKED

    def _stranger_wrap(
        self, event: Event, keys: frozenset[str], fleet: frozenset[str]
    ) -> str | None:
        named, live = receivers(event), event.kind == LIVE_WRAP
        to_us, by_us = not fleet.isdisjoint(named), not fleet.isdisjoint(keys)
        if (by_us and (to_us or live)) or (live and not self.callees.isdisjoint(named)):
            return None
        asked = (self.strangers_work_bits, self.inbox_work_bits if to_us else None)
        bits = min((one for one in asked if one is not None), default=None)
        if bits is not None:
            return work.refusal(event, bits)
        if (to_us or live) and not keys:
            return "auth-required: gift wraps are taken from the fleet"
        return _BLOCKED


def _time(event: Event, now: int) -> str | None:
    ahead = event.created_at - now
    if ahead > limits.FUTURE_SECONDS_MAX:
        bound = limits.FUTURE_SECONDS_MAX
        return f"invalid: created_at is {ahead} s ahead of this relay, at most {bound} allowed"
    if kinds.is_expired(event, now):
        return "invalid: event has expired"
    return None
