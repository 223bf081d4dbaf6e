"""Minting a Nostr event again when a relay refuses it: what it carries stays, its outside changes.

Only those of our own key can be, and gift wraps of ours, whose key is used once and found again by
who wrapped (mesh.core.nip59.key_of): its date is changed, and what is in it is not. A new date is a
new Nostr id, so nothing may be told apart by that id (mesh/pool/port.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from mesh.core import limits
from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, VerifiedEvent
from mesh.core.pool.refusals import Refusal
from mesh.core.pool.relay_limits import RelayLimits

Shrink: TypeAlias = Callable[[UnsignedEvent], UnsignedEvent | None]
"""Returns a smaller Nostr event for the same thing, or None if it knows none."""

_STEP_SECONDS: Final = 900
"""How far back an event is dated that a relay takes for one of the future: its clock is behind."""


def no_wraps(event: Event) -> NostrSigner | None:
    """Find the key of no gift wrap: we send none."""
    del event
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminter:
    """Mints Nostr events of `signer` again, and gift wraps whose key `once` finds."""

    signer: NostrSigner
    once: Callable[[Event], NostrSigner | None] = no_wraps
    shrink: Sequence[Shrink] = ()

    def __call__(
        self, event: Event, why: Refusal, *, now: int, known: RelayLimits | None = None
    ) -> VerifiedEvent | None:
        """Return another one that the refusal does not meet, or None. `now`: Unix seconds.

        `known` is what is known of the relay.
        """
        own = event.pubkey == self.signer.pubkey
        signer = self.signer if own else self.once(event)
        if signer is None:
            return None
        unsigned = UnsignedEvent(
            pubkey=event.pubkey,
            created_at=event.created_at,
            kind=event.kind,
            tags=event.tags,
            content=event.content,
        )
        back = 0 if own or known is None else _age(event, known, now)
        changed = self._changed(unsigned, why, now, back)
        return None if changed is None else signer.sign(changed)

    def _changed(
        self, event: UnsignedEvent, why: Refusal, now: int, back: int
    ) -> UnsignedEvent | None:
        match why:
            case Refusal.AGE if event.created_at < now - back:
                return replace(event, created_at=now - back)
            case Refusal.FUTURE if event.created_at >= _STEP_SECONDS:
                return replace(event, created_at=min(now, event.created_at) - _STEP_SECONDS)
            case Refusal.SIZE:
                smaller = (shrink(event) for shrink in self.shrink)
                return next((one for one in smaller if one is not None), None)
            case _:
                return None


def _age(wrap: Event, known: RelayLimits, now: int) -> int:
    """Seconds that a gift wrap is dated back, as NIP-59 wants it: up to half of what a relay takes.

    None of it where no bound is known, or one that proved wrong: this one was within it.
    """
    bound = known.age_seconds_max
    if bound is None or now - wrap.created_at <= bound:
        return 0
    return int(wrap.id, 16) % (min(bound // 2, limits.WRAP_AGE_SECONDS_MAX) + 1)
