"""The manifest: one root for what an agent is made of, the same on every machine."""

import re
from dataclasses import replace

import cbor2
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from genesis.core import limits
from genesis.core.architecture import Architecture, Entry, Manifest, PathClass, class_of, patched
from genesis.core.errors import Constitutional, InvalidPatch, InvalidTree, Reason
from genesis.core.patch import parse
from genesis.core.thresholds import parse_thresholds
from ledger.core.codec import encode
from tests.genesis_judge.diffs import diff

from .world import BASE, DIFF, FILES, NEW, SKILL, SKIN, THRESHOLDS


def test_the_root_by_other_means():
    """As docs/spec/proposal.md says it, with another CBOR library."""

    def hashed(context, data):
        return blake3(data, derive_key_context=f"timmy-node 2026-11 {context} v1").digest()

    rows = [
        [entry.path, entry.path_class.value, len(FILES[entry.path]),
         hashed("architecture tree", FILES[entry.path])]
        for entry in BASE.manifest.entries
    ]  # fmt: skip
    assert [row[0] for row in rows] == sorted(FILES)
    data = cbor2.dumps([1, rows], canonical=True)
    assert data == BASE.manifest.encode()
    assert BASE.root == hashed("architecture manifest", data)


def test_a_manifest_leads_to_the_tree_s_digest():
    assert BASE.manifest.tree_digest == BASE.tree.digest
    assert sorted(BASE.tree) == ["a.py", "ask.md", "empty.py", "main.py"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("runtime/agent/x/y.py", PathClass.AGENT_CODE),
        ("runtime/agent/ask.md", PathClass.PROMPT),
        ("runtime/agent/ask.txt", PathClass.PROMPT),
        ("skills/roofs/SKILL.md", PathClass.SKILL),
        ("skins/owl.toml", PathClass.SKIN),
        ("thresholds.toml", PathClass.THRESHOLD),
        ("runtime/core/todos.py", PathClass.PINNED),  # only the host knows its reducers
        ("skills/drafts/SKILL.md", PathClass.PINNED),
        ("skills/roofs/skill.md", PathClass.PINNED),
        ("skills/roofs/run.sh", PathClass.PINNED),
        ("skills/Roofs/SKILL.md", PathClass.PINNED),
        ("skins/owl/x.toml", PathClass.PINNED),
        ("runtime/agents/main.py", PathClass.PINNED),
        ("Runtime/agent/main.py", PathClass.PINNED),
        ("genesis/judge.py", PathClass.PINNED),
        ("SOUL.md", PathClass.PINNED),
        ("node.toml", PathClass.PINNED),
    ],
)
def test_the_path_says_the_class(path, kind):
    assert class_of(path) is kind


def test_what_the_host_folds_with_is_a_reducer_there():
    found = {entry.path: entry.path_class for entry in BASE.manifest.entries}
    assert found["runtime/core/todos.py"] is PathClass.REDUCER


BAD = {
    "pinned": {"genesis/judge.py": b"x"},
    "a reducer that is none": {"runtime/core/jobs.py": b"x"},
    "a file of the tree that is none": {"runtime/agent/x.so": b"x"},
    "not UTF-8": {"skills/x/SKILL.md": b"\xff"},
    "a skill too long": {"skills/x/SKILL.md": b"x" * (limits.SKILL_BYTES_MAX + 1)},
    "a skin that is none": {"skins/x.toml": b"name = 1"},
    "a skin under another name": {"skins/x.toml": SKIN},
    "thresholds out of bounds": {"thresholds.toml": THRESHOLDS.replace(b"= 50\n", b"= 501\n")},
    "thresholds with a key more": {"thresholds.toml": THRESHOLDS + b"x = 1\n"},
    "thresholds with a key less": {
        "thresholds.toml": THRESHOLDS.replace(b"steps_max = 300\n", b"")
    },
    "thresholds with a table more": {"thresholds.toml": THRESHOLDS + b"\n[x]\n"},
    "thresholds with a comment": {"thresholds.toml": b"# x\n" + THRESHOLDS},
    "thresholds of truth": {"thresholds.toml": THRESHOLDS.replace(b"= 50\n", b"= true\n")},
    "thresholds too long": {"thresholds.toml": THRESHOLDS + b"#" * 5000},
    "thresholds nested": {"thresholds.toml": b"a = " + b"[" * 2000},
    "too many skins": {
        f"skins/s{n}.toml": SKIN.replace(b"owl", b"s%d" % n) for n in range(limits.SKINS_MAX)
    },
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_out_of_place_or_bounds_is_no_architecture(name):
    with pytest.raises(InvalidTree):
        Architecture({**FILES, **BAD[name]}, BASE.reducers)


def test_a_reducer_that_is_not_there_is_refused():
    with pytest.raises(InvalidTree, match="named as a reducer"):
        Architecture(FILES, frozenset({"runtime/core/jobs.py"}))


def test_a_patch_makes_another_root_and_leaves_the_base():
    before = BASE.root
    made = patched(BASE, parse(DIFF))
    assert made["runtime/agent/a.py"] == NEW
    assert made.root != before == BASE.root
    assert Architecture(FILES, BASE.reducers).root == before


@pytest.mark.parametrize("path", ["runtime/core/todos.py", "genesis/judge.py", "SOUL.md"])
def test_what_is_pinned_is_refused_by_line_and_file(path):
    data = DIFF + diff(path, b"def reduce_todos(): ...\n", b"x\n")
    with pytest.raises(Constitutional) as caught:
        patched(BASE, parse(data))
    error = caught.value
    assert (error.reason, error.path) == (Reason.PINNED, path)
    assert error.line == DIFF.count(b"\n") + 1


def test_a_result_that_is_none_names_the_change_that_did_it():
    bad = diff("thresholds.toml", THRESHOLDS, THRESHOLDS.replace(b"= 64", b"= 999"))
    with pytest.raises(InvalidPatch, match="1 to 256 allowed") as caught:
        patched(BASE, parse(DIFF + bad))
    assert (caught.value.reason, caught.value.path) == (Reason.RESULT, "thresholds.toml")
    assert caught.value.line == DIFF.count(b"\n") + 1


def file_with(**values: int) -> bytes:
    """The thresholds of the base, but for these."""
    text = THRESHOLDS.decode()
    for key, value in values.items():
        text = re.sub(rf"^{key} = \d+$", f"{key} = {value}", text, flags=re.MULTILINE)
    return text.encode()


LEAST = {"turn_seconds_max": 300, "result_kb": 16, "turn_seconds": 60}


@pytest.mark.parametrize("key", LEAST)
def test_a_threshold_that_no_gate_plays_has_a_floor(key):
    least = LEAST[key]
    made = patched(BASE, parse(diff("thresholds.toml", THRESHOLDS, file_with(**{key: least}))))
    assert made["thresholds.toml"] == file_with(**{key: least})
    low = file_with(**{key: least - 1})
    line = low.decode().split("\n").index(f"{key} = {least - 1}") + 1
    with pytest.raises(InvalidPatch, match=rf"thresholds\.toml:{line}: .*{key} is") as caught:
        patched(BASE, parse(DIFF + diff("thresholds.toml", THRESHOLDS, low)))
    assert (caught.value.reason, caught.value.path) == (Reason.RESULT, "thresholds.toml")
    assert caught.value.line == DIFF.count(b"\n") + 1


def test_what_the_operator_took_below_a_floor_may_stay_or_rise():
    """node.toml is his: a patch of such a node takes nothing further down."""
    mine = file_with(result_kb=2)
    base = Architecture({**FILES, "thresholds.toml": mine}, BASE.reducers)
    for wanted in (2, 3):
        new = file_with(result_kb=wanted, steps_max=200)
        patched(base, parse(diff("thresholds.toml", mine, new)))
    with pytest.raises(InvalidPatch, match="result_kb is 1, and no patch takes it below 2"):
        patched(base, parse(diff("thresholds.toml", mine, file_with(result_kb=1))))
    with pytest.raises(InvalidPatch, match="below 16"):
        bare = {path: data for path, data in FILES.items() if path != "thresholds.toml"}
        patched(Architecture(bare, BASE.reducers), parse(diff("thresholds.toml", b"", mine)))


def test_a_manifest_reads_as_it_was_written():
    assert Manifest.decode(BASE.manifest.encode()) == BASE.manifest
    assert BASE.manifest.get("skins/owl.toml").size == len(SKIN)
    assert BASE.manifest.get("skins/jay.toml") is None


ROW = ["skills/roofs/SKILL.md", "skill", len(SKILL), bytes(32)]
MALFORMED = {
    "another version": [2, [ROW]],
    "a version that is true": [True, [ROW]],
    "no list": [1, {}],
    "more fields": [1, [ROW], 0],
    "an entry of three": [1, [ROW[:3]]],
    "no such class": [1, [[ROW[0], "law", *ROW[2:]]]],
    "another class than the path's": [1, [[ROW[0], "skin", *ROW[2:]]]],
    "a reducer elsewhere": [1, [["node/x.py", "reducer", 1, bytes(32)]]],
    "a size that is true": [1, [[*ROW[:2], True, ROW[3]]]],
    "a size below nothing": [1, [[*ROW[:2], -1, ROW[3]]]],
    "a size beyond": [1, [[*ROW[:2], limits.TREE_BYTES_MAX + 1, ROW[3]]]],
    "a short digest": [1, [[*ROW[:3], bytes(31)]]],
    "a path that leads out": [1, [["../x", "pinned", 1, bytes(32)]]],
    "out of order": [1, [["skins/a.toml", "skin", 1, bytes(32)], ROW]],
    "twice": [1, [ROW, ROW]],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_another_manifest_is_refused(name):
    with pytest.raises(InvalidTree, match="manifest"):
        Manifest.decode(encode(MALFORMED[name]))


@given(st.binary(max_size=80))
def test_any_bytes_are_no_manifest_or_one(data):
    try:
        read = Manifest.decode(data)
    except InvalidTree:
        return
    assert read.encode() == data


def test_a_manifest_has_a_bound():
    entry = Entry.of("runtime/agent/main.py", PathClass.AGENT_CODE, b"")
    many = tuple(
        replace(entry, path=f"runtime/agent/n{n:05}.py")
        for n in range(limits.MANIFEST_FILES_MAX + 1)
    )
    with pytest.raises(InvalidTree, match="4097 files, at most 4096"):
        Manifest(many)


def test_thresholds_are_written_in_one_form():
    assert parse_thresholds(THRESHOLDS).render() == THRESHOLDS
