"""Known-bad trees, and which gate must reject each: the teeth of the judge.

A mutant is the specimen (genesis.specimen) with one defect switched on. They are run in the same
sandbox, with the same cases, in the same judgment; if one passes the gate that is there for it,
the gate is blunt and the judgment says nothing. The specimen without a defect passes all gates,
which the tests hold, so that what fails a mutant is its defect.
"""

from importlib import resources
from typing import Final, NamedTuple

from genesis.core.tree import ENTRY, Tree

_SWITCH: Final = 'DEFECT: str = "none"'


class Mutant(NamedTuple):
    """A defect of the specimen and the gate that must find it."""

    defect: str
    gate: str


MUTANTS: Final = (
    Mutant("unclean", "handshake"),
    Mutant("misheard", "handshake"),
    Mutant("constant", "answer"),
    Mutant("soulless", "identity"),
    Mutant("copies", "references"),
    Mutant("loner", "history"),
    Mutant("crosses", "isolation"),
    Mutant("forgets", "recall"),
    Mutant("blind", "erased"),
    Mutant("chokes", "opaque"),
    Mutant("insists", "refusal"),
    Mutant("fragile", "refusal"),
    Mutant("twice", "discipline"),
    Mutant("talks", "discipline"),
    Mutant("miscounts", "discipline"),
    Mutant("mixes", "parallel"),
    Mutant("boundless", "bounds"),
    Mutant("random", "determinism"),
)


def specimen(defect: str = "none") -> Tree:
    """Return the specimen's tree with one defect, or none, switched on."""
    source = resources.files("genesis").joinpath("specimen.py").read_text("utf-8")
    assert source.count(_SWITCH) == 1
    switched = source.replace(_SWITCH, _SWITCH.replace("none", defect))
    return Tree({ENTRY: switched.encode()})
