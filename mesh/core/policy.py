"""Who may write to our relay, and what: by default its own fleet, and nothing dated ahead.

A policy answers before the signature is checked, so a stranger costs a look into a set. It does
not know who is connected: an event is judged by its author, whoever brings it, except for
protected ones (NIP-70), which need an authenticated author (NIP-42) and are refused.
"""

from dataclasses import dataclass

from mesh.core import kinds, limits
from mesh.core.nip01 import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePolicy:
    """Accept events by `authors` (public keys in hex), or by anyone when None."""

    authors: frozenset[str] | None

    def refusal(self, event: Event, *, now: int) -> str | None:
        """Return why the event is not taken, in the words of an OK message, or None."""
        if self.authors is not None and event.pubkey not in self.authors:
            return "blocked: this relay keeps events of its own fleet only"
        if kinds.is_protected(event):
            return "blocked: event marked as protected"
        ahead = event.created_at - now
        if ahead > limits.FUTURE_SECONDS_MAX:
            bound = limits.FUTURE_SECONDS_MAX
            return f"invalid: created_at is {ahead} s ahead of this relay, at most {bound} allowed"
        if kinds.is_expired(event, now):
            return "invalid: event has expired"
        return None
