"""Consensus-critical: following the heads of one foreign log, as a state machine without I/O.

    a source's answer + what is known  ->  what to do now; what may be asked of whom  ->  requests

A source is asked for its head, with everything that shows whose it is (`introduction`). The first
head, and each that continues it, is *pursued*: what is under it is asked for and stored. Who asks
for what, and how it is proven, is the *depth* of a copy: words (`replica`) or hashes (`leaves`).
What fails is a fault of its source; it is asked for again, elsewhere if there is an elsewhere. At
the end the stored tree must have the head's root; then the head is *complete*.

Sources come in the order of the caller's choice. The first `near` of them are asked for their head
at each poll, of the others one after the other: however many there are, a poll asks one more.

Any prefix of the log is a good state to stop in and to go on from.

The caller carries out the actions in order, before anything else reaches the machine, and then asks
`settled`. If storing fails, this machine is thrown away, and another begins from what is stored.

Not here: time (`now` is seconds of any clock that does not go back), transport, files; whether two
heads that exclude each other can be shown to others (the witness's).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ledger.core.lineage import Lineage
from mesh.core import limits
from mesh.core.errors import Inconsistent, InvalidData, InvalidPackage, Withheld
from mesh.core.mirrors.copying import (
    Action,
    Ask,
    AskHead,
    Broken,
    Complete,
    Conflict,
    Doubt,
    Ending,
    Fault,
    Faulted,
    GivenUp,
    Head,
    Kept,
    Pursue,
)
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

W = TypeVar("W")
"""One thing to ask for."""


class BrokenLog(Exception):
    """Events that the head proves break a rule."""


@dataclass(slots=True)
class _Source:
    name: str
    turn: int = 0
    """Its place among those that are asked one after the other, from 1 on; 0 for a near one."""
    size: int = -1
    """Of its last head, if that is of the log that is pursued."""
    failures: int = 0
    quiet_until: float = 0.0
    head_due: float = 0.0
    asked: set[int] = field(default_factory=set)
    asked_head: bool = False


K = TypeVar("K", bound=Kept)
"""What is stored of the log."""


class Pursuit(ABC, Generic[K, W]):
    """The copying of the log `ledger_id` into `own`, from `sources`, names of our choice.

    `pursued` is the note of the last `Pursue`, `lineage` what the stored events say; `jitter` is a
    number in [0, 1) for each pause. `held` is the note of the last `Complete`: what is larger must
    continue it even where less is stored, since a copy was damaged and is fetched again.
    """

    def __init__(
        self,
        ledger_id: bytes,
        own: K,
        sources: Iterable[str],
        *,
        lineage: Lineage | None = None,
        pursued: bytes | None = None,
        held: bytes | None = None,
        backoff: Backoff | None = None,
        jitter: Iterator[float] | None = None,
        near: int = limits.MIRROR_SOURCES_MAX,
    ) -> None:
        self.ledger_id = ledger_id
        self.ended: Ending | None = None
        self.head: Head | None = None
        """What is pursued."""
        self.complete: Head | None = None
        self._own = own
        self._sources = {
            name: _Source(name, turn=max(0, at + 1 - near)) for at, name in enumerate(sources)
        }
        self._turns = sum(one.turn > 0 for one in self._sources.values())
        self._begun = False
        self.lineage = lineage
        """The longest that a good head came with."""
        self._backoff = backoff or Backoff()
        self._jitter = jitter or iter(())
        self._number = 0
        self._moved_at = 0.0
        self._asked: dict[int, W] = {}
        self._held = Head.of_note(held) if held is not None else None
        self._begin(Head.of_note(pursued) if pursued is not None else None)

    def _begin(self, head: Head | None) -> None:
        self._asked.clear()
        self.head = None
        self._restart()
        if head is not None and head.size >= self._own.size:
            self._pursue(head)

    @property
    def _end(self) -> int:
        return self.head.size if self.head else self._own.size

    # ---- a depth says -----------------------------------------------------------------------

    @abstractmethod
    def _restart(self) -> None:
        """Forget what is under way: begin behind what is stored."""

    @abstractmethod
    def _plan(self, start: int, head: Head) -> None:
        """Have events from `start` on fetched, up to the head, which proves them."""

    @property
    @abstractmethod
    def _busy(self) -> bool:
        """Whether anything is left to be fetched."""

    @abstractmethod
    def _work(self) -> W | None:
        """The next thing that nobody was asked for."""

    @abstractmethod
    def _ask(self, work: W, name: str, number: int) -> Ask:
        """The request for it, to this source."""

    @abstractmethod
    def _give_back(self, work: W) -> None:
        """It was asked for in vain."""

    @abstractmethod
    def _take(self, work: W, data: bytes, ask: Ask) -> list[Action]:
        """Take its answer in. Raises InvalidPackage, Withheld; BrokenLog."""

    # ---- what to ask ------------------------------------------------------------------------

    def requests(self, now: float) -> list[Ask]:
        """Return what may be asked now. Each must be answered or failed, once."""
        found: list[Ask] = []
        self._begin_turns(now)
        for source in self._sources.values():
            while (ask := self._next(source, now)) is not None:
                source.asked.add(ask.number)
                found.append(ask)
        return found

    def _begin_turns(self, now: float) -> None:
        if self._begun:
            return
        self._begun = True
        for source in self._sources.values():
            if source.turn:
                source.head_due = now + source.turn * limits.MIRROR_POLL_SECONDS

    def _poll_seconds(self, source: _Source) -> float:
        """How long after a head of it the next one is asked for."""
        return limits.MIRROR_POLL_SECONDS * (self._turns if source.turn else 1)

    def hurry(self) -> None:
        """Ask every near source for its head as soon as it may be asked anything."""
        for source in self._sources.values():
            if not source.turn:
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
            return AskHead(source=name, number=number, since=self._known().size)
        if source.size < self._end or (work := self._work()) is None:
            return None
        self._asked[number] = work
        return self._ask(work, name, number)

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
        except BrokenLog as error:
            return self._end_with(Broken(text=str(error)))
        if work is not None:
            self._moved_at = now
        if work is not None or not self._busy:  # a head alone is soon told, and no work done
            source.failures = 0
        return actions

    def settled(self) -> list[Action]:
        """Say what became true once the actions were carried out."""
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

    def _taken(self, ask: Ask) -> tuple[_Source | None, W | None]:
        source = self._sources[ask.source]
        if ask.number not in source.asked:
            return None, None
        source.asked.discard(ask.number)
        if type(ask) is AskHead:
            source.asked_head = False
        return source, self._asked.pop(ask.number, None)

    def _fault(
        self, source: _Source, work: W | None, fault: Fault, text: str, now: float
    ) -> list[Action]:
        if work is not None:
            self._give_back(work)
        source.failures += 1
        pause = self._backoff.delay_seconds(source.failures, next(self._jitter, 0.5))
        if source.turn:
            pause = max(pause, self._poll_seconds(source))
        source.quiet_until = now + pause
        source.head_due = min(source.head_due, source.quiet_until)
        return [Faulted(source=source.name, fault=fault, text=text)]

    def _end_with(self, last: Ending) -> list[Action]:
        self.ended = last
        return [last]

    # ---- heads ------------------------------------------------------------------------------

    def _take_head(self, source: _Source, ask: Ask, data: bytes, now: float) -> list[Action]:
        shown = open_introduction(data, self.ledger_id)
        source.head_due = now + self._poll_seconds(source)
        source.size = -1
        known = self._known()
        match meaning_of(shown, known, self._own, self.lineage):
            case Meaning.OTHER:
                return self._conflict(known, head_of(shown), data, source.name)
            case Meaning.GIVEN_UP:
                kept, _ = kept_of(shown, known.epoch)
                return self._end_with(GivenUp(epoch=shown.head.checkpoint.epoch, kept=kept))
            case Meaning.SHORTENED:
                self._held = None  # by the recovery key, and for all to see
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
        return [Pursue(note=head.note, shown=shown.events)]

    def _take_known(
        self, source: _Source, shown: Introduction, known: Head, now: float
    ) -> list[Action]:
        head = head_of(shown)
        if self._own.size < head.size < known.size and self._stands_still(now):
            self._again(source, now)
            return []
        source.size = head.size
        if head.size != known.size:
            return []
        untold = self.lineage is None  # after a restart, only what is stored was known of it
        self.lineage = longer(self.lineage, shown.lineage)
        if self.head is None:  # no note of it was kept
            self._pursue(head)
        elif not untold:
            return []
        return [Pursue(note=head.note, shown=shown.events)]

    def _again(self, source: _Source, now: float) -> None:
        """Give up what is pursued, not what is stored, and ask for a head that continues that."""
        self._begin(None)
        source.head_due = self._moved_at = now

    def _stands_still(self, now: float) -> bool:
        """Nobody gives what is under the pursued head, and has not for a while."""
        return not self._asked and now - self._moved_at >= limits.MIRROR_RETREAT_SECONDS

    def _known(self) -> Head:
        """What a head must continue: the one pursued, or what is stored, or was."""
        if self.head is not None:
            return self.head
        if self._held is not None and self._held.size > self._own.size:
            return self._held
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
        self._plan(start, head)
