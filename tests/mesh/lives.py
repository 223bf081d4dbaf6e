"""Logs to copy: one agent's life with redactions, a handoff and a recovery, and who offers it."""

from contextlib import suppress
from dataclasses import dataclass, field

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import InvalidEvent
from ledger.core.event import Event
from ledger.core.redaction import targets
from ledger.memory import MemoryStore
from ledger.mirror import MirrorLog
from mesh.mirrors.offer import Offer
from tests.ledger import heirs
from tests.spec import agent


@dataclass
class Life:
    """A ledger, its epoch, and what is to be erased at which size."""

    ledger: agent.Ledger = field(default_factory=heirs.born)
    epoch: int = 0
    read: int = 0
    opened: list = field(default_factory=list)
    gone: list = field(default_factory=list)

    @property
    def id(self):
        return self.ledger.id

    @property
    def size(self):
        return len(self.ledger.records)

    def say(self, count, *, cause=False):
        for number in range(count):
            at = self.size
            causes = ()
            if cause and at > 1:
                causes = (Event.open(self.ledger.records[at // 2]).cause,)
            stream = agent.STREAM if number % 3 else agent.OTHER_STREAM
            self.ledger.add(agent.words(f"words {at}", stream=stream, causes=causes))
        return self

    def redact(self, *positions):
        self.ledger.add(agent.redaction(*positions))
        return self

    def hand_off(self, number=1):
        self.ledger.add(heirs.handoff(self.ledger, heirs.heir(number)))
        self.ledger.signers.append((self.size + 1, heirs.heir(number).keys["log"]))
        return self

    def recover(self, kept):
        """The same life, recovered from its first `kept` events, then going on otherwise."""
        other = Life(agent.Ledger(), self.epoch + 1)
        for record in self.ledger.records[:kept]:
            event = Event.open(record)
            other.ledger.lengths[event.stream] = other.ledger.lengths.get(event.stream, 0) + 1
            other.ledger.keep(record)
        other.ledger.signers = [one for one in self.ledger.signers if one[0] <= kept]
        other.ledger.add(heirs.recovery(other.ledger, None, epoch=self.epoch + 1))
        return other

    def head(self, size=None, **changes) -> SignedCheckpoint:
        return self.ledger.head(size, epoch=self.epoch, **changes)

    def copy(self, size=None):
        """The dumb twin: every record up to `size`, what is redacted there left out."""
        records = self.ledger.records[: self.size if size is None else size]
        for at in range(self.read, self.size):
            event = Event.open(self.ledger.records[at])
            self.opened.append(event.envelope)
            with suppress(InvalidEvent):
                self.gone += [(target, at) for target in targets(event)]
        self.read = self.size
        gone = {target for target, at in self.gone if at < len(records)}
        return [
            one._replace(content=None, content_salt=None) if one.position in gone else one
            for one in records
        ]

    def offer(self, size=None, head=None) -> Offer:
        """What an honest node with so many events offers."""
        log = MirrorLog(MemoryStore())
        size = self.size if size is None else size
        log.take(list(zip(self.copy(size), self.opened, strict=False)), [])
        head = head or self.head(size)
        return Offer(log=log, head=lambda: head)


def everything():
    """Words, a redaction of old and of young words, a handoff in the middle, 700 events."""
    life = Life().say(300, cause=True).redact(5, 290).say(20).hand_off()
    life.say(255, cause=True).redact(305, 310, 6).say(120).redact(690)
    return life
