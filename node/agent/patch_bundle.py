"""A proposal as one file, from which another home reaches the same verdict with nothing else.

    a proof of the proposal's event (docs/spec/bundle.md), which `timmy verify` checks as any other;
    beside it, each proven under the same head:
        the newest events below the head that the verdict names, as the judge was given them
        the consistency of that head with the one that is signed
    and attached, for whoever judges:
        "patch"       size and root of the verdict's head, where its events begin, envelopes
        "patch-file"  one file of the architecture before, and whether it folds the ledger

Before the owner has judged there is no seed to reveal: then the file holds the proposal, the
commitment in its event and the architecture, and can be read and not judged.

Everything is derived anew when it is read: who signs the head, that the events are under it, the
root of the files, the diff of the document, what it makes of them, the seed that the verdict
reveals from the commitment in the proposal.

Not covered: events of before the first one, which the owner keeps to himself; and that he drew the
seed by chance, and not until he liked it (docs/THREATS.md).
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, Final

from attest.verify.bundle import verify_bundle
from genesis.core.architecture import Architecture
from genesis.core.constitution import Software
from genesis.core.errors import GenesisError, InvalidVerdict
from genesis.core.granting import Proposed
from genesis.core.limits import SIGNATURES_MAX, TREE_BYTES_MAX, VERDICT_BYTES_MAX
from genesis.core.patch import PatchClass
from genesis.core.proposal import Proposal, parse_proposal, weigh
from genesis.core.verdict import SignedVerdict, verify_envelope
from ledger.core.bundle import Attachment, Consistency, Reader, SignedHead
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint
from ledger.core.errors import InvalidData, Refused
from ledger.core.event import Event, Record
from ledger.core.merkle import verify_consistency
from ledger.core.note import parse_note
from ledger.core.upcast import UPCASTERS
from ledger.log import Log
from ledger.proof import prove
from node.agent.approval import proposed_of
from node.agent.architecture import pinned_manifest, present_software

FACTS: Final = "patch"
FILE: Final = "patch-file"
FILES_MAX: Final = 1_024
"""Of an architecture: 256 of the tree, 200 skills, 64 skins, and the reducers."""
ENVELOPES_MAX: Final = SIGNATURES_MAX
"""Verdicts of one proposal that travel with it."""
BUNDLE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Eight of events, as many of files, proofs of four thousand events: half of it."""
_HINT: Final = "have it exported again: timmy patch export EVENT FILE"


class InvalidPatchBundle(GenesisError):
    """A file that does not hold a proposal, or not what it says it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What goes into a bundle beside the ledger's own. `first`, `size`: of the judged events.

    `envelopes` are of verdicts, the owner's first; none before he has judged.
    """

    files: Mapping[str, bytes]
    reducers: frozenset[str]
    envelopes: Sequence[bytes] = ()
    first: int = 0
    size: int = 0
    root: bytes = b""
    words: bool = True


def write_patch_bundle(
    log: Log,
    head: SignedCheckpoint,
    position: int,
    carried: Carried,
    file: BinaryIO,
    *,
    lineage: Iterable[int],
    withheld: Iterable[int],
) -> None:
    """Write a bundle of the proposal at `position` under the released `head`.

    `lineage` are the positions of the records that say whose keys sign; content of the events in
    `withheld` stays here. Raises Refused if no released head covers what is needed.
    """
    facts = {
        "version": 1,
        "first": carried.first,
        "size": carried.size,
        "root": carried.root,
        "words": carried.words,
        "envelopes": list(carried.envelopes),
    }
    attachments = [Attachment(name=FACTS, value=facts)]
    for path, data in carried.files.items():
        value = {"path": path, "data": data, "reducer": path in carried.reducers}
        attachments.append(Attachment(name=FILE, value=value))
    judged = range(carried.first, carried.size)
    prove(
        log,
        [head],
        position,
        file,
        also=[*lineage, *judged],
        attachments=attachments,
        without=frozenset(withheld) - {position},
        since=[carried.size] if carried.size else (),
    )


@dataclass(frozen=True, kw_only=True)
class PatchBundle:
    """A bundle that was read: what it says is proven under a head of the ledger it names."""

    event: Event
    ledger: bytes
    name: str
    judges: frozenset[bytes]
    """The log keys of the ledger it is of."""
    head: Checkpoint
    base: Architecture
    carried: Carried
    events: tuple[Event, ...]
    """Those that were judged, oldest first, as this version reads them."""

    @cached_property
    def proposal(self) -> Proposal:
        """The document. Raises InvalidPatch."""
        return parse_proposal(str((self.event.content or {})["document"]).encode())

    @cached_property
    def software(self) -> Software | None:
        """What a constitutional proposal would change, if it is what lies here; else None.

        A bundle does not carry it. Raises InvalidPatchBundle for a change of another version.
        """
        if self.proposal.front.patch_class is not PatchClass.CONSTITUTIONAL:
            return None
        here = present_software()
        folds = all(here.get(path) == self.base[path] for path in self.base.reducers)
        if not folds or self.event.payload.get("pinned") != pinned_manifest().root:
            raise InvalidPatchBundle(
                "it is a change of another version of this software than the one that is here",
                hint="judge it with the version that its owner has",
            )
        return here

    @property
    def proposed(self) -> Proposed:
        """What verdicts must be about."""
        return proposed_of(self.ledger, self.event)

    @cached_property
    def owner(self) -> SignedVerdict | None:
        """The owner's verdict, of this proposal and at the head that is proven; None without."""
        return next((one for one, why in self.own if why is None), None)

    @cached_property
    def own(self) -> list[tuple[SignedVerdict, str | None]]:
        """The owner's verdicts, each with why it is not of this proposal and head, or None."""
        found = []
        for envelope in self.carried.envelopes:
            try:
                one = verify_envelope(envelope, trusted=self.judges)
            except InvalidVerdict:
                continue
            inputs = one.verdict.findings.inputs
            there = (inputs.head_size, inputs.head_root) == (self.carried.size, self.carried.root)
            found.append((one, self.proposed.unlike(inputs) if there else "its head is another"))
        return found


def read_patch_bundle(data: bytes) -> PatchBundle:
    """Read and check a bundle. Raises InvalidPatchBundle, Refused for what is no proposal."""
    if len(data) > BUNDLE_BYTES_MAX:
        raise InvalidPatchBundle(f"{len(data)} bytes, at most {BUNDLE_BYTES_MAX}", hint=_HINT)
    report = verify_bundle(io.BytesIO(data), None)
    if not report.good or report.purpose != "proof" or report.event is None:
        told = dict(report.lines).get("failing link", f"it is a bundle for {report.purpose}")
        raise InvalidPatchBundle(f"{report.verdict}: {told}", hint=_HINT)
    try:
        parts = _Parts.of(data)
        carried = _carried(parts)
        base = Architecture(carried.files, carried.reducers)
        head = _newest(parts)
        events = _judged(parts, carried, head)
        assert report.lineage is not None
        found = PatchBundle(
            event=report.event,
            ledger=report.lineage.ledger_id,
            name=report.lineage.genesis.name,
            judges=frozenset(one.keys["log"] for one in report.lineage.tenures),
            head=head,
            base=base,
            carried=carried,
            events=events,
        )
        _check(found)
    except InvalidPatchBundle:
        raise
    except (InvalidData, GenesisError, KeyError, TypeError) as error:
        raise InvalidPatchBundle(f"the bundle does not hold together: {error}", hint=_HINT) from (
            error
        )
    return found


@dataclass(slots=True)
class _Parts:
    """The records that the verifier of proofs has no use for, and the events."""

    events: dict[int, Event]
    consistencies: dict[tuple[int, int], tuple[bytes, ...]]
    heads: list[bytes]
    facts: list[Any]
    files: list[Any]

    @classmethod
    def of(cls, data: bytes) -> "_Parts":
        parts = cls({}, {}, [], [], [])
        for item in Reader(io.BytesIO(data)):
            match item:
                case Record():
                    parts.events[item.position] = Event.open(item)
                case Consistency():
                    parts.consistencies[item.size1, item.size2] = item.path
                case SignedHead():
                    parts.heads.append(item.note)
                case Attachment(name=name) if name == FACTS:
                    parts.facts.append(item.value)
                case Attachment(name=name) if name == FILE:
                    parts.files.append(item.value)
        return parts


def _carried(parts: _Parts) -> Carried:
    _need(len(parts.facts) == 1, f"{len(parts.facts)} attachments {FACTS!r}, one is needed")
    facts = _fields(
        parts.facts[0], version=int, first=int, size=int, root=bytes, words=bool, envelopes=list
    )
    _need(facts["version"] == 1, f"version {facts['version']}, expected 1")
    envelopes = facts["envelopes"]
    _need(len(envelopes) <= ENVELOPES_MAX, f"{len(envelopes)} verdicts, at most {ENVELOPES_MAX}")
    for one in envelopes:
        _need(type(one) is bytes and len(one) <= VERDICT_BYTES_MAX, "a verdict is no envelope")
    _need(len(parts.files) <= FILES_MAX, f"{len(parts.files)} files, at most {FILES_MAX}")
    rows = [_fields(one, path=str, data=bytes, reducer=bool) for one in parts.files]
    files = {row["path"]: row["data"] for row in rows}
    _need(len(files) == len(rows), "a file is there twice")
    _need(sum(map(len, files.values())) <= 2 * TREE_BYTES_MAX, "the files are too large")
    return Carried(
        files=files,
        reducers=frozenset(row["path"] for row in rows if row["reducer"]),
        envelopes=tuple(envelopes),
        first=facts["first"],
        size=facts["size"],
        root=facts["root"],
        words=facts["words"],
    )


def _newest(parts: _Parts) -> Checkpoint:
    """The head under which all is proven: the verifier opened it, here it is only parsed."""
    _need(len(parts.heads) == 1, f"{len(parts.heads)} heads, one is needed")
    return Checkpoint.parse(parse_note(parts.heads[0]).text)


def _judged(parts: _Parts, carried: Carried, head: Checkpoint) -> tuple[Event, ...]:
    """The events of the verdict's head, each there, and that head one of this history."""
    if not carried.envelopes:
        return ()
    size = carried.size
    _need(0 <= carried.first < size <= head.size, f"events {carried.first} to {size} are none")
    path = parts.consistencies.get((size, head.size), ())
    verify_consistency(size, head.size, path, carried.root, head.root)
    missing = [at for at in range(carried.first, size) if at not in parts.events]
    _need(not missing, f"event {missing[0] if missing else 0} of those that were judged is missing")
    return tuple(UPCASTERS.read(parts.events[at]).event for at in range(carried.first, size))


def _check(found: PatchBundle) -> None:
    """What the proposal says of itself is what its document makes of these files."""
    proposed, payload = found.proposed, found.event.payload
    content = found.event.content or {}
    _need("document" in content, "the proposal's document is not here: redacted, or left out")
    weighed = weigh(found.proposal, found.base, found.software)
    for name, value in (
        ("base", found.base.root),
        ("root", weighed.result.root),
        ("sha256", found.proposal.patch.sha256),
        ("document", found.proposal.digest),
    ):
        _need(payload.get(name) == value, f"the proposal's {name} is not what its document gives")
    if found.carried.envelopes and found.owner is None:
        whys = "; ".join(dict.fromkeys(why for _, why in found.own if why)) or "none is signed so"
        raise InvalidPatchBundle(
            f"no verdict in it is {found.name}'s own, of {proposed.patch.hex()[:16]} and at the "
            f"head that is proven: {whys}",
            hint=_HINT,
        )


def _fields(value: object, **kinds: type) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        raise InvalidPatchBundle(f"a map of {', '.join(kinds)} is missing", hint=_HINT)
    for name, kind in kinds.items():
        _need(type(value[name]) is kind, f"{name} is not of type {kind.__name__}")
    return value


def _need(held: object, text: str) -> None:
    if not held:
        raise InvalidPatchBundle(text, hint=_HINT)


def judgeable(found: PatchBundle) -> SignedVerdict:
    """Return the owner's verdict, which reveals the seed. Raises Refused without one."""
    if found.owner is None:
        raise Refused(
            "the seed of the hidden cases is not revealed: its owner has not judged it yet",
            hint="there: timmy patch judge EVENT, and then timmy patch export EVENT FILE",
        )
    return found.owner
