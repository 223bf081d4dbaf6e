"""Feeding a mirror from a file that somebody carried: what a member's export holds, and no more.

The file was verified as any export. Its events go to a ledger of their own first, beside the home,
and from there into the mirror as from another node, by the same machine (`mesh.mirrors.mirror`):
so what lies in the mirror is its beginning or nothing is stored, redactions are honoured, two
histories end it with both notes, and what a recovery gave up is set aside. A crash leaves a shorter
mirror.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Final, cast

import structlog

from attest.verify.report import Report
from ledger.core.bundle import Reader, SignedHead
from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidBundle, InvalidData, Refused
from ledger.core.genesis import check_soul
from ledger.files import write_atomically
from ledger.mirror import MirrorLog
from ledger.sqlite import SqliteStore
from mesh.core.mirrors.copying import Ask, AskBodies, AskHead, AskPackage, Fault, Head
from mesh.mirrors.folder import MirrorFolder
from mesh.mirrors.mirror import Mirror
from mesh.mirrors.offer import NotOffered, Offer
from mesh.mirrors.source import SourceFailed
from node.config import load
from node.fleet.files import fleet_files
from node.home import Home
from node.keeping.filling import fill
from node.sections.mesh import FLEET

_LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A source that lies here (`mesh.mirrors.mirror.Answers`)."""

    offer: Offer

    async def answer(self, ledger_id: bytes, ask: Ask) -> bytes:
        """What a node with this file's events would answer. Raises SourceFailed."""
        del ledger_id
        try:
            return await asyncio.to_thread(self._answer, ask)
        except NotOffered as error:
            raise SourceFailed(str(error), refused=True) from error

    def _answer(self, ask: Ask) -> bytes:
        match ask:
            case AskHead(since=since):
                return self.offer.introduction(since)
            case AskPackage(start=start, size=size):
                return self.offer.package(start, size)
            case AskBodies(start=start, stop=stop):
                return self.offer.bodies(start, stop)
        raise TypeError(f"no request: {ask!r}")

    async def soul(self, ledger_id: bytes) -> bytes:
        """An export has none. Raises SourceFailed."""
        raise SourceFailed(f"no SOUL.md of {ledger_id.hex()} is in the file", refused=True)

    async def tile(self, ledger_id: bytes, level: int, index: int, width: int) -> bytes:
        """Hashes of its tree. Raises SourceFailed."""
        del ledger_id
        try:
            return self.offer.tile(level, index, width)
        except NotOffered as error:
            raise SourceFailed(str(error), refused=True) from error


def feed(home: Home, path: Path, checked: Report, soul: bytes | None) -> dict[str, Any]:
    """Make or extend the mirror of the ledger in the export at `path`; return what it holds then.

    `checked` is what its verification found, `soul` the agent's SOUL.md, which no export holds.
    Raises Refused, InvalidBundle, SoulChanged, StoreError.
    """
    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=level)  # what the mirror would log is raised
    assert checked.ledger_id is not None
    folder = MirrorFolder(home.mirrors / checked.ledger_id.hex(), checked.ledger_id)
    head = _newest(path, checked)
    if soul is not None:
        assert checked.genesis is not None
        check_soul(soul, checked.genesis)
    before = _require_older(folder, head)
    with _events(home, path, checked) as log:
        source = _File(offer=Offer(log=log, head=lambda: head))
        sources = {str(path): source}
        mirror = Mirror(folder=folder, sources=lambda: sources, jitter=repeat(0.0))
        asyncio.run(_copy(mirror, Head.of_note(head.anchor_preimage())))
    if soul is not None:
        write_atomically(folder.soul, soul, mode=0o644)
    return {"ledger": folder.ledger_id, "mirror": str(folder.path), "before": before,
            "events": head.size}  # fmt: skip


def wanted(home: Home, ledger: bytes) -> bool:
    """Whether the node goes on with the mirror of a ledger, as node.toml and the fleet say."""
    named, fleet = load(home.config).mesh.mirror, fleet_files(home).load()
    member = fleet is not None and fleet.manifest.member(ledger) is not None
    return ledger.hex() in named or (FLEET in named and member)


def _newest(path: Path, checked: Report) -> SignedCheckpoint:
    """The head in the file that covers most of it. Raises InvalidBundle without one."""
    lineage = checked.lineage
    assert lineage is not None
    found: list[SignedCheckpoint] = []
    with path.open("rb") as file:
        for item in Reader(file):
            if isinstance(item, SignedHead):
                named = Head.of_note(item.note)
                try:
                    key = lineage.tenure_at(named.epoch, named.size).keys["log"]
                    found.append(open_checkpoint(item.note, key))
                except InvalidData:  # one that the verifier did not go by
                    continue
    if not found:
        raise InvalidBundle(f"{path} has no signed head", hint="timmy export writes one")
    return max(found, key=lambda one: (one.checkpoint.epoch, one.size))


def _require_older(folder: MirrorFolder, head: SignedCheckpoint) -> int:
    """Return how many events the mirror has. Raises Refused if the file has nothing newer."""
    if (ended := folder.ended) is not None:
        raise Refused(f"this mirror ended: {ended['why']}", hint=f"it is kept in {folder.path}")
    if not folder.ledger.exists():
        return 0
    with folder.open() as log:
        size, note = log.size, folder.complete
    epoch = 0 if note is None else Head.of_note(note).epoch
    if (head.checkpoint.epoch, head.size) <= (epoch, size):
        raise Refused(
            f"the mirror has {size} events of it, the file {head.size}",
            hint="nothing is taken back: get a newer export",
        )
    return size


@contextmanager
def _events(home: Home, path: Path, checked: Report) -> Iterator[MirrorLog]:
    """The events of the file, as a ledger for a moment."""
    partial = home.path / "mirror.importing.db"
    _remove(partial)
    try:
        fill(path, partial, checked)
        with MirrorLog(SqliteStore.open(partial)) as log:
            yield log
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    for leftover in (path, *(Path(f"{path}{end}") for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)


async def _copy(mirror: Mirror[MirrorLog], head: Head) -> None:
    """Run the mirror until it has the head. Raises Refused with what keeps it from that."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(mirror.run())
        while (why := _outcome(mirror, head)) is None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
        running.cancel()
    if why:
        raise Refused(f"the mirror does not take it: {why}", hint="timmy verify FILE --held OTHER")


def _outcome(mirror: Mirror[MirrorLog], head: Head) -> str | None:
    """Why it does not go on, "" if all is stored; None while it goes on.

    A head that is not shown to continue the mirror is compared with it first.
    """
    ended, complete = mirror.folder.ended, mirror.complete
    if ended is not None:
        return str(ended["why"])
    if complete is not None and (complete.checkpoint.epoch, complete.size) == (
        head.epoch,
        head.size,
    ):
        return ""
    if mirror.trouble:
        return mirror.trouble
    faults = [one["fault"] for one in cast("list[dict[str, str]]", mirror.status()["sources"])]
    return next((one for one in faults if one and not one.startswith(Fault.INCONSISTENT)), None)
