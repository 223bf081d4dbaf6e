"""The vectors of docs/spec/verdict.md: on our code, and on a stranger's that has the page alone."""

import base64
import json

import pytest

from genesis.core.errors import InvalidVerdict
from genesis.core.granting import Why
from genesis.core.verdict import verify_envelope

from . import make_vectors, stranger

CASES = {
    name: json.loads((make_vectors.FOLDER / f"{name}.json").read_text())["cases"]
    for name in ("envelopes", "answers", "granting")
}


def of(name):
    return pytest.mark.parametrize("case", CASES[name], ids=lambda case: case["name"])


def test_the_files_are_those_that_the_script_makes(tmp_path, monkeypatch):
    made = {name: (make_vectors.FOLDER / f"{name}.json").read_text() for name in CASES}
    monkeypatch.setattr(make_vectors, "FOLDER", tmp_path)
    make_vectors.main()
    for name, text in made.items():
        assert (tmp_path / f"{name}.json").read_text() == text


def outcome(run):
    """What a stranger says: None, or the class of the refusal."""
    try:
        run()
    except stranger.Bad as error:
        return str(error)
    return None


@of("envelopes")
def test_envelopes(case):
    data = base64.b64decode(case["envelope"])
    trusted = [bytes.fromhex(key) for key in case["trusted"]]
    assert outcome(lambda: stranger.envelope(data, trusted)) == case["class"]
    if case["class"] is not None:
        with pytest.raises(InvalidVerdict):
            verify_envelope(data, trusted=trusted)
        return
    theirs, ours = stranger.envelope(data, trusted), verify_envelope(data, trusted=trusted)
    for name in ("digest", "decision", "signers"):
        assert theirs[name] == case[name]
    assert theirs["found"] == ours.verdict.findings.to_value()
    assert ours.verdict.digest.hex() == case["digest"]


@of("answers")
def test_answers(case):
    assert outcome(lambda: stranger.answer(case)) == case["class"]
    if case["class"] is None:
        assert stranger.answer(case) == (case["message"], case["question"])


@of("granting")
def test_granting(case):
    assert outcome(lambda: stranger.granting(case)) == case["class"]
    if case["class"] is None:
        assert stranger.granting(case) == (case["verdict"], case["keys"])


def test_everything_that_can_be_in_the_way_has_a_case():
    assert {case["class"] for case in CASES["granting"]} - {None} == set(Why)
