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
from node.fleet.looking_back import LookingBack
from node.fleet.members import FleetNode
from node.home import Home
from node.open import now_ms
from node.sections.witness import WitnessSection, check_witnesses

_WAITING: Final = "no witness has answered since the start"
_LOOKING: Final = "relays are asked for newer heads of this log"
_WAYS_ON: Final = "bring the newer state back, or begin a new epoch: timmy recover --kit FILE"
_RETRY_SECONDS: Final = 2.0
"""First wait while nothing is released; it doubles, up to the next one."""
_RETRY_SECONDS_MAX: Final = 60.0
"""A witness that comes back is noticed within a minute."""
_LOOK_SECONDS: Final = 5.0
"""How late another set of witnesses may be noticed."""
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
    contradiction: str = ""
    """A signed head of this log that is not in it, as relays showed."""
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
        if self.looking_back.relays:
            self.release.hold(_LOOKING)
        if self.asked or self.needed:
            self.release.hold(_WAITING)
        with suppress(OSError, InvalidNote):
            self.newest = _kept(self.file.read_bytes(), self.release)

    async def run(self) -> None:
        """Ask until cancelled: soon while nothing is released, then when something was said."""
        wait = _RETRY_SECONDS
        if self.looking_back.relays:
            await self._look_back()
        while True:
            await self.step()
            if self.release.held:
                await asyncio.sleep(wait)
                wait = min(2 * wait, _RETRY_SECONDS_MAX)
                continue
            wait = _RETRY_SECONDS
            await self._something_new()

    async def _look_back(self) -> None:
        """Ask the relays, once, whether we are an old copy of ourselves."""
        found = await self.looking_back.contradiction()
        if found:
            _log.error("RELAYS HAVE A HEAD OF OURS: nothing is released", why=found)
            self.condemn(found)
            payload = {"witness": "relays", "outcome": "ahead", "size": self.release.newest.size}
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
                self.release.let_go()
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
        for name, end in against.items():
            if before.get(name, end).outcome != end.outcome or name not in before:
                await self._tell(name, end)
        if against:
            name, end = next(iter(against.items()))
            self.vouched = False
            self.release.hold(f"witness {name}: {end.reason}")
            self.on_old()
        elif any(end.outcome is Outcome.COSIGNED for end in found.values()) or self.vouched:
            if self.release.held:
                _log.info("released again", witnesses=len(found))
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
            raise Refused(self.contradiction, hint=_WAYS_ON)
        against = [name for name, end in self.ended.items() if end.outcome in _DISAGREEING]
        if against:
            raise Refused(
                f"witness {against[0]} saw something else: {self.ended[against[0]].reason}",
                hint=f"{_WAYS_ON}; a witness that lies is taken out of node.toml",
            )
        if self.release.held:
            self.vouched = True
            self.on_old()  # the operator speaks for the log, and not for what a voter granted
            await self._append(types.WITNESS_VOUCHED.name, {"size": self.release.newest.size})
            self.release.let_go()

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
