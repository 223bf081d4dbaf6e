"""Consensus-critical: a copy of one foreign log with its words, as a state machine without I/O.

How heads are followed is `pursuit`'s. The events up to a pursued head are read twice. The first
pass reads envelopes, package by package, each proven to be in that head's tree, and of them learns
what the log redacts. Only when all of them were read does the second pass read payloads and
contents and let events be stored, in order: so nothing is stored that the log redacts anywhere
under the head.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ledger.core.errors import InvalidData as InvalidLedgerData
from ledger.core.errors import InvalidEvent
from ledger.core.event import Envelope, Event, Record
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.redaction import storable, targets
from ledger.core.types import REDACTED
from mesh.core import limits
from mesh.core.mirrors.copying import Action, Ask, AskBodies, AskPackage, Head, Store
from mesh.core.mirrors.order import Order, Own
from mesh.core.mirrors.packages import Place, Redacted, open_bodies, open_package, places
from mesh.core.mirrors.pursuit import BrokenLog, Pursuit

_REDACTED: Final = REDACTED.name.encode()


@dataclass(slots=True)
class _Piece:
    """Events of one package: surveyed, then opened, then stored."""

    place: Place
    unread: int = 1
    """Answers that the survey still needs: the package, then each redaction in it."""
    envelopes: list[bytes] | None = None
    events: list[Event] = field(default_factory=list)
    asked: bool = False
    done: int = 0
    """Events of it that were handed out to be stored."""

    @property
    def start(self) -> int:
        """The first event of it that is not in hand."""
        return self.place.start + self.done + len(self.events)


@dataclass(frozen=True, slots=True)
class _Work:
    """One thing to ask for: a package, or, with `position`, a redaction's payload."""

    piece: _Piece
    position: int | None = None


class Replica(Pursuit[Own, _Work]):
    """The copying of a log with its words."""

    def _restart(self) -> None:
        self._order = Order.after(self._own)
        self._redacted = Redacted()
        self._pieces: deque[_Piece] = deque()
        self._todo: deque[_Work] = deque()
        self._unread = self._kept_bytes = 0

    def _plan(self, start: int, head: Head) -> None:
        for place in places(start, head.size, head.root):
            piece = _Piece(place)
            self._pieces.append(piece)
            self._todo.append(_Work(piece))
            self._unread += 1

    @property
    def _busy(self) -> bool:
        return bool(self._pieces)

    def settled(self) -> list[Action]:
        """Say what became true once the actions were carried out."""
        self._order.stored()
        return super().settled()

    def _ask(self, work: _Work, name: str, number: int) -> Ask:
        piece, place = work.piece, work.piece.place
        if work.position is not None:
            at = work.position
            return AskBodies(source=name, number=number, start=at, stop=at + 1)
        if piece.envelopes is None:
            start = max(place.base, min(place.start, self._own.size))
            return AskPackage(source=name, number=number, start=start, size=place.size)
        return AskBodies(source=name, number=number, start=piece.start, stop=place.stop)

    def _work(self) -> _Work | None:
        """The next thing that nobody was asked for: first the survey, to its end."""
        if self._todo:
            return self._todo.popleft()
        if self._unread:
            return None
        for at, piece in enumerate(self._pieces):
            if at >= limits.MIRROR_AHEAD_PACKAGES:
                break
            if not piece.asked and (at == 0 or not piece.events):
                piece.asked = True
                return _Work(piece)
        return None

    def _give_back(self, work: _Work) -> None:
        if work.position is not None or work.piece.unread:
            self._todo.appendleft(work)
        else:
            work.piece.asked = False

    def _take(self, work: _Work, data: bytes, ask: Ask) -> list[Action]:
        if isinstance(ask, AskPackage):
            self._take_package(work.piece, ask, data)
        elif work.position is not None:
            self._take_redaction(work, data)
        else:
            self._take_bodies(work.piece, data)
        return self._flush()

    def _take_package(self, piece: _Piece, ask: AskPackage, data: bytes) -> None:
        place = piece.place
        before = self._own.leaves(place.base, ask.start)
        envelopes = open_package(data, place, before)
        piece.asked = False
        piece.envelopes = envelopes
        self._kept_bytes += sum(map(len, envelopes))
        if not piece.unread:  # it was read before, and not kept
            return
        found = [place.start + at for at, one in enumerate(envelopes) if _redacts(one)]
        self._todo.extendleft(_Work(piece, position) for position in reversed(found))
        piece.unread += len(found) - 1
        self._unread += len(found) - 1
        self._drop_if_much(piece)

    def _drop_if_much(self, piece: _Piece) -> None:
        """Keep the envelopes of a piece that was read only as long as there is room."""
        if piece.unread or self._kept_bytes <= limits.MIRROR_KEPT_BYTES_MAX:
            return
        self._kept_bytes -= sum(map(len, piece.envelopes or ()))
        piece.envelopes = None

    def _take_redaction(self, work: _Work, data: bytes) -> None:
        piece, position = work.piece, work.position
        assert position is not None
        assert piece.envelopes is not None
        at = position - piece.place.start
        [event] = self._open(data, position, piece.envelopes[at : at + 1])
        try:
            self._redacted.add(targets(event))
        except InvalidEvent as error:
            raise BrokenLog(f"event {position}: {error}") from error
        piece.unread -= 1
        self._unread -= 1
        self._drop_if_much(piece)

    def _take_bodies(self, piece: _Piece, data: bytes) -> None:
        assert piece.envelopes is not None
        rest = piece.envelopes[piece.start - piece.place.start :]
        piece.events += self._open(data, piece.start, rest)
        piece.asked = False

    def _open(self, data: bytes, start: int, envelopes: list[bytes]) -> list[Event]:
        try:
            return open_bodies(data, start, envelopes, self._redacted)
        except InvalidLedgerData as error:
            raise BrokenLog(str(error)) from error

    def _flush(self) -> list[Action]:
        """Hand out the events that are next in order, once all redactions are known."""
        if self._unread:
            return []
        events: list[tuple[Record, Envelope]] = []
        erase: list[int] = []
        while self._pieces and self._pieces[0].events:
            piece = self._pieces[0]
            for event in piece.events:
                self._admit(event)
                erase += targets(event)
            records = [event.record for event in piece.events]  # opened before a newer redaction
            envelopes = [event.envelope for event in piece.events]
            events += zip(storable(records, self._redacted), envelopes, strict=True)
            piece.done += len(piece.events)
            piece.events = []
            if piece.place.start + piece.done < piece.place.stop:
                break
            self._kept_bytes -= sum(map(len, piece.envelopes or ()))
            self._pieces.popleft()
        return [Store(events=tuple(events), erase=tuple(erase))] if events else []

    def _admit(self, event: Event) -> None:
        try:
            self._order.check(event)
        except InvalidEvent as error:
            raise BrokenLog(str(error)) from error
        if event.type in LINEAGE_TYPES:
            tenures = self.lineage.tenures if self.lineage else ()
            if event.id not in {tenure.event for tenure in tenures}:
                raise BrokenLog(
                    f"event {event.position} changes the keys, and its head's introduction hides it"
                )


def _redacts(envelope: bytes) -> bool:
    """Whether this is the envelope of a redaction: of the type's own text, looked up cheaply."""
    if _REDACTED not in envelope:
        return False
    try:
        return Envelope.parse(envelope).type == REDACTED.name
    except InvalidLedgerData as error:
        raise BrokenLog(str(error)) from error
