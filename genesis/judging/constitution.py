"""Judges a change of this software: the old evaluator, and never the changed code outside its cage.

    parses, record, help   read (genesis.core.judging.constitution)
    refold                 the changed software folds the events that a judge is given, in the
                           sandbox, twice: it comes to an end, and to one state
    people                 no machine's to pass: its transcript names the software before and after

The last gate is never run, so by the arithmetic of every verdict the best that comes of it is
`inconclusive`; whether all the others speak and were passed is `Findings.for_people`, and then
people are asked. What the state was and would be, and which parts of it differ, is measured and not
decided by: a reducer that folds otherwise is what a migration is.

The records that are folded hold nobody's words: reducers see none. The parent is folded in the same
cage and held against this process' own fold of the same events.

Not covered: whether the changed program starts; events before those that a judge is given; changed
code that waits for something else than it is shown. It is told nothing that it could take along.
"""

import asyncio
import hashlib
import importlib.util
import platform
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from genesis.core import patch
from genesis.core.architecture import Architecture, Manifest
from genesis.core.constitution import (
    Constituted,
    Software,
    change_digest,
    changed_paths,
    constituted,
)
from genesis.core.errors import Constitutional, InvalidPatch
from genesis.core.judging.constitution import BAD, READS, kind_of
from genesis.core.verdict import (
    PEOPLE,
    Findings,
    Gate,
    Inputs,
    Outcome,
    Tooth,
    Verdict,
    sign_envelope,
)
from genesis.judge import Budget, Head, Judgment, evaluator_digest
from genesis.judging.report import since_ms
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.event import Event
from ledger.core.hashing import tagged
from ledger.core.keys import Signer
from ledger.core.state import BASIC_REDUCERS, PART_DIGEST_BYTES, State
from runtime.core.reducers import REDUCERS
from runtime.rooms import workplace
from runtime.sandbox import Engine, SandboxError, spawn
from runtime.tasks import to_its_end

REFOLD: Final = "refold"
FOLD_TAG: Final = "timmy/refold/v1"
FOR_PEOPLE: Final = "a machine finds nothing against it; whether it is wanted is for people"
_LIBRARIES: Final = (
    *("blake3", "cbor2", "croniter", "dateutil", "msgspec", "six", "typing_extensions"),
)
"""What folding imports beside Python's own library."""
_FOLDING: Final = ("ledger/", "runtime/")
"""Packages that a reducer may import from."""
_SAID_BYTES_MAX: Final = 64 * 1024
"""A size, a digest, and the name and digest of each part: sixty of forty bytes."""
_PARTS_MAX: Final = 1_024
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DEFECTS: Final = {
    "chokes": "raise ValueError(event.type)",
    "random": 'return [("random", __import__("os").urandom(8))]',
}
_DEFECT: Final = """

def _bad(entries, event):
    {}


REDUCERS = (*REDUCERS, _bad)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What folding came to: events, digest of the state, digest of each part of it."""

    size: int
    digest: bytes
    parts: Mapping[str, bytes]

    @property
    def transcript(self) -> bytes:
        """The 32 bytes that name it."""
        parts = [[name, self.parts[name]] for name in sorted(self.parts)]
        return tagged(FOLD_TAG, encode([self.size, self.digest, parts]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """How a subject came out of `refold`. `late`: it may be the machine's doing."""

    outcome: Outcome
    fold: Fold | None = None
    why: str = ""
    late: bool = False


async def judge_constitution(
    data: bytes,
    parent: Architecture,
    software: Software,
    *,
    snapshot: Sequence[Event],
    head: Head,
    signer: Signer,
    seed: bytes,
    engine: Engine,
    clock: Callable[[], int],
    budget: Budget | None = None,
    tries: int = 1,
    distrust: str = "",
) -> Judgment:
    """Judge the diff `data`, a change of `software`. Arguments as of `genesis.judge.judge`.

    Raises InvalidVerdict for a malformed head or seed; everything else ends in a verdict.
    """
    made: Constituted | None = None
    try:
        made, why = constituted(parent, software, patch.parse(data)), distrust
    except (InvalidPatch, Constitutional) as error:
        why = str(error)
    inputs = Inputs(
        patch_sha256=hashlib.sha256(data).digest(),
        parent_root=parent.root,
        parent_tree=parent.tree.digest,
        result_root=None if made is None else made.architecture.root,
        result_tree=None if made is None else made.architecture.tree.digest,
        head_size=head.size,
        head_root=head.root,
        evaluator=evaluator_digest(),
        seed=seed,
        tries=tries,
    )
    court = _Court(parent, software, budget or Budget(), engine, clock())
    verdict = await court.verdict(inputs, made, snapshot, why)
    return Judgment(
        envelope=sign_envelope(verdict, [signer]), verdict=verdict, notes=tuple(court.notes)
    )


class _Court:
    """One judgment under way. `notes` are for the operator of this node only."""

    def __init__(
        self, parent: Architecture, software: Software, budget: Budget, engine: Engine, now_ms: int
    ) -> None:
        self._parent = parent
        self._software = software
        self._budget = budget
        self._engine = engine
        self._started_ms = now_ms
        self._started = time.perf_counter_ns()
        self._folder = Path()
        self.notes: list[str] = []

    async def verdict(
        self, inputs: Inputs, made: Constituted | None, snapshot: Sequence[Event], why: str
    ) -> Verdict:
        """Try everything and return what follows. Raises nothing of the change's doing."""
        nothing = Findings(inputs=inputs)
        if made is None:
            return self._conclude(nothing, why)
        if self._engine is Engine.NONE:
            return self._conclude(nothing, why or "no sandbox engine works here", made=made)
        try:
            async with asyncio.timeout(self._budget.total_s):
                return await self._run(inputs, made, snapshot)
        except TimeoutError:
            why = f"the judgment took too long: more than {self._budget.total_s:g} s"
            return self._conclude(nothing, why, made=made)
        except (SandboxError, OSError) as error:
            self.notes.append(f"the machine: {error}")
            return self._conclude(nothing, "it could not be tried here", made=made)

    async def _run(self, inputs: Inputs, made: Constituted, snapshot: Sequence[Event]) -> Verdict:
        after = made.software
        read, teeth = await asyncio.to_thread(_read, self._software, after)
        whys = [why for why in read.values() if why]
        with workplace("constitution") as folder:
            self._folder = folder
            tried = _Tried(outcome=Outcome.NOT_RUN)
            parent = _Tried(outcome=Outcome.NOT_RUN)
            if not whys:
                records = _records(snapshot)
                own = await asyncio.to_thread(_folded, snapshot)
                parent = _held_to(await self._folds("parent", self._software, records), own)
                tried = await self._surely(after, records)
                teeth += await self._bitten(records)
        gates = [_read_gate(name, why) for name, why in read.items()]
        transcript = None if tried.fold is None else tried.fold.transcript
        gates.append(
            Gate(name=REFOLD, parent=parent.outcome, candidate=tried.outcome, transcript=transcript)
        )
        change = change_digest(self._software.root, after.root)
        gates.append(
            Gate(name=PEOPLE, parent=Outcome.NOT_RUN, candidate=Outcome.NOT_RUN, transcript=change)
        )
        findings = Findings(inputs=inputs, gates=tuple(gates), teeth=tuple(teeth))
        why = "; ".join(whys) or _reason(findings, parent, tried)
        state = _state_row(parent.fold, tried.fold, snapshot)
        return self._conclude(findings, why, made=made, state=state)

    # ---- folding --------------------------------------------------------------------------------

    async def _surely(self, software: Software, records: bytes) -> _Tried:
        """Fold twice, and once more what failed: once bad and once good says nothing."""
        first = await self._twice("candidate", software, records)
        if first.outcome is Outcome.PASS:
            return first
        again = await self._twice("candidate-again", software, records)
        failed = again.outcome is Outcome.FAIL and not (first.late or again.late)
        if failed and first.outcome is Outcome.FAIL:
            return again
        return _Tried(outcome=Outcome.NOT_RUN, why="the machine may have been too busy", late=True)

    async def _twice(self, name: str, software: Software, records: bytes) -> _Tried:
        one = await self._folds(name, software, records)
        if one.outcome is not Outcome.PASS:
            return one
        two = await self._folds(name, software, records)
        if two.outcome is Outcome.PASS and two.fold != one.fold:
            return _Tried(outcome=Outcome.FAIL, why="it did not fold to the same state twice")
        return two

    async def _bitten(self, records: bytes) -> list[Tooth]:
        """Fold with reducers that are known to be bad: each must be found."""
        path, teeth = "runtime/core/reducers.py", []
        for name, defect in _DEFECTS.items():
            text = self._software.get(path, b"") + _DEFECT.format(defect).encode()
            tried = await self._twice(name, Software({**self._software, path: text}), records)
            outcome = Outcome.NOT_RUN if tried.late else tried.outcome
            teeth.append(Tooth(mutant=name, gate=REFOLD, outcome=outcome))
        return teeth

    async def _folds(self, name: str, software: Software, records: bytes) -> _Tried:
        """Have `software` fold, in the cage. Raises SandboxError, OSError."""
        folder = self._folder / name
        if not folder.exists():
            await to_its_end(asyncio.to_thread(_write, software, records, folder))
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            limits = replace(self._budget.limits, memory_bytes=2 * self._budget.limits.memory_bytes)
            child = await spawn(folder, theirs, limits=limits, engine=self._engine)
            try:
                async with asyncio.timeout(self._budget.patience.case_s):
                    said = await _all(ours)
                    status = await child.wait()
            except TimeoutError:
                return _Tried(outcome=Outcome.FAIL, why="it was late", late=True)
            finally:
                await child.end()
        fold = _parsed(said)
        if fold is None or status:
            words = child.stderr_tail().strip()[-1_000:]
            if words and name.startswith(("parent", "candidate")):
                self.notes.append(f"{name}: exit status {status}: {words}")
            why = "it does not fold the events that are there"
            return _Tried(outcome=Outcome.FAIL, why=why, late=child.timed_out)
        return _Tried(outcome=Outcome.PASS, fold=fold)

    def _conclude(
        self,
        findings: Findings,
        why: str,
        *,
        made: Constituted | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Verdict:
        measured: dict[str, Any] = {
            "engine": self._engine.value,
            "reason": why,
            "started_ms": self._started_ms,
            "took_ms": since_ms(self._started),
            "machine": {"processor": platform.machine(), "python": platform.python_version()},
        }
        if made is not None:
            told = software_row(self._parent, self._software, made.software)
            measured["constitution"] = told | ({} if state is None else {"state": dict(state)})
        return Verdict(decision=findings.decision, findings=findings, measured=measured)


def software_row(parent: Architecture, before: Software, after: Software) -> dict[str, Any]:
    """Return, as JSON values, what of the software changes, and which roots name it."""
    return {
        "software": {"before": before.root.hex(), "after": after.root.hex()},
        "pinned": {
            "before": _pinned(before, parent.reducers).hex(),
            "after": _pinned(after, parent.reducers).hex(),
        },
        "files": [
            {
                "path": path,
                "kind": kind_of(path, parent.reducers),
                "change": _change(path in before, path in after),
            }
            for path in changed_paths(before, after)
        ],
    }


def _change(was: bool, is_there: bool) -> str:  # noqa: FBT001 - the facts that are put into words
    if was and is_there:
        return "changes"
    return "goes" if was else "comes"


def _pinned(software: Software, reducers: Iterable[str]) -> bytes:
    out = frozenset(reducers)
    return Manifest(
        tuple(entry for entry in software.manifest.entries if entry.path not in out)
    ).root


def _read(before: Software, after: Software) -> tuple[dict[str, str | None], list[Tooth]]:
    """Read the change, and every known-bad one. A second: not for the event loop."""
    found = {name: gate(before, after) for name, gate in READS.items()}
    teeth = []
    for mutant, (gate, make) in BAD.items():
        bad = READS[gate](before, make(before))
        outcome = Outcome.PASS if bad is None else Outcome.FAIL
        teeth.append(Tooth(mutant=mutant, gate=gate, outcome=outcome))
    return found, teeth


def _read_gate(name: str, why: str | None) -> Gate:
    """Of a gate that is read the parent is what does not change: it passes."""
    candidate = Outcome.PASS if why is None else Outcome.FAIL
    return Gate(name=name, parent=Outcome.PASS, candidate=candidate)


def _reason(findings: Findings, parent: _Tried, tried: _Tried) -> str:
    if findings.for_people:
        return FOR_PEOPLE
    if parent.outcome is not Outcome.PASS:
        return f"the software as it is: {parent.why}"
    if tried.why:
        return tried.why
    blunt = [tooth.mutant for tooth in findings.teeth if tooth.outcome is not Outcome.FAIL]
    return f"known-bad changes were not found: {', '.join(blunt)}"


def _state_row(
    before: Fold | None, after: Fold | None, snapshot: Sequence[Event]
) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    names = sorted({*before.parts, *after.parts})
    return {
        "first": snapshot[0].position if snapshot else 0,
        "events": len(snapshot),
        "before": before.digest.hex(),
        "after": after.digest.hex(),
        "differs": [name for name in names if before.parts.get(name) != after.parts.get(name)],
    }


def _records(snapshot: Sequence[Event]) -> bytes:
    first = snapshot[0].position if snapshot else 0
    rows: list[Any] = [
        [one.position, one.record.envelope, one.record.salt, one.record.payload] for one in snapshot
    ]
    return encode([first, rows])


def _folded(snapshot: Sequence[Event]) -> Fold:
    """Fold here, with the software that judges: what the parent in the cage must come to."""
    first = snapshot[0].position if snapshot else 0
    state = State((*BASIC_REDUCERS, *REDUCERS), size=first)
    for event in snapshot:
        bare = event.record._replace(content=None, content_salt=None)
        state.apply(Event.open(bare))
    return Fold(size=state.size, digest=state.digest(), parts=state.parts())


def _held_to(tried: _Tried, own: Fold) -> _Tried:
    if tried.outcome is Outcome.PASS and tried.fold != own:
        return replace(
            tried, outcome=Outcome.FAIL, why="what lies on disk folds otherwise than what runs"
        )
    return tried


def _parsed(said: bytes) -> Fold | None:
    try:
        value = decode(said, bytes_max=_SAID_BYTES_MAX)
    except InvalidCbor:
        return None
    match value:
        case [int(size), bytes(digest), dict(parts)] if len(digest) == 32:
            good = len(parts) <= _PARTS_MAX and all(
                _PART.fullmatch(name) and type(one) is bytes and len(one) == PART_DIGEST_BYTES
                for name, one in parts.items()
            )
            return Fold(size=size, digest=digest, parts=parts) if good and size >= 0 else None
    return None


async def _all(channel: socket.socket) -> bytes:
    """Read until the other end closes, or has said more than a fold is."""
    loop, said = asyncio.get_running_loop(), b""
    while len(said) <= _SAID_BYTES_MAX:
        try:
            data = await loop.sock_recv(channel, _SAID_BYTES_MAX)
        except OSError:  # it went away with something unread
            break
        if not data:
            break
        said += data
    return said


def _write(software: Software, records: bytes, folder: Path) -> None:
    """Write what a fold needs. Not durable: it is gone with the judgment."""
    for path, data in software.items():
        if not path.startswith(_FOLDING):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    driver = resources.files("genesis.judging").joinpath("folding.py").read_bytes()
    (folder / "main.py").write_bytes(driver)
    (folder / "_events").write_bytes(records)
    site = folder / "_site"
    site.mkdir()
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        if spec.submodule_search_locations is None:
            shutil.copy(origin, site / origin.name)
        else:
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(origin.parent, site / name, ignore=skipped)


__all__ = ["FOR_PEOPLE", "REFOLD", "Fold", "judge_constitution", "software_row"]
