"""docs/FORGERIES.md names tests: each is there, and so is the verdict or error that it is for."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/FORGERIES.md").read_text()
TOLD = re.findall(r"^\| (.*) \| (.*) \| `(tests/[^`]+)` \|$", PAGE, re.MULTILINE)
ROWS = [named for _, _, named in TOLD]
NAMES = re.compile(r"\b(?:[A-Z]{4,}|[A-Z][a-z]+(?:[A-Z][a-z]+)+)\b")
"""Verdicts (BROKEN) and errors (BadPath)."""


def test_the_page_names_tests():
    assert len(ROWS) > 30


def split(named):
    """Path, function, and the case of its list, each empty if it is not named."""
    path, _, rest = named.partition("::")
    name, _, case = rest.rstrip("]").partition("[")
    return path, name, case


def definitions(path):
    """What a file defines at its top level, by name."""
    found = {}
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id: node.value for t in targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
            folder = ROOT / node.module.replace(".", "/")
            found |= {one.name: folder / f"{one.name}.py" for one in node.names}
    return found


def elements(value):
    """The text of each case of a parametrize list."""
    if isinstance(value, ast.Dict):
        return [
            ast.unparse(key) + ast.unparse(v)
            for key, v in zip(value.keys, value.values, strict=True)
        ]
    return [ast.unparse(one) for one in getattr(value, "elts", [])]


def cases_of(path, function):
    """The text of each case that a test's decorators name: in a list here, in a module of the tests, in vectors."""
    known, found = definitions(path), []
    for node in (one for line in function.decorator_list for one in ast.walk(line)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = known.get(node.value.id)
            if isinstance(module, Path) and module.exists():
                found += elements(definitions(module).get(node.attr))
        elif isinstance(node, ast.Name) and isinstance(known.get(node.id), ast.List | ast.Dict):
            found += elements(known[node.id])
        elif isinstance(node, ast.Constant) and "/spec/" in path:
            vectors = ROOT / f"tests/vectors/spec/{node.value}.json"
            if vectors.exists():
                rows = json.loads(vectors.read_text())["cases"]
                found += [f"'{row['name']}' {row.get('verdict')}" for row in rows]
    return found


def text_of(named):
    """The named test, and the cases it is given: only the one that is named, if one is."""
    path, name, case = split(named)
    function = definitions(path)[name]
    cases = cases_of(path, function)
    if case:
        [cases] = [
            [one] for one in cases if re.search(rf"(?<![\w ]){re.escape(case)}(?![\w ])", one)
        ]
    return "\n".join([ast.unparse(function), *cases])


@pytest.mark.parametrize("named", sorted(set(ROWS)))
def test_a_test_that_the_page_names_exists(named):
    assert text_of(named)


@pytest.mark.parametrize(("what", "gets", "named"), TOLD, ids=[row[0][:50] for row in TOLD])
def test_the_verdict_that_the_page_promises_stands_in_the_test(what, gets, named):
    """In that function or in its cases: anywhere else in a file it could be another test's."""
    text = text_of(named)
    for name in NAMES.findall(gets):
        assert re.search(rf"\b{name}\b", text), (what, name)


def test_a_verdict_of_another_test_in_the_same_file_does_not_count():
    other = text_of("tests/attest/test_bad_times.py::test_a_fee_spike_above_the_cap_waits")
    own = text_of(
        "tests/attest/test_bad_times.py::test_a_fee_spike_before_the_opening_names_itself"
    )
    assert "FeeTooHigh" in own
    assert "FeeTooHigh" not in other


def test_every_wrong_input_that_was_asked_for_has_a_row():
    told = " ".join(what for what, _, _ in TOLD)
    for word in (
        "no funds", "fee spikes above the cap", "node is down in the middle", "evicted",
        "1, 6 or 101 blocks", "spends the seal", "another network", "truncated bundle", "bad work",
        "merkle path", "64-byte transaction", "off by one byte", "second opening", "two openings",
        "two handoffs", "neighbour's consistency proof missing", "neighbour's consistency proof wrong", "another key than was announced",
        "swapped keys", "two epoch records", "non-canonical event", "old anchor", "drops a slot",
        "doubles a slot", "rewritten log on the same seal", "old key above its handoff",
    ):  # fmt: skip
        assert word in told, word
