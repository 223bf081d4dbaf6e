"""What the tests say that a patch brings along. Evidence for people; it decides nothing.

A test that runs in the process of what it tests can be made to say anything, so the judge never
asks one. That a patch brings tests, and what they claim, is worth knowing all the same: it is in
the verdict's measurements, by that name, and outside the digest.
"""

import asyncio
import re
import socket
from importlib import resources
from typing import Any, Final

from genesis.core.tree import ENTRY, Tree
from genesis.judging.subject import Cage
from genesis.trees import write_tree
from runtime.rooms import workplace
from runtime.sandbox import SandboxError, spawn

_CLAIM: Final = re.compile(rb"(\d{1,6}) (\d{1,6})\n")
_CLAIM_BYTES_MAX: Final = 14
"""Two counts of six digits, a blank and the line's end."""


async def claims_of(tree: Tree, cage: Cage) -> dict[str, Any] | None:
    """Run the tests of `tree`; None if it has none. Raises nothing of theirs."""
    tests = [path for path in tree if path.rpartition("/")[2].startswith("test_")]
    tests = [path for path in tests if path.endswith(".py")]
    if not tests:
        return None
    found = _CLAIM.fullmatch(await _said(tree, cage))
    claims = {"files": len(tests), "claimed": found is not None}
    if found is None:
        return claims
    return claims | {"claimed_passed": int(found[1]), "claimed_failed": int(found[2])}


async def _said(tree: Tree, cage: Cage) -> bytes:
    """Return the first bytes that the tests' process said."""
    runner = resources.files("genesis.judging").joinpath("tester.py").read_bytes()
    with workplace("tests") as folder:
        write_tree(Tree({**tree, ENTRY: runner}), folder, durable=False)
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            try:
                child = await spawn(folder, theirs, limits=cage.limits, engine=cage.engine)
            except (SandboxError, OSError):
                return b""
            try:
                async with asyncio.timeout(cage.patience.case_s):
                    return await _first(ours)
            except (TimeoutError, OSError):
                return b""
            finally:
                await child.end()


async def _first(channel: socket.socket) -> bytes:
    """Read until the other end closes, or has said more than a claim is."""
    loop, said = asyncio.get_running_loop(), b""
    while len(said) <= _CLAIM_BYTES_MAX:
        data = await loop.sock_recv(channel, _CLAIM_BYTES_MAX)
        if not data:
            break
        said += data
    return said
