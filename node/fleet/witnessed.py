"""This node's heads, shown to witnesses; and nothing released before one of them has answered.

    start   the last released head is shown; until a witness says that it saw nothing else, the log
            takes events and no new head leaves (docs/adr/0028)
    then    what is new is shown at most once an interval, and their lines are kept with the head
    ever    a witness that saw a larger head, or another history, holds the release again

What it saves is a second history out of an old backup or a copied home: the guard beside them may
be as old as they are, a witness is not. One witness is believed that says no; a lying one costs
releases until the operator takes it out of node.toml, never a false history.
"""

import asyncio
import io
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import structlog

from ledger.core import types
from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.cosignature import Cosignature, cosignatures, log_line
from ledger.core.errors import InvalidNote, Refused
from ledger.core.event import Draft
from ledger.core.limits import NOTE_SIGNATURES_MAX
from ledger.core.lineage import Lineage
from ledger.core.note import NoteSignature
from ledger.files import write_atomically
from ledger.log import Log
from ledger.proof import prove
from ledger.release import Release
from mesh.core.witnesses.asking import Ended, Outcome
from mesh.witnesses.asking import Asked, ask_all
from node.fleet.ed25519 import Ed25519Key
from node.fleet.looking_back import GO_ON, RECOVERED, LookingBack, is_later
from node.fleet.members import FleetNode
from node.home import Home
from node.open import now_ms
from node.sections.witness import WitnessSection, check_witnesses

_WAITING: Final = "no witness has answered since the start"
_SILENT: Final = "no relay and no peer has answered since the start"
_RELAYS: Final = "relays"
PEERS: Final = "peers"
_SHOWN: Final = (_RELAYS, PEERS)
"""Who shows our own signature, in the place of a witness's name."""
_WHO: Final = "see who has to answer: timmy mesh witness"
_VOUCH: Final = "if this is the newest state of this agent, say so: timmy mesh witness vouch"
_RETRY_SECONDS: Final = 2.0
"""First wait while nothing is released; it doubles, up to the next one."""
_RETRY_SECONDS_MAX: Final = 60.0
"""A witness that comes back is noticed within a minute."""
_YOUNG_MS: Final = 3_600_000
_BIRTH_EVENTS_MAX: Final = 64
_UNSURE_SECONDS: Final = 0.5
"""How soon it is looked whether a peer that answered has told all it knows."""
_LOOK_SECONDS: Final = 5.0
"""How late another set of witnesses may be noticed."""
_AGREE_SECONDS: Final = 5.0
"""Who attests waits: a witness that is there takes milliseconds, one that begins some seconds."""
_AGREE_AGAIN_SECONDS: Final = 1.0
_RECORD_EVERY_MS: Final = 3_600_000
"""One event an hour says who cosigned: the file beside it has every newer one."""
_DISAGREEING: Final = frozenset({Outcome.AHEAD, Outcome.DIFFERENT})

_log = structlog.get_logger("node.fleet.witnessed")


@dataclass(slots=True, kw_only=True)
class Witnessed:
    """Shows one log's heads to its witnesses."""

    log: Log
    release: Release
    section: WitnessSection
    configured: Sequence[Asked]
    looking_back: LookingBack
    fleet: FleetNode
    session: aiohttp.ClientSession
    file: Path
    introduction: Callable[[], bytes]
    second_line: Callable[[SignedCheckpoint], NoteSignature]
    """The log's Ed25519 signature under a head."""
    newest: SignedCheckpoint | None = None
    """The newest head that enough witnesses cosigned, their lines under it."""
    ended: dict[str, Ended] = field(default_factory=dict)
    vouched: bool = False
    on_old: Callable[[], None] = lambda: None
    """Told when this may be an old copy of itself: somebody says so, or nobody but the operator
    says that it is none."""
    unsure: Callable[[], str] = lambda: ""
    """Why peers that answer may still have something to say; "" once they had the time."""
    contradiction: str = ""
    """A signed head of this log that is not in it, as relays or peers showed."""
    _waking: bool = False
    """Whether nobody has answered yet, of those who could tell that this is an old copy."""
    _young: bool = False
    """Whether this is the first start of a ledger that was just born: no copy of it has lived."""
    _known: dict[str, int] = field(default_factory=dict)
    _seen: int = 0
    _last_record_ms: int = 0
    _asked_ms: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def asked(self) -> list[Asked]:
        """Those of node.toml, and the fleet's others; each key once."""
        found = {one.witness.public: one for one in self.fleet.witnesses()}
        return list((found | {one.witness.public: one for one in self.configured}).values())

    @property
    def needed(self) -> int:
        """How many must have cosigned what goes out."""
        return max(self.section.needed, self.fleet.needed)

    def begin(self) -> None:
        """Hold the release if anybody is asked; take up the newest cosigned head that is kept."""
        if self.looking_back.asked:
            self.release.hold(_SILENT)
        if self.asked or self.needed:
            self.release.hold(_WAITING)
        self._waking, self._young = bool(self.release.held), _is_young(self.log)
        if why := _on_record(self.log, self.release):
            self.condemn(why)
        with suppress(OSError, InvalidNote):
            self.newest = _kept(self.file.read_bytes(), self.release)

    async def run(self) -> None:
        """Look back first; then ask witnesses, and whoever was silent, until cancelled."""
        await self._look()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again())
            group.create_task(self._ask_on())

    async def _ask_on(self) -> None:
        """Ask witnesses: soon while nothing is released, then when something was said."""
        wait = _RETRY_SECONDS
        while True:
            await self.step()
            if self.release.held:
                await asyncio.sleep(wait)
                wait = min(2 * wait, _RETRY_SECONDS_MAX)
                continue
            wait = _RETRY_SECONDS
            await self._something_new()

    async def _look(self) -> None:
        """Ask relays and peers that were silent whether we are an old copy of ourselves."""
        found = "" if self.contradiction else await self.looking_back.look()
        if found:
            of_relays = any(self.looking_back.said.get(one) for one in self.looking_back.relays)
            await self.contradicted(found, _RELAYS if of_relays else PEERS)

    async def _look_again(self) -> None:
        """Ask on until each has answered; whoever answers first lets go."""
        wait = _RETRY_SECONDS
        while not self.contradiction and (self._waking or self.looking_back.silent):
            if self._waking and self.looking_back.said and not self.asked:
                await asyncio.sleep(_UNSURE_SECONDS)
            else:
                await asyncio.sleep(wait)
                wait = min(2 * wait, _RETRY_SECONDS_MAX)
                await self._look()
            if self._waking:
                await self.step()

    def _heard(self) -> bool:
        """Whether somebody who could know of newer heads has had his say; witnesses apart."""
        looking = self.looking_back
        if not self._waking or self.vouched or self._young:
            return True
        if any(one in looking.said for one in looking.relays):
            return True
        return bool(looking.said or not looking.asked) and not self.unsure()

    async def contradicted(self, why: str, who: str) -> None:
        """Somebody has a signed head that is not here: hold, and have it on record."""
        if self.contradiction:
            return
        _log.error("SOMEBODY HAS A HEAD OF OURS: nothing is released", who=who, why=why)
        self.condemn(why)
        outcome = RECOVERED if is_later(why) else Outcome.AHEAD.value
        payload = {"witness": who, "outcome": outcome, "size": self.release.newest.size}
        await self._append(types.WITNESS_DISAGREED.name, payload)

    def condemn(self, why: str) -> None:
        """Release nothing any more: there is proof that our own key signed something else."""
        self.contradiction = why
        self.release.hold(why)
        self.on_old()

    async def _something_new(self) -> None:
        """Return when other witnesses are to be asked, or the ones before about something new."""
        asked = self.asked
        while self.asked == asked and not (asked and self._is_new()):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await (self.log.grown(self.log.size) if asked else asyncio.sleep(_LOOK_SECONDS))
        interval = self.section.interval_s
        since = (now_ms() - self._asked_ms) / 1000
        await asyncio.sleep(min(max(0.0, interval - since), interval))

    def _is_new(self) -> bool:
        """Whether there are words that too few have seen: who comes back is asked about them."""
        size = self.log.size
        if self._signed_by < self.needed:
            return True
        if any(event.type not in types.HOUSEKEEPING for event in self.log.events(self._seen, size)):
            return True
        self._seen = size
        return False

    async def step(self) -> None:
        """Show the newest head that may leave to every witness, and act on what they say."""
        async with self._lock:
            if self.contradiction:
                return
            if not self.asked and not self.needed:
                if self._heard():
                    self._let_go()
                return
            size, self._asked_ms = self.log.size, now_ms()
            head = await asyncio.to_thread(self.release.head)
            found = await ask_all(
                self.session,
                self.asked,
                head.with_lines([self.second_line(head)]),
                paths=self.log.tree.consistency,
                known=self._known,
                introduction=self.introduction(),
            )
            await self._judge(found)
            enough = sum(len(end.lines) for end in found.values()) >= self.needed
            if not self.release.held and enough:
                self._seen = max(self._seen, min(size, head.size))
            await self._keep(head, found)

    async def _judge(self, found: dict[str, Ended]) -> None:
        """Hold the release if a witness saw something else; let it go if one saw nothing else."""
        before, self.ended = self.ended, found
        against = {name: end for name, end in found.items() if end.outcome in _DISAGREEING}
        if against:
            name, end = next(iter(against.items()))
            self.vouched = False
            self.release.hold(f"witness {name}: {end.reason}")
            self.on_old()
        elif any(end.outcome is Outcome.COSIGNED for end in found.values()) or self.vouched:
            if self.release.held:
                _log.info("released again", witnesses=len(found))
            self._let_go()
        for name, end in against.items():  # held before: what is on record lies above the guard
            if name not in before or before[name].outcome != end.outcome:
                await self._tell(name, end)

    def _let_go(self) -> None:
        if not self.contradiction:  # it may have come while others were asked
            self._waking = False
            self.release.let_go()

    async def _tell(self, name: str, end: Ended) -> None:
        _log.error("A WITNESS SAW ANOTHER HISTORY: nothing is released", witness=name,
                   why=end.reason)  # fmt: skip
        payload = {"witness": name, "outcome": end.outcome.value, "size": end.size}
        await self._append(types.WITNESS_DISAGREED.name, payload)

    async def _keep(self, head: SignedCheckpoint, found: dict[str, Ended]) -> None:
        lines = [line for end in found.values() for line in end.lines]
        if not lines or len(lines) < self.needed:
            return
        room = NOTE_SIGNATURES_MAX - len(head.note.signatures)
        self.newest = head.with_lines(lines[:room])
        data = self.newest.encode()
        try:
            await asyncio.to_thread(write_atomically, self.file, data, mode=0o644)
        except OSError as error:  # a full disk: the next one may find room
            _log.warning("the cosigned head is not kept", reason=str(error))
        if now_ms() - self._last_record_ms >= _RECORD_EVERY_MS:
            self._last_record_ms = now_ms()
            await self._append(types.COSIGNED.name, {"size": head.size, "note": data})

    async def _append(self, kind: str, payload: dict[str, Any]) -> None:
        await self.log.append(Draft(type=kind, stream=types.NODE_STREAM, payload=payload))

    def publishable(self, head: SignedCheckpoint) -> SignedCheckpoint | None:
        """What may go to relays in the place of `head`: with witnesses' lines, if there are any.

        None while fewer than are needed have cosigned anything.
        """
        same = self.newest is not None and self.newest.checkpoint == head.checkpoint
        if self.needed:
            return self.newest if self._signed_by >= self.needed else None
        return self.newest if same else head

    async def agreed(self) -> SignedCheckpoint:
        """Return the newest head that may be shown to the world now.

        Where witnesses are needed they are asked for all there is, for a while; then it is the
        newest that enough of them signed. Raises Refused where there is none, or while a head of
        ours may be out that is not here.
        """
        if not self.needed:
            return await asyncio.to_thread(self.release.head)
        size, ends = self.log.size, time.monotonic() + _AGREE_SECONDS
        await self.step()
        while (head := self._agreed()) is None or head.size < size:
            if time.monotonic() >= ends:
                break
            await asyncio.sleep(_AGREE_AGAIN_SECONDS)
            await self.step()
        if head is None:
            why = self.release.held or f"no head has the {self.needed} cosignatures that it needs"
            raise Refused(f"nothing is attested: {why}", hint=_WHO)
        return head

    def _agreed(self) -> SignedCheckpoint | None:
        return None if self.release.held else self.publishable(self.release.newest)

    @property
    def _signed_by(self) -> int:
        """How many of those asked now signed the newest head that is kept, maybe when fewer had to.

        Their lines were verified when they came.
        """
        keys = {(one.witness.name, one.witness.id) for one in self.asked}
        signed = () if self.newest is None else self.newest.note.signatures
        return len(keys & {(line.name, line.key_id) for line in signed})

    async def vouch(self) -> None:
        """The operator answers in the place of a witness. Raises Refused against one that did."""
        if self.contradiction:
            raise Refused(self.contradiction, hint=self.hint)
        if against := self._against():
            raise Refused(
                f"witness {against[0]} saw something else: {self.ended[against[0]].reason}",
                hint=self.hint,
            )
        if self.release.held:
            self.vouched = True
            self.on_old()  # the operator speaks for the log, and not for what a voter granted
            await self._append(types.WITNESS_VOUCHED.name, {"size": self.release.newest.size})
            self._let_go()

    def _against(self) -> list[str]:
        return [name for name, end in self.ended.items() if end.outcome in _DISAGREEING]

    @property
    def hint(self) -> str:
        """What the operator can do about the hold; "" if there is none."""
        if not self.release.held:
            return ""
        if not self.contradiction and not self._against():
            return _VOUCH
        if is_later(self.contradiction):
            return f"stop the node; {GO_ON}"
        fetch = (
            "stop the node, then fetch what is missing: timmy recover --from-mirror "
            f"{self.looking_back.mirror or 'URL'}; if nobody has it, begin a new epoch: "
            "timmy recover --kit FILE"
        )
        if self.contradiction:
            return fetch
        return f"if {self._against()[0]} lies, take it out of node.toml; else {fetch}"

    async def ask_now(self) -> None:
        """Ask everybody who has not answered, and every witness."""
        await self._look()
        await self.step()

    def cosigners(self) -> list[Cosignature]:
        """Who cosigned the newest head that is kept."""
        if self.newest is None:
            return []
        return cosignatures(self.newest.note, [one.witness for one in self.asked])

    def value(self) -> dict[str, Any] | None:
        """What status and `timmy mesh witness` tell; None if nobody is asked or waited for."""
        if not self.asked and not self.release.held:
            return None
        newest = None if self.newest is None else {
            "size": self.newest.size,
            "witnesses": [
                {"name": one.witness.name, "time_s": one.time_s} for one in self.cosigners()
            ],
        }  # fmt: skip
        return {
            "held": self.release.held,
            "hint": self.hint,
            "others": [
                {"url": one, "said": "nothing yet" if said is None else said or "nothing newer"}
                for one in self.looking_back.asked
                for said in (self.looking_back.said.get(one),)
            ],
            "needed": self.needed,
            "newest": newest,
            "asked": [
                {"name": one.witness.name, "url": one.url, **self._how(one.witness.name)}
                for one in self.asked
            ],
        }

    def _how(self, name: str) -> dict[str, Any]:
        end = self.ended.get(name)
        if end is None:
            return {"outcome": "not asked yet", "reason": "", "size": 0}
        return {"outcome": end.outcome.value, "reason": end.reason, "size": end.size}


def _on_record(log: Log, release: Release) -> str:
    """Say that a signed head of ours that is not here was shown to an earlier run; else "".

    A witness's word is no such proof, and is asked for again.
    """
    for event in log.events(release.newest.size):
        if event.type == types.WITNESS_DISAGREED.name and event.payload["witness"] in _SHOWN:
            return f"event {event.position}: {event.payload['witness']} had a signed head of ours"
    return ""


def _is_young(log: Log) -> bool:
    """Whether a ledger never began, and was born within the hour, by the clock of this machine."""
    if log.size > _BIRTH_EVENTS_MAX or not 0 <= now_ms() - log.read(0).ts_ms <= _YOUNG_MS:
        return False
    return all(event.type != types.NODE_STARTED.name for event in log.events())


def _kept(data: bytes, release: Release) -> SignedCheckpoint | None:
    """Return a kept head, if it is one of this history. Raises InvalidNote."""
    named = open_checkpoint(data, release.signer.public)
    newest = release.newest
    same = named.checkpoint.origin == newest.checkpoint.origin and named.size <= newest.size
    return named if same and release.log.tree.root(named.size) == named.root else None


def make_witnessed(
    home: Home,
    config: WitnessSection,
    log: Log,
    release: Release,
    lineage: Lineage,
    session: aiohttp.ClientSession,
    fleet: FleetNode,
    looking_back: LookingBack,
) -> Witnessed:
    """Make what asks the witnesses of node.toml and fleet; if there are any, nothing is released
    yet.
    """
    keys = check_witnesses(config)
    key = log_ed25519(release)

    def second_line(head: SignedCheckpoint) -> NoteSignature:
        return log_line(head.note.text, head.checkpoint.origin, key.public, key.sign)

    found = Witnessed(
        log=log,
        release=release,
        section=config,
        fleet=fleet,
        looking_back=looking_back,
        configured=[
            Asked(witness=witness, url=one.url)
            for witness, one in zip(keys, config.ask, strict=True)
        ],
        session=session,
        file=home.witnessed,
        introduction=lambda: introduction(log, release.newest, lineage),
        second_line=second_line,
    )
    found.begin()
    return found


def log_ed25519(release: Release) -> Ed25519Key:
    """The Ed25519 key that belongs to the log key in charge."""
    return Ed25519Key.derive(release.signer.secret, "log")


def introduction(log: Log, head: SignedCheckpoint, lineage: Lineage) -> bytes:
    """The file in which this log shows who it is: genesis, every handoff and recovery."""
    file = io.BytesIO()
    also = [tenure.position for tenure in lineage.tenures[1:]]
    prove(log, [head], 0, file, also=also)
    return file.getvalue()
