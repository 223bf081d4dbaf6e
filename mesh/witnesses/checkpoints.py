"""Signed checkpoints as Nostr events.

A checkpoint is a *regular* event (kind 78, NIP-78): relays keep every one, so two that contradict
each other both survive as evidence. The newest is also at a fixed address (kind 30078), one event
to fetch for somebody who joins; relays drop its older versions, so it proves nothing by itself.

Both carry the signed note as content and repeat its figures as tags, which can be queried:
`d` ledger (the head: `timmy/head/<ledger>`), `n` and `size` the size, `x` the root; the head also
`e`, the checkpoint's event. The note is opaque here: whoever reads one checks the note's signature
and that its origin, size and root are those of the tags (`Published`).

The event is disposable, the note is not: when a relay refuses an event's age, the same note goes
into a new one.
"""

from dataclasses import dataclass
from typing import Final, Self

from mesh.core import limits
from mesh.core.errors import InvalidEvent
from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, VerifiedEvent, is_hex32
from mesh.core.relay.kinds import KindClass, first_value, kind_class

HEAD_PREFIX: Final = "timmy/head/"
_SIZE_DIGITS_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointKinds:
    """The event kinds in use. NIP-78 leaves both to applications."""

    checkpoint: int = 78
    head: int = 30078

    def __post_init__(self) -> None:
        if not 0 <= self.checkpoint <= limits.KIND_MAX or not 0 <= self.head <= limits.KIND_MAX:
            raise InvalidEvent(f"kinds must be 0 to {limits.KIND_MAX}")
        if kind_class(self.checkpoint) is not KindClass.REGULAR:
            raise InvalidEvent(
                f"checkpoint kind {self.checkpoint} is not regular",
                hint="relays would drop older checkpoints, and the evidence with them",
            )
        if kind_class(self.head) is not KindClass.ADDRESSABLE:
            raise InvalidEvent(f"head kind {self.head} is not addressable, 30000 to 39999")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What an event says about a ledger: claims, until the note is checked against them.

    `ledger` and `root` are hex of 32 bytes, `note` is the signed note's text.
    """

    ledger: str
    size: int
    root: str
    note: str

    def __post_init__(self) -> None:
        if not is_hex32(self.ledger) or not is_hex32(self.root):
            raise InvalidEvent("ledger and root must be 64 characters of lower-case hex")
        if type(self.size) is not int or not 0 <= self.size < 10**_SIZE_DIGITS_MAX:
            raise InvalidEvent(f"size must be a number of at most {_SIZE_DIGITS_MAX} digits")

    @classmethod
    def parse(cls, event: Event, kinds: CheckpointKinds) -> Self:
        """Take a checkpoint or head event apart. Raises InvalidEvent for any other."""
        d = first_value(event, "d") or ""
        if event.kind == kinds.head and d.startswith(HEAD_PREFIX):
            d = d.removeprefix(HEAD_PREFIX)
        elif event.kind != kinds.checkpoint:
            raise InvalidEvent(f"kind {event.kind} is neither a checkpoint nor a head pointer")
        size = first_value(event, "n") or ""
        if not (size.isascii() and size.isdigit()) or str(int(size[:20])) != size:
            raise InvalidEvent("the size is not a plain decimal number")
        if first_value(event, "size") not in {None, size}:
            raise InvalidEvent("the two size tags differ")
        root = first_value(event, "x") or ""
        return cls(ledger=d, size=int(size), root=root, note=event.content)


def mint_checkpoint(
    signer: NostrSigner, published: Published, *, now: int, kinds: CheckpointKinds
) -> VerifiedEvent:
    """Return the regular event of a checkpoint, dated `now` (Unix seconds)."""
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=now,
            kind=kinds.checkpoint,
            tags=(("d", published.ledger), *_figures(published)),
            content=published.note,
        )
    )


def mint_head(
    signer: NostrSigner,
    published: Published,
    *,
    checkpoint_event: VerifiedEvent,
    now: int,
    last: int | None,
    kinds: CheckpointKinds,
) -> VerifiedEvent:
    """Return the head pointer to `checkpoint_event`.

    `last` is the created_at of our previous pointer: the new one is dated after it even when two
    fall into one second or the clock stepped back, or relays would keep the old one (NIP-01).
    """
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=now if last is None else max(now, last + 1),
            kind=kinds.head,
            tags=(
                ("d", HEAD_PREFIX + published.ledger),
                *_figures(published),
                ("e", checkpoint_event.id),
            ),
            content=published.note,
        )
    )


def _figures(published: Published) -> tuple[tuple[str, str], ...]:
    size = str(published.size)
    return ("size", size), ("n", size), ("x", published.root)
