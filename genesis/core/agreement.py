"""Consensus-critical: what two verdicts on one proposal agree in, and where they do not.

Judges are compared by the digests of their findings. Where those differ, the differences are named,
in the order in which findings are written: an input first, for then nothing behind it can be
compared; then each gate's outcomes and the candidate's transcript; then each mutant. Nothing is
averaged, and no majority is taken: who decides reads this, and says so with his own key.

Measures stand outside: two machines never take the same time. Nor is a judge that found nothing out
another opinion: an inconclusive verdict agrees with nobody and contradicts nobody, unless it says
that all that is left is for people.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genesis.core.verdict import Findings, Verdict

BASIS: Final = ("patch", "parent", "result", "evaluator", "task", "seed")
"""What a verdict is about. Where it differs, two judges were asked two questions."""
SHOWN_MAX: Final = 64
"""Differences that are named: forty outcomes and their transcripts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that two findings say otherwise: `what`, and what each says."""

    what: str
    one: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two verdicts stand to each other.

    `comparable`: they were of the same inputs, and both found something out. `agree`: and their
    digests are equal. Verdicts that are not comparable neither agree nor disagree.
    """

    comparable: bool
    agree: bool
    differences: tuple[Difference, ...] = ()


def compare(one: Verdict, other: Verdict) -> Comparison:
    """Compare two verdicts."""
    if one.digest == other.digest:
        told = one.told and other.told
        return Comparison(comparable=told, agree=told)
    mine, its = one.findings.to_value(), other.findings.to_value()
    basis = tuple(_differences("", _basis(mine), _basis(its)))
    if basis:
        return Comparison(comparable=False, agree=False, differences=basis[:SHOWN_MAX])
    found = (*_gates(one.findings, other.findings), *_teeth(one.findings, other.findings))
    told = one.told and other.told
    rest = {key: mine[key] for key in mine if key not in (*BASIS, "gates", "teeth")}
    more = _differences("", rest, {key: its.get(key) for key in rest})
    return Comparison(comparable=told, agree=False, differences=(*found, *more)[:SHOWN_MAX])


def held_against(others: Sequence[Verdict], verdict: Verdict) -> tuple[int, Comparison]:
    """Return which of `others` (one at least) a verdict is shown beside, and how it stands to it.

    The first that it can be compared with, else the first of all: among those that can be compared
    with each other all agree with their first, or one that does not is shown.
    """
    found = [compare(other, verdict) for other in others]
    index = next((n for n, one in enumerate(found) if one.comparable), 0)
    return index, found[index]


def _basis(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.get(name) for name in BASIS}


def _differences(at: str, one: Any, other: Any) -> Iterator[Difference]:
    """Yield the leaves in which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _differences(f"{at} {key}".strip(), one[key], other[key])
    elif one != other:
        yield Difference(what=at, one=_said(one), other=_said(other))


def _gates(one: Findings, other: Findings) -> Iterator[Difference]:
    mine = {gate.name: gate for gate in one.gates}
    its = {gate.name: gate for gate in other.gates}
    for name in dict.fromkeys((*mine, *its)):
        if name not in mine or name not in its:
            yield Difference(
                what=f"gate {name}", one=_there(name in mine), other=_there(name in its)
            )
            continue
        for field in ("parent", "candidate", "transcript"):
            said = getattr(mine[name], field), getattr(its[name], field)
            if said[0] != said[1]:
                yield Difference(
                    what=f"gate {name} {field}", one=_said(said[0]), other=_said(said[1])
                )


def _teeth(one: Findings, other: Findings) -> Iterator[Difference]:
    mine = {(tooth.gate, tooth.mutant): tooth.outcome for tooth in one.teeth}
    its = {(tooth.gate, tooth.mutant): tooth.outcome for tooth in other.teeth}
    for key in dict.fromkeys((*mine, *its)):
        if mine.get(key) != its.get(key):
            gate, mutant = key
            yield Difference(
                what=f"mutant {mutant} at {gate}",
                one=_said(mine.get(key, "not tried")),
                other=_said(its.get(key, "not tried")),
            )


def _there(here: bool) -> str:  # noqa: FBT001 - the fact that is put into words
    return "tried" if here else "not tried"


def _said(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return "none" if value is None else str(value)[:200]
