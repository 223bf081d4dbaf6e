"""Mirrors of other agents' ledgers, and who may mirror this one.

What [mesh] of node.toml names, and, where it says so, the fleet: its members may copy this ledger,
are copied (`mirror = ["fleet"]`), and are asked for every ledger. A manifest that comes while the
node runs takes effect at once; the mirror of a member who was taken out of it stays, and ends
growing with the next start.
"""

import asyncio
import io
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final

import structlog

from ledger.core.bundle import Reader
from ledger.core.equivocation import Equivocation, read_equivocation
from ledger.core.errors import TimmyError
from ledger.mirror import MirrorLog
from ledger.release import Release
from mesh.complaints import Complaints
from mesh.core import limits
from mesh.core.fleet.manifest import Fleet, Member
from mesh.core.mirrors.copying import Conflict, Doubt, Head
from mesh.core.nip01 import NostrSigner
from mesh.core.nip98 import Recent
from mesh.core.told import Told
from mesh.mirrors.folder import Folder, MirrorFolder
from mesh.mirrors.leaf_folder import LeafFolder
from mesh.mirrors.mirror import Mirror, misread
from mesh.mirrors.offer import LeafOffer, Offer
from mesh.mirrors.offering import Audience, Offering
from mesh.mirrors.source import Source
from node.fleet.files import fleet_files
from node.fleet.tail import LOOK_PLACES_MAX, addresses, require_newest
from node.fleet.witnessing import Witnessing
from node.open import now_ms
from node.opened import Opened
from node.sections.mesh import FLEET, key_of

_log = structlog.get_logger("node.fleet.mirroring")

_AGAIN_SECONDS: Final = 300.0
"""A bug that is met once is met again; a log that it stands in goes on, perhaps."""

_TOLD_MAX: Final = 4096
"""Faults of sources and refused readers that are remembered as logged: a few for each member."""

KnownFleet = Callable[[], Fleet | None]


@dataclass(slots=True, kw_only=True)
class Mirroring:
    """What one node copies, and what it lets others copy: its own ledger and these mirrors."""

    opened: Opened
    release: Release
    signer: NostrSigner
    witnessing: Witnessing | None
    fleet: KnownFleet
    mirrors: dict[bytes, Mirror[Any]] = field(default_factory=dict)
    recent: Recent = field(default_factory=Recent)
    """The newest request of each who is known: of those for logs, and of gossip."""
    told: Told = field(default_factory=lambda: Told(most=_TOLD_MAX))
    refused: Complaints = field(
        default_factory=lambda: Complaints(log=_log, what="a reader is refused")
    )
    """Of strangers: a flood of them fills this, and hushes up nothing else."""
    _begun: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: tuple[Fleet | None, dict[str, Source]] | None = None
    """Sources, and the fleet that they are of: this is asked for with every answer."""
    _ordered: dict[bytes, dict[str, Source]] = field(default_factory=dict)
    """The same for each ledger, in the order in which they are asked for it."""

    async def run(self) -> None:
        """Keep every mirror, until cancelled. One that ends does not end the others."""
        started: set[bytes] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                self._begun.clear()
                for ledger, mirror in self.kept().items():
                    if ledger not in started:
                        started.add(ledger)
                        group.create_task(_keep(mirror))
                with suppress(TimeoutError):
                    async with asyncio.timeout(limits.MIRROR_POLL_SECONDS):
                        await self._begun.wait()

    def kept(self) -> dict[bytes, Mirror[Any]]:
        """Every mirror, those of a member who just came in too: whoever needs one waits for it."""
        for ledger in self.wanted():
            if ledger not in self.mirrors:
                self.mirrors[ledger] = self._mirror(ledger)
                self._begun.set()
        return self.mirrors

    def wanted(self) -> list[bytes]:
        """The ledgers to copy, our own never among them."""
        named = self.opened.config.mesh.mirror
        found = [bytes.fromhex(ledger) for ledger in named if ledger != FLEET]
        if FLEET in named:
            found += [member.ledger for member in self._members()]
        found += self._leaves()
        return [ledger for ledger in dict.fromkeys(found) if ledger != self._own]

    def _leaves(self) -> list[bytes]:
        """Those of which hashes are kept, and no words."""
        named = map(bytes.fromhex, self.opened.config.mesh.mirror_leaves)
        members = {member.ledger for member in self._members()}
        whole = members if FLEET in self.opened.config.mesh.mirror else set()
        return [ledger for ledger in named if ledger not in whole]

    def copies(self) -> dict[bytes, Mirror[MirrorLog]]:
        """The mirrors that hold words."""
        return {of: one for of, one in self.kept().items() if isinstance(one.folder, MirrorFolder)}

    @property
    def _own(self) -> bytes:
        return self.opened.log.ledger_id

    def _members(self) -> tuple[Member, ...]:
        fleet = self.fleet()
        return () if fleet is None else fleet.manifest.members

    def _manifest(self) -> str | None:
        fleet = self.fleet()
        return None if fleet is None else fleet.manifest.digest.hex()

    def sources(self) -> dict[str, Source]:
        """Who may be asked, by address: those of node.toml first."""
        fleet = self.fleet()
        if self._asked is None or self._asked[0] is not fleet:
            self._asked = fleet, self._named()
            self._ordered.clear()
        return self._asked[1]

    def sources_of(self, ledger_id: bytes) -> dict[str, Source]:
        """The same in the order in which they are asked for one ledger."""
        every = self.sources()
        if ledger_id not in self._ordered:
            config, fleet, own = self.opened.config, self.fleet(), self.signer.pubkey
            named = addresses(config, fleet, own, ledger_id)
            self._ordered[ledger_id] = {url: every[url] for url in named}
        return self._ordered[ledger_id]

    def _near(self) -> int:
        """How many of them are asked at each poll: fewer where there are many mirrors."""
        share = limits.MIRROR_HEADS_MAX // max(1, len(self.mirrors))
        return max(limits.MIRROR_SOURCES_MIN, min(limits.MIRROR_SOURCES_MAX, share))

    def _named(self) -> dict[str, Source]:
        found = addresses(self.opened.config, self.fleet(), self.signer.pubkey)
        return {url: self._source(url, node) for url, node in found.items()}

    def audience(self) -> Audience:
        """Who may copy from here, now."""
        section = self.opened.config.mesh
        fleet = {member.nostr.hex(): member.ledger for member in self._members()}
        return Audience(
            members=frozenset(fleet.keys() | set(map(key_of, section.members))),
            watchers=frozenset(map(key_of, section.watchers)),
            everyone=section.hashes_for_all,
            fleet=fleet,
        )

    def offering(self) -> Offering:
        """The handlers of what is offered."""
        return Offering(
            node=self.signer.pubkey,
            audience=self.audience,
            find=self.find,
            soul=self.soul,
            clock=_now_s,
            manifest=self._manifest,
            recent=self.recent,
            on_refused=self.refused.of,
            on_misread=partial(misread, self.mirrors),
        )

    def find(self, ledger_id: bytes) -> LeafOffer | None:
        """What is offered of a ledger: nothing above the head that was last released."""
        if ledger_id == self._own:
            return Offer(log=self.opened.log, head=lambda: self.release.newest)
        mirror = self.mirrors.get(ledger_id)
        return None if mirror is None else mirror.offer()

    def soul(self, ledger_id: bytes) -> bytes | None:
        """The SOUL.md of a ledger that is offered."""
        home = self.opened.home
        path = home.soul if ledger_id == self._own else self._folder(ledger_id).soul
        return path.read_bytes() if path.exists() else None

    def rows(self) -> list[dict[str, Any]]:
        """How each mirror is."""
        return [mirror.status() for mirror in self.mirrors.values()]

    def _folder(self, ledger_id: bytes) -> MirrorFolder:
        return MirrorFolder(self.opened.home.mirrors / ledger_id.hex(), ledger_id)

    def _source(self, url: str, node: str) -> Source:
        return Source(
            url=url,
            node=node,
            signer=self.signer,
            session=self.opened.session,
            clock=_now_s,
            manifest=self._manifest(),
        )

    def _mirror(self, ledger_id: bytes) -> Mirror[Any]:
        folder: Folder[Any] = self._folder(ledger_id)
        if ledger_id in self._leaves():
            folder = LeafFolder(folder.path.with_name(f"{folder.path.name}-leaves"), ledger_id)
        return Mirror(
            folder=folder,
            sources=partial(self.sources_of, ledger_id),
            near=self._near,
            told=self.told,
            jitter=_jitter(),
            witness=partial(_tell, ledger_id, self.witnessing),
            frozen=partial(_frozen, ledger_id, self.witnessing),
        )


def make_mirroring(
    opened: Opened,
    release: Release,
    signer: NostrSigner,
    witnessing: Witnessing | None,
    fleet: KnownFleet = lambda: None,
) -> Mirroring:
    """Make what node.toml asks for; nothing is opened yet."""
    return Mirroring(
        opened=opened, release=release, signer=signer, witnessing=witnessing, fleet=fleet
    )


async def require_newest_of(opened: Opened) -> None:
    """Raise TailElsewhere if a member or peer has more of this log than lies here."""
    signer = NostrSigner(opened.keys.nostr.secret)
    clock, session = _now_s, opened.session
    fleet, own = fleet_files(opened.home).load(), opened.log.ledger_id
    found = addresses(opened.config, fleet, signer.pubkey, own)
    sources = {
        url: Source(url=url, node=node, signer=signer, session=session, clock=clock)
        for url, node in islice(found.items(), LOOK_PLACES_MAX)
    }
    await require_newest(opened.log, opened.lineage, sources)


async def _keep(mirror: Mirror[Any]) -> None:
    """Run one mirror. A bug that a foreign log brings to light must not end the node."""
    while True:
        try:
            return await mirror.run()
        except Exception:  # noqa: BLE001 - told, kept apart from the node, and tried again
            _log.exception("a mirror fails", ledger=mirror.ledger_id.hex())
            mirror.trouble = "the copying failed: see <home>/logs/node.log"
        await asyncio.sleep(_AGAIN_SECONDS)


async def _tell(ledger_id: bytes, witnessing: Witnessing | None, found: Conflict | Doubt) -> None:
    """Have the witness freeze a log and tell everybody, where two notes prove what it did."""
    if witnessing is None or isinstance(found, Doubt):
        return
    if not found.same_size and found.branches is None:
        return
    proof = Equivocation(
        ledger_id=ledger_id,
        epoch=Head.of_note(found.shown).epoch,
        introduction=found.introduction,
        notes=(found.known, found.shown),
        branches=found.branches,
    )
    try:
        await witnessing.hear(proof.encode())
    except TimmyError as error:  # the mirror has ended all the same, with both notes
        _log.error("the witness does not take the proof", reason=str(error))


def _frozen(ledger_id: bytes, witnessing: Witnessing | None, epoch: int) -> Conflict | None:
    """What is known here, from wherever, to prove two histories of this epoch or a later one."""
    if witnessing is None or witnessing.file.frozen_epoch(ledger_id) < epoch:
        return None
    *_, last = (one for one in witnessing.file.frozen() if one.ledger_id == ledger_id)
    proof = read_equivocation(Reader(io.BytesIO(last.proof)))
    known, shown = proof.notes
    return Conflict(
        known=known, shown=shown, same_size=proof.branches is None,
        introduction=proof.introduction, branches=proof.branches,
    )  # fmt: skip


def _jitter() -> Iterator[float]:
    return iter(random.random, None)


def _now_s() -> int:
    return now_ms() // 1000
