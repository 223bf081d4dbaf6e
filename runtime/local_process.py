"""Starting a model of this machine as a process of its own, and holding it.

What it sees: the interpreter and the system's libraries, the packages installed beside
llama-cpp-python, the one file of weights, all read-only; an empty folder. It has no network but the
socket it was given, which listens already, starts no process and has a filter of system calls:
weights are a stranger's bytes that a large library in C++ parses. Where no engine of the sandbox
works it is a plain child, which status says.

Memory is bounded by a control group where one can be made, else `resident_bytes` is looked at and
the caller ends it; mapped weights count in both. Without a group it may take what it likes for the
second between two looks.

Not covered: graphics cards.
"""

import importlib.util
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runtime import bubblewrap, sandbox
from runtime.child import Child
from runtime.core.errors import LocalModelError
from runtime.sandbox import MIB, Engine, SandboxLimits
from runtime.weights import Weights

_ENTRY: Final = Path(__file__).parent / "brain" / "main.py"
_NEEDED: Final = ("llama_cpp", "uvicorn", "fastapi", "sse_starlette", "starlette_context")
_PIDS: Final = 320
"""Threads: one for each core of a large machine, forty of the server's, and bubblewrap."""
_BATCH_TOKENS: Final = 128
"""Tokens read at once. At 512, what a large vocabulary needs in between takes 250 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrainSettings:
    """How a model is run. `memory_bytes` bounds all of it, mapped weights included."""

    context_tokens: int
    threads: int
    memory_bytes: int
    engine: Engine

    def __post_init__(self) -> None:
        for name in ("context_tokens", "threads", "memory_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, at least 1 expected")


def threads_here() -> int:
    """Cores less one: with all of them its threads wait for each other whenever another works."""
    return max(1, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity")
               else (os.cpu_count() or 2) - 1)  # fmt: skip


def packages() -> Path:
    """Return the folder that llama-cpp-python is installed in. Raises LocalModelError."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LocalModelError(
            f"llama-cpp-python with its server is not installed: no {', '.join(missing)}",
            hint="make local (it compiles for some minutes, once)",
        )
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent.parent


def check_fits(weights: Weights, settings: BrainSettings) -> None:
    """Refuse what cannot fit into its bound, before it is tried. Raises LocalModelError."""
    cache = weights.head.cache_bytes(settings.context_tokens)
    if weights.size + cache > settings.memory_bytes:
        raise LocalModelError(
            f"{weights.path} takes {weights.size // MIB} MiB, and {cache // MIB} MiB for"
            f" {settings.context_tokens} tokens of context; it may use"
            f" {settings.memory_bytes // MIB} MiB",
            hint="take a smaller model or context, or raise the bound: timmy models bench FILE",
        )


async def start(
    do: str, weights: Weights, settings: BrainSettings, channel: socket.socket, **more: Any
) -> Child:
    """Start the process to `do` "serve" or "measure"; `channel` belongs to it from here on.

    Raises LocalModelError, SandboxError, OSError.
    """
    site = packages()
    brief = {
        "do": do,
        "path": _name(weights, settings.engine),
        "mark": weights.mark,
        "context": settings.context_tokens,
        "threads": settings.threads,
        "batch": _BATCH_TOKENS,
        **more,
    }
    limits = SandboxLimits(memory_bytes=settings.memory_bytes, pids=_PIDS)
    return await sandbox.spawn_brain(
        _ENTRY, weights.path, site, json.dumps(brief), channel,
        limits=limits, engine=settings.engine,
    )  # fmt: skip


def _name(weights: Weights, engine: Engine) -> str:
    """As the process finds it. By Landlock the right is of this very file, not of its name."""
    return bubblewrap.WEIGHTS if engine is Engine.BUBBLEWRAP else str(weights.path)


def resident_bytes(pid: int) -> int:
    """Memory of a process and of all it started, mapped files included; 0 where /proc has none."""
    total = 0
    for one in _family(pid):
        try:
            fields = Path(f"/proc/{one}/statm").read_text().split()
        except OSError:  # it ended meanwhile
            continue
        total += int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:  # it grows while it is walked
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def words_of_end(child: Child, status: int, settings: BrainSettings) -> str:
    """Say in a line why a process ended."""
    if child.usage().ended_for_memory:
        return f"it needed more than its {settings.memory_bytes // MIB} MiB"
    lines = [line.strip() for line in child.stderr_tail().splitlines() if line.strip()]
    how = f"signal {status - 128}" if status > 128 else f"exit status {status}"
    return f"{how}: {lines[-1][-300:]}" if lines else how
