"""What is on disk before `patch.staged`, and what that event says.

It is stored in a thread, since it is read back and verified. A thread may read no state: the loop
alone folds what is new into it. So what the state says is handed in.

Not covered: whether it may be adopted, which `node.agent.adopting` asks before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from genesis import trees
from genesis.adopting import versions
from genesis.core.adopting.health import Plan
from genesis.core.adopting.layers import Version as Files
from genesis.core.architecture import Architecture
from ledger.core import types
from ledger.core.event import Draft, Event
from node.keeping.folding import reading_hash
from runtime.core.adoptions import Version


class Granted(Protocol):
    """What adoption needs of an approval: digests of 32 bytes, keys that approved."""

    @property
    def verdict(self) -> bytes:
        """Digest of the verdict that was approved."""

    @property
    def root(self) -> bytes:
        """Root of the architecture that was approved."""

    @property
    def approvers(self) -> tuple[bytes, ...]:
        """Public keys of those who did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """A result upon its base. `own`: the operator's files, read before the base was.

    `now`: what is in force; None if it is what was born.
    """

    proposal: Event
    base: Architecture
    result: Architecture
    own: Mapping[str, bytes]
    now: Version | None

    def store(self, home: Path) -> bytes | None:
        """Keep both trees, and the version, whose digest is returned if one is needed.

        Raises TreeError.
        """
        trees.store_tree(home, self.base.tree)
        trees.store_tree(home, self.result.tree)
        files = Files.of(self.result, self.own)
        return versions.store_version(home, files) if dict(files.files) != self.own else None

    def draft(self, version: bytes | None, plan: Plan, granted: Granted, *, by: str) -> Draft:
        """Return `patch.staged`, by whose word and how it will be tried."""
        return Draft(
            type=types.PATCH_STAGED.name,
            stream=types.ADOPTION_STREAM,
            payload={
                "patch": self.proposal.position,
                "root": self.result.root,
                "tree": self.result.tree.digest,
                "version": version,
                "before": {
                    "tree": self.base.tree.digest,
                    "version": None if self.now is None else self.now.version,
                    "root": self.base.root,
                },
                "share": plan.share,
                "window_s": plan.window_s,
                "turns": plan.turns,
                "reducers": reading_hash(),
                "verdict": granted.verdict,
                "approvers": list(granted.approvers),
                "by": by,
            },
            causes=(self.proposal.cause,),
        )
