"""Minting a Nostr event again when a relay refuses it: what it carries stays, its outside changes.

Only those of our own key can be. A new date is a new Nostr id, so nothing may be told apart by that
id (mesh/pool/port.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, VerifiedEvent
from mesh.core.pool.refusals import Refusal

Shrink: TypeAlias = Callable[[UnsignedEvent], UnsignedEvent | None]
"""Returns a smaller Nostr event for the same thing, or None if it knows none."""

_STEP_SECONDS: Final = 900
"""How far back an event is dated that a relay takes for one of the future: its clock is behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminter:
    """Mints Nostr events of `signer` again."""

    signer: NostrSigner
    shrink: Sequence[Shrink] = ()

    def __call__(self, event: Event, why: Refusal, *, now: int) -> VerifiedEvent | None:
        """Return another one that the refusal does not meet, or None. `now`: Unix seconds."""
        if event.pubkey != self.signer.pubkey:
            return None
        unsigned = UnsignedEvent(
            pubkey=event.pubkey,
            created_at=event.created_at,
            kind=event.kind,
            tags=event.tags,
            content=event.content,
        )
        changed = self._changed(unsigned, why, now)
        return None if changed is None else self.signer.sign(changed)

    def _changed(self, event: UnsignedEvent, why: Refusal, now: int) -> UnsignedEvent | None:
        match why:
            case Refusal.AGE if event.created_at < now:
                return replace(event, created_at=now)
            case Refusal.FUTURE if event.created_at >= _STEP_SECONDS:
                return replace(event, created_at=min(now, event.created_at) - _STEP_SECONDS)
            case Refusal.SIZE:
                smaller = (shrink(event) for shrink in self.shrink)
                return next((one for one in smaller if one is not None), None)
            case _:
                return None
