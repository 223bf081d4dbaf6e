"""Every parser of untrusted or stored bytes: accept, or a documented error, at linear cost."""

import ast
import json
import re
from pathlib import Path

import pytest

from .engine import Broken, Target, check, cost, inputs, minimise, same, sample
from .targets import TARGETS

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
FOUND = sorted(CORPUS.glob("*/*.bin"))
SAMPLE = 160
SIZES = (3000, 6000)
BIG = 40_000
LINES_SPARE, BYTES_SPARE = 2000, 96 * 1024
"""What a run costs before the size of its input counts: imports, error messages, caches."""

GROWTH = [(target, name) for target in TARGETS.values() for name in target.bulk]
JSON = [target for target in TARGETS.values() if "deep and closed" in target.bulk]


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_what_is_damaged_is_accepted_or_refused_by_name(target):
    outcomes = sample(target, SAMPLE // target.weight)
    assert outcomes


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_good_specimen_is_among_the_specimens(target):
    """Else the sample would show only that the first check refuses everything."""
    found = {check(target, data) for data in target.specimens()}
    assert found & {"accepted", "frames"}


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_was_found_once_stays_fixed(path):
    check(TARGETS[path.parent.name], path.read_bytes())


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(("target", "name"), GROWTH, ids=lambda x: getattr(x, "name", x))
def test_twice_the_bytes_cost_about_twice(target, name):
    """In lines of Python executed and in memory, never in seconds."""
    small, large = (cost(target, target.bulk[name](size)) for size in SIZES)
    assert large[0] <= 2.5 * small[0] + LINES_SPARE
    assert large[1] <= 2.5 * small[1] + BYTES_SPARE
    check(target, target.bulk[name](BIG // target.weight))


def deepest():
    """The nesting at which the interpreter's own reader gives up, from here."""
    depth = 1
    while True:
        try:
            json.loads("[" * depth + "]" * depth)
        except RecursionError:
            return depth
        depth += 1


@pytest.mark.parametrize("target", JSON, ids=lambda target: target.name)
def test_no_depth_of_nesting_gets_through(target):
    """Around the interpreter's own bound a parser may succeed where its caller then fails."""
    bound = deepest()
    for depth in [*range(1, 40, 4), *range(bound - 70, bound + 4, 1 + target.weight // 3)]:
        nested = b"[" * depth + b"]" * depth
        check(target, nested)
        check(target, b'{"text":' + nested + b"}")
        check(target, b'{"a":' * depth + b"1" + b"}" * depth)


# ---- every parser ---------------------------------------------------------------------------------

PARSER = re.compile(r"(parse|decode|load)(_\w+)?|open_\w+|from_json")
"""Names of functions that read bytes or a text, or verify what was read."""
ELSEWHERE = {
    "genesis.core.front": "the front matter of target `proposal`",
    "runtime.core.bash_tree": "reads for target `shell-line`",
    "runtime.core.jobs": "`open_runs` lists what a reducer wrote",
    "runtime.core.permission_globs": "reads for target `permission-rule`",
    "runtime.core.permission_kinds": "reads for target `permission-rule`",
    "runtime.core.proxied": "`open_key` and `open_requests` are of a reducer's entries",
}
"""Modules with such a function and no target of their own, and why."""


def parsers():
    """Modules of every core with a public function that reads, by name."""
    found = {}
    for path in sorted(ROOT.glob("*/core/**/*.py")):
        names = [
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef) and PARSER.fullmatch(node.name)
        ]
        if names:
            found[".".join(path.relative_to(ROOT).with_suffix("").parts)] = names
    return found


def imported():
    """Modules that a file of targets names."""
    found = set()
    for path in Path(__file__).parent.glob("targets_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return found


def test_every_module_of_a_core_that_reads_is_in_a_target_or_explained():
    known, reached = parsers(), imported()
    assert len(known) > 50
    assert {name for name in known if name not in reached} == set(ELSEWHERE)


# ---- the fuzzer itself -----------------------------------------------------------------------------


def broken_parser(data):
    if data.count(b"\xff") > 2:
        raise KeyError(data)
    if b"\x00" in data:
        raise ValueError(data)


BROKEN = Target(
    name="broken", run=broken_parser, errors=(ValueError,), specimens=lambda: [b"\xff\xffabc"]
)


def test_the_fuzzer_finds_a_parser_that_breaks_its_contract():
    with pytest.raises(Broken) as found:
        sample(BROKEN, 5000)
    assert found.value.kind == "KeyError"
    assert minimise(BROKEN, found.value.data, "KeyError") == b"\xff\xff\xff"


def test_the_same_seed_gives_the_same_inputs():
    def first(seed):
        return [data for data, _ in zip(inputs(BROKEN, seed), range(50), strict=False)]

    assert first("a") == first("a") != first("b")


def test_a_second_encoding_is_noticed():
    target = Target(
        name="loose", run=lambda data: same(data, data.strip()), errors=(), specimens=lambda: [b"a"]
    )
    assert check(target, b"a") == "accepted"
    with pytest.raises(Broken, match="NotCanonical"):
        check(target, b" a")


def test_quadratic_work_is_noticed():
    def run(data):
        for _ in data:
            for _ in data:
                pass

    target = Target(name="slow", run=run, errors=(), specimens=list)
    small, large = (cost(target, bytes(size)) for size in (200, 400))
    assert large[0] > 2.5 * small[0] + LINES_SPARE
