"""docs/FORGERIES.md names tests: each is there, and so is the verdict or error that it is for."""

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


@pytest.mark.parametrize("named", sorted(set(ROWS)))
def test_a_test_that_the_page_names_exists(named):
    path, _, name = named.partition("::")
    text = (ROOT / path).read_text()
    assert not name or re.search(rf"^(async )?def {name}\(", text, re.MULTILINE)


def with_imports(path):
    """The text of a test and of what it imports of the tests; of the vectors, what made them."""
    text = (ROOT / path).read_text()
    for package, names in re.findall(r"^from (tests[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        folder = ROOT / package.replace(".", "/")
        places = [
            folder.with_suffix(".py"),
            *(folder / f"{n.strip()}.py" for n in names.split(",")),
        ]
        text += "".join(place.read_text() for place in places if place.exists())
    if "/spec/" in path:
        text += (ROOT / "tests/spec/make_bundles.py").read_text()
    return text


@pytest.mark.parametrize(("what", "gets", "named"), TOLD, ids=[row[0][:50] for row in TOLD])
def test_the_verdict_that_the_page_promises_stands_in_the_test(what, gets, named):
    text = with_imports(named.partition("::")[0])
    for name in NAMES.findall(gets):
        assert name in text, (what, name)


def test_every_wrong_input_that_was_asked_for_has_a_row():
    told = " ".join(what for what, _, _ in TOLD)
    for word in (
        "no funds", "fee spikes above the cap", "node is down in the middle", "evicted",
        "1, 6 or 101 blocks", "spends the seal", "another network", "truncated bundle", "bad work",
        "merkle path", "64-byte transaction", "off by one byte", "second opening", "two openings",
        "two handoffs", "neighbour's consistency proof missing or wrong", "another key than was announced",
        "swapped keys", "two epoch records", "non-canonical event", "old anchor", "drops a slot",
        "doubles a slot", "rewritten log on the same seal", "old key above its handoff",
    ):  # fmt: skip
        assert word in told, word
