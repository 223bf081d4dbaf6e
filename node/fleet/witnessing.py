"""This node as a witness of other logs: it cosigns what goes on, and tells of two histories.

The keys of a log are learnt from the file in which it shows who it is; which logs are witnessed at
all is node.toml's to say. A proof that one signed two histories is taken for every log that this
node follows, a witness or not: it is kept, recorded in this ledger, sent to the fleet, published
under this node's own key, where the culprit cannot have it deleted, and written to a file for
people. The file comes last: where it lies, everybody was told.

Proofs come from strangers. What is cheap is asked first (whose log, is it known already), one is
verified at a time, and after a false one nothing is verified for a moment: a flood costs a few
milliseconds in each.
"""

import asyncio
import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from attest.verify.bundle import verify_bundle
from attest.verify.report import DIVERGED
from ledger.core import types
from ledger.core.bundle import Reader
from ledger.core.checkpoint import Checkpoint
from ledger.core.cosignature import Witness
from ledger.core.equivocation import Equivocation, read_equivocation
from ledger.core.errors import InvalidBundle
from ledger.core.errors import InvalidData as InvalidLedgerData
from ledger.core.event import Draft
from ledger.core.lineage import Lineage
from ledger.core.note import parse_note
from ledger.files import write_atomically
from ledger.log import Log
from mesh.core.errors import InvalidIntroduction, InvalidRequest, Refused
from mesh.core.fleet.manifest import WITNESS
from mesh.core.nip01 import NostrSigner
from mesh.core.witnesses.add_checkpoint import AddCheckpoint
from mesh.core.witnesses.witness import Answer
from mesh.pool.port import Pool, QueueFull
from mesh.relay.server import Relay
from mesh.witnesses.equivocations import mint_equivocation
from mesh.witnesses.witness import INTRODUCTION_BYTES_MAX, Cosigner, Frozen, Reply, WitnessFile
from node.fleet.ed25519 import Ed25519Key, witness_name
from node.fleet.members import FleetNode
from node.home import Home
from node.open import now_ms
from node.sections.witness import WitnessSection

PROOF_BYTES_MAX: Final = INTRODUCTION_BYTES_MAX + 32 * 1024
"""An introduction, two notes with the lines of many witnesses, two paths."""
_PAUSE_SECONDS: Final = 0.5
"""After a false proof: verifying one takes a few milliseconds, so a flood takes a hundredth."""
_WAITING_MAX: Final = 4
"""Proofs of strangers that wait to be verified; who brings more is told to come again. What relays,
peers and mirrors bring waits behind no more than these."""
_FALSE_MAX: Final = 4096
"""Digests of false proofs that are remembered: what comes again from each relay is not verified
again."""

_log = structlog.get_logger("node.fleet.witnessing")


class TooManyProofs(Refused):
    """Others are being verified."""


def introduce(data: bytes) -> Lineage:
    """Verify a file in which a log shows who it is. Raises InvalidIntroduction."""
    report = verify_bundle(io.BytesIO(data), None)
    if not report.good or report.lineage is None or report.purpose != "proof":
        text = report.lines[-1][1] if report.lines else "it is empty"
        raise InvalidIntroduction(f"not an introduction: {text}")
    return report.lineage


def witness_of(ledger_id: bytes, nostr_secret: bytes) -> tuple[Witness, Ed25519Key]:
    """Return under which name and key the node of a ledger cosigns."""
    key = Ed25519Key.derive(nostr_secret, "witness")
    return Witness(name=witness_name(ledger_id), public=key.public), key


@dataclass(slots=True, kw_only=True)
class Witnessing:
    """Cosigns for other logs, and tells what it finds."""

    log: Log
    file: WitnessFile
    cosigner: Cosigner
    admits: Callable[[bytes], bool]
    on: Callable[[], bool]
    """Whether this node is a witness at all."""
    signer: NostrSigner
    relay: Relay | None
    pool: Pool
    fleet: FleetNode
    home: Home
    also_follows: Callable[[bytes], bool] = lambda _: False
    """Whether this node copies a log that it does not witness."""
    on_own: Callable[[int], None] = lambda _: None
    """Told of which epoch, when the log with two histories is our own."""
    on_doubt: Callable[[bytes], None] = lambda _: None
    """Told of a signed head that was not shown to continue the one before: no proof yet."""
    pause_s: float = _PAUSE_SECONDS
    false: int = 0
    """Files that proved nothing, each counted once, since the start."""
    _told: set[tuple[bytes, int]] = field(default_factory=set)
    _verifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One file of a stranger at a time: the threads are there for the node's own work, too."""
    _false: "OrderedDict[bytes, None]" = field(default_factory=OrderedDict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: int = 0

    def follows(self, ledger_id: bytes) -> bool:
        """Whether a proof about this log is anything to us: ours, witnessed here, or copied."""
        return (
            ledger_id == self.log.ledger_id
            or self.admits(ledger_id)
            or self.also_follows(ledger_id)
        )

    async def add_checkpoint(self, data: bytes) -> Reply:
        """Answer a head of another log; tell of a conflict that it proves. Raises StoreError."""
        reply = await asyncio.to_thread(self.cosigner.answer, data)
        if reply.frozen is not None:
            await self._tell(reply.frozen)
        elif reply.verdict.answer is Answer.INCONSISTENT:
            self.on_doubt(AddCheckpoint.parse(data).note)
        return reply

    async def introduction(self, ledger_id: bytes, data: bytes) -> Lineage:
        """Take who a log is. Raises InvalidIntroduction, or Refused for one not witnessed here."""
        if not self.admits(ledger_id):
            raise Refused(
                f"ledger {ledger_id.hex()} is not witnessed here",
                hint="its id belongs into witness.logs of this node's node.toml",
            )
        async with self._verifying:
            return await asyncio.to_thread(self.file.introduce, ledger_id, data)

    async def hear(self, data: bytes) -> Frozen:
        """Take a proof that somebody else found; freeze that log here.

        Raises InvalidRequest, or Refused for a log that is nothing to us: of those anybody can make
        as many as he likes.
        """
        known = await self._glance(data)
        if known is not None:
            return known
        async with self._turn:
            frozen = await self._glance(data) or await self._verify(data)
        await self._tell(frozen)
        return frozen

    async def hear_stranger(self, data: bytes) -> Frozen:
        """The same, of anybody at the door. Raises TooManyProofs beside."""
        if self._waiting >= _WAITING_MAX:
            raise TooManyProofs(f"{self._waiting} proofs wait to be verified", hint="come again")
        self._waiting += 1
        try:
            return await self.hear(data)
        finally:
            self._waiting -= 1

    async def _glance(self, data: bytes) -> Frozen | None:
        """What costs nothing to see: is it small, of a log of ours, new? Else as `hear` raises."""
        if len(data) > PROOF_BYTES_MAX:
            raise InvalidRequest(f"a proof of {len(data)} bytes, at most {PROOF_BYTES_MAX}")
        if hashlib.sha256(data).digest() in self._false:
            raise InvalidRequest("no proof of equivocation: it was verified before")
        try:
            header = Reader(io.BytesIO(data)).header
        except InvalidLedgerData as error:
            raise InvalidRequest(f"no proof of equivocation: {error}") from error
        if not self.follows(header.ledger_id):
            raise Refused(
                f"ledger {header.ledger_id.hex()} is not witnessed here",
                hint="keep the file: timmy verify says DIVERGED of it to anybody",
            )
        place = (header.ledger_id, header.epoch)
        known = await asyncio.to_thread(self.file.frozen)
        return next((one for one in known if (one.ledger_id, one.epoch) == place), None)

    async def _verify(self, data: bytes) -> Frozen:
        """Verify a file and keep what it proves; wait a moment if it is false."""
        try:
            async with self._verifying:
                proof = await asyncio.to_thread(_verified, data)
        except InvalidRequest:
            self.false += 1
            self._false[hashlib.sha256(data).digest()] = None
            if len(self._false) > _FALSE_MAX:
                self._false.popitem(last=False)
            await asyncio.sleep(self.pause_s)
            raise
        return await asyncio.to_thread(self.file.freeze, proof)

    async def tell_again(self) -> None:
        """Tell what was found before a crash, and hold the release if it is about ourselves."""
        for frozen in self.file.frozen():
            await self._tell(frozen)

    def path_of(self, frozen: Frozen) -> Path:
        """The file for people."""
        return self.home.diverged / f"{frozen.ledger_id.hex()}-{frozen.epoch}.proof"

    async def _tell(self, frozen: Frozen) -> None:
        """Be loud about a conflict, once."""
        place = (frozen.ledger_id, frozen.epoch)
        if place in self._told:
            return
        self._told.add(place)
        try:
            await self._tell_all(frozen)
        except BaseException:
            self._told.discard(place)  # a full disk: it is told again
            raise

    async def _tell_all(self, frozen: Frozen) -> None:
        ledger, size = frozen.ledger_id.hex(), _size(frozen)
        if frozen.ledger_id == self.log.ledger_id:
            self.on_own(frozen.epoch)
        path = self.path_of(frozen)
        if path.exists():
            return
        _log.error("A LOG SIGNED TWO HISTORIES", ledger=ledger, epoch=frozen.epoch, size=size)
        await self.log.append(
            Draft(
                type=types.WITNESS_PROVED.name,
                stream=types.NODE_STREAM,
                payload={
                    "ledger": frozen.ledger_id,
                    "epoch": frozen.epoch,
                    "size": size,
                    "sha256": frozen.digest,
                },
                idempotency_key=hashlib.sha256(b"witness.proved" + frozen.digest).digest()[:16],
            )
        )
        await self._publish(frozen, size)
        await self.fleet.tell_all("/witness/equivocation", frozen.proof)
        await asyncio.to_thread(self._write, path, frozen.proof)

    def _write(self, path: Path, proof: bytes) -> None:
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomically(path, proof, mode=0o644)
        except OSError as error:  # a full disk: it is told again at the next start
            _log.warning("the proof is not written", path=str(path), reason=str(error))

    async def _publish(self, frozen: Frozen, size: int) -> None:
        ledger = frozen.ledger_id.hex()
        try:
            event = mint_equivocation(
                self.signer, frozen.proof, ledger=ledger, size=size, now=now_ms() // 1000
            )
        except Refused as error:
            _log.warning("the proof is too long for relays", reason=str(error))
            return
        if self.relay is not None:
            await self.relay.publish(event)
        with suppress(QueueFull):  # the pool says so; who asks this witness is given the proof
            await self.pool.publish(event, item=f"equivocation/{ledger}/{size}")

    def diverged(self) -> list[dict[str, Any]]:
        """The logs that are known to have signed two histories."""
        return [
            {
                "ledger": one.ledger_id,
                "epoch": one.epoch,
                "sha256": one.digest,
                "own": one.ledger_id == self.log.ledger_id,
                "file": str(self.path_of(one)),
            }
            for one in self.file.frozen()
        ]

    def value(self) -> dict[str, Any]:
        """What status and `timmy mesh witness` tell."""
        return {
            "key": self.cosigner.witness.encode(),
            "logs": [
                {"ledger": ledger, "epoch": epoch, "size": seen.size}
                for ledger, epoch, seen in self.file.latest()
            ],
            "frozen": [
                {"ledger": one.ledger_id, "epoch": one.epoch, "sha256": one.digest}
                for one in self.file.frozen()
            ],
        }


def _verified(data: bytes) -> Equivocation:
    report = verify_bundle(io.BytesIO(data), None)
    if report.verdict != DIVERGED or report.purpose != "equivocation":
        raise InvalidRequest(f"no proof of equivocation: {report.verdict}: {report.lines[-1][1]}")
    try:
        return read_equivocation(Reader(io.BytesIO(data)))
    except InvalidBundle as error:
        raise InvalidRequest(str(error)) from error


def _size(frozen: Frozen) -> int:
    """The larger size of the two heads."""
    proof = read_equivocation(Reader(io.BytesIO(frozen.proof)))
    return max(Checkpoint.parse(parse_note(note).text).size for note in proof.notes)


def make_witnessing(
    home: Home,
    section: WitnessSection,
    log: Log,
    signer: NostrSigner,
    nostr_secret: bytes,
    relay: Relay | None,
    pool: Pool,
    fleet: FleetNode,
) -> Witnessing:
    """Make this node able to be a witness; it is one if node.toml or its fleet says so."""
    admitted = {bytes.fromhex(one) for one in section.logs}

    def admits(ledger_id: bytes) -> bool:
        return ledger_id in admitted or fleet.is_member(ledger_id)

    def on() -> bool:
        own = fleet.membership
        return section.enabled or (own is not None and WITNESS in own.roles)

    # Beside the guard: a home from a backup must not bring an older memory along.
    path = home.state / log.ledger_id.hex() / "witness.db"
    file = WitnessFile(path, introduce, admits=admits)
    witness, key = witness_of(log.ledger_id, nostr_secret)
    return Witnessing(
        log=log,
        file=file,
        cosigner=Cosigner(
            file=file, witness=witness, sign=key.sign, clock=lambda: now_ms() // 1000
        ),
        admits=admits,
        on=on,
        fleet=fleet,
        home=home,
        signer=signer,
        relay=relay,
        pool=pool,
    )
