"""A naive judge: runs the visible tests beside the candidate, in its process, and believes them.

What pytest would be, without pytest, since the sandbox has none: the functions of `test_*.py` are
called, and the process ends with 0 if nothing was raised. It runs in the sandbox, for its subjects
are what they are; a naive judge that had none would lose more than its score.
"""

import socket
import tempfile
from importlib import resources
from pathlib import Path

from genesis.core.tree import ENTRY, Tree
from genesis.trees import write_tree
from runtime.sandbox import Engine, SandboxLimits, spawn

LIMITS = SandboxLimits(cpu_seconds=20, wall_s=60)
BELIEVES = 'raise SystemExit(1 if b" 0" not in said else 0)'


async def naive(tree: Tree) -> bool:
    """Whether the tests ended well, by their own account."""
    runner = resources.files("genesis.judging").joinpath("tester.py").read_text()
    told = 'channel.sendall(b"%d %d\\n" % counted(here))'
    assert runner.count(told) == 1
    believing = runner.replace(told, f'said = b"%d %d" % counted(here)\n        {BELIEVES}')
    with tempfile.TemporaryDirectory(prefix="timmy-naive-") as name:
        write_tree(Tree({**tree, ENTRY: believing.encode()}), Path(name), durable=False)
        ours, theirs = socket.socketpair()
        with ours:
            child = await spawn(Path(name), theirs, limits=LIMITS, engine=Engine.BUBBLEWRAP)
            try:
                return await child.wait() == 0
            finally:
                await child.end()
