"""Patches wired to the ledger: proposed with a commitment, judged on a snapshot, verdict kept.

    propose   patch.proposed: the diff as content, its digest and the commitment to the judge's seed
    judge     the successor is forked from the ledger up to a released head; patch.judged keeps the
              signed verdict

The seed is derived from the log key and the proposal's stream: nobody who proposes can know it, and
nothing secret has to be kept between proposing and judging. Applying a patch is not built yet.
"""

import os
from dataclasses import dataclass
from typing import Any, Final

from genesis import trees
from genesis.core import patch
from genesis.core.errors import Constitutional, InvalidPatch
from genesis.core.tree import Tree
from genesis.core.verdict import seed_commitment
from genesis.judge import Head, judge
from ledger.core import hashing, types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Draft, Event
from ledger.core.keys import Signer
from ledger.log import Log
from ledger.release import Release
from ledger.upcasting import UpcastLog
from node.home import Home
from node.open import now_ms
from runtime.core.agenda import INTERPRETED
from runtime.sandbox import Engine

DIFF_BYTES_MAX: Final = 256 * 1024
"""A change that people can read; the whole tree is a sixth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patching:
    """Proposals and verdicts of one node."""

    home: Home
    log: Log
    release: Release
    signer: Signer
    engine: Engine

    @property
    def _reading(self) -> UpcastLog:
        return UpcastLog(self.log, needed=INTERPRETED | {types.PATCH_PROPOSED.name})

    async def propose(self, diff: str, *, author: str) -> Event:
        """Record a patch. Raises InvalidPatch or Constitutional for what no judge may see."""
        data = diff.encode()
        if len(data) > DIFF_BYTES_MAX:
            raise Refused(f"the patch is {len(data)} bytes, at most {DIFF_BYTES_MAX}")
        parent = self._parent()
        try:
            result = patch.apply(patch.parse(data), parent)
        except Constitutional as error:
            raise Constitutional(
                str(error), hint="changes outside runtime/agent are for people to make, in git"
            ) from error
        stream = os.urandom(16)
        payload = {
            "author": author,
            "class": "routine",
            "sha256": patch.parse(data).sha256,
            "parent_tree": parent.digest,
            "result_tree": result.digest,
            "seed_commitment": seed_commitment(self._seed(stream)),
        }
        [event] = await self.log.append(
            Draft(
                type=types.PATCH_PROPOSED.name,
                stream=stream,
                payload=payload,
                content={"diff": diff},
            )
        )
        return event

    async def judge(self, position: int) -> dict[str, Any]:
        """Judge a proposal against the tree adopted now, and record the signed verdict."""
        proposal = self._proposal(position)
        head = self.release.head()
        judgment = await judge(
            str((proposal.content or {})["diff"]).encode(),
            self._parent(),
            snapshot=list(self._reading.events(0, head.size)),
            head=Head(size=head.size, root=head.root),
            signer=self.signer,
            seed=self._seed(proposal.stream),
            engine=self.engine,
            clock=now_ms,
        )
        verdict = judgment.verdict
        [event] = await self.log.append(
            Draft(
                type=types.PATCH_JUDGED.name,
                stream=proposal.stream,
                payload={
                    "patch": position,
                    "decision": verdict.decision.value,
                    "digest": verdict.digest,
                    "envelope": judgment.envelope,
                },
                causes=(proposal.cause,),
            )
        )
        return {
            "position": event.position,
            "patch": position,
            "decision": verdict.decision.value,
            "reason": verdict.measured.get("reason"),
            "digest": verdict.digest,
            "envelope": judgment.envelope.decode(),
            "notes": list(judgment.notes),
        }

    def _proposal(self, position: int) -> Event:
        event = self._reading.read(position)
        if event.type != types.PATCH_PROPOSED.name:
            raise NotFound(f"event {position} is {event.type}, no proposed patch")
        if event.redacted:
            raise Refused(f"the patch of event {position} was redacted")
        return event

    def _parent(self) -> Tree:
        digest = trees.current(self.home.path)
        if digest is None:
            raise InvalidPatch("no architecture tree is adopted")
        return trees.load_tree(self.home.path, digest)

    def _seed(self, stream: bytes) -> bytes:
        return hashing.digest(hashing.JUDGE_SEED, self.signer.secret, stream)
