"""A SOUL attestation as a Nostr event: who an agent is, at a fixed address under its npub.

Addressable (NIP-01), kind 30078 (NIP-78), `d` = `timmy/soul/<ledger>`: relays keep the newest. The
content is the attestation file itself in base64, if it fits an event, else empty. Tags repeat what
one searches by: `soul` SHA-256 of SOUL.md, `x` of the file, `n` size of the newest head in it.
The file is opaque here and proves itself; the event proves nothing.
"""

import base64
from dataclasses import dataclass, replace
from typing import Final

from mesh.core import limits
from mesh.core.nip01 import NostrSigner, UnsignedEvent, VerifiedEvent

SOUL_PREFIX: Final = "timmy/soul/"
FILE_BYTES_MAX: Final = limits.EVENT_BYTES_MAX * 3 // 4 - 4096
"""In base64, with room for tags and signature, it still fits one event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoulAttestation:
    """What is published. `ledger`, `soul` and `digest` are hex of 32 bytes."""

    ledger: str
    soul: str
    digest: str
    size: int
    data: bytes


def without_file(event: UnsignedEvent) -> UnsignedEvent | None:
    """Return a SOUL event without its file, for relays of small events; None for any other.

    The tags still say which file it is.
    """
    d = next((tag[1] for tag in event.tags if tag[0] == "d" and len(tag) > 1), "")
    if not event.content or not d.startswith(SOUL_PREFIX):
        return None
    return replace(event, content="")


def mint_soul(
    signer: NostrSigner, soul: SoulAttestation, *, kind: int, now: int, last: int | None
) -> VerifiedEvent:
    """Return the event, dated after `last`, our previous one: relays keep the newest (NIP-01)."""
    fits = len(soul.data) <= FILE_BYTES_MAX
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=now if last is None else max(now, last + 1),
            kind=kind,
            tags=(
                ("d", SOUL_PREFIX + soul.ledger),
                ("soul", soul.soul),
                ("x", soul.digest),
                ("n", str(soul.size)),
            ),
            content=base64.b64encode(soul.data).decode() if fits else "",
        )
    )
