"""Putting a log that lies here, or elsewhere, beside another one: `ledger.core.parting`.

Tiles come from whoever has the log, signed requests and bounded answers. Somebody who does not
answer, or gives hashes that are not under the head that he showed, is *unresponsive*: that proves
nothing, and nobody is accused of anything. A copy here that cannot be read is no more than that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.equivocation import Branch
from ledger.core.errors import InvalidProof, StoreError
from ledger.core.parting import TILES_MAX, Agreed, Need, Parted, Side, Untrue, compare
from mesh.mirrors.folder import Treed
from mesh.mirrors.source import SourceFailed

COMPARE_SECONDS_MAX: Final = 20.0
"""For a dozen tiles of 8 KiB."""

Tiles = Callable[[int, int, int], Awaitable[bytes]]
"""(level, index, width) -> the hashes. Raises SourceFailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A signed head, and where the tree under it is to be had: here, or by tiles.

    `misread` is told why a copy that lies here could not be read.
    """

    head: SignedCheckpoint
    log: Treed | None = None
    tiles: Tiles | None = None
    misread: Callable[[StoreError], None] = lambda _: None

    def side(self) -> Side:
        """As what is compared."""
        here = None if self.log is None else self.log.tree.node
        return Side(size=self.head.size, root=self.head.root, here=here)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresponsive:
    """Nothing is shown: `reason` says who did not answer, or gave what is not under his head."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """The two heads exclude each other; `branches` unless they are of one size."""

    notes: tuple[bytes, bytes]
    branches: tuple[Branch, Branch] | None


async def put_beside(one: View, other: View) -> Proven | Agreed | Unresponsive:
    """Compare two heads of one log and epoch, both opened under its keys. Raises nothing."""
    notes = (one.head.anchor_preimage(), other.head.anchor_preimage())
    if not one.head.size or not other.head.size:
        return Agreed()
    if one.head.size == other.head.size:
        same = one.head.root == other.head.root
        return Agreed() if same else Proven(notes=notes, branches=None)
    try:
        async with asyncio.timeout(COMPARE_SECONDS_MAX):
            return await _ask(one, other, notes)
    except TimeoutError:
        return Unresponsive(reason=f"no answer within {COMPARE_SECONDS_MAX:g} s")
    except StoreError as error:
        for view in (one, other):
            if view.log is not None:
                view.misread(error)
        return Unresponsive(reason=f"the copy here: {error}")
    except (SourceFailed, InvalidProof) as error:
        return Unresponsive(reason=str(error))


async def _ask(
    one: View, other: View, notes: tuple[bytes, bytes]
) -> Proven | Agreed | Unresponsive:
    sides = one.side(), other.side()
    for _ in range(TILES_MAX):
        match compare(*sides):
            case Need(side=side, level=level, index=index, width=width) as need:
                tiles = (one if side is sides[0] else other).tiles
                if tiles is None:
                    return Unresponsive(reason="nobody has the hashes under one of the heads")
                side.take(need, await tiles(level, index, width))
            case Parted(branches=branches):
                return Proven(notes=notes, branches=branches)
            case Untrue(side=side, reason=reason):
                return Unresponsive(reason=f"under its head of {side.size} events: {reason}")
            case Agreed() as agreed:
                return agreed
    return Unresponsive(reason=f"more than {TILES_MAX} tiles")
