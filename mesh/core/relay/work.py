"""Proof of work on events (NIP-13): leading zero bits of an id.

The id must still be that of the contents; who checks the signature checks that. A `nonce` tag may
say in its third entry what was aimed at: an id that beat a lower aim by luck does not count, so
that a flood of cheap events holds none that pass.
"""

from mesh.core.nip01 import Event

_ID_BITS = 256


def bits(event_id: str) -> int:
    """Return the number of leading zero bits of an id in hex."""
    return _ID_BITS - int(event_id, 16).bit_length()


def aimed_at(event: Event) -> int | None:
    """Return the difficulty that the first `nonce` tag commits to, or None."""
    for tag in event.tags:
        if tag[0] == "nonce" and len(tag) > 2 and tag[2].isascii() and tag[2].isdigit():
            return min(int(tag[2][:4]), _ID_BITS)
    return None


def refusal(event: Event, bits_min: int) -> str | None:
    """Return what is missing, in the words of an OK message, or None."""
    found = bits(event.id)
    if found < bits_min:
        return f"pow: {found} bits of work, {bits_min} needed"
    aim = aimed_at(event)
    if aim is not None and aim < bits_min:
        return f"pow: aimed at {aim} bits, {bits_min} needed"
    return None
