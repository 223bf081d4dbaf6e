"""Exports and backups: every event of a ledger, checked as it streams by."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Final, cast

from attest.verify.common import Failed, check_kept, identify, open_heads, succeed
from attest.verify.descent import TYPES as DESCENT
from attest.verify.descent import Descent
from attest.verify.history import Tiles
from attest.verify.report import (
    BROKEN,
    INCOMPLETE,
    LATER_HEAD,
    NO_TIME,
    OTHER_AGENT,
    OTHER_HISTORY,
    RECOVERED,
    REWRITTEN,
    SAID_NOT_TRUE,
    UNBROKEN_PENDING,
    Report,
)
from ledger.core.audit import Audit
from ledger.core.bundle import (
    Attachment,
    Reader,
    SignedHead,
)
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import InvalidData, InvalidGenesis
from ledger.core.event import Record
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.tiles import Tree

_HEADS_MAX: Final = 1000
"""Heads of an export. We write one."""


def verify_export(
    report: Report,
    reader: Reader,
    soul: bytes | None,
    attachment: Callable[[Attachment], None],
    *,
    importing: bool,
) -> None:
    """Check every event, and say which are whole if not all are. Raises Failed."""
    audit = Audit(Tree(Tiles()))
    try:
        _read_export(report, reader, soul, audit, attachment, importing=importing)
    except (InvalidData, InvalidGenesis, Failed):
        if report.size is None and audit.tree.size:
            report.say(
                "readable",
                f"events 0 to {audit.tree.size - 1} match their own commitments; what follows them "
                "is lost here, and nothing that was read signs them",
            )
        raise


def _read_export(
    report: Report,
    reader: Reader,
    soul: bytes | None,
    audit: Audit,
    attachment: Callable[[Attachment], None],
    *,
    importing: bool,
) -> None:
    tiles = cast("Tiles", audit.tree.read_tile)
    lineage: Lineage | None = None
    heads: list[SignedHead] = []
    descent = Descent(report, audit.tree.root)
    for item in reader:
        if isinstance(item, Record):
            event = audit.add(item)
            tiles.take(audit.tree)
            lineage = lineage or identify(report, event, soul)
            if event.type in LINEAGE_TYPES:
                lineage = succeed(lineage, report, event)
                check_kept(event, event.position, audit.tree.root(event.position))
            elif event.type in DESCENT:
                descent.take(event, lineage)
        elif isinstance(item, SignedHead):
            heads.append(item)
            if len(heads) > _HEADS_MAX:
                raise Failed(BROKEN, f"more than {_HEADS_MAX} heads")
        elif not isinstance(item, Attachment) or report.purpose != "backup":
            raise Failed(BROKEN, f"{report.purpose} holds no {type(item).__name__.lower()}")
        else:
            attachment(item)
    if lineage is None:
        raise Failed(INCOMPLETE, "no events")
    epoch = lineage.epoch
    if epoch != reader.header.epoch:
        raise Failed(BROKEN, f"the file is of epoch {reader.header.epoch}, its records of {epoch}")
    opened = open_heads(lineage, report, heads)
    if opened[0].checkpoint.epoch != epoch:
        raise Failed(
            BROKEN, f"a head is of {opened[0].checkpoint.origin}, the file of epoch {epoch}"
        )
    *older, head = opened
    _compare_tree(audit, head)
    _compare_older(audit, older)
    assert report.history is not None
    report.history = replace(report.history, tree=audit.tree, kept=lineage.kept)
    report.size = head.size
    report.say("integrity", f"all {head.size} events lead to the signed root")
    descent.finish()
    report.redacted, report.carried = audit.targets, tuple(audit.carried)
    _complete(report, audit, forgiven=report.carried if importing else ())
    report.say("freshness", f"signed at size {head.size}; nothing here shows it is the newest")
    report.not_shown += [NO_TIME, OTHER_HISTORY, LATER_HEAD, OTHER_AGENT, SAID_NOT_TRUE]
    if report.purpose == "backup":
        report.not_shown.append("whose the files beside the ledger are: timmy restore checks them")
    report.verdict = RECOVERED if epoch else UNBROKEN_PENDING


def _compare_tree(audit: Audit, head: SignedCheckpoint) -> None:
    if audit.tree.size != head.size:
        raise Failed(
            INCOMPLETE, f"{audit.tree.size} events are here, the checkpoint signs {head.size}"
        )
    if audit.tree.root() != head.root:
        raise Failed(
            BROKEN, f"events lead to root {audit.tree.root().hex()}, signed {head.root.hex()}"
        )


def _compare_older(audit: Audit, heads: Iterable[SignedCheckpoint]) -> None:
    for one in heads:
        if audit.tree.root(one.size) != one.root:
            raise Failed(REWRITTEN, f"the head of size {one.size} is of another history")


def _complete(report: Report, audit: Audit, *, forgiven: Collection[int]) -> None:
    report.question = "completeness"
    if audit.missing:
        raise Failed(INCOMPLETE, f"content of events {_some(audit.missing)} is MISSING")
    if unerased := [at for at in audit.unerased if at not in forgiven]:
        raise Failed(BROKEN, f"redacted content of events {_some(unerased)} is still here")
    redacted = [f"{at} (by event {by})" for at, by in sorted(audit.redacted.items())]
    text = f"every event; content present in {audit.contents}, redacted in {len(redacted)}"
    report.say("completeness", text + (f": {_some(redacted)}" if redacted else ""))


def _some(items: Iterable[object]) -> str:
    listed = [str(item) for item in items]
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
