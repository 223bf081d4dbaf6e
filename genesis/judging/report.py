"""What one trial came to, and how a judgment is put into words, all of them ours."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from genesis.core.verdict import Decision, Findings, Gate, Outcome, Tooth
from genesis.judging.mutants import Mutant
from runtime.cgroups import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One subject in one gate."""

    gate: str
    outcome: Outcome
    transcript: bytes | None = None
    usage: Usage = field(default_factory=Usage)
    why: str = ""
    timed_out: bool = False
    doubtful: bool = False
    """It failed, or was not tried, for what may be the machine's doing."""
    took_ms: int = 0


def first_failed(trials: Sequence[Trial]) -> list[str]:
    """Return the first gate that was failed, if all before it were passed: one name, or none."""
    first = next((trial for trial in trials if trial.outcome is not Outcome.PASS), None)
    return [first.gate] if first is not None and first.outcome is Outcome.FAIL else []


def rejection(findings: Findings) -> Findings:
    """Return what every honest judge finds: of a rejection the first failed gate and its teeth."""
    if findings.decision is not Decision.REJECT:
        return findings
    first = next(gate for gate in findings.gates if gate.candidate is Outcome.FAIL)
    rest = Outcome.NOT_RUN
    gates = tuple(
        gate if gate is first else Gate(name=gate.name, parent=rest, candidate=rest)
        for gate in findings.gates
    )
    return bitten(replace(findings, gates=gates))


def bitten(findings: Findings) -> Findings:
    """Return a rejection with the teeth of what was failed alone: others may have been late."""
    if findings.decision is not Decision.REJECT:
        return findings
    failed = {gate.name for gate in findings.gates if gate.candidate is Outcome.FAIL}
    return replace(findings, teeth=tuple(one for one in findings.teeth if one.gate in failed))


def reason(findings: Findings, trials: Sequence[Trial]) -> str:
    """Say what decided; empty for an acceptance."""
    doubtful = sorted({trial.gate for trial in trials if trial.doubtful})
    if findings.decision is Decision.INCONCLUSIVE and doubtful:
        return f"the machine may have been too busy to tell: {', '.join(doubtful)}"
    parent = [gate.name for gate in findings.gates if gate.parent is Outcome.FAIL]
    blunt = [tooth.mutant for tooth in findings.teeth if tooth.outcome is not Outcome.FAIL]
    failed = [gate.name for gate in findings.gates if gate.candidate is Outcome.FAIL]
    if parent:
        return f"the parent itself does not pass: {', '.join(parent)}"
    if blunt:
        return f"known-bad mutants were not found: {', '.join(blunt)}"
    return f"not passed: {', '.join(failed)}" if failed else ""


def measures(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return what trials took, and why those failed that did: one machine's numbers."""
    usages = [trial.usage for trial in trials]
    return {
        "cpu_ms": round(sum(usage.cpu_s or 0 for usage in usages) * 1_000),
        "memory_peak_bytes": max((usage.memory_peak_bytes or 0 for usage in usages), default=0),
        "gates": {
            trial.gate: {
                "outcome": trial.outcome.value,
                "took_ms": trial.took_ms,
                "timed_out": trial.timed_out,
                "why": trial.why,
            }
            for trial in trials
        },
    }


def since_ms(started_ns: int) -> int:
    """Milliseconds since a reading of the performance counter."""
    return (time.perf_counter_ns() - started_ns) // 1_000_000


def gate_of(parent: Trial | None, candidate: Trial) -> Gate:
    """Return the outcome of a gate. `parent`: None if it was not tried there."""
    return Gate(
        name=candidate.gate,
        parent=Outcome.NOT_RUN if parent is None else parent.outcome,
        candidate=candidate.outcome,
        transcript=candidate.transcript,
    )


def tooth_of(mutant: Mutant, trial: Trial) -> Tooth:
    """Return how a mutant came out."""
    return Tooth(mutant=mutant.name, gate=mutant.gate, outcome=trial.outcome)
