"""What this node's ledger holds of its parent and of its children, verified and folded as it grows.

`Ward` is the child's side: its certificate, the orders it took, what it told. `Family` is the
parent's. Both read a stream of their own, which is short, and only what came since they looked
last; what does not verify is passed over, and gives nobody anything.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from genesis.core.children.errors import ChildError, OutOfTurn
from genesis.core.children.letters import TELLINGS, Chain, Letter, Opened, open_letter
from genesis.core.children.orders import Standing
from ledger.core import types
from ledger.core.descent import PLACE, Certificate, check_child, open_certificate
from ledger.core.errors import InvalidCertificate, InvalidData, TimmyError
from ledger.core.event import Event
from ledger.core.genesis import parse_genesis
from ledger.log import Log
from ledger.upcasting import UpcastLog

_TYPES: Final = frozenset(
    kind.name
    for kind in (
        types.CHILD_FATHERED, types.CHILD_ORDERED, types.CHILD_TOLD, types.CHILD_CHECKED,
        types.PARENT_CERTIFIED, types.PARENT_ORDERED, types.PARENT_TOLD,
    )
)  # fmt: skip

_log = structlog.get_logger(__name__)

REFUSED: Final = "refused"
"""The verdict on a ledger that does not verify, or does not go on from the one before."""


@dataclass(slots=True)
class _Reader:
    log: Log
    stream: bytes
    known: int = 0

    def new(self) -> Iterator[Event]:
        """Yield the events of the stream that were not read yet.

        One counts when it was read and dealt with: what fails before that is read again.
        """
        reading = UpcastLog(self.log, needed=_TYPES)
        for position in self.log.positions(self.stream, self.known):
            yield reading.read(position)
            self.known += 1


@dataclass(slots=True)
class Kept:
    """Letters of one direction that were taken, with the positions of their events."""

    chain: Chain = field(default_factory=Chain)
    letters: list[tuple[int, Opened]] = field(default_factory=list)

    def keep(self, position: int, opened: Opened) -> None:
        """Take the next one. Raises OutOfTurn."""
        self.chain = self.chain.take(opened)
        self.letters.append((position, opened))

    def above(self, number: int) -> list[tuple[int, Opened]]:
        """Return those that somebody who took `number` of them lacks."""
        return [one for one in self.letters if one[1].number > number]


class Ward:
    """This node as somebody's child. Look at it through `now`."""

    def __init__(self, log: Log) -> None:
        self._reader = _Reader(log, types.PARENT_STREAM)
        self._log = log
        self._reading = threading.Lock()
        self.certificate: Certificate | None = None
        self.claimed = False
        """Whether event 1 is a certificate, good or not."""
        self.standing = Standing()
        self.orders: list[tuple[int, Opened]] = []
        self.told = Kept()

    @property
    def level(self) -> int | None:
        """How many gates are passed; None for an agent that is nobody's child.

        A certificate that does not hold gives nothing: then it is a child that passed no gate.
        So is one whose orders cannot be read, for as long: the one that is missing may be a reset.
        """
        try:
            self.now()
        except TimmyError as error:
            _log.warning("the parent's orders cannot be read: no gate is open", why=str(error))
            return 0
        return self.standing.level if self.claimed else None

    def now(self) -> "Ward":
        """Read what is new, and return itself. Tools ask from threads of their own."""
        with self._reading:
            for event in self._reader.new():
                try:
                    self._take(event)
                except (InvalidData, ChildError):
                    continue
        return self

    def open(self, letter: Letter) -> Opened:
        """Verify a letter of the parent. Raises InvalidLetter."""
        assert self.certificate is not None
        key = self.certificate.parent_keys["nostr"]
        return open_letter(letter, author=key, ledger_id=self._log.ledger_id)

    def _take(self, event: Event) -> None:
        if event.type == types.PARENT_CERTIFIED.name:
            if event.position == PLACE:
                self.claimed = True
                self._certify(event)
        elif self.certificate is None:
            return
        elif event.type == types.PARENT_ORDERED.name:
            opened = self.open(Letter.from_event(event.payload, event.content))
            self.standing = self.standing.take(opened)
            self.orders.append((event.position, opened))
        elif event.type == types.PARENT_TOLD.name:
            opened = open_letter(
                Letter.from_event(event.payload, event.content),
                author=self.certificate.child_keys["nostr"],
                ledger_id=self.certificate.parent,
            )
            self.told.keep(event.position, opened)

    def _certify(self, event: Event) -> None:
        certificate = open_certificate(event.payload)
        genesis = parse_genesis(self._log.read(0).payload)
        check_child(certificate, genesis, ledger_id=self._log.ledger_id, position=event.position)
        self.certificate = certificate


@dataclass(slots=True, kw_only=True)
class Child:
    """One child, as the parent's ledger has it. `standing` comes from the parent's own orders."""

    certificate: Certificate
    position: int
    fathered_ms: int
    standing: Standing = field(default_factory=Standing)
    orders: list[tuple[int, Opened]] = field(default_factory=list)
    told: Kept = field(default_factory=Kept)
    checked: Event | None = None
    """The newest check of its ledger, refused or not."""
    seen: tuple[int, bytes] | None = None
    """Size and root of the newest ledger that was not refused: every other goes on from there."""

    @property
    def id(self) -> bytes:
        """Its ledger id."""
        return self.certificate.child


class Family:
    """This node's children, oldest first. Look at them through `now`."""

    def __init__(self, log: Log) -> None:
        self._reader = _Reader(log, types.CHILDREN_STREAM)
        self._log = log
        self._children: dict[bytes, Child] = {}

    def now(self) -> dict[bytes, Child]:
        """Read what is new, and return the children by ledger id."""
        for event in self._reader.new():
            try:
                self._take(event)
            except (InvalidData, ChildError):
                continue
        return self._children

    def _take(self, event: Event) -> None:
        if event.type == types.CHILD_FATHERED.name:
            certificate = open_certificate(event.payload)
            if certificate.parent != self._log.ledger_id:
                raise InvalidCertificate("a certificate by another ledger")
            self._children.setdefault(
                certificate.child,
                Child(certificate=certificate, position=event.position, fathered_ms=event.ts_ms),
            )
            return
        child = self._children.get(_child_of(event.payload))
        if child is None:
            return
        if event.type == types.CHILD_CHECKED.name:
            self._check(child, event)
        elif event.type == types.CHILD_ORDERED.name:
            opened = self._open(event, child.certificate.parent_keys["nostr"], child.id)
            child.standing = child.standing.take(opened)
            child.orders.append((event.position, opened))
        elif event.type == types.CHILD_TOLD.name:
            key = child.certificate.child_keys["nostr"]
            child.told.keep(event.position, self._open(event, key, self._log.ledger_id))

    @staticmethod
    def _check(child: Child, event: Event) -> None:
        """Keep what was seen, through refusals: a second try is compared with the same."""
        child.checked = event
        if event.payload.get("verdict") == REFUSED:
            return
        match event.payload:
            case {"size": int(size), "root": bytes(root)}:
                child.seen = size, root

    @staticmethod
    def _open(event: Event, author: bytes, ledger_id: bytes) -> Opened:
        letter = Letter.from_event(event.payload, event.content)
        return open_letter(letter, author=author, ledger_id=ledger_id)


def _child_of(payload: dict[str, Any]) -> bytes:
    found = payload.get("child")
    return found if type(found) is bytes else b""


def check_known(letters: list[tuple[int, Opened]], opened: Opened) -> None:
    """Raise OutOfTurn unless a letter is the one that was taken with its number.

    `letters` are those of its direction. Two of one number are what a side says that was rolled
    back, or that tells different things to different ears.
    """
    _, known = letters[opened.number - 1]
    if known.digest != opened.digest:
        raise OutOfTurn(
            f"letter {opened.number} is another one than was taken with that number",
            hint="its author was rolled back, or has its keys in two places: timmy lineage show",
        )


def is_telling(opened: Opened) -> bool:
    """Whether a letter is one that the parent keeps."""
    return opened.kind in TELLINGS
