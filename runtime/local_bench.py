"""Measuring a model of this machine: loaded, given a prompt, made to speak, a few times over.

Of the runs the fastest counts: what else the machine does can only make one slower. Not covered:
how good its words are.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, Final

from runtime import local_process
from runtime.core.errors import LocalModelError
from runtime.core.fits import Figures
from runtime.local_process import BrainSettings
from runtime.weights import Weights

_LINE_BYTES_MAX: Final = 4096
RUNS: Final = 3

Seen = Callable[[int, int], None]
"""Told after each step how many of how many are done."""


async def measure(
    weights: Weights, settings: BrainSettings, *, runs: int = RUNS, seen: Seen = lambda *_: None
) -> Figures:
    """Run a model and return what it showed. Raises LocalModelError, SandboxError, OSError."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        child = await local_process.start("measure", weights, settings, theirs, runs=runs)
        peak = 0
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES_MAX)
            told: list[dict[str, Any]] = []
            async for line in reader:
                told.append(json.loads(line))
                seen(len(told), runs + 2)
                peak = max(peak, local_process.resident_bytes(child.pid))
            writer.close()
            status = await child.wait()
        finally:
            await child.end()
    if status or len(told) != runs + 2:
        why = local_process.words_of_end(child, status, settings)
        raise LocalModelError(
            f"{weights.path} does not run here: {why}",
            hint="raise its bound (--memory), or take another model",
        )
    return _figures(told, settings, peak)


def _figures(told: list[dict[str, Any]], settings: BrainSettings, seen_peak: int) -> Figures:
    first, *runs, last = told
    return Figures(
        load_s=first["load_s"],
        prompt_tokens_per_s=1 / min(run["prompt_s"] for run in runs),
        reply_tokens_per_s=1 / min(run["reply_s"] for run in runs),
        peak_bytes=max(last["peak_bytes"], seen_peak),
        runs=len(runs),
        threads=settings.threads,
        context_tokens=settings.context_tokens,
    )
