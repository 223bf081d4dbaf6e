"""Consensus-critical: copying one foreign log, as a state machine without I/O.

    a source's answer + what is known  ->  what to do now; what may be asked of whom  ->  requests

A source is asked for its head, with everything that shows whose it is (`introduction`). The first
head, and each that continues it, is *pursued*: the events up to it are read twice. The first pass
reads envelopes, package by package, each proven to be in that head's tree, and of them learns what
the log redacts. Only when all of them were read does the second pass read payloads and contents and
let events be stored, in order: so nothing is stored that the log redacts anywhere under the head.
A package that fails is a fault of its source; it is asked for again, elsewhere if there is an
elsewhere. At the end the stored tree must have the head's root; then the head is *complete*.

Any prefix of the log is a good state to stop in and to go on from.

The caller carries out the actions in order, before anything else reaches the machine, and then asks
`settled`. If storing fails, this machine is thrown away, and another begins from what is stored.

Not here: time (`now` is seconds of any clock that does not go back), transport, files; whether two
heads that exclude each other can be shown to others (the witness's).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger.core.errors import InvalidData as InvalidLedgerData
from ledger.core.errors import InvalidEvent
from ledger.core.event import Envelope, Event, Record
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.redaction import storable, targets
from ledger.core.types import REDACTED
from mesh.core import limits
from mesh.core.errors import Inconsistent, InvalidData, InvalidPackage, Withheld
from mesh.core.mirrors.copying import (
    Action,
    Ask,
    AskBodies,
    AskHead,
    AskPackage,
    Broken,
    Complete,
    Conflict,
    Doubt,
    Ending,
    Fault,
    Faulted,
    GivenUp,
    Head,
    Pursue,
    Store,
)
from mesh.core.mirrors.order import Order, Own
from mesh.core.mirrors.packages import Place, Redacted, open_bodies, open_package, places
from mesh.core.pool.backoff import Backoff
from mesh.core.witnesses.heads import (
    Meaning,
    head_of,
    kept_of,
    longer,
    meaning_of,
    require_continued,
)
from mesh.core.witnesses.introduction import Introduction, open_introduction

_REDACTED: Final = REDACTED.name.encode()


class _BrokenLog(Exception):
    """Events that the head proves break a rule."""


@dataclass(slots=True)
class _Source:
    name: str
    size: int = -1
    """Of its last head, if that is of the log that is pursued."""
    failures: int = 0
    quiet_until: float = 0.0
    head_due: float = 0.0
    asked: set[int] = field(default_factory=set)
    asked_head: bool = False


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


class Replica:
    """The copying of the log `ledger_id` into `own`, from `sources`, names of our choice.

    `pursued` is the note of the last `Pursue`, `lineage` what the stored events say; `jitter` is a
    number in [0, 1) for each pause.
    """

    def __init__(
        self,
        ledger_id: bytes,
        own: Own,
        sources: Iterable[str],
        *,
        lineage: Lineage | None = None,
        pursued: bytes | None = None,
        backoff: Backoff | None = None,
        jitter: Iterator[float] | None = None,
    ) -> None:
        self.ledger_id = ledger_id
        self.ended: Ending | None = None
        self.head: Head | None = None
        """What is pursued."""
        self.complete: Head | None = None
        self._own = own
        self._sources = {name: _Source(name) for name in sources}
        self.lineage = lineage
        """The longest that a good head came with."""
        self._backoff = backoff or Backoff()
        self._jitter = jitter or iter(())
        self._number = 0
        self._moved_at = 0.0
        self._asked: dict[int, _Work] = {}
        self._begin(Head.of_note(pursued) if pursued is not None else None)

    def _begin(self, head: Head | None) -> None:
        self._order = Order.after(self._own)
        self._redacted = Redacted()
        self._pieces: deque[_Piece] = deque()
        self._todo: deque[_Work] = deque()
        self._unread = self._kept_bytes = 0
        self._asked.clear()
        self.head = None
        if head is not None and head.size >= self._own.size:
            self._pursue(head)

    @property
    def _end(self) -> int:
        return self.head.size if self.head else self._own.size

    # ---- what to ask ------------------------------------------------------------------------

    def requests(self, now: float) -> list[Ask]:
        """Return what may be asked now. Each must be answered or failed, once."""
        found: list[Ask] = []
        for source in self._sources.values():
            while (ask := self._next(source, now)) is not None:
                source.asked.add(ask.number)
                found.append(ask)
        return found

    def hurry(self) -> None:
        """Ask every source for its head as soon as it may be asked anything."""
        for source in self._sources.values():
            source.head_due = min(source.head_due, 0.0)

    def wake_at(self) -> float | None:
        """When `requests` may have more without an answer; None if never."""
        times = [
            max(one.head_due, one.quiet_until)
            for one in self._sources.values()
            if not one.asked_head and len(one.asked) < limits.MIRROR_REQUESTS_MAX
        ]
        return min(times) if times and self.ended is None else None

    def _next(self, source: _Source, now: float) -> Ask | None:
        full = len(source.asked) >= limits.MIRROR_REQUESTS_MAX
        if self.ended is not None or now < source.quiet_until or full:
            return None
        self._number += 1
        name, number = source.name, self._number
        if now >= source.head_due and not source.asked_head:
            source.asked_head = True
            since = self.head.size if self.head else self._own.size
            return AskHead(source=name, number=number, since=since)
        if source.size < self._end or (work := self._work()) is None:
            return None
        self._asked[number] = work
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

    # ---- what came back ---------------------------------------------------------------------

    def failed(self, ask: Ask, fault: Fault, text: str, now: float) -> list[Action]:
        """Take in that there is no answer to `ask`."""
        source, work = self._taken(ask)
        return [] if source is None else self._fault(source, work, fault, text, now)

    def answered(self, ask: Ask, data: bytes, now: float) -> list[Action]:
        """Take in the answer to `ask`: bytes of a stranger. Raises nothing."""
        source, work = self._taken(ask)
        if source is None or self.ended is not None or (work is None and type(ask) is not AskHead):
            return []
        try:
            if work is None:
                actions = self._take_head(source, ask, data, now)
            else:
                actions = self._take(work, data, ask)
        except Withheld as error:
            source.head_due = now  # a newer head may say why
            return self._fault(source, work, Fault.WITHHELD, str(error), now)
        except Inconsistent as error:
            doubt = Doubt(
                known=self._known().note, shown=error.note, source=source.name, introduction=data
            )
            return [doubt, *self._fault(source, work, Fault.INCONSISTENT, str(error), now)]
        except InvalidData as error:
            return self._fault(source, work, Fault.FALSE, str(error), now)
        except _BrokenLog as error:
            return self._end_with(Broken(text=str(error)))
        if work is not None:
            self._moved_at = now
        if work is not None or not self._pieces:  # a head alone is soon told, and no work done
            source.failures = 0
        return actions

    def settled(self) -> list[Action]:
        """Say what became true once the actions were carried out."""
        self._order.stored()
        head = self.head
        if self.ended is not None or head is None or self._own.size != head.size:
            return []
        if self.complete == head:
            return []
        if self._own.root(head.size) != head.root:
            text = f"the copy of {head.size} events does not lead to the root of their head"
            return self._end_with(Broken(text=text))
        self.complete = head
        return [Complete(note=head.note)]

    def _taken(self, ask: Ask) -> tuple[_Source | None, _Work | None]:
        source = self._sources[ask.source]
        if ask.number not in source.asked:
            return None, None
        source.asked.discard(ask.number)
        if type(ask) is AskHead:
            source.asked_head = False
        return source, self._asked.pop(ask.number, None)

    def _fault(
        self, source: _Source, work: _Work | None, fault: Fault, text: str, now: float
    ) -> list[Action]:
        if work is not None:
            self._give_back(work)
        source.failures += 1
        pause = self._backoff.delay_seconds(source.failures, next(self._jitter, 0.5))
        source.quiet_until = now + pause
        source.head_due = min(source.head_due, source.quiet_until)
        return [Faulted(source=source.name, fault=fault, text=text)]

    def _give_back(self, work: _Work) -> None:
        if work.position is not None or work.piece.unread:
            self._todo.appendleft(work)
        else:
            work.piece.asked = False

    def _end_with(self, last: Ending) -> list[Action]:
        self.ended = last
        return [last]

    # ---- heads ------------------------------------------------------------------------------

    def _take_head(self, source: _Source, ask: Ask, data: bytes, now: float) -> list[Action]:
        shown = open_introduction(data, self.ledger_id)
        source.head_due = now + limits.MIRROR_POLL_SECONDS
        source.size = -1
        known = self._known()
        match meaning_of(shown, known, self._own, self.lineage):
            case Meaning.OTHER:
                return self._conflict(known, head_of(shown), data, source.name)
            case Meaning.GIVEN_UP:
                kept, _ = kept_of(shown, known.epoch)
                return self._end_with(GivenUp(epoch=shown.head.checkpoint.epoch, kept=kept))
            case Meaning.SHORTENED:
                self._again(source, now)
            case Meaning.KNOWN:
                return self._take_known(source, shown, known, now)
            case Meaning.NEWER:
                assert isinstance(ask, AskHead)
                return self._take_newer(source, shown, known, ask.since, now)
            case Meaning.BEHIND:
                pass
        return []

    def _take_newer(
        self, source: _Source, shown: Introduction, known: Head, since: int, now: float
    ) -> list[Action]:
        head = head_of(shown)
        if known.size and since != known.size:
            source.head_due = now  # what is pursued has moved since this was asked
            return []
        if known.size:
            require_continued(shown, known)
        if head.size - self._own.size > limits.MIRROR_EVENTS_AHEAD_MAX:
            raise InvalidPackage(
                f"a head of {head.size} events, {self._own.size} are stored: at most "
                f"{limits.MIRROR_EVENTS_AHEAD_MAX} more are copied at a time"
            )
        self.lineage = longer(self.lineage, shown.lineage)
        source.size, self._moved_at = head.size, now
        self._pursue(head)
        return [Pursue(note=head.note)]

    def _take_known(
        self, source: _Source, shown: Introduction, known: Head, now: float
    ) -> list[Action]:
        head = head_of(shown)
        if self._own.size < head.size < known.size and self._stands_still(now):
            self._again(source, now)
            return []
        source.size = head.size
        if head.size == known.size:  # after a restart, only what is stored was known of it
            self.lineage = longer(self.lineage, shown.lineage)
        if self.head is None and head.size == self._own.size:  # no note of it was kept
            self._pursue(head)
            return [Pursue(note=head.note)]
        return []

    def _again(self, source: _Source, now: float) -> None:
        """Give up what is pursued, not what is stored, and ask for a head that continues that."""
        self._begin(None)
        source.head_due = self._moved_at = now

    def _stands_still(self, now: float) -> bool:
        """Nobody gives what is under the pursued head, and has not for a while."""
        return not self._asked and now - self._moved_at >= limits.MIRROR_RETREAT_SECONDS

    def _known(self) -> Head:
        """What a head must continue: the one pursued, or what is stored."""
        if self.head is not None:
            return self.head
        size = self._own.size
        root = self._own.root(size) if size else b""
        epoch = self.lineage.epoch if self.lineage else 0
        return Head(epoch=epoch, size=size, root=root, note=b"")

    def proven(self, conflict: Conflict) -> list[Action]:
        """Take in that a doubt was proven: copying ends."""
        return [] if self.ended is not None else self._end_with(conflict)

    def _conflict(self, known: Head, shown: Head, data: bytes, source: str) -> list[Action]:
        places = (known.epoch, known.size), (shown.epoch, shown.size)
        same = bool(known.note) and places[0] == places[1] and known.root != shown.root
        found = Conflict(
            known=known.note, shown=shown.note, same_size=same, introduction=data, source=source
        )
        return self._end_with(found)

    def _pursue(self, head: Head) -> None:
        start = self._end
        self.head = head
        for place in places(start, head.size, head.root):
            piece = _Piece(place)
            self._pieces.append(piece)
            self._todo.append(_Work(piece))
            self._unread += 1

    # ---- packages ---------------------------------------------------------------------------

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
            raise _BrokenLog(f"event {position}: {error}") from error
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
            raise _BrokenLog(str(error)) from error

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
            raise _BrokenLog(str(error)) from error
        if event.type in LINEAGE_TYPES:
            tenures = self.lineage.tenures if self.lineage else ()
            if event.id not in {tenure.event for tenure in tenures}:
                raise _BrokenLog(
                    f"event {event.position} changes the keys, and its head's introduction hides it"
                )


def _redacts(envelope: bytes) -> bool:
    """Whether this is the envelope of a redaction: of the type's own text, looked up cheaply."""
    if _REDACTED not in envelope:
        return False
    try:
        return Envelope.parse(envelope).type == REDACTED.name
    except InvalidLedgerData as error:
        raise _BrokenLog(str(error)) from error
