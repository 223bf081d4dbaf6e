"""Changes of this software that people approved: ordered, installed by people, recognised.

    order       patch.staged: an approved change is written out, `<home>/orders/<proposal>/`, and
                the event names the order's digest, and the software before and after. Nothing is
                different: a node does not install into itself
    install     people do, and start the node anew
    recognise   patch.adopted: at a start, this software is the one that was ordered; with the
                digest of the state that it folded

Both events are in the stream of adoptions and are none of its steps: they lack what those have, so
the reducer of what is in force passes over them. What runs here is what lies on disk, and no ledger
can say otherwise; so `standing` says whether anybody approved it.

Not covered: files of the agent's tree, which are adopted (`node.agent.adopting`); interpreter and
libraries; software from before the first order, of which nobody was asked.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import structlog

from genesis.core.constitution import change_digest, constituted
from genesis.core.errors import GenesisError, InvalidVerdict
from genesis.core.patch import PatchClass
from genesis.core.strict_json import canonical_json
from genesis.core.verdict import verify_envelope
from ledger.core import types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Draft, Event
from ledger.files import write_atomically
from ledger.log import Log
from ledger.replay import reducers_hash
from node.agent.approval import Granted, PatchApproval, envelopes_of
from node.agent.architecture import present_software
from node.agent.patching import Patching
from node.home import Home
from node.keeping.folding import REDUCERS
from runtime.journal import Journal

FOLDER: Final = "orders"
CHANGE: Final = "change.patch"
ORDER: Final = "order.json"
_VERSION: Final = 1
_STEPS_MAX: Final = 10_000
"""Newest steps of adoptions that are read: a thousand years of a change a month."""

_log = structlog.get_logger(__name__)


class OrderError(GenesisError):
    """An order cannot be written."""


class Standing(StrEnum):
    """What is known of the software that lies here."""

    INSTALLED = "installed"
    """As somebody installed it: no change of it was ever ordered here."""
    ORDERED = "ordered"
    """A change of it is ordered, and not installed."""
    APPROVED = "approved"
    """It is what people approved last."""
    UNAPPROVED = "unapproved"
    """It is neither what was ordered nor what was before: nobody approved it here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An ordered change: roots before and after, and where it was recognised, if it was."""

    position: int
    patch: int
    order: bytes
    before: bytes
    after: bytes
    adopted: int | None = None


def orders_of(steps: Iterable[Event]) -> list[Order]:
    """Return the orders among the steps of adoptions, oldest first."""
    found: dict[int, Order] = {}
    for step in steps:
        match step.payload:
            case {
                "patch": int(patch),
                "order": bytes(order),
                "software": [bytes(before), bytes(after)],
            } if step.type == types.PATCH_STAGED.name:
                found[step.position] = Order(
                    position=step.position, patch=patch, order=order, before=before, after=after
                )
            case {"adoption": int(at), "software": bytes(root)} if at in found:
                one = found[at]
                if step.type == types.PATCH_ADOPTED.name and root == one.after:
                    found[at] = Order(
                        position=at, patch=one.patch, order=one.order, before=one.before,
                        after=one.after, adopted=step.position,
                    )  # fmt: skip
    return list(found.values())


def expected_of(orders: Sequence[Order]) -> tuple[bytes, Order | None]:
    """Return the root of the software that is expected, and the order that was recognised last."""
    adopted = [one for one in orders if one.adopted is not None]
    newest = max(adopted, key=lambda one: one.adopted or 0, default=None)
    return (orders[0].before if newest is None else newest.after), newest


def standing_of(root: bytes, orders: Sequence[Order]) -> tuple[Standing, Order | None]:
    """Say what software of this root is here, and by which order.

    What is expected is the newest that was recognised; before any was, what was there when the
    first was ordered.
    """
    if not orders:
        return Standing.INSTALLED, None
    expected, newest = expected_of(orders)
    waiting = [one for one in orders if one.adopted is None and one.before == root]
    if root != expected:
        return Standing.UNAPPROVED, newest
    if waiting:
        return Standing.ORDERED, waiting[-1]
    return (Standing.INSTALLED if newest is None else Standing.APPROVED), newest


def steps_of(log: Log) -> list[Event]:
    """Return the steps of adoptions, oldest first."""
    return log.stream(types.ADOPTION_STREAM, last=_STEPS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constitution:
    """Constitutional changes of one node."""

    home: Home
    log: Log
    journal: Journal
    patching: Patching
    approval: PatchApproval

    def is_about(self, position: int) -> bool:
        """Whether an event is a constitutional proposal."""
        if self.patching.proposals.get(position) is None:
            return False
        return self.log.read(position).payload.get("class") == PatchClass.CONSTITUTIONAL

    async def order(self, position: int, *, by: str) -> dict[str, Any]:
        """Write an approved change out, and record that it is ordered.

        Raises NotFound, Refused, PatchError, OrderError; then nothing is recorded. Ordering again
        what is ordered writes it anew and records nothing.
        """
        async with self.journal.deciding:
            granted = self.approval.granted(position)
            if granted.patch_class is not PatchClass.CONSTITUTIONAL:
                raise Refused(f"proposal {position} is routine", hint="it is adopted, not ordered")
            proposal = self.log.read(position)
            software = await asyncio.to_thread(present_software)
            patch = self.patching.document(position).patch
            made = constituted(self.patching.present.read(), software, patch)
            self._check_verdict(proposal, granted, software.root, made.software.root)
            known = [one for one in orders_of(steps_of(self.log)) if one.patch == position]
            body = self._body(proposal, granted, (software.root, made.software.root))
            data = canonical_json(body)
            folder = await asyncio.to_thread(self._write, position, patch.data, data)
            order = hashlib.sha256(data).digest()
            if known and known[-1].order == order:
                at = known[-1].position
            else:
                at = await self._record(proposal, granted, order, software.root, body, by=by)
        return {
            "position": at, "patch": position, "folder": str(folder), "order": order.hex(),
            "software": body["software"], "files": [one.path for one in patch.changes],
        }  # fmt: skip

    def _check_verdict(
        self, proposal: Event, granted: Granted, before: bytes, after: bytes
    ) -> None:
        """Raise Refused unless what was approved leads from this very software to that."""
        rules = self.approval.deciders.rules()
        for envelope, _ in envelopes_of(self.log, proposal):
            try:
                found = verify_envelope(envelope, trusted=rules.judges).verdict
            except InvalidVerdict:
                continue
            change = found.findings.gates[-1].transcript if found.findings.for_people else None
            if (found.digest, change) == (granted.verdict, change_digest(before, after)):
                return
        raise Refused(
            f"what was approved is not a change of the software that is here, {before.hex()}",
            hint=f"have it judged and approved anew: timmy patch judge {proposal.position}",
        )

    def _body(
        self, proposal: Event, granted: Granted, roots: tuple[bytes, bytes]
    ) -> dict[str, Any]:
        """What the order says: of whom, by whom, and which bytes."""
        before, after = roots
        return {
            "version": _VERSION,
            "ledger": self.log.ledger_id.hex(),
            "patch": granted.patch_id.hex(),
            "position": proposal.position,
            "verdict": granted.verdict.hex(),
            "approvers": [key.hex() for key in granted.approvers],
            "sha256": proposal.payload["sha256"].hex(),
            "software": {"before": before.hex(), "after": after.hex()},
        }

    def _write(self, position: int, change: bytes, order: bytes) -> Path:
        folder = self.home.path / FOLDER / str(position)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(folder / CHANGE, change, mode=0o600)
            write_atomically(folder / ORDER, order, mode=0o600)
        except OSError as error:
            raise OrderError(
                f"{error.filename} cannot be written: {error.strerror}", hint="free some space"
            ) from error
        return folder

    async def _record(
        self,
        proposal: Event,
        granted: Granted,
        order: bytes,
        before: bytes,
        body: Mapping[str, Any],
        *,
        by: str,
    ) -> int:
        after = bytes.fromhex(body["software"]["after"])
        draft = Draft(
            type=types.PATCH_STAGED.name,
            stream=types.ADOPTION_STREAM,
            payload={
                "patch": proposal.position, "order": order, "software": [before, after],
                "verdict": granted.verdict, "approvers": list(granted.approvers), "by": by,
            },
            causes=(proposal.cause,),
        )  # fmt: skip
        [event] = await self.journal.append(draft)
        return event.position

    async def recognise(self) -> None:
        """Call at a start: record that what was ordered runs now, unless somebody said no.

        What cannot be read ends no start: then nothing is recorded.
        """
        try:
            await self._recognise()
        except (GenesisError, OSError) as error:
            _log.warning("it is not known which software this is", why=str(error))

    async def _recognise(self) -> None:
        orders = orders_of(steps_of(self.log))
        if not orders:
            return
        root = (await asyncio.to_thread(present_software)).root
        expected, _ = expected_of(orders)
        due = [one for one in orders if (one.before, one.after) == (expected, root)]
        if not due:
            if root != expected:
                _log.warning("nobody approved this software here", software=root.hex())
            return
        one = due[-1]
        if why := self._objection(one):
            _log.warning("this software was ordered, and then refused", why=why)
            return
        state = self.journal.state
        facts = {
            "patch": one.patch, "adoption": one.position, "software": root,
            "root": self.patching.present.read().root, "size": state.size,
            "digest": state.digest(), "reducers": reducers_hash(REDUCERS),
        }  # fmt: skip
        proposal = self.log.read(one.patch)
        draft = Draft(
            type=types.PATCH_ADOPTED.name,
            stream=types.ADOPTION_STREAM,
            payload=facts,
            causes=(proposal.cause,),
        )
        async with self.journal.deciding:
            await self.journal.append(draft)
        _log.info("this software is the one that people approved", patch=one.patch)

    def _objection(self, one: Order) -> str:
        try:
            return self.approval.objection(one.patch)
        except (NotFound, Refused) as error:
            return str(error)

    async def standing(self) -> dict[str, Any]:
        """Return, as a row, what software is here, by which order, and what speaks against it."""
        root = (await asyncio.to_thread(present_software)).root
        found, one = standing_of(root, orders_of(steps_of(self.log)))
        objection = self._objection(one) if one is not None and one.adopted is None else ""
        return row(root, found, one) | {"objection": objection}


def row(root: bytes, standing: Standing, one: Order | None) -> dict[str, Any]:
    """Return it as JSON values."""
    return {
        "root": root.hex(),
        "standing": standing.value,
        "patch": None if one is None else one.patch,
        "order": None if one is None else one.position,
        "adopted": None if one is None else one.adopted,
    }


def told(root: bytes, standing: Standing, one: Order | None) -> str:
    """Say it in a line."""
    name = root.hex()[:16]
    match standing, one:
        case Standing.INSTALLED, _:
            return f"{name}, as it was installed: no change of it was ordered here"
        case Standing.ORDERED, Order(patch=patch, position=at):
            return f"{name}; proposal {patch} is ordered (event {at}), and not installed"
        case Standing.APPROVED, Order(patch=patch, adopted=at):
            return f"{name}, as people approved it: proposal {patch}, event {at}"
    return f"{name} is neither what was ordered nor what was before: nobody approved it here"
