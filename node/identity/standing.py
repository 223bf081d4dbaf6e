"""Who else stands behind this agent, for the trust graph: witnesses, the fleet, the operator's yes.

Only what verifies here is an edge: a cosignature by a key that a home knows (node.toml, or a
manifest of its fleet) over a head of this history, a chain of manifests from number 0 whose
approvals its voters signed. Of each witness its newest head in each tenure is shown, not every
hour's. Beside what others signed stands what this node signed of others: the heads in its witness'
memory, and what it proved.
"""

from collections.abc import Iterator
from typing import Any, Final

from genesis.core.trust import Builder, Kind
from ledger.core import types
from ledger.core.checkpoint import Checkpoint, open_checkpoint
from ledger.core.cosignature import Witness, cosignatures
from ledger.core.errors import InvalidEvent, InvalidNote, TimmyError
from ledger.core.event import Event
from ledger.core.note import parse_note
from mesh.core.errors import InvalidManifest, ManifestRefused
from mesh.core.fleet.manifest import Fleet, SignedManifest, open_manifest
from mesh.witnesses.witness import WitnessFile
from node import console
from node.config import load
from node.fleet.ed25519 import witness_name
from node.fleet.files import fleet_files
from node.fleet.witnessing import introduce
from node.home import Home
from node.open import Reading
from node.sections.witness import check_witnesses

EVENTS: Final = frozenset(
    kind.name
    for kind in (
        types.COSIGNED, types.APPROVAL_ASKED, types.APPROVAL_ANSWERED, types.WITNESS_PROVED,
    )
)  # fmt: skip
"""What `add_event` takes."""


class Standing:
    """Adds to one graph. `instances` are the ids of tenures, in their order."""

    def __init__(self, built: Builder, opened: Reading, instances: list[str]) -> None:
        self._built = built
        self._opened = opened
        self._instances = instances
        self._chain = list(_chain(opened.home))
        self._witnesses = list(_known(opened.home, self._chain))
        self._heads: dict[tuple[str, int], tuple[int, str, int | None, str]] = {}
        """(witness, tenure) -> size of its newest head, the head's node, and what shows it."""
        self._operator = built.node(
            Kind.OPERATOR, opened.genesis.keys["operator"].hex(), "operator"
        )

    def add_event(self, event: Event, instance: str) -> None:
        """Add what an event of this ledger shows."""
        payload, at = event.payload, event.position
        match event.type:
            case types.COSIGNED.name:
                note = payload.get("note")
                if type(note) is bytes:
                    self._cosigned(note, at, "")
            case types.APPROVAL_ASKED.name:
                asked = self._built.node(Kind.APPROVAL, str(at), f"question {at}")
                self._built.edge(instance, asked, f"asked about {payload.get('name')}", at)
            case types.APPROVAL_ANSWERED.name:
                self._answered(payload, at)
            case types.WITNESS_PROVED.name:
                name = f"{payload['ledger'].hex()}/{payload['epoch']}"
                log = self._built.node(Kind.LOG, name, f"log {name[:16]}")
                self._built.edge(instance, log, "proved two histories of", at)

    def _answered(self, payload: dict[str, Any], at: int) -> None:
        name = str(payload.get("approval"))
        asked = self._built.node(Kind.APPROVAL, name, f"question {name}")
        said = "allowed" if payload.get("allow") else "refused"
        by = payload.get("by")
        if by == "operator":
            self._built.edge(self._operator, asked, said, at)
        else:  # the deadline is nobody: the host said no in nobody's name
            clock = self._built.node(Kind.KEY, f"deadline/{name}", str(by))
            self._built.edge(clock, asked, said, at)

    def add_files(self) -> None:
        """Add what lies beside the ledger: the newest cosigned head, manifests, our own witness."""
        home = self._opened.home
        if home.witnessed.exists():
            self._cosigned(home.witnessed.read_bytes(), None, home.witnessed.name)
        for (witness, _), (_, head, at, where) in sorted(self._heads.items()):
            self._built.edge(witness, head, "cosigned", at, where)
        self._manifests()
        self._witnessing()

    # ---- witnesses -----------------------------------------------------------------------------

    def _cosigned(self, data: bytes, at: int | None, where: str) -> None:
        """Note the lines under a head that verify; nothing of one that is not of this history."""
        lineage, log = self._opened.lineage, self._opened.log
        try:
            note = parse_note(data)
            named = Checkpoint.parse(note.text)
            tenure = lineage.tenure_at(named.epoch, named.size)
            head = open_checkpoint(data, tenure.keys["log"])
            found = cosignatures(note, self._witnesses)
        except (InvalidNote, InvalidEvent):
            return
        ours = named.ledger_id == log.ledger_id and head.size <= log.size
        if not ours or log.tree.root(head.size) != head.root or not found:
            return
        number = lineage.tenures.index(tenure)
        node = self._built.node(
            Kind.HEAD, f"{named.epoch}/{head.size}/{head.root.hex()[:16]}",
            f"head of {head.size} events",
        )  # fmt: skip
        self._built.edge(self._instances[number], node, "signed", at, where)
        for one in found:
            witness = self._built.node(Kind.WITNESS, one.witness.name, one.witness.name)
            before = self._heads.get((witness, number))
            if before is None or before[0] < head.size:
                self._heads[witness, number] = head.size, node, at, where

    def _witnessing(self) -> None:
        """The heads of other logs that this node cosigned."""
        home, own = self._opened.home, self._opened.log.ledger_id
        path = home.state / own.hex() / "witness.db"
        if not path.exists():
            return
        file = WitnessFile(path, introduce)
        try:
            rows = file.latest()
        except TimmyError as error:
            console.say(f"warning: {error}")
            rows = []
        finally:
            file.close()
        for ledger, epoch, seen in rows:
            log = self._built.node(Kind.LOG, f"{ledger.hex()}/{epoch}", f"log {ledger.hex()[:16]}")
            how = f"cosigned a head of {seen.size} events of"
            self._built.edge(self._instances[-1], log, how, None, path.name)

    # ---- the fleet -----------------------------------------------------------------------------

    def _manifests(self) -> None:
        """Who signed and approved each manifest, and whom the newest one names."""
        built, before = self._built, None
        names: dict[bytes, str] = {}
        for one in self._chain:
            now = one.manifest
            label = f"manifest {now.number} of the fleet"
            where = f"fleet/{now.number:06d}.manifest"
            manifest = built.node(Kind.MANIFEST, now.digest.hex(), label)
            operator = built.node(Kind.OPERATOR, now.operator.hex(), "operator of the fleet")
            built.edge(operator, manifest, "signed", None, where)
            if before is not None:
                built.edge(before, manifest, "was followed by", None, where)
            for key, _ in one.approvals:
                voter = built.node(Kind.KEY, key.hex(), names.get(key, "a voter"))
                built.edge(voter, manifest, "approved", None, where)
            names |= {member.nostr: member.name for member in now.members}
            before = manifest
        if before is not None:
            self._members(self._chain[-1], before)

    def _members(self, newest: SignedManifest, manifest: str) -> None:
        where = f"fleet/{newest.manifest.number:06d}.manifest"
        for member in newest.manifest.members:
            node = self._built.node(Kind.MEMBER, member.ledger.hex(), member.name)
            roles = ", ".join(member.roles) or "a member"
            self._built.edge(manifest, node, f"names as {roles}", None, where)
            key = self._built.node(Kind.KEY, member.nostr.hex(), member.name)
            self._built.edge(node, key, "speaks by", None, where)
            if member.witness:
                name = witness_name(member.ledger)
                witness = self._built.node(Kind.WITNESS, name, name)
                self._built.edge(node, witness, "witnesses as", None, where)


def _chain(home: Home) -> Iterator[SignedManifest]:
    """The manifests that are here, as far as each follows on the one before."""
    fleet: Fleet | None = None
    for data in fleet_files(home).chain():
        try:
            one = open_manifest(data)
            fleet = Fleet.begin(one) if fleet is None else fleet.advance(one)
        except (InvalidManifest, ManifestRefused) as error:
            console.say(f"warning: the chain of manifests ends before a file: {error}")
            return
        yield one


def _known(home: Home, chain: list[SignedManifest]) -> Iterator[Witness]:
    """The witnesses whose keys this home has a reason to know; each key once."""
    found = {one.public: one for one in check_witnesses(load(home.config).witness)}
    for signed in chain:
        for member in signed.manifest.witnesses:
            name = witness_name(member.ledger)
            found.setdefault(member.witness, Witness(name=name, public=member.witness))
    yield from found.values()
