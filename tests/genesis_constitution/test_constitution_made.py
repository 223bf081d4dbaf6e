"""What a constitutional change makes of this software: by vectors, by a stranger, by its bounds."""

import base64
import hashlib
import json

import cbor2
import pytest
from blake3 import blake3

from genesis.core.architecture import Architecture
from genesis.core.constitution import Software, changed_paths, in_software
from genesis.core.errors import Constitutional, InvalidTree, PatchError
from genesis.core.judging.constitution import kind_of
from genesis.core.proposal import parse_proposal, weigh
from ledger.core.event import Draft, Event, seal
from ledger.core.types import ADOPTION_STREAM, PATCH_ADOPTED, PATCH_STAGED
from node.agent.architecture import pinned_manifest, reducer_files
from node.agent.constitution import Standing, orders_of, standing_of, told
from runtime.core.adoptions import of_steps

from . import make_vectors
from .make_vectors import BASE, SOFTWARE, TODOS
from .world import software

VECTORS = json.loads(make_vectors.FILE.read_text())
CASES = pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])


def test_the_file_is_what_the_script_makes():
    assert make_vectors.software() == VECTORS


@CASES
def test_the_vectors(case):
    base = Architecture(
        {path: text.encode() for path, text in VECTORS["base"]["files"].items()},
        frozenset(VECTORS["base"]["reducers"]),
    )
    here = Software({path: text.encode() for path, text in VECTORS["software"]["files"].items()})
    assert (base.root.hex(), here.root.hex()) == (
        VECTORS["base"]["root"], VECTORS["software"]["root"],
    )  # fmt: skip
    data = base64.b64decode(case["document"])
    if case["class"] is None:
        made = weigh(parse_proposal(data), base, here)
        assert (made.result.root.hex(), made.software.root.hex()) == (
            case["root"], case["software"],
        )  # fmt: skip
        with pytest.raises(Constitutional, match="only the operator"):
            weigh(parse_proposal(data), base)
        return
    with pytest.raises(PatchError) as caught:
        weigh(parse_proposal(data), base, here)
    assert (caught.value.reason.value, caught.value.line) == (case["class"], case["line"])


def hashed(context, data):
    return blake3(data, derive_key_context=f"timmy-node 2026-11 {context} v1").digest()


def root_of(files):
    rows = [
        [path, "pinned", len(files[path]), hashed("architecture tree", files[path])]
        for path in sorted(files)
    ]
    return hashed("architecture manifest", cbor2.dumps([1, rows], canonical=True))


def test_a_stranger_finds_the_roots_with_other_libraries():
    before = {path: text.encode() for path, text in VECTORS["software"]["files"].items()}
    assert root_of(before).hex() == VECTORS["software"]["root"]
    [case] = [one for one in VECTORS["cases"] if one["name"] == "a reducer"]
    after = {**before, TODOS: b"def reduce_todos(): return ()\n"}
    assert root_of(after).hex() == case["software"]
    tag = hashlib.sha256(b"timmy/software-change/v1").digest()
    change = hashlib.sha256(tag + tag + root_of(before) + root_of(after)).hexdigest()
    assert change == case["change"]


def test_the_software_is_the_pinned_rest_and_the_reducers():
    here, pinned = software(), pinned_manifest()
    assert set(here) == {entry.path for entry in pinned.entries} | set(reducer_files())
    assert not [path for path in here if path.startswith("runtime/agent/")]
    assert {"genesis/judge.py", "runtime/core/todos.py", "ledger/log.py"} <= set(here)


@pytest.mark.parametrize(
    "path",
    ["ledger", "tests/x.py", "runtime/agent", "runtime/agent/x.py", "node/node.toml",
     "ledger/__pycache__/x.py", "pyproject.toml", "/ledger/x.py", ""],
)  # fmt: skip
def test_what_is_no_file_of_it(path):
    assert not in_software(path)
    with pytest.raises(InvalidTree):
        Software({path: b""})


def test_its_bounds():
    assert len(Software({"ledger/x.py": bytes(4 * 1024 * 1024)})) == 1
    with pytest.raises(InvalidTree, match="at most"):
        Software({"ledger/x.py": bytes(4 * 1024 * 1024 + 1)})
    with pytest.raises(InvalidTree, match="4097 files"):
        Software({f"ledger/x{n}.py": b"" for n in range(4097)})


def test_what_changes_and_of_what_kind():
    other = Software({**{path: SOFTWARE[path] for path in (TODOS,)}, "mesh/x.py": b""})
    assert changed_paths(SOFTWARE, other) == ("genesis/judge.py", "mesh/x.py", "node/api/page.css")
    named = {
        "genesis/judge.py": "judge", "runtime/core/crisis.py": "screen", TODOS: "reducer",
        "runtime/core/permission_rules.py": "permission", "genesis/core/granting.py": "approval",
        "runtime/tools/shell.py": "tool", "node/cli.py": "host", "ledger/log.py": "record",
        "genesis/keys/keystore.py": "key", "runtime/bubblewrap.py": "sandbox", "mesh/x.py": "mesh",
        "attest/verify/report.py": "proof",
    }  # fmt: skip
    assert {path: kind_of(path, BASE.reducers) for path in named} == named


def test_every_kind_is_of_files_that_are_there():
    kinds = {kind_of(path, reducer_files()) for path in software()}
    assert kinds == {
        "reducer", "screen", "judge", "approval", "permission", "sandbox", "key", "tool", "record",
        "proof", "mesh", "host",
    }  # fmt: skip


# ---- orders ----------------------------------------------------------------------------------------

X, Y, Z = (bytes([n]) * 32 for n in (1, 2, 3))


def steps(*payloads):
    """Steps in the stream of adoptions, from event 10 on."""
    made = []
    for number, (kind, payload) in enumerate(payloads):
        draft = Draft(type=kind.name, stream=ADOPTION_STREAM, payload=payload)
        sealed = seal(draft, position=10 + number, stream_sequence=number, ts_ms=1, salts=bytes(64))
        made.append(Event.open(sealed.record))
    return made


def ordered(before, after, patch=5):
    facts = {"patch": patch, "order": bytes(32), "software": [before, after]}
    return PATCH_STAGED, facts | {"verdict": bytes(32), "approvers": [], "by": "operator"}


def adopted(at, root):
    return PATCH_ADOPTED, {"patch": 5, "adoption": at, "software": root}


@pytest.mark.parametrize(
    ("told_of", "root", "expected"),
    [
        ((), X, Standing.INSTALLED),
        ((ordered(X, Y),), X, Standing.ORDERED),
        ((ordered(X, Y),), Y, Standing.UNAPPROVED),  # not recognised yet: its start does that
        ((ordered(X, Y),), Z, Standing.UNAPPROVED),
        ((ordered(X, Y), adopted(10, Y)), Y, Standing.APPROVED),
        ((ordered(X, Y), adopted(10, Y)), X, Standing.UNAPPROVED),
        ((ordered(X, Y), adopted(10, Z)), Z, Standing.UNAPPROVED),  # not what was ordered
        ((ordered(X, Y), adopted(9, Y)), Y, Standing.UNAPPROVED),  # nor by that order
        ((adopted(10, Y),), Y, Standing.INSTALLED),
        ((ordered(X, Y), adopted(10, Y), ordered(Y, Z)), Y, Standing.ORDERED),
        ((ordered(X, Y), ordered(X, Z), adopted(10, Y)), Z, Standing.UNAPPROVED),
        ((ordered(X, Y), ordered(Y, X), adopted(10, Y), adopted(11, X)), X, Standing.APPROVED),
    ],
)
def test_what_is_known_of_the_software_that_is_here(told_of, root, expected):
    orders = orders_of(steps(*told_of))
    found, one = standing_of(root, orders)
    assert found is expected
    assert root.hex()[:16] in told(root, found, one)


def test_orders_are_no_steps_of_an_adoption():
    """The reducer of what is in force passes over both events."""
    found = of_steps(steps(ordered(X, Y), adopted(10, Y)))
    assert (found.under_way, found.in_force, found.stack) == (None, None, [])
