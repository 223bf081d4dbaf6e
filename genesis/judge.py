"""The judge: runs a patched tree as a successor, outside it, and signs what it found.

    candidate   every gate: those that are read (skills, skins, sources) and those that are played
    parent      the same gates, on what is adopted now: one it fails says nothing
    mutants     each known-bad subject on the gate that is there for it: a blunt gate says nothing
    measures    what the proposal asks to be judged by, parent beside candidate

After a failure only the first failed gate is tried on parent and mutants: one sound reason to
reject is enough.

All that are played run in the sandbox, as fresh processes, on the same snapshot and the same cases,
which are drawn from a seed that was committed to before the patch was frozen and is revealed in the
verdict. Only protocol frames cross the border; expectations stay here.

Accept means: the parent and the candidate passed everything, all mutants died, and the engine
contains. What cannot be found out is inconclusive: no engine, a start that fails, time over, a
machine too busy. A patch that cannot be read or applied, or that reaches for what is pinned, is
invalid.

Not covered: whether the change is wise (people read it); a subject that waits for a later day, or
that tells the judge from a node by its timing; leaks through the verdict's transcript digests to
someone who guesses the private words that a subject might have copied (docs/THREATS.md).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Final

from genesis.core import patch
from genesis.core.architecture import Architecture, patched
from genesis.core.errors import Constitutional, InvalidPatch
from genesis.core.verdict import Inputs, Verdict, sign_envelope
from genesis.judging.bench import Bench
from genesis.judging.budget import Budget
from genesis.judging.measuring import Wanted
from ledger.core.event import Event
from ledger.core.hashing import tagged
from ledger.core.keys import Signer
from ledger.core.state import State
from runtime.sandbox import Engine

__all__ = ["Budget", "Head", "Judgment", "Task", "evaluator_digest", "judge"]

EVALUATOR_TAG: Final = "timmy/evaluator/v1"
_ROOMS: Final = ("genesis.judging", "genesis.core.judging")
"""Packages that are the judge's whole."""
_EVALUATOR: Final = (
    ("genesis", "judge.py"),
    ("genesis", "trees.py"),
    *(("genesis.core", f"{name}.py") for name in ("architecture", "constitution", "draws")),
    *(("genesis.core", f"{name}.py") for name in ("errors", "front", "limits", "patch")),
    *(("genesis.core", f"{name}.py") for name in ("strict_json", "thresholds", "tree", "verdict")),
    *(("runtime.core", f"{name}.py") for name in ("agenda", "calls", "chat", "crisis")),
    *(("runtime.core", f"{name}.py") for name in ("crisis_context", "crisis_rules")),
    *(("runtime.core", f"{name}.py") for name in ("crisis_words", "errors", "injection")),
    *(("runtime.core", f"{name}.py") for name in ("labelled", "landlock", "limits", "protocol")),
    *(("runtime.core", f"{name}.py") for name in ("permission_globs", "permission_kinds")),
    *(("runtime.core", f"{name}.py") for name in ("permission_rules", "prompting", "seccomp")),
    *(("runtime.core", f"{name}.py") for name in ("shell_starters", "shell_words", "skins")),
    *(("runtime.core", f"{name}.py") for name in ("suite", "turns")),
    *(("runtime", f"{name}.py") for name in ("bubblewrap", "cgroups", "child", "held")),
    *(("runtime", f"{name}.py") for name in ("interpreter", "landlock", "rooms", "sandbox")),
    ("runtime", "tasks.py"),
    ("runtime.warden", "main.py"),
    ("runtime", "data/graded-development.toml"),
    ("runtime", "data/safety-tests.md"),
)
"""The judge's own code and cases: two verdicts compare only if they were the same.

All of `genesis` and `runtime` that the judge imports, and what it runs or reads; a test holds the
list to that, and names what is left out: the reducers, which a verdict on them names by their root,
and `ledger`, whose formats are fixed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a proposal asks for: a measure, empty for none, and the effect that it promises.

    `tries`: which try it is, from 1. `migration`: what a constitutional one declares, or empty.
    """

    measure: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    tries: int = 1
    migration: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The signed head of the parent's ledger that the snapshot was taken at."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """A signed verdict, and notes for the operator of this node only.

    `notes` may hold what subjects wrote, and thereby words of the snapshot: they stay here.
    """

    envelope: bytes
    verdict: Verdict
    notes: tuple[str, ...]


async def judge(
    data: bytes,
    parent: Architecture,
    *,
    snapshot: Sequence[Event],
    head: Head,
    signer: Signer,
    seed: bytes,
    engine: Engine,
    clock: Callable[[], int],
    budget: Budget | None = None,
    task: Task | None = None,
    distrust: str = "",
    state: State | None = None,
) -> Judgment:
    """Judge the patch `data`, a diff, against `parent`. `task`: what its proposal asks for.

    `snapshot` is the ledger's events below `head`, in order; `seed` is 32 secret random bytes
    that were committed to (`verdict.seed_commitment`); `clock` gives Unix milliseconds;
    `distrust` says why `engine` is none, where there is one that is not trusted; `state`, folded
    from these very events, saves folding them. Raises InvalidVerdict for a malformed head or seed;
    everything a patch or the machine can do ends in a verdict.
    """
    try:
        parsed = patch.parse(data)
        result, why = patched(parent, parsed), distrust
    except (InvalidPatch, Constitutional) as error:
        result, why = None, str(error)
    task = task or Task()
    bench = Bench(parent, result, budget or Budget(), engine, clock, task.wanted, state)
    inputs = Inputs(
        patch_sha256=hashlib.sha256(data).digest(),
        parent_root=parent.root,
        parent_tree=parent.tree.digest,
        result_root=None if result is None else result.root,
        result_tree=None if result is None else result.tree.digest,
        head_size=head.size,
        head_root=head.root,
        evaluator=evaluator_digest(),
        seed=seed,
        measure=task.measure,
        tries=task.tries,
    )
    verdict = await bench.verdict(inputs, snapshot, why)
    return Judgment(
        envelope=sign_envelope(verdict, [signer]), verdict=verdict, notes=tuple(bench.notes)
    )


def evaluator_digest() -> bytes:
    """Return 32 bytes over the judge's own source."""
    parts = []
    for package, name in (*_EVALUATOR, *_rooms()):
        source = resources.files(package).joinpath(name).read_bytes()
        parts.append(tagged(EVALUATOR_TAG, f"{package}/{name}".encode() + b"\0" + source))
    return tagged(EVALUATOR_TAG, b"".join(parts))


def _rooms() -> Iterator[tuple[str, str]]:
    for package in _ROOMS:
        names = sorted(file.name for file in resources.files(package).iterdir())
        yield from ((package, name) for name in names if name.endswith(".py"))
