"""Tasks that wait for a member of the fleet that has time: on record here, a word of it in the bus.

    task.WORD     kept: that a task of a giver waits for one that is able to do WORD, or `any`
    given.KEY     live, over a server: who was given such a word asks the giver KEY for the task

The giver's ledger decides who has it, once and for ever (node/nostr/tasking.py `hand`): a word that
the bus gives twice, or that is put twice, finds the task taken. Over a server every member that is
able takes words, each in its time; without one the giver takes its own, and asks the members. What
the bus loses is put again at the giver's next start. Who lies on the bus leads a task to another
agent that the giver's operator named anyway.

Not covered: a task that nobody took in KEPT_SECONDS; `timmy mesh tasks` goes on showing it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol, TypeVar

import msgspec
import structlog

from ledger.core.errors import TimmyError
from ledger.core.event import Event
from mesh.core.errors import BusError
from mesh.fleet.bus import Bus, Delivery, Live, Message

LATER_SECONDS: Final = 15.0
"""After a no the word goes round again: as long as a short answer of a model."""
LEAVE_SECONDS: Final = 1.0
"""The giver's own turn at a word that is for the others."""
PUT_SECONDS: Final = 10.0
PUT_AGAIN_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 10.0
"""For the giver's answer, which is a commit."""

_log = structlog.get_logger("node.fleet.kept_tasks")

_Key = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


_Word = TypeVar("_Word")


def word_in(data: bytes, kind: type[_Word]) -> _Word:
    """Decode what anybody may have said on the bus. Raises MsgspecError, of no UTF-8 as well."""
    try:
        return msgspec.json.decode(data, type=kind)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"text that is no UTF-8: {error}") from error


class _Waiting(msgspec.Struct, forbid_unknown_fields=True):
    """What the bus keeps. `giver`: the Nostr key of who has the task of this id."""

    giver: _Key
    id: _Id


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """`taker`: the Nostr key of who takes the task of this id."""

    taker: _Key
    id: _Id


class _Settled(msgspec.Struct, forbid_unknown_fields=True):
    """Whether nobody needs to ask for it any more; if not, why."""

    settled: bool
    why: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Giver(Protocol):
    """Who records tasks: node/nostr/tasking.py."""

    async def keep(self, word: str, text: str, *, due_at: int) -> Event:
        """Record a task that has no receiver yet."""
        ...

    def kept(self) -> list[Event]:
        """Return the tasks that wait for one."""
        ...

    async def hand(self, id_: str, key: str) -> None:
        """Give a task that waits to an agent; nothing, if it waits no more."""
        ...


class Chooser(Protocol):
    """Who asks members, and says why this node takes nothing now: node/fleet/taking.py."""

    async def find(self, word: str) -> str:
        """Return the key of a member that takes a task now. Raises Refused."""
        ...

    def why_not(self, giver: str) -> str:
        """Say why this node takes no task of a giver now, or nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTasks:
    """Both sides for one node. `run()` it once the node is of a fleet."""

    bus: Bus
    live: Live
    own: str
    """The node's Nostr key in hex."""
    able: tuple[str, ...]
    """Words for which this node takes tasks."""
    giver: Giver
    chooser: Chooser
    later_seconds: float = LATER_SECONDS
    _put: set[str] = field(default_factory=set)
    """Ids of tasks that wait and whose word the bus has, since this start."""
    _taken: set[str] = field(default_factory=set)
    """Words whose tasks are looked at here."""
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def _over_server(self) -> bool:
        return self.live is self.bus

    async def keep(self, word: str, text: str, *, due_at: int) -> Event:
        """Record a task for one that is able to do `word`; the bus has it soon. Raises Refused."""
        event = await self.giver.keep(word, text, due_at=due_at)
        self._more.set()
        return event

    async def run(self) -> None:
        """Put what waits, and take what others put, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._over_server:
                group.create_task(self._give_out())
                for word in self.able:
                    self._begin(group, word)
            while True:
                self._more.clear()
                waiting = self.giver.kept()
                self._put.intersection_update(event.payload["id"] for event in waiting)
                for event in waiting:
                    if not self._over_server:
                        self._begin(group, event.payload["able"])
                    await self._put_word(event)
                try:
                    async with asyncio.timeout(PUT_AGAIN_SECONDS):
                        await self._more.wait()
                except TimeoutError:
                    continue

    def _begin(self, group: asyncio.TaskGroup, word: str) -> None:
        if word not in self._taken:
            self._taken.add(word)
            group.create_task(self._take(word))

    async def _put_word(self, event: Event) -> None:
        id_, word = event.payload["id"], event.payload["able"]
        if id_ in self._put:
            return
        data = msgspec.json.encode(_Waiting(giver=self.own, id=id_))
        try:
            await self.bus.put(f"task.{word}", data, key=id_, seconds=PUT_SECONDS)
        except BusError as error:
            _log.warning("a task waits for the bus", task=event.position, why=str(error)[:200])
            return
        self._put.add(id_)

    # ---- who takes -------------------------------------------------------------------------------

    async def _take(self, word: str) -> None:
        async with self.bus.take(f"task.{word}") as deliveries:
            async for delivery in deliveries:
                try:
                    await self._look(word, delivery)
                except (BusError, msgspec.MsgspecError) as error:
                    _log.debug("a task goes round again", why=str(error)[:200])
                    with suppress(BusError):  # the engine gives it again by itself, later
                        await delivery.nak(self.later_seconds)

    async def _look(self, word: str, delivery: Delivery) -> None:
        try:
            waiting = word_in(delivery.data, _Waiting)
        except msgspec.MsgspecError:
            await delivery.ack()  # it is nothing to anybody
            return
        mine = waiting.giver == self.own
        if await (self._mine(word, waiting.id) if mine else self._theirs(waiting)):
            await delivery.ack()
        else:
            await delivery.nak(LEAVE_SECONDS if mine and self._over_server else self.later_seconds)

    async def _mine(self, word: str, id_: str) -> bool:
        if self._over_server and id_ in self._put:
            return False  # for the others; looked at again when one of them has it
        if all(event.payload["id"] != id_ for event in self.giver.kept()):
            return True
        if self._over_server:
            return False
        try:
            await self.giver.hand(id_, await self.chooser.find(word))
        except TimmyError as error:
            _log.debug("a task waits", id=id_, why=str(error)[:200])
            return False
        return True

    async def _theirs(self, waiting: _Waiting) -> bool:
        if self.chooser.why_not(waiting.giver):
            return False
        wanted = msgspec.json.encode(_Wanted(taker=self.own, id=waiting.id))
        said = await self.live.request(f"given.{waiting.giver}", wanted, seconds=_ASK_SECONDS)
        return word_in(said, _Settled).settled

    # ---- who gives -------------------------------------------------------------------------------

    async def _give_out(self) -> None:
        async with self.live.subscribe(f"given.{self.own}") as inbox:
            async for message in inbox:
                try:
                    await message.reply(msgspec.json.encode(await self._settle(message)))
                except (BusError, msgspec.MsgspecError) as error:
                    _log.debug("a word about a task is passed over", reason=str(error)[:200])

    async def _settle(self, message: Message) -> _Settled:
        wanted = word_in(message.data, _Wanted)
        try:
            await self.giver.hand(wanted.id, wanted.taker)
        except TimmyError as error:
            return _Settled(settled=False, why=str(error)[:200])
        self._more.set()
        return _Settled(settled=True)
