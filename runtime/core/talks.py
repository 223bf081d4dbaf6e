"""Consensus-critical: the reducer of what was said since a conversation was last taken up.

Two services follow conversations: the historian, which distils memories from what it has not read
(`runtime.historian`), and compaction, whose summaries stand in prompts for what is long ago
(`runtime.compaction`). This remembers how far each is, and which summaries hold.

Summaries of a conversation are a chain: each builds on the one before. When words that one was made
of are erased, it holds no more, nor does any that builds on it: they are withheld from agent and
models as of that very redaction, and their stretch of talk is to be summed up again.

Entries:

    talk/<conversation>     {stream, last_s, summed, read, said}: the last message that a summary
                            covers; the last that was distilled; exchanges after either of them
    asked/<message>         conversation of a message whose turn is not closed
    restless/<xx>           conversations with messages that nobody distilled, of those whose stream
                            begins with this byte: no list of all is written again for each message
    summed                  conversations that have summaries
    summed/<conversation>   how many summaries hold
    summary/<n>/<conversation>   [position, from, to, sources, exchanges it covers]
    withheld/<position>     a summary that holds no more (as in `runtime.core.agenda`)

Exchanges are packed, 17 bytes each: message and answer (0: none) as 8 bytes big-endian, and 1 if
the turn is over; so are sources, 8 bytes each. A long life has hundreds of thousands, and hardly
one is looked at again.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.agenda import withheld_key

TALK_MAX: Final = 200
"""Messages of a conversation that are kept in mind for either service: what an agent keeps, too."""
_EXCHANGE: Final = struct.Struct(">QQB")
_SOURCE: Final = struct.Struct(">Q")
Entries: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A message and its answer (0: none yet, or none ever). `closed`: its turn is over."""

    message: int
    answer: int
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One that holds: its event, and the stretch of messages it covers."""

    position: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What is known of a conversation. `said`: exchanges, packed."""

    stream: bytes
    last_s: int
    summed: int
    read: int
    said: bytes

    @property
    def open(self) -> tuple[Exchange, ...]:
        """Exchanges that no summary covers, oldest first."""
        return tuple(
            Exchange(message=message, answer=answer, closed=bool(closed))
            for message, answer, closed in _EXCHANGE.iter_unpack(self.said)
            if message > self.summed
        )

    @property
    def fresh(self) -> tuple[int, ...]:
        """Messages that nobody distilled, oldest first."""
        return tuple(at for at, _, _ in _EXCHANGE.iter_unpack(self.said) if at > self.read)


class Talks:
    """Conversations in the entries of a state that has `reduce_talks` among its reducers."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    @property
    def restless(self) -> list[str]:
        """Conversations with something that nobody distilled."""
        buckets = (self._entries.get(restless_key(bytes([first])), ()) for first in range(256))
        return [name for bucket in buckets for name in bucket]

    def long(self, exchanges: int) -> list[str]:
        """Conversations that may have so many exchanges which no summary covers."""
        prefix, size = talk_key(""), exchanges * _EXCHANGE.size
        return [
            key[len(prefix) :]
            for key, entry in self._entries.items()
            if key.startswith(prefix) and len(entry["said"]) >= size
        ]

    def get(self, conversation: str) -> Talk | None:
        """What is known of a conversation."""
        entry = self._entries.get(talk_key(conversation))
        return None if entry is None else Talk(**entry)

    def summary(self, conversation: str) -> Summary | None:
        """The newest summary of a conversation that holds."""
        count = self._entries.get(summed_key(conversation), 0)
        if not count:
            return None
        position, first, last, *_ = self._entries[summary_key(count - 1, conversation)]
        return Summary(position=position, first=first, last=last)

    def summaries(self, conversation: str) -> list[int]:
        """Positions of all that hold, oldest first."""
        count = self._entries.get(summed_key(conversation), 0)
        return [self._entries[summary_key(number, conversation)][0] for number in range(count)]


def talk_key(conversation: str) -> str:
    """Entry of a conversation."""
    return f"talk/{conversation}"


def restless_key(stream: bytes) -> str:
    """Entry of restless conversations whose streams begin as this one does."""
    return f"restless/{stream[:1].hex()}"


def summed_key(conversation: str) -> str:
    """Entry of how many summaries of a conversation hold."""
    return f"summed/{conversation}"


def summary_key(number: int, conversation: str) -> str:
    """Entry of one of them."""
    return f"summary/{number}/{conversation}"


def reduce_talks(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


def _received(entries: Entries, event: Event) -> Iterator[Change]:
    conversation = _get(event, "conversation", str)
    if conversation is None or _get(event, "author", str) is None:
        return
    if event.payload.get("forwarded") is not True:  # else its home sums it up, and distils it
        yield from _begun(entries, event, conversation, event.position)


def _taken(entries: Entries, event: Event) -> Iterator[Change]:
    """A message that was forwarded is this node's to answer."""
    conversation, message = _get(event, "conversation", str), _get(event, "message", int)
    if conversation is None or message is None or not 0 <= message < event.position:
        return
    said = entries.get(talk_key(conversation), {}).get("said", b"")
    if message not in _by_message(said):
        yield from _begun(entries, event, conversation, message)


def _begun(entries: Entries, event: Event, conversation: str, message: int) -> Iterator[Change]:
    known = entries.get(talk_key(conversation))
    if known is None:
        known = {"stream": event.stream, "last_s": 0, "summed": 0, "read": 0, "said": b""}
    said = known["said"] + _EXCHANGE.pack(message, 0, 0)
    if message != event.position:  # newer ones may have come meanwhile
        said = b"".join(_EXCHANGE.pack(*one) for one in sorted(_EXCHANGE.iter_unpack(said)))
    yield (
        talk_key(conversation),
        {**known, "last_s": event.ts_ms // 1000, "said": said[-TALK_MAX * _EXCHANGE.size :]},
    )
    yield f"asked/{message}", conversation
    key = restless_key(known["stream"])
    restless = entries.get(key, ())
    if conversation not in restless and message > known["read"]:
        yield key, [*restless, conversation]


def _sent(entries: Entries, event: Event) -> Iterator[Change]:
    conversation, message = _get(event, "conversation", str), _get(event, "message", int)
    known = None if conversation is None else entries.get(talk_key(conversation))
    if known is not None and message is not None:
        yield _answered(conversation, known, message, answer=event.position)


def _closed(entries: Entries, event: Event) -> Iterator[Change]:
    """A turn is over, or a message was answered by the screen."""
    message = _get(event, "message", int)
    conversation = None if message is None else entries.get(f"asked/{message}")
    if conversation is None:
        return
    yield f"asked/{message}", None
    known = entries.get(talk_key(conversation))
    if known is not None:
        yield _answered(conversation, known, message, closed=1)


def _answered(
    conversation: Any, known: dict[str, Any], message: int, *, answer: int = 0, closed: int = 0
) -> Change:
    """Mark an exchange, one of the last as a rule."""
    said, size = known["said"], _EXCHANGE.size
    for begin in range(len(said) - size, -1, -size):
        at, told, over = _EXCHANGE.unpack_from(said, begin)
        if at == message:
            marked = _EXCHANGE.pack(at, answer or told, closed or over)
            said = said[:begin] + marked + said[begin + size :]
        if at <= message:
            break
    return talk_key(conversation), {**known, "said": said}


def _needed(known: dict[str, Any]) -> dict[str, Any]:
    """Without the exchanges that are summed up and distilled, and at most `TALK_MAX`."""
    done, size = min(known["summed"], known["read"]), _EXCHANGE.size
    said = known["said"]
    begin = next(
        (number for number, (at, _, _) in enumerate(_EXCHANGE.iter_unpack(said)) if at > done),
        len(said) // size,
    )
    return {**known, "said": said[begin * size :][-TALK_MAX * size :]}


def _distilled(entries: Entries, event: Event) -> Iterator[Change]:
    conversation, last = _get(event, "conversation", str), _get(event, "to", int)
    known = None if conversation is None else entries.get(talk_key(conversation))
    if known is None or last is None:
        return
    known = _needed({**known, "read": max(known["read"], min(last, event.position))})
    yield talk_key(str(conversation)), known
    if not Talk(**known).fresh:
        key = restless_key(known["stream"])
        left = [name for name in entries.get(key, ()) if name != conversation]
        yield key, left or None


def _compacted(entries: Entries, event: Event) -> Iterator[Change]:
    """Take a summary up if it builds on the newest that holds; else it is withheld."""
    conversation = _get(event, "conversation", str)
    first, last = _get(event, "from", int), _get(event, "to", int)
    known = None if conversation is None else entries.get(talk_key(conversation))
    if conversation is None or known is None or first is None or last is None:
        yield withheld_key(event.position), event.position
        return
    count = entries.get(summed_key(conversation), 0)
    before = entries[summary_key(count - 1, conversation)][0] if count else None
    if _get(event, "previous", int) != before:
        yield withheld_key(event.position), event.position
        return
    causes = event.envelope.causes
    sources = b"".join(_SOURCE.pack(c.position) for c in causes if c.ledger is None)
    last = min(last, event.position)
    covered = b"".join(
        _EXCHANGE.pack(*said)
        for said in _EXCHANGE.iter_unpack(known["said"])
        if known["summed"] < said[0] <= last
    )
    slot = [event.position, first, last, sources, covered]
    yield summary_key(count, conversation), slot
    yield summed_key(conversation), count + 1
    summed = max(known["summed"], last)
    yield talk_key(conversation), _needed({**known, "summed": summed})
    if not count and conversation not in (names := entries.get("summed", ())):
        yield "summed", [*names, conversation]


def _redacted(entries: Entries, event: Event) -> Iterator[Change]:
    named = event.payload.get("targets")
    targets = {at for at in named if type(at) is int} if type(named) is list else set()
    for conversation in entries.get("summed", ()):
        yield from _cut(entries, conversation, targets)


def _cut(entries: Entries, conversation: str, targets: set[int]) -> Iterator[Change]:
    """Give up the first summary that was made of a target, and all that build on it."""
    count = entries.get(summed_key(conversation), 0)
    slots = [entries[summary_key(number, conversation)] for number in range(count)]
    kept = next(
        (n for n, slot in enumerate(slots) if slot[0] in targets or targets & _positions(slot[3])),
        None,
    )
    if kept is None:
        return
    back: dict[int, tuple[int, ...]] = {}
    for number in range(kept, count):
        position, _, _, _, covered = slots[number]
        yield withheld_key(position), position
        yield summary_key(number, conversation), None
        back |= _by_message(covered)
    yield summed_key(conversation), kept or None
    known = entries.get(talk_key(conversation))
    if known is not None:
        exchanges = sorted((back | _by_message(known["said"])).values())
        said = b"".join(_EXCHANGE.pack(*exchange) for exchange in exchanges)
        summed = max((slot[2] for slot in slots[:kept]), default=0)
        yield talk_key(conversation), _needed({**known, "summed": summed, "said": said})


def _positions(sources: bytes) -> set[int]:
    return {position for (position,) in _SOURCE.iter_unpack(sources)}


def _by_message(said: bytes) -> dict[int, tuple[int, ...]]:
    return {exchange[0]: exchange for exchange in _EXCHANGE.iter_unpack(said)}


def _get(event: Event, name: str, kind: type) -> Any:
    value = event.payload.get(name)
    return value if type(value) is kind else None


_HANDLERS: Final[Mapping[str, Callable[[Entries, Event], Iterable[Change]]]] = {
    types.MESSAGE_RECEIVED.name: _received,
    types.ROUTE_TAKEN.name: _taken,
    types.MESSAGE_SENT.name: _sent,
    types.TURN_FINISHED.name: _closed,
    types.POLICY_DECIDED.name: _closed,
    types.MEMORY_DISTILLED.name: _distilled,
    types.CONTEXT_COMPACTED.name: _compacted,
    types.REDACTED.name: _redacted,
}
