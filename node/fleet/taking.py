"""Which member of the fleet takes a task that is for any of them: the bus asks, one offers itself.

    take.WORD          over a server: a queue group of who is able to do WORD; it picks one of them
    take.WORD.KEY      without one: the members are asked one after the other, the idlest first

WORD is a word of `mesh.able`, or `any`. Who offers itself is only *chosen* so: the task is recorded
here and goes to it, sealed, like one that names it (node/nostr/tasking.py). So nothing is lost or
done twice if a member dies in between, and who lies on the bus can only lead a task to an agent
that this node's operator named in `gateways.nostr.agents` anyway.

What nobody takes now may wait for who has time: node/fleet/kept_tasks.py.

Not covered: that who was chosen does the task. `timmy mesh tasks` shows its report.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec
import structlog

from mesh.core.errors import BusError, Refused
from mesh.fleet.bus import Bus, Live, Message, Subscription
from node.fleet.bus import known
from node.fleet.duties import FleetDuty
from node.fleet.kept_tasks import KeptTasks, word_in
from node.fleet.members import FleetNode
from node.nostr.wiring import Post
from runtime.core.turns import Turns

ANY: Final = "any"
GROUP: Final = "takers"
ASK_SECONDS: Final = 5.0
"""For one answer: who has the bus and does not answer in that time has more urgent work."""
TRIES_MAX: Final = 16
"""Of one task: a queue group may pick the same busy member again."""
BUSY_MESSAGES: Final = 8
"""Unanswered messages of a member from which on it takes no more: some minutes of work."""
_WORD_SUBJECT: Final = "take.{}"
_Key = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]

_log = structlog.get_logger("node.fleet.taking")


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """`giver`: the Nostr key of who has a task."""

    giver: _Key


class _Offer(msgspec.Struct, forbid_unknown_fields=True):
    """`taker`: the Nostr key of who answers. `why`: why it does not take it, "" if it does."""

    taker: _Key
    why: Annotated[str, msgspec.Meta(max_length=200)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """Both sides for one node. Run `run()` in a task group of it."""

    bus: Bus
    live: Live
    """What live words go by: the bus itself if it has a server, else HTTP between members."""
    fleet: FleetNode
    is_agent: Callable[[str], bool]
    """Whether tasks go to and come from an agent, by its key in hex."""
    waiting: Callable[[], int]
    """How many messages wait for an answer here."""
    kept: KeptTasks | None = None
    """Tasks for whoever has time, later; None without sealed messages."""

    # ---- who has a task --------------------------------------------------------------------------

    async def find(self, word: str) -> str:
        """Return the key in hex of a member that is `able` to do `word` and takes a task now.

        Raises Refused, which says who was asked and why not; InvalidSubject.
        """
        asked = msgspec.json.encode(_Asked(giver=self.fleet.signer.public.hex()))
        whys: dict[str, str] = {}
        for subject in self._subjects(word):
            try:
                answer = await self.live.request(subject, asked, seconds=ASK_SECONDS)
                offer = word_in(answer, _Offer)
            except (BusError, msgspec.MsgspecError) as error:
                whys[self._name(subject.rpartition(".")[2])] = str(error)[:200]
                continue
            if not offer.why and not self.is_agent(offer.taker):
                offer.why = "not in gateways.nostr.agents here"
            if not offer.why:
                return offer.taker
            whys[self._name(offer.taker)] = offer.why
        told = "; ".join(f"{who}: {why}" for who, why in sorted(whys.items())) or "there is nobody"
        raise Refused(
            f"no member takes it ({word}): {told}"[:1000],
            hint="--wait keeps it for a day; timmy mesh members shows who is able to do what",
        )

    def _subjects(self, word: str) -> list[str]:
        others = [one for one in known(self.fleet).members if one.ledger != self.fleet.own.ledger]
        subject = _WORD_SUBJECT.format(word)
        if self.live is self.bus:
            return [subject] * min(2 * len(others), TRIES_MAX)
        return [
            f"{subject}.{one.nostr.hex()}"
            for one in sorted(others, key=lambda one: (self._load(one.ledger), one.ledger))
        ][:TRIES_MAX]

    def _load(self, ledger: bytes) -> int:
        seen = self.fleet.seen.get(ledger)
        return 1_000_000 if seen is None else seen.load

    def _name(self, key: str) -> str:
        names = {one.nostr.hex(): one.name for one in known(self.fleet).members}
        return names.get(key, key[:16])

    # ---- who takes one ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Offer this node for tasks of the agents that it works for, until cancelled."""
        while self.fleet.fleet is None:
            await self.fleet.settled.wait()
        async with asyncio.TaskGroup() as group:
            if self.kept is not None:
                group.create_task(self.kept.run())
            for word in (ANY, *self.fleet.able):
                group.create_task(self._hear(_WORD_SUBJECT.format(word)))

    async def _hear(self, subject: str) -> None:
        async with self._listening(subject) as inbox:
            async for message in inbox:
                await self._answer(message)

    def _listening(self, subject: str) -> AbstractAsyncContextManager[Subscription]:
        if self.live is self.bus:
            return self.bus.subscribe(subject, group=GROUP)
        return self.live.subscribe(f"{subject}.{self.fleet.signer.public.hex()}")

    async def _answer(self, message: Message) -> None:
        try:
            asked = word_in(message.data, _Asked)
            offer = _Offer(taker=self.fleet.signer.public.hex(), why=self.why_not(asked.giver))
            await message.reply(msgspec.json.encode(offer))
        except (msgspec.MsgspecError, BusError) as error:
            _log.debug("a word about a task is passed over", reason=str(error)[:200])

    def why_not(self, giver: str) -> str:
        """Say why this node takes no task of a giver now, by its key in hex; "" if it takes one."""
        if not self.is_agent(giver):
            return "it does no tasks of this agent"
        if (waiting := self.waiting()) >= BUSY_MESSAGES:
            return f"{waiting} messages wait there"
        return ""


def make_taking(bus: Bus, duty: FleetDuty, fleet: FleetNode, post: Post, turns: Turns) -> Taking:
    """Make both sides. Without sealed messages no task is done here, and none is given."""
    tasking = post.tasking
    taking = Taking(
        bus=bus,
        live=duty.live,
        fleet=fleet,
        is_agent=lambda key: tasking is not None and tasking.is_agent(key),
        waiting=lambda: len(turns.pending),
    )
    if tasking is None:
        return taking
    words = (ANY, *fleet.able)
    own = fleet.signer.public.hex()
    kept = KeptTasks(
        bus=bus, live=duty.live, own=own, able=words, giver=tasking, chooser=taking
    )  # fmt: skip
    return replace(taking, kept=kept)
