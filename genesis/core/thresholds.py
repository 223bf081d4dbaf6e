"""Consensus-critical: the thresholds that a patch may change, as a file of the architecture.

`thresholds.toml` holds them in one form only: tables and keys in the order of the alphabet, whole
numbers, nothing else. What is not named here (money, approvals, rules, anything of safety) is
pinned.
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
