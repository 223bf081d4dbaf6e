"""Which engines the tests of the sandbox run on: each that this machine has, found by a trial.

One that is missing is no silent pass: `WHY_NOT` has the reason, and tests that need it skip with it.
"""

import asyncio

import pytest

from runtime import sandbox
from runtime.core.landlock import unfit
from runtime.landlock import abi
from runtime.sandbox import Engine

HOLDING = (Engine.BUBBLEWRAP, Engine.LANDLOCK)
_PROBES = {engine: asyncio.run(sandbox.probe(engine)) for engine in HOLDING}
WHY_NOT = {engine: probe.reason for engine, probe in _PROBES.items() if probe.engine is not engine}
ENGINES = [engine for engine in HOLDING if engine not in WHY_NOT]
EVERY = [*ENGINES, Engine.NONE]

needs_landlock = pytest.mark.skipif(
    Engine.LANDLOCK in WHY_NOT, reason=WHY_NOT.get(Engine.LANDLOCK, "")
)


def kernel_says() -> str | None:
    """Why this kernel has no Landlock that holds, by its own word; None if it has."""
    return unfit(abi())
