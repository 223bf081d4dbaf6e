"""What passes between those who append and the one thread that commits."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ledger.core.errors import TimmyError
from ledger.core.event import Draft, Event
from ledger.store import Batch

Result = list[Event] | TimmyError


@dataclass(slots=True)
class Scratch:
    """What one commit has gathered so far; thrown away if anything fails."""

    size: int
    """Of the log, these events included."""
    last_ms: int
    batch: Batch = field(default_factory=Batch)
    lengths: dict[bytes, int] = field(default_factory=dict)
    keys: dict[bytes, Event] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """Drafts of one append, and who is told; `expected` is the size that the log must have."""

    drafts: tuple[Draft, ...]
    done: Callable[[Result], None]
    expected: int | None = None
