"""What the copying of a log asks of its sources, and what it has its caller do (`replica`)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ledger.core.checkpoint import Checkpoint
from ledger.core.equivocation import Branch
from ledger.core.event import Envelope, Event, Record
from ledger.core.note import parse_note


class Kept(Protocol):
    """What is stored of a log, at any depth: durable, and only ever longer."""

    @property
    def size(self) -> int:
        """Number of events."""

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """The leaf hashes of stored events [start, stop)."""

    def root(self, size: int) -> bytes:
        """The root over the first `size` events, which are stored."""


class Fault(StrEnum):
    """What a source did."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    FALSE = "false"
    """It sent something that the log's head does not prove, or that is no answer."""
    WITHHELD = "withheld"
    """It left out words. A redaction that no head covers yet looks like that for a second."""
    INCONSISTENT = "inconsistent"
    """It showed a head without a proof that it continues the one before. Not evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request to `source`; `number` is never used again."""

    source: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskHead(Ask):
    """The newest head, introduced, and its consistency with size `since` (0: none)."""

    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPackage(Ask):
    """The envelopes from `start` to the end of its package, in the tree of `size`, and the path."""

    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLeaves(Ask):
    """The leaf hashes from `start` to the end of its run, in the tree of `size`, and the path."""

    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskBodies(Ask):
    """Payloads and contents of the first events of [start, stop), as many as fit."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pursue:
    """Keep this note, durably: what is stored from now on is proven by it.

    `shown`: event 0 and the records of lineage, which it came with; they say who signs it.
    """

    note: bytes
    shown: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Append these events and erase the content at `erase`, in one commit."""

    events: tuple[tuple[Record, Envelope], ...]
    erase: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLeaves:
    """Append these leaf hashes, in one commit."""

    leaves: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """Everything under this head is stored, and leads to its root."""

    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulted:
    """A source failed; it is left alone for a while."""

    source: str
    fault: Fault
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two heads that one log cannot have, both signed by its keys. Copying ends here.

    With `same_size` the two notes alone prove it to anybody, beside `introduction`, which is the
    file that came with the head that `source` showed; with `branches` those together with them.
    """

    known: bytes
    shown: bytes
    same_size: bool
    introduction: bytes
    source: str = ""
    branches: tuple[Branch, Branch] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The log breaks the rules of a log under its own signature, or our copy does. Ends here."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """The log was recovered from `kept` events; more are stored. Begin again in another file."""

    epoch: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A head came without a proof that it continues the known one. No evidence; worth comparing.

    `introduction` is what `source` showed it with.
    """

    known: bytes
    shown: bytes
    source: str = ""
    introduction: bytes = b""


Ending = Conflict | Broken | GivenUp
Action = Pursue | Store | StoreLeaves | Complete | Faulted | Doubt | Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A signed head that was verified when its note was taken in."""

    epoch: int
    size: int
    root: bytes
    note: bytes

    @classmethod
    def of_note(cls, note: bytes) -> "Head":
        """Read a note of our own keeping. Raises InvalidNote."""
        named = Checkpoint.parse(parse_note(note).text)
        return cls(epoch=named.epoch, size=named.size, root=named.root, note=note)
