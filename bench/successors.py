"""What a successor costs: the fork of a home, a copy of it in files, a judgment on it, the attacks.

    python -m bench.successors FOLDER COPY

forks the home of FOLDER (one of bench.million) as `timmy fork` does where no node runs, and prints
one JSON object. The patch adds a comment, and is accepted. A fork is timed from the export until
its first process, of the candidate, in the sandbox, says that it is ready; which engine works here
is known before, as a node knows it. No recorded turn is told once more: what that takes depends on
the turns and not on the ledger.
"""

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from genesis.core.architecture import Architecture
from genesis.forking import copies
from genesis.forking.documents import understood
from genesis.forking.fork import ForkBudget, fork_successor
from genesis.forking.session import Exported
from genesis.judging.bench import Budget
from genesis.judging.subject import Cage, run_subject
from genesis.trees import write_tree
from node.agent.drafting import diff_of
from node.agent.sessions import of_home
from node.home import Home
from runtime import sandbox
from runtime.core.protocol import VERSION, Hello, Ready

_CHANGED: Final = "runtime/agent/main.py"
SECONDS_MAX: Final = 1800.0
"""A copy of a million events, and a judgment: minutes on a slow machine; more is a hang."""


def _patch(architecture: Architecture) -> bytes:
    old = architecture[_CHANGED]
    return diff_of({_CHANGED: old}, {_CHANGED: old + b"# measured\n"})


@contextmanager
def _timed(found: dict[str, float], name: str, unit: float) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    found[name] = (time.perf_counter() - begin) * unit


async def _started(exported: Exported, patch: bytes, cage: Cage) -> None:
    """Start one process of what the patch makes, and see it ready."""
    about = exported.about
    tree = understood(patch, about.architecture, "").weighed.result.tree
    with tempfile.TemporaryDirectory() as name:
        write_tree(tree, Path(name), durable=False)
        async with run_subject(Path(name), cage) as subject:
            hello = Hello(protocol=VERSION, name=about.name, soul=about.soul, ledger=about.ledger)
            subject.send(hello)
            if await subject.receive() != Ready(protocol=VERSION):
                raise RuntimeError("the candidate is not ready")


def measure(folder: Path, copy: Path) -> dict[str, float]:
    """Milliseconds of the fork and of the attacks, seconds of copy and judgment."""
    found: dict[str, float] = {}
    judged = Budget()
    engine = asyncio.run(sandbox.detect())
    cage = Cage(engine=engine, limits=judged.limits, patience=judged.patience)
    with of_home(Home(path=folder / "home", state=folder / "state")) as session:
        with _timed(found, "fork", 1e3):
            exported = session.export()
            exported.rebuild()
            patch = _patch(exported.about.architecture)
            asyncio.run(_started(exported, patch, cage))
        with _timed(found, "copy", 1.0):
            copies.save(exported, copy)
            with copies.opened(copy):
                pass
        verdict = fork_successor(
            current_state=replace(exported, trials=None),
            architecture_patch=patch,
            budget=ForkBudget(turns=0),
            engine=engine,
        ).run_until_complete()
    if not verdict.accepted:
        raise RuntimeError(f"the patch is to be accepted: {verdict.decision}, {verdict.reason}")
    found["judge"] = verdict.judgment.verdict.measured["took_ms"] / 1e3
    found["attacks"] = float(verdict.sandbox.took_ms)
    return found


if __name__ == "__main__":
    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=level)
    print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]))))
