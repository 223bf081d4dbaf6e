"""Who is played in a judgment, and the cases of each: what the bench has under way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from genesis.judging.mutants import Mutant
from genesis.judging.scenes import Case, Past

PARENT: Final = "parent"
CANDIDATE: Final = "candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Play these cases of one gate, one after the other, with the tree of a folder."""

    who: str
    folder: str
    cases: tuple[Case, ...]

    @property
    def gate(self) -> str:
        """Which they are of."""
        return self.cases[0].gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The jobs of a judgment, by gate."""

    candidate: Mapping[str, Job]
    parent: Mapping[str, Job]
    first: Mapping[str, Case]
    past: Past

    def briefly(self) -> "Cast":
        """Return the same for a candidate that passed: what its parent does decides little then."""
        parent = {
            gate: replace(job, cases=tuple(case.briefly() for case in job.cases))
            for gate, job in self.parent.items()
        }
        return replace(self, parent=parent)

    def mutant(self, mutant: Mutant, starved: Mapping[str, Case]) -> Job:
        """Return the job of a mutant of a gate that is played."""
        case = self.first[mutant.gate] if mutant.bounds is None else starved[mutant.name]
        return Job(who=mutant.name, folder=mutant.defect, cases=(case,))
