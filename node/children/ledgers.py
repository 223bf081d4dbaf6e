"""A child's whole ledger as a file: written by the child, read by its parent.

The parent believes the file, and nothing that the child says beside it: the bundle is verified
whole, it must be of that ledger, and go on from the head that was checked before.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from attest.verify.bundle import verify_bundle
from genesis.core.children.errors import ChildError
from genesis.core.children.evidence import Evidence
from ledger.core.bundle import Reader
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.descent import Certificate
from ledger.core.errors import InvalidData
from ledger.core.event import Event, Record
from ledger.proof import export
from node.home import Home
from node.open import open_log

LEDGER_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Some million events: a child of that age is looked at through a mirror, or at its own machine."""


class LedgerRefused(ChildError):
    """A file that does not show a child's own, whole, newest ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a verified ledger shows: its head, and what was counted."""

    size: int
    root: bytes
    verdict: str
    evidence: Evidence


def write_ledger(home: Home, head: SignedCheckpoint, target: Path) -> None:
    """Write the ledger up to a released head."""
    with target.open("xb") as file, closing(open_log(home)) as log:
        export(log, head, file)


def read_ledger(path: Path, certificate: Certificate, *, known: tuple[int, bytes] | None) -> Shown:
    """Verify a child's ledger and count it. `known`: size and root that were checked before.

    Raises LedgerRefused.
    """
    with path.open("rb") as file:
        report = verify_bundle(file, None)
        if not report.good or report.purpose != "export":
            why = report.lines[-1][1] if report.lines else "it is no bundle"
            raise LedgerRefused(f"the ledger does not verify: {report.verdict}: {why}")
        if report.ledger_id != certificate.child:
            raise LedgerRefused("the file is of another ledger", hint="timmy export, at the child")
        assert report.history is not None
        tree, size = report.history.tree, report.size
        assert tree is not None
        assert size is not None
        if known is not None:
            _goes_on(tree.root, size, known)
        evidence = Evidence(certificate=certificate)
        file.seek(0)
        if _each(file, evidence.take) != report.file_digest:
            raise LedgerRefused("the file changed while it was read")
    return Shown(size=size, root=tree.root(size), verdict=report.verdict, evidence=evidence)


def _goes_on(root_at: Callable[[int], bytes], size: int, known: tuple[int, bytes]) -> None:
    if size < known[0]:
        raise LedgerRefused(
            f"the ledger has {size} events, and had {known[0]} when it was checked",
            hint="an old file, or a child that was rolled back",
        )
    if root_at(known[0]) != known[1]:
        raise LedgerRefused(
            f"REWRITTEN: the first {known[0]} events are others than were checked",
            hint="keep both files: timmy verify NEW --held OLD is the proof",
        )


def _each(file: BinaryIO, take: Callable[[Event], None]) -> bytes | None:
    """Give every event of a bundle that verified; return the digest of what was read."""
    try:
        reader = Reader(file)
        for item in reader:
            if isinstance(item, Record):
                take(Event.open(item))
    except InvalidData as error:
        raise LedgerRefused(f"the file changed while it was read: {error}") from error
    return reader.digest
