"""docs/LINEAGE.md says what the code does: gates, rules, numbers, jobs, defaults."""

import re
import tomllib
from pathlib import Path

from genesis.core.children.gates import NUMBERS
from genesis.core.children.orders import GATES
from genesis.core.children.profile import RULES
from node.config import load
from runtime.core.jobspec import KIN

PAGE = (Path(__file__).parents[2] / "docs/LINEAGE.md").read_text()


def rows(after):
    table = PAGE.split(after)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()][
        1:
    ]


def test_each_gate_closes_what_the_table_says():
    found = rows("| gates passed |")[1:]
    assert [row[0] for row in found] == ["none", *GATES]
    for level, row in enumerate(found):
        named = {"deny": set(), "ask": set()}
        for part in row[2].split(";"):
            effect = part.split()[0]
            tools = set(re.findall(r"`([^`]+)`", part))
            if effect in named:
                others = {tool for _, tool in RULES[level]} if "the others" in part else set()
                named[effect] |= tools | (others - named["ask"])
        assert named == {
            effect: {tool for how, tool in RULES[level] if how == effect} for effect in named
        }, row


def test_every_number_stands_beside_its_gate():
    for gate, _, numbers in rows("| gate | asks |")[1:]:
        named = re.findall(r"`([a-z_]+)`", numbers)
        assert named == [name for name in NUMBERS if name.startswith(f"{gate}_")]


def test_jobs_and_defaults_are_those_of_the_node():
    assert {row[0].strip("`") for row in rows("| job | of |")[1:]} == {kind.value for kind in KIN}
    [shown] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    section = load(None).lineage
    for name, value in tomllib.loads(shown)["lineage"].items():
        assert name == "parent" or getattr(section, name) == value
