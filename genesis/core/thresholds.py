"""Consensus-critical: the thresholds that a patch may change, as a file of the architecture.

`thresholds.toml` holds them in one form only: tables and keys in the order of the alphabet, whole
numbers, nothing else. What is not named here (money, approvals, rules, anything of safety) is
pinned.

Replies and steps a judge plays out: a turn must end with its answer within them. Time he cannot,
for nobody's machine is another's, nor how long results of tools must be: those have floors, below
which no patch may take them. What the operator writes into his node.toml is his own.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from genesis.core import limits
from genesis.core.errors import InvalidTree

PATH: Final = "thresholds.toml"
BOUNDS: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "agent": {
        "iterations_max": (1, 500),
        "steps_max": (1, 500),
        "turn_seconds_max": (1, 86_400),
    },
    "tools": {"result_kb": (1, 256), "turn_seconds": (1, 86_400)},
}
"""Table, key, least and most: as in node.toml, whose values these are."""
FLOORS: Final[Mapping[str, Mapping[str, int]]] = {
    "agent": {"turn_seconds_max": 300},
    "tools": {"result_kb": 16, "turn_seconds": 60},
}
"""What a patch may not go below.

    turn_seconds_max   two replies of a small model of one's own, with the result of a tool between
                       them: 4,000 tokens read at 42 a second and 512 said at 19, twice
    result_kb          five hits of a search as long as hits may be
    turn_seconds       two pages of the web that come late, 30 s each. What begins within it has its
                       own time: a line of the shell, 120 s if it does not say another
"""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A value for each, checked on construction. Raises InvalidTree."""

    values: Mapping[str, Mapping[str, int]]

    def __post_init__(self) -> None:
        for table, bounds in BOUNDS.items():
            given = self.values.get(table)
            if not isinstance(given, Mapping) or given.keys() != bounds.keys():
                raise InvalidTree(f"{PATH}: [{table}] holds {', '.join(bounds)}, no more, no less")
            for key, (least, most) in bounds.items():
                value = given[key]
                if type(value) is not int or not least <= value <= most:
                    raise InvalidTree(
                        f"{PATH}: {table}.{key} is {value!r:.40}, {least} to {most} allowed"
                    )
        if unknown := sorted(self.values.keys() - BOUNDS.keys()):
            raise InvalidTree(f"{PATH}: [{unknown[0][:40]}] is no table of it")

    def render(self) -> bytes:
        """Return the file."""
        tables = (
            f"[{table}]\n" + "".join(f"{key} = {self.values[table][key]}\n" for key in sorted(keys))
            for table, keys in sorted(BOUNDS.items())
        )
        return "\n".join(tables).encode()


def parse_thresholds(data: bytes) -> Thresholds:
    """Read the file. Raises InvalidTree for another form, an unknown key, a value out of bounds."""
    if len(data) > limits.THRESHOLDS_BYTES_MAX:
        most = limits.THRESHOLDS_BYTES_MAX
        raise InvalidTree(f"{PATH}: {len(data)} bytes, at most {most}")
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidTree(f"{PATH}: not TOML") from error
    read = Thresholds(values)
    if read.render() != data:
        raise InvalidTree(f"{PATH}: it has another form than its values are written in")
    return read


def check_floors(before: bytes | None, after: bytes | None) -> None:
    """Refuse what a patch makes of the file `before` if it takes a value below its floor.

    What lies there already may stay, or come nearer. Raises InvalidTree.
    """
    if after is None or after == before:
        return
    old = None if before is None else parse_thresholds(before).values
    new = parse_thresholds(after).values
    for table, floors in FLOORS.items():
        for key, floor in floors.items():
            value = new[table][key]
            least = floor if old is None else min(floor, old[table][key])
            if value < least:
                line = after.decode().split("\n").index(f"{key} = {value}") + 1
                raise InvalidTree(
                    f"{PATH}:{line}: {table}.{key} is {value}, and no patch takes it below {least}"
                )
