"""The verifier written from the pages agrees: on every vector, and on a thousand damaged bundles."""

import ast
import io
import json
import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from attest.core import header as product_header
from attest.core.errors import InvalidProof as InvalidAnchor
from ledger.core.codec import decode as product_decode
from ledger.core.errors import InvalidCbor
from ledger.proof import export, prove
from ledger.release import Release
from tests.attest import mainnet
from tests.ledger.makers import message, open_log
from tests.spec import agent, stranger
from tests.spec.stranger import aggregate, bitcoin, codec, remake, tree
from tests.spec.stranger.__main__ import (
    EXAMPLES,
    compared,
    compared_beside,
    pairs,
    product,
    sources,
)
from tests.spec.stranger.bundle import verify
from tests.spec.stranger.child import check_in_child, check_in_parent
from tests.spec.stranger.codec import Refusal, decode
from tests.spec.stranger.event import open_event
from tests.spec.stranger.genesis import check_genesis
from tests.spec.stranger.lineage import Lineage
from tests.spec.stranger.note import key_id, open_head
from tests.spec.stranger.state import expand, part_digests, state_digest
from tests.spec.stranger.statement import check_statement
from tests.spec.test_vectors import BUNDLES, EQUIVOCATIONS, bundle_of, cases, held_of, load, unhex

MUTATIONS = 1000
HELD_MUTATIONS = 300
MODULES = sorted(Path(stranger.__file__).parent.glob("*.py"))
BYTES_MAX = 2**20
GOOD = [case for case in BUNDLES["cases"] if case["class"] is None and case["soul"]]
BITCOIN = Path(__file__).parents[1] / "vectors/bitcoin"
LINEAGE = load("lineage")
PARTS = ("envelope", "salt", "payload")
RETARGET = json.loads((BITCOIN / "spv/headersWithRetarget.json").read_text())


def test_it_imports_nothing_of_ours():
    ours = {"ledger", "genesis", "attest", "node", "mesh", "runtime", "bench"}
    for path in MODULES:
        if path.name == "__main__.py":
            continue  # it holds the two to one another
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in ours, (path.name, name)
                assert not name.startswith("tests") or name.startswith("tests.spec.stranger"), name


# ---- the vectors --------------------------------------------------------------------------------


def agrees(case, call, *arguments):
    """The call passes, or is refused for the reason of the case; the result of one that passes."""
    if case["class"] is None:
        return call(*arguments)
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    assert caught.value.kind == case["class"]
    return None


@pytest.mark.parametrize("case", cases("cbor"))
def test_cbor(case):
    agrees(case, decode, unhex(case["cbor"]), BYTES_MAX)


@pytest.mark.parametrize("case", cases("events"))
def test_events(case):
    parts = ("envelope", "salt", "payload", "content_salt", "content")
    event = agrees(case, open_event, *(unhex(case[part]) for part in parts))
    if event is not None:
        assert event.id.hex() == case["id"]
        assert tree.leaf(event.envelope).hex() == case["leaf"]
        assert event.payload.get("content") == unhex(case["content_commitment"])


@pytest.mark.parametrize("case", cases("genesis"))
def test_genesis(case):
    agrees(case, check_genesis, decode(unhex(case["payload"]), BYTES_MAX))


def tenures_of(case):
    """Every record of a case in turn, as the stranger reads it."""
    genesis, *records = [
        (parts["position"], open_event(*(unhex(parts[name]) for name in PARTS), None, None))
        for parts in (LINEAGE["genesis"], *case["records"])
    ]
    lineage = Lineage(genesis[1].id, genesis[1].payload)
    for position, event in records:
        lineage.take(event, position)
    return lineage.tenures


@pytest.mark.parametrize("case", cases("lineage"))
def test_lineage(case):
    tenures_of({"records": case["records"][:-1]})
    tenures = agrees(case, tenures_of, case)
    for mine, theirs in zip(tenures or [], case.get("tenures", []), strict=True):
        assert (mine.number, mine.epoch, mine.start) == tuple(
            theirs[name] for name in ("number", "epoch", "start")
        )
        assert {role: key.hex() for role, key in mine.keys.items()} == {
            role: theirs[role] for role in mine.keys
        }
        assert mine.next_key_digest.hex() == theirs["next_key_digest"]
        assert mine.record.hex() == theirs["record"]


@pytest.mark.parametrize("case", cases("roots"))
def test_roots(case):
    leaves = [tree.leaf(b"%d" % number) for number in range(case["size"])]
    assert tree.root(leaves).hex() == case["root"]


@pytest.mark.parametrize("case", cases("inclusion"))
def test_inclusion(case):
    path, root = list(map(unhex, case["path"])), unhex(case["root"])
    agrees(case, tree.included, unhex(case["leaf"]), case["index"], case["size"], path, root)


@pytest.mark.parametrize("case", cases("consistency"))
def test_consistency(case):
    path = list(map(unhex, case["path"]))
    roots = unhex(case["root1"]), unhex(case["root2"])
    agrees(case, tree.continues, case["size1"], case["size2"], path, *roots)


@pytest.mark.parametrize("case", cases("checkpoints"))
def test_checkpoints(case):
    key = unhex(case["log_key"])
    head = agrees(case, open_head, case["note"].encode(), key)
    if head is not None:
        assert (head.size, head.epoch) == (case["size"], case["epoch"])
        assert (head.ledger.hex(), head.root.hex()) == (case["ledger"], case["root"])
        assert head.anchor_digest.hex() == case["anchor_digest"]
        assert key_id(f"timmy/{case['ledger']}/{case['epoch']}", key).hex() == case["key_id"]


@pytest.mark.parametrize("case", cases("statements"))
def test_statements(case):
    payload = decode(unhex(case["payload"]), BYTES_MAX)
    agrees(case, check_statement, payload, unhex(case["body"]), unhex(case["ledger"]))


@pytest.mark.parametrize("case", cases("children"))
def test_children(case):
    payload = decode(unhex(case["payload"]), BYTES_MAX)
    facts = {name: unhex(case[name]) for name in ("ledger", "soul")}
    if case["side"] == "parent":
        check, facts = check_in_parent, facts | {"log_key": unhex(case["log_key"])}
    else:
        keys = {role: unhex(key) for role, key in case["keys"].items()}
        check, facts = check_in_child, facts | {"keys": keys}
    agrees(case, partial(check, position=case["position"], **facts), payload)


@pytest.mark.parametrize("case", cases("state"))
def test_state(case):
    entries = decode(unhex(case["entries"]), BYTES_MAX)
    assert state_digest(entries, case["size"]).hex() == case["digest"]
    assert part_digests(entries) == decode(unhex(case["parts"]), BYTES_MAX)


def test_the_worked_examples():
    example = load("example")
    assert expand("type/a.b", 1)[:8].hex() == example["state"]["lanes"]
    anchor = {name: unhex(value) for name, value in example["anchor"].items()}
    key = bitcoin.seal_output_key(anchor["seal_key"], anchor["soul_sha256"])
    assert b"\x51\x20" + key == anchor["seal_script"]
    lineage = {name: unhex(value) for name, value in example["lineage"].items()}
    assert codec.tagged("timmy/handoff/v1", lineage["message"]) == lineage["digest"]
    old = remake.public("log")
    assert codec.verifies(old, lineage["old_signature"], lineage["digest"])
    assert decode(lineage["message"], BYTES_MAX)[1]["key"] == lineage["key"]


@pytest.mark.parametrize("case", cases("aggregate"))
def test_aggregate(case):
    arguments = unhex(case["ledger"]), unhex(case["root"]), unhex(case["digest"])
    agrees(case, lambda: aggregate.check_slot(decode(unhex(case["slot"]), BYTES_MAX), *arguments))


@pytest.mark.parametrize("case", cases("delegated"))
def test_delegated(case):
    value = decode(unhex(case["evidence"]), BYTES_MAX)
    genesis = {
        "network": "regtest",
        "recovery_output_key": value["recovery_output_key"],
        "soul": {"sha256": value["soul_sha256"]},
    }
    steps, links = value["steps"], value["links"]

    def verified():
        own = aggregate.verify_own(value["opening"], links, lambda n, _: steps[n], genesis)
        aggregate.verify_delegated(own, value["ledger"], value["delegations"])

    if case["class"] == "missing":
        with pytest.raises(aggregate.Missing):
            verified()
    else:
        agrees(case, verified)


@pytest.mark.parametrize("case", cases("bundles"))
def test_bundles(case):
    """For the reason of the case, too: its first failure is the page's first."""
    result = verify(*bundle_of(case))
    assert (result.verdict, result.standing) == (case["verdict"], case["standing"])
    assert result.kind == case["class"]


@pytest.mark.parametrize("case", cases("equivocations"))
def test_equivocations(case):
    result = verify(*bundle_of(case, EQUIVOCATIONS))
    assert (result.verdict, result.kind) == (case["verdict"], case["class"])


@pytest.mark.parametrize("case", cases("held"))
def test_held(case):
    data, held = held_of(case)
    assert verify(data).kind is None
    result = verify(data, None, held)
    assert (result.verdict, result.standing) == (case["verdict"], case["standing"])
    assert result.kind == case["class"]


# ---- beyond the vectors -------------------------------------------------------------------------


def test_both_agree_on_a_thousand_damaged_bundles():
    """`python -m tests.spec.stranger --mutations 50000` tries more of them."""
    found = list(compared(sources(), MUTATIONS, seed=1))
    differing = [(case.name, case.stranger, case.product) for case in found if not case.agreed]
    assert not differing
    assert len(found) == MUTATIONS
    reasons = Counter(case.stranger.kind for case in found)
    # Behind the file's own digest, and behind signatures that hold, every kind of fault is met.
    assert reasons["bundle"] < MUTATIONS / 2
    assert {"event", "identity", "root", "inclusion", "checkpoint", "missing"} <= set(reasons)
    assert {"rewritten", "lineage", "seal", "salvage", "redaction", "duplicate", "diverged"} <= set(
        reasons
    )
    good = [case for case in found if case.stranger.kind is None]
    assert len(good) > MUTATIONS / 20
    assert {case.stranger.verdict for case in good} == {"UNBROKEN-PENDING", "RECOVERED", "TEST"}


def test_both_agree_on_what_is_held_beside_a_file():
    found = list(compared_beside(pairs(), HELD_MUTATIONS, seed=1))
    differing = [(case.name, case.stranger, case.product) for case in found if not case.agreed]
    assert not differing
    reasons = Counter(case.stranger.kind for case in found)
    assert {"stale", "missing", "rewritten", "diverged", "checkpoint", "identity"} <= set(reasons)
    assert reasons[None] > HELD_MUTATIONS / 10


def test_mutations_are_the_same_for_a_seed():
    first, again, other = (
        [case.data for case in compared(sources(), 20, seed=seed)]
        + [case.held for case in compared_beside(pairs(), 20, seed=seed)]
        for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["name"])
def test_records_left_out_doubled_or_moved_get_one_verdict_from_both(case):
    chance = random.Random(case["name"])
    data, soul = bundle_of(case)
    records = agent.open_frames(data)
    verdicts = set()
    for at in range(1, len(records)):
        moved = list(records)
        moved.insert(chance.randrange(1, len(records)), moved.pop(at))
        for changed in (records[:at] + records[at + 1 :], [*records, records[at]], moved):
            result = verify(remake.closed(changed), soul)
            assert (result.verdict, result.standing) == product(remake.closed(changed), soul)
            verdicts.add(result.verdict)
    assert len(verdicts) > 1


def test_both_agree_on_the_examples_of_a_real_node():
    soul = (EXAMPLES / "SOUL.md").read_bytes()
    verdicts = set()
    for path in sorted(EXAMPLES.glob("*.proof")):
        result = verify(path.read_bytes(), soul)
        assert (result.verdict, result.standing) == product(path.read_bytes(), soul)
        verdicts.add(result.verdict)
    assert len(verdicts) > 1


def test_both_take_what_a_log_of_many_tiles_writes(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft(), *[message(f"words {n}") for n in range(600)])
        release = Release.begin(log, tmp_path, agent.LOG)
        first = release.head()
        log.append_now(log.redaction([7, 300], reason="asked for", actor="operator"))
        log.append_now(*[message(f"more {n}") for n in range(10)])
        files = [io.BytesIO() for _ in range(7)]
        export(log, release.head(), files[0])
        for file, position in zip(files[1:], (0, 7, 255, 256, 600, 611), strict=True):
            prove(log, [first, release.head()], position, file)
    for file in files:
        assert verify(file.getvalue(), agent.SOUL).verdict == "UNBROKEN-PENDING"
        assert product(file.getvalue(), agent.SOUL) == ("UNBROKEN-PENDING", None)


def test_both_agree_on_older_heads_at_every_edge_of_a_tile(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft(), *[message(f"words {n}") for n in range(599)])
        file = io.BytesIO()
        export(log, Release.begin(log, tmp_path, agent.LOG).head(), file)
    records = agent.open_frames(file.getvalue())
    made = remake.Log([record for record in records if record[0] == "event"])
    made.leaves = [tree.leaf(record[2]) for record in made.records]
    for false in (None, 256):
        sizes = (0, 1, 2, 255, 256, 257, 511, 512, 513, 600)
        roots = [bytes(32) if size == false else made.root(size) for size in sizes]
        notes = [remake.note(made.id, 0, *pair) for pair in zip(sizes, roots, strict=True)]
        data = remake.closed([*records[:-1], *(["checkpoint", note] for note in notes)])
        verdict = "UNBROKEN-PENDING" if false is None else "REWRITTEN"
        assert verify(data, agent.SOUL).verdict == verdict
        assert product(data, agent.SOUL) == (verdict, None)


def test_the_two_decoders_agree_on_short_inputs():
    """Every input of up to two bytes, and random ones made of heads that matter."""
    chance = random.Random(8949)
    inputs = [bytes(item) for item in ([], *([n] for n in range(256)))]
    inputs += [bytes([a, b]) for a in range(256) for b in range(0, 256, 5)]
    heads = bytes.fromhex(
        "0017 1819 1b20 3b40 4158 6061 6278 8081 8298 a0a1 a2b8 c0d8 f4f5 f6f7 f9ff 7f80"
    )
    inputs += [bytes(chance.choices(heads, k=chance.randrange(3, 12))) for _ in range(5000)]
    good = 0
    for data in inputs:
        try:
            expected = product_decode(data, bytes_max=64)
        except InvalidCbor:
            with pytest.raises(Refusal):
                decode(data, 64)
        else:
            good += 1
            assert decode(data, 64) == expected
    assert good > 100


def test_both_agree_on_compact_targets():
    chance = random.Random(341)
    fixed = [0, 1, 0x1D00FFFF, 0x207FFFFF, 0x20800000, 0x03000001, 0x02000001, 0x01003456]
    good = 0
    for bits in [
        *fixed,
        *(chance.randrange(36) << 24 | chance.getrandbits(24) for _ in range(3000)),
    ]:
        try:
            expected = product_header.target_of(bits)
        except InvalidAnchor:
            with pytest.raises(Refusal):
                bitcoin.target(bits)
            continue
        good += 1
        assert bitcoin.target(bits) == expected
        for value in (expected, expected // 4, 4 * expected, expected + 1):
            assert bitcoin.compact(value) == product_header.bits_of(value)
    assert good > 500


@pytest.mark.parametrize(("first", "count"), [(1, 2016), (2000, 32), (2015, 2), (2016, 16)])
def test_both_take_the_first_period_of_bitcoin_and_the_next(first, count):
    """As signet's rules: mainnet's least work is above that of its first years."""
    raw = mainnet.headers()[80 * first : 80 * (first + count)]
    run = product_header.verify_headers(product_header.SIGNET, first, raw)
    assert tuple(one.hash for one in bitcoin.header_run(raw, first, "signet")) == run.hashes
    with pytest.raises(Refusal):
        bitcoin.header_run(raw, first, "mainnet")
    with pytest.raises(InvalidAnchor):
        product_header.verify_headers(product_header.MAINNET, first, raw)


def test_both_take_a_retarget_of_mainnet_at_its_height_and_at_no_other():
    raw = b"".join(bytes.fromhex(one["hex"].removeprefix("0x")) for one in RETARGET["chain"])
    height = RETARGET["chain"][0]["height"]
    run = product_header.verify_headers(product_header.MAINNET, height, raw)
    assert bitcoin.header_run(raw, height, "mainnet")[-1].hash == run.hashes[-1]
    for wrong in (height - 1, height + 1):
        with pytest.raises(Refusal, match="target changes"):
            bitcoin.header_run(raw, wrong, "mainnet")
        with pytest.raises(InvalidAnchor, match="became"):
            product_header.verify_headers(product_header.MAINNET, wrong, raw)
