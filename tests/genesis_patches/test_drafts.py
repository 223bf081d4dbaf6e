"""Drafts: the diff of a folder makes of the base what lies in the folder, whatever that is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core.errors import InvalidPatch, Reason
from genesis.core.patch import apply_to, parse
from genesis.core.proposal import parse_proposal, weigh
from node.agent import drafting
from node.agent.drafting import DraftError, Said

from .world import BASE, FILES, FRONT, document

NAMES = ["runtime/agent/a.py", "runtime/agent/b.md", "skills/x/SKILL.md", "thresholds.toml"]
DATA = st.lists(
    st.sampled_from([b"a", b"b", b"", b"-", b"+++ x", b"```", b"\xc3\xa9"]), max_size=8
).map(b"\n".join)
FOLDER = st.dictionaries(st.sampled_from(NAMES), DATA)
SAID = Said(title="t", rationale="r", evaluation="e", expected="x")


@given(FOLDER, FOLDER)
@settings(max_examples=300, deadline=None)
def test_the_diff_of_two_folders_leads_from_one_to_the_other(old, new):
    diff = drafting.diff_of(old, new)
    if old == new:
        assert diff == b""
        return
    assert apply_to(parse(diff), old) == new
    read = parse_proposal(drafting.document_of(SAID, diff))
    assert (read.front.title, read.patch.data) == ("t", diff)


def test_a_folder_comes_back_as_it_was_made(tmp_path):
    folder = tmp_path / "draft"
    files = {path: data.decode() for path, data in FILES.items() if path not in BASE.reducers}
    drafting.make_folder(folder, files, BASE.root.hex())
    assert drafting.read_folder(folder) == {path: text.encode() for path, text in files.items()}
    template = (folder / drafting.DOCUMENT).read_bytes()
    with pytest.raises(InvalidPatch, match="title is empty") as caught:
        parse_proposal(template)
    assert (caught.value.reason, caught.value.line) == (Reason.FRONT, 3)
    filled = template
    for key in ("title", "rationale", "evaluation", "expected"):
        filled = filled.replace(f'{key} = ""'.encode(), f'{key} = "x"'.encode())
    (folder / "runtime/agent/a.py").write_bytes(b"")
    diff = drafting.diff_of(FILES | BASE.files, drafting.read_folder(folder) | reducers())
    proposal = parse_proposal(drafting.with_diff(filled, diff))
    assert proposal.front.base == BASE.root
    assert weigh(proposal, BASE).result["runtime/agent/a.py"] == b""
    assert drafting.with_diff(filled, b"") == filled


def reducers():
    return {path: BASE[path] for path in BASE.reducers}


def test_what_nobody_said_is_asked_for():
    with pytest.raises(DraftError, match="has no expected") as caught:
        drafting.document_of(Said(title="t", rationale="r", evaluation="e"), b"x\n")
    assert "--expected TEXT" in caught.value.hint


def test_a_document_is_told_from_a_diff():
    assert drafting.is_document(document())
    assert drafting.is_document(document().replace(b"\n", b"\r\n"))  # to be refused as one
    assert not drafting.is_document(b"+++ b/x\n")
    assert FRONT.title in document().decode()
