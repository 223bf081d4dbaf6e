"""Certificates of parents over children: what of them a bundle shows (docs/spec/child.md).

A certificate never changes the verdict on a ledger: what is here is here, whatever it claims. One
that does not hold is named, and then the file is not good: it says a thing of its identity that is
not so.
"""

from collections.abc import Callable
from typing import Final

from attest.verify.report import Report
from ledger.core.descent import PLACE, Certificate, check_child, check_parent, open_certificate
from ledger.core.errors import InvalidCertificate
from ledger.core.event import Event
from ledger.core.lineage import Lineage
from ledger.core.types import CHILD_FATHERED, PARENT_CERTIFIED

TYPES: Final = frozenset({CHILD_FATHERED.name, PARENT_CERTIFIED.name})
PARENT_UNKNOWN: Final = "whose the parent's key is: the same certificate is in the parent's ledger"
_LINES_MAX: Final = 100
"""Children that are told one by one; of more than that, how many."""


class Descent:
    """Takes the events of TYPES as they come; `finish` says what they show."""

    def __init__(self, report: Report, root_at: Callable[[int], bytes] | None = None) -> None:
        self._report = report
        self._root_at = root_at
        """The root at a size of this log, where all of it is here."""
        self._children = 0

    def take(self, event: Event, lineage: Lineage) -> None:
        """Check one event; `lineage` is as of it."""
        report = self._report
        if event.type == PARENT_CERTIFIED.name and event.position != PLACE:
            report.say("parent", f"event {event.position} counts for nothing: it is not event 1")
            return
        try:
            certificate = open_certificate(event.payload)
            if event.type == PARENT_CERTIFIED.name:
                self._parent(certificate, event, lineage)
            else:
                self._child(certificate, event, lineage)
        except InvalidCertificate as error:
            report.met = False
            name = "parent" if event.type == PARENT_CERTIFIED.name else "child"
            report.say(name, f"event {event.position} does not hold: {error}")

    def _parent(self, certificate: Certificate, event: Event, lineage: Lineage) -> None:
        check_child(
            certificate,
            lineage.genesis,
            ledger_id=lineage.ledger_id,
            position=event.position,
        )
        key = certificate.parent_keys["log"].hex()
        self._report.say(
            "parent", f"ledger {certificate.parent.hex()}, signed by both; its log key is {key}"
        )
        self._report.not_shown.append(PARENT_UNKNOWN)

    def _child(self, certificate: Certificate, event: Event, lineage: Lineage) -> None:
        check_parent(
            certificate,
            ledger_id=lineage.ledger_id,
            soul=lineage.genesis.soul.sha256,
            log_key=lineage.keys["log"],
            position=event.position,
        )
        if self._root_at is not None:
            root = self._root_at(certificate.kept_size)
            if root != certificate.kept_root:
                raise InvalidCertificate("the certificate keeps another history than this one")
        self._children += 1
        if self._children <= _LINES_MAX:
            text = f"ledger {certificate.child.hex()}, certified by both at event {event.position}"
            self._report.say("child", text)

    def finish(self) -> None:
        """Say what was counted and not told."""
        if self._children > _LINES_MAX:
            more = self._children - _LINES_MAX
            self._report.say("child", f"and {more} more, certified by both")
