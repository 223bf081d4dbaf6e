"""A proof of equivocation as a Nostr event: regular, by whoever found it.

Relays keep every regular event, and only its author can have one deleted: the culprit has no say in
this one. The file is the content, in base64, and proves itself; the tags are for finding it (`d`
ledger, `x` SHA-256 of the file, `n` the larger size).
"""

import base64
import binascii
import hashlib
from typing import Final

from mesh.core import limits
from mesh.core.errors import InvalidEvent, Refused
from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, VerifiedEvent

KIND: Final = 1784
FILE_BYTES_MAX: Final = limits.EVENT_BYTES_MAX * 3 // 4 - 4096
"""In base64, with room for tags and signature, it still fits one event."""


def mint_equivocation(
    signer: NostrSigner, proof: bytes, *, ledger: str, size: int, now: int
) -> VerifiedEvent:
    """Return the event, dated `now`. Raises Refused for a file that fits no event."""
    if len(proof) > FILE_BYTES_MAX:
        raise Refused(f"a proof of {len(proof)} bytes, at most {FILE_BYTES_MAX} fit an event")
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=now,
            kind=KIND,
            tags=(
                ("d", ledger),
                ("x", hashlib.sha256(proof).hexdigest()),
                ("n", str(size)),
            ),
            content=base64.b64encode(proof).decode(),
        )
    )


def open_equivocation(event: Event) -> bytes:
    """Return the file in an event, not verified. Raises InvalidEvent."""
    if event.kind != KIND:
        raise InvalidEvent(f"kind {event.kind} is no proof of equivocation, expected {KIND}")
    try:
        return base64.b64decode(event.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEvent("the content is not base64") from error
