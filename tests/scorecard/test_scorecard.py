"""The tamper scorecard: every attack, by whom it is noticed, and under which verdict.

"Nobody" is a result like any other: the test asserts that the verdict is still good, and that the
report says in words what it does not show. docs/THREATS.md has the same rows, compared here.
"""

import asyncio
import re
from pathlib import Path

import pytest

from attest.verify.report import DOES_NOT_HOLD, NOT_REACHED
from tests.scorecard import chains, files, homes, slots, witnesses
from tests.scorecard.rows import Scene, answers, check, verified
from tests.spec import agent, make_bundles

THREATS = Path(__file__).parents[2] / "docs" / "THREATS.md"
ROWS = [*homes.ROWS, *files.FILES, *chains.ROWS, *slots.ROWS]


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    return Scene.born(tmp_path_factory.mktemp("scorecard") / "seed")


@pytest.fixture(scope="module")
def mined(tmp_path_factory):
    return asyncio.run(chains.mined(tmp_path_factory.mktemp("chain")))


def named(rows):
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.test)


@named(homes.ROWS)
def test_a_home(row, seed, tmp_path):
    scene = seed.copy(tmp_path / "machine")
    before = row.make(scene)
    check(row, scene.verify())
    assert scene.start() == row.start
    if row.witnessed:
        witnesses.check_home(scene, before)


@named(files.FILES)
def test_a_file(row):
    check(row, verified(row.make()))
    if row.witnessed:
        witnesses.check_file(row, files.life())


def test_what_a_witness_signed_is_good_to_who_asks_for_it():
    witnesses.check_true(files.life())


@named(chains.ROWS)
def test_a_chain(row, mined):
    found = row.make(mined)
    if isinstance(found, str):
        assert found == row.verdict
    else:
        check(row, verified(found))


@named(slots.ROWS)
def test_a_slot(row):
    check(row, verified(row.make()))


def test_what_is_attacked_is_good_before(seed, mined, tmp_path):
    """Otherwise a verdict would say nothing about the attack."""
    assert seed.verify().verdict == "UNBROKEN-PENDING"
    assert seed.start() == ""
    good = {
        "export": files.export(files.life()),
        "another": files.export(files.liar()),
        "proof": files.proof(files.life(), 2, [6]),
    }
    for name, records in good.items():
        assert verified(records).verdict == "UNBROKEN-PENDING", name
    recovered = seed.copy(tmp_path / "recovered")
    homes.begin_an_epoch(recovered)
    recovered.sign_guard(epoch=1)
    assert recovered.verify().verdict == "RECOVERED"
    assert recovered.start() == ""
    assert verified(agent.anchored_ledger().proof(3)).verdict == "TEST"
    assert verified(chains.chain_true_history(mined)).verdict == "TEST"
    assert verified(slots.delegated_true_history()).verdict == "TEST"


def test_every_verdict_answers_all_four_questions():
    """Over every bundle of the specification's vectors, from an empty file to a deep anchor."""
    seen = set()
    for case in make_bundles.cases():
        report = verified(case["bundle"], {"same": agent.SOUL, "other": b"?"}.get(case["soul"]))
        told = answers(report)
        assert report.good == (set(told.values()).isdisjoint({DOES_NOT_HOLD, NOT_REACHED})), case
        assert list(told.values()).count(DOES_NOT_HOLD) == (not report.good)
        seen.add(report.verdict)
    assert seen == {"UNBROKEN-PENDING", "RECOVERED", "TEST", "INCOMPLETE", "REWRITTEN", "DIVERGED",
                    "BROKEN"}  # fmt: skip


def test_threats_and_tests_have_the_same_rows():
    text = THREATS.read_text().split("## Tamper scorecard")[1].split("\n## ")[0]
    told = re.findall(r"^\| (?!attack \|).*\|$", text, re.MULTILINE)
    assert told == [row.line for row in ROWS]
    assert len({row.test for row in ROWS}) == len(ROWS)


def test_every_attack_of_the_design_has_a_row():
    attacks = " ".join(row.attack for row in ROWS)
    for word in (
        "edit", "insert", "delete", "reorder", "truncate", "restore an old backup",
        "rewrite everything", "show different histories", "swap a key", "backdate",
        "swap two anchors", "reuse an anchor", "drop a ledger", "double a ledger", "delay a ledger",
        "lie", "drop content silently", "corrupt one bit",
    ):  # fmt: skip
        assert word in attacks, word
