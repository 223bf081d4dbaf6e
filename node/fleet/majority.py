"""Majority mode of answering: this node's term, and its grants (`mesh.core.fleet.majority`).

In mode lease, the default, all of this is off: a member that is cut off answers what it is handed.
In mode majority a message that came from another member's gateway is answered with the voters'
grant only, and nothing is begun without a term, gateway or not. What is kept meanwhile lies in the
ledger of who was told; that one says so to who waits.

Not covered: the fixed words of the crisis screen, which wait for nobody; runs of jobs, which their
own mode decides, and a parent's orders; a turn that was begun with a term and is gone on with, also
after a restart.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from ledger.log import Log
from mesh.core.fleet.duty import Begin, Plan
from mesh.core.fleet.majority import Term, plan_of, run_of, term_of
from mesh.core.fleet.manifest import Fleet
from mesh.fleet.duties import voters
from node.fleet.duties import FleetDuty
from node.fleet.leases import leases
from node.fleet.members import FleetNode
from node.open import now_ms
from runtime.core.turns import Message

TOO_OLD: Final = "too_old"
"""Why a message gets no answer any more: voters may have forgotten whom they granted it."""
_LOOK_SECONDS: Final = 0.25


@dataclass(slots=True, kw_only=True)
class Majority:
    """runtime.claims.Claims of one node. `on`: node.toml asks for it; it binds members only."""

    fleet: FleetNode
    duty: FleetDuty
    log: Log
    on: bool

    def term(self) -> Term:
        """How many voters are within their lease now."""
        now_s, fleet = now_ms() // 1000, self.fleet.fleet
        keys, gone = ((), 0) if fleet is None else voters(fleet, now_s)
        ids = tuple(self._ledger(key) for key in keys)
        own = self.fleet.own.ledger
        return term_of(ids, own, leases(self.fleet), now_s, self.fleet.times, gone=gone)

    def may_begin(self) -> bool:
        """Whether this node may begin an answer now."""
        return not self._bound or self.term().holds

    @property
    def _bound(self) -> bool:
        return self.on and self.fleet.membership is not None

    async def term_begins(self, wait_s: float) -> bool:
        """Wait a little for a term; return whether there is one."""
        try:
            async with asyncio.timeout(wait_s):
                while not self.may_begin():  # noqa: ASYNC110 - leases begin and end by time
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    def why_kept(self) -> str:
        """Why nothing is answered now, for who waits; empty if something is."""
        if self.may_begin():
            return ""
        term = self.term()
        return f"{term.reached} of {term.voters} voters are in reach, {term.needed} are needed"

    # ---- a message that others could answer, too -------------------------------------------------

    def shared(self, message: Message) -> bool:
        """Whether another member's gateway handed it on, and an answer needs a grant."""
        return self.on and bool(self._passed_by(message))

    async def claim(self, message: Message) -> str | None:
        """Ask the voters for a message that was handed on; wait for their majority."""
        by = self._passed_by(message)
        holder = await self.granted(bytes(by["id"]), int(by.get("taken_at", 0)))
        if holder is None:
            return None
        return holder.hex() or TOO_OLD

    async def granted(self, message: bytes, taken_s: int) -> bytes | None:
        """Wait until voters granted a message to this node: None; else who has it, b"" if unknown.

        Cancel it to forget the question; what was granted stays granted.
        """
        fleet = self.fleet.fleet
        if fleet is None or self.fleet.membership is None:
            return b""
        run = run_of(fleet.fleet_id, message)

        def plan(fleet: Fleet) -> Plan:
            me, (those, gone) = self.duty.signer.public, voters(fleet, taken_s)
            return plan_of(
                run, taken_s, me=me, voters=those, gone=gone, manifest=fleet.manifest.digest
            )

        end = await self.duty.ask(plan)
        if isinstance(end, Begin):
            return None
        return b"" if end.holder is None else self._ledger(end.holder)

    def _passed_by(self, message: Message) -> dict[str, Any]:
        found = self.log.read(message.position).payload.get("passed_by")
        return found if isinstance(found, dict) else {}

    def _ledger(self, nostr: bytes) -> bytes:
        members = () if self.fleet.fleet is None else self.fleet.fleet.manifest.members
        return next((one.ledger for one in members if one.nostr == nostr), b"")

    def value(self) -> dict[str, Any]:
        """How it is, for `timmy status`."""
        if not self._bound:
            return {"answer": "lease"}
        term = self.term()
        return {
            "answer": "majority",
            "reached": term.reached,
            "voters": term.voters,
            "needed": term.needed,
        }
