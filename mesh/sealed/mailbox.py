"""An agent's sealed messages, through whatever relays: opened as they come, wrapped as they go.

In: everything relays hold for our key is asked for, each event is verified, opened and handed on as
a `Letter`; only when that has been dealt with is it remembered as seen. So what comes between is
handed on twice, and who takes letters knows them again by `Letter.id`.

Out: a wrap for every reader of a message, to the relays he names (kind 10050), and one to our own.
What is random in a wrap is derived from our key and the message, so sending it again is sending
the same event; a relay that takes none of its date gets it with another (`keys_of_wraps`). Who
names no relays is not ready to receive: `NoInbox`, and nothing is sent.

Which event of our log a wrap carried is noted, if there are `wraps`: of what comes, as who takes it
says; of what goes, as who sends it does.

Anybody may send us wraps: each costs two signatures checked and two keys agreed on (about a
millisecond), and a row. What cannot be opened is counted, and logged once a day
of each kind of error; its sender learns nothing.

Not covered: files, reactions; the sender's own copies from other devices.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from ledger.core.event import Cause
from mesh.complaints import Complaints
from mesh.core import envelope, nip04, nip17, nip59
from mesh.core.envelope import Envelope
from mesh.core.errors import InvalidData, InvalidEnvelope, Refused
from mesh.core.nip01 import Event, NostrSigner, VerifiedEvent
from mesh.core.nip59 import Chance, Rumor
from mesh.core.relay.filter import Filter
from mesh.core.relay.kinds import supersedes
from mesh.pool.port import Pool
from mesh.sealed.handled import Handled
from mesh.sealed.wraps import Wraps
from mesh.worker import Worker

_log = structlog.get_logger(__name__)

_SEED: Final = b"timmy/mailbox/chance/v1"
_LIST_SECONDS: Final = 600
"""How long a person's list of relays is believed; one that has none is asked about again sooner."""
_NO_LIST_SECONDS: Final = 60
_LISTS_MAX: Final = 1000


class NoInbox(Refused):
    """A receiver has no kind 10050 list, or none that we found: NIP-17 forbids to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Words to us, and whose they are: his key, in hex.

    `id` names the words, not the event around them: 32 bytes in hex, the same whenever and however
    they come again. `room` holds everybody who can read them. `sealed` is the NIP-59 seal they came
    in, signed by their author; None for a message of an older kind, and for an envelope.
    """

    id: str
    author: str
    text: str
    room: frozenset[str]
    created_at: int
    envelope: Envelope | None = None
    sealed: VerifiedEvent | None = None


def _seed_of(signer: NostrSigner) -> bytes:
    return hmac.digest(signer.secret, _SEED, "sha256")


def keys_of_wraps(signer: NostrSigner) -> Callable[[Event], NostrSigner | None]:
    """Return what finds the key of each gift wrap that the mailbox of `signer` made, or None."""
    return partial(nip59.key_of, _seed_of(signer))


class Mailbox:
    """Sealed messages of `signer`. `relays` are where it takes them; `clock` gives Unix seconds.

    `find` has the pool know where somebody writes, before he is asked where he takes messages.
    """

    def __init__(
        self,
        pool: Pool,
        signer: NostrSigner,
        handled: Handled,
        *,
        relays: Sequence[str],
        clock: Callable[[], int],
        wraps: Wraps | None = None,
        find: Callable[[Collection[str]], Awaitable[None]] | None = None,
    ) -> None:
        self._pool = pool
        self._wraps = wraps
        self._find = find
        self._signer = signer
        self._handled = handled
        self._relays = tuple(relays)
        self._clock = clock
        self._worker = Worker("sealed")
        self._seed = _seed_of(signer)
        self._lists: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._complaints = Complaints(log=_log, what="a sealed message is refused")
        self.opened = 0
        self.refused = 0

    @property
    def pubkey(self) -> str:
        """Our public key in hex."""
        return self._signer.pubkey

    async def announce(self) -> None:
        """Say where we take sealed messages (kind 10050): there, and wherever we publish."""
        try:
            event = nip17.mint_inbox(self._signer, self._relays, now=self._clock())
            for relays in (self._relays, None):
                await self._pool.publish(event, to=relays, droppable=True)
        except Refused as error:
            _log.warning("nobody is told where we take messages", why=str(error))

    async def run(self, take: Callable[[Letter], Awaitable[Cause | None]]) -> None:
        """Hand every letter to `take`, one at a time, until cancelled.

        It returns the event of our log that holds the letter's words, None if none does.
        An error of `take` ends this, and the letter comes again at the next call.
        """
        kinds = frozenset((nip04.KIND, nip59.WRAP_KIND, nip59.LIVE_WRAP_KIND))
        wanted = Filter(kinds=kinds, tags=(("p", frozenset((self.pubkey,))),))
        known = await self._worker.submit(self._handled.known)
        async with self._pool.subscribe([wanted], at=self._relays, known=known) as events:
            async for event in events:
                letter = self.open(event)
                held_by = None if letter is None else await take(letter)
                if held_by is not None and self._wraps is not None:
                    await self._wraps.came(held_by, event.id)
                if event.kind != nip59.LIVE_WRAP_KIND:  # no relay hands it over a second time
                    add = partial(self._handled.add, event.created_at, event.id)
                    await self._worker.submit(add)
                await asyncio.sleep(0)  # a flood of wraps must not hold up everything else

    def open(self, event: VerifiedEvent) -> Letter | None:
        """Return what an event says to us; None for what cannot be opened, or is our own copy."""
        try:
            letter = self._legacy(event) if event.kind == nip04.KIND else self._sealed(event)
        except InvalidData as error:
            self.refused += 1  # whose it is nobody can tell: each kind is told of once
            why = str(error).partition(":")[0]  # behind it a decoder may quote what was sealed
            self._complaints.of("", why, kind=type(error).__name__, event_id=event.id)
            return None
        if letter is None or letter.author == self.pubkey:
            return None
        self.opened += 1
        return letter

    def _legacy(self, event: VerifiedEvent) -> Letter:
        return Letter(
            id=event.id,
            author=event.pubkey,
            text=nip04.open_legacy(event, self._signer),
            room=frozenset((event.pubkey, self.pubkey)),
            created_at=event.created_at,
        )

    def _sealed(self, event: VerifiedEvent) -> Letter | None:
        opened = nip59.open_wrap(event, self._signer)
        if opened.rumor.kind == envelope.CARRIER_KIND:
            return self._enveloped(opened.rumor)
        message = nip17.read(opened)
        if message is None:
            return None
        return Letter(
            id=message.id,
            author=message.author,
            text=message.text,
            room=message.room,
            created_at=message.created_at,
            sealed=opened.sealed,
        )

    def _enveloped(self, rumor: Rumor) -> Letter:
        """Take an envelope that is for us, whoever brought it: its signature says whose it is."""
        found = envelope.parse(rumor.content)
        if found.payload.to != self.pubkey:
            raise InvalidEnvelope(f"an envelope for {found.payload.to}")
        return Letter(
            id=envelope.name_of(found),
            author=found.node_id,
            text=found.payload.text,
            room=frozenset((found.node_id, self.pubkey)),
            created_at=found.payload.sent_at,
            envelope=found,
        )

    async def send(self, rumor: Rumor, *, event: Cause | None = None) -> tuple[str, ...]:
        """Queue a message of ours for all its readers; durable when this returns.

        `event` is the one of our log whose words it carries: if they are erased, nothing is sent.
        Returns the relays that will be told. Raises NoInbox, then nothing was sent; TooLong,
        UnsafeToMint; QueueFull and StoreError of the pool, then calling again completes it.
        """
        ways = {who: await self._way_to(who) for who in nip17.readers(rumor)}
        made = [(self._wrapped(rumor, who), relays) for who, relays in ways.items()]
        told: list[str] = []
        async with self._sending(event, [wrap.id for wrap, _ in made]) as stands:
            for wrap, relays in made if stands else ():
                told += (await self._pool.publish(wrap, to=relays)).relays
        return tuple(dict.fromkeys(told))

    def _wrapped(self, rumor: Rumor, who: str) -> VerifiedEvent:
        chance = Chance.derived(self._seed, bytes.fromhex(rumor.id) + bytes.fromhex(who))
        return nip59.wrap(rumor, self._signer, who, chance, now=rumor.created_at)

    def _sending(
        self, event: Cause | None, wraps: Sequence[str]
    ) -> AbstractAsyncContextManager[bool]:
        if event is None or self._wraps is None:
            return nullcontext(enter_result=True)
        return self._wraps.sending(event, wraps)

    async def _way_to(self, pubkey: str) -> tuple[str, ...]:
        if pubkey == self.pubkey:
            return self._relays
        relays = await self.inbox_of(pubkey)
        if not relays:
            raise NoInbox(
                f"{pubkey} names no relays for sealed messages (kind 10050)",
                hint="a client for NIP-17 messages publishes them, once it is asked to",
            )
        return relays

    async def inbox_of(self, pubkey: str) -> tuple[str, ...]:
        """Return the relays that a person names for sealed messages; none if none are found."""
        until, relays = self._lists.get(pubkey, (0, ()))
        if self._clock() < until:
            return relays
        if self._find is not None:
            await self._find((pubkey,))
        wanted = Filter(kinds=frozenset((nip17.INBOX_KIND,)), authors=frozenset((pubkey,)), limit=1)
        found = [*(await self._pool.fetch([wanted])).events]
        found += (await self._pool.fetch([wanted], at=self._relays)).events
        newest: VerifiedEvent | None = None
        for event in found:
            key = (event.created_at, event.id)
            if newest is None or supersedes(key, (newest.created_at, newest.id)):
                newest = event
        relays = () if newest is None else nip17.inbox_relays(newest)
        if len(self._lists) >= _LISTS_MAX:
            self._lists.clear()
        seconds = _LIST_SECONDS if relays else _NO_LIST_SECONDS
        self._lists[pubkey] = (self._clock() + seconds, relays)
        return relays

    async def close(self) -> None:
        """Close what remembers."""
        await self._worker.close(self._handled.close)
