"""Who may write to our relay, and what: by default its own fleet, and nothing dated ahead.

A policy answers before the signature is checked, so a stranger costs a look into a set. An event is
judged by its author, whoever brings it, with two exceptions that ask who is connected (NIP-42): a
protected event comes from its author alone (NIP-70); and a gift wrap (NIP-59), which a key signs
that is used once, is judged by whom it is for and by who brings it. A request to vanish (NIP-62) is
followed whoever sends it.
"""

from dataclasses import dataclass
from typing import Final

from mesh.core import limits
from mesh.core.nip01 import Event
from mesh.core.relay import kinds, work
from mesh.core.relay.auth import AUTH_KIND
from mesh.core.relay.deletion import VANISH_KIND
from mesh.core.relay.privacy import GIFT_WRAPS, receivers

_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePolicy:
    """Accept events by `authors` (public keys in hex), or by anyone when None.

    Others show work of `strangers_work_bits` (NIP-13; 0: none, None: they are refused), and of
    `inbox_work_bits` for gift wraps to one of `authors`, which a connection of one of them may
    always bring.
    """

    authors: frozenset[str] | None
    strangers_work_bits: int | None = None
    inbox_work_bits: int | None = None

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
        bits = self.strangers_work_bits
        to_us = event.kind in GIFT_WRAPS and not self.authors.isdisjoint(receivers(event))
        if to_us:
            if not self.authors.isdisjoint(keys):
                return None
            bits = min((b for b in (bits, self.inbox_work_bits) if b is not None), default=None)
        if bits is not None:
            return work.refusal(event, bits)
        if to_us and not keys:
            return "auth-required: gift wraps are taken from the fleet"
        return "blocked: this relay keeps events of its own fleet only"


def _time(event: Event, now: int) -> str | None:
    ahead = event.created_at - now
    if ahead > limits.FUTURE_SECONDS_MAX:
        bound = limits.FUTURE_SECONDS_MAX
        return f"invalid: created_at is {ahead} s ahead of this relay, at most {bound} allowed"
    if kinds.is_expired(event, now):
        return "invalid: event has expired"
    return None
