"""Two verifiers, one written from the pages alone, say the same of every bundle and of damaged ones."""

import ast
import io
import random
from pathlib import Path

import pytest

from ledger.core.codec import decode
from ledger.core.errors import InvalidCbor
from ledger.proof import export, prove
from ledger.release import Release
from node.verifier import verify_bundle
from tests.ledger.makers import message, open_log
from tests.spec import agent, independent, independent_anchor, independent_formats, test_vectors
from tests.spec.test_vectors import BUNDLES, bundle_of, cases

MUTATIONS = 400
EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD = [case for case in BUNDLES["cases"] if case["class"] is None and case["soul"]]


def ours(data, soul):
    report = verify_bundle(io.BytesIO(data), soul)
    # A bundle whose seal fails has no standing, whatever was computed before it failed.
    standing = report.standing.name.lower() if report.standing is not None else None
    return report.verdict, standing


def test_it_imports_nothing_of_ours():
    modules = (independent, independent_anchor, independent_formats)
    allowed = {"tests.spec", *(module.__name__ for module in modules)}
    for module in modules:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                ours = ("ledger", "genesis", "attest", "node", "mesh", "runtime", "tests")
                assert name in allowed or name.split(".")[0] not in ours, name


@pytest.mark.parametrize("case", cases("bundles"))
def test_both_give_the_verdict_of_the_vectors(case):
    data, soul = bundle_of(case)
    assert independent.verify(data, soul) == (case["verdict"], case["standing"])


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["name"])
def test_a_changed_byte_gets_one_verdict_from_both(case):
    """The byte as it is (the closing digest finds it), and with the digest made right again."""
    chance = random.Random(case["name"])
    data, soul = bundle_of(case)
    records = [bytes(item) for item in raw_records(data)]
    for _ in range(MUTATIONS // len(GOOD) + 1):
        bad = mutated(data, chance)
        assert independent.verify(bad, soul)[0] == ours(bad, soul)[0] == "BROKEN"
        at = chance.randrange(len(records))
        bad = agent.bundle([*records[:at], mutated(records[at], chance), *records[at + 1 :]])
        assert independent.verify(bad, soul) == ours(bad, soul)


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
            bad = agent.bundle(changed)
            assert independent.verify(bad, soul) == ours(bad, soul)
            verdicts.add(ours(bad, soul)[0])
    assert len(verdicts) > 1


def test_both_agree_on_the_examples_of_a_real_node():
    soul = (EXAMPLES / "SOUL.md").read_bytes()
    files = sorted(EXAMPLES.glob("*.proof"))
    found = {path.name: independent.verify(path.read_bytes(), soul) for path in files}
    assert found == {path.name: ours(path.read_bytes(), soul) for path in files}
    assert len({verdict for verdict, _ in found.values()}) > 1


def test_it_takes_what_a_log_of_many_tiles_writes(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft(), *[message(f"words {n}") for n in range(600)])
        release = Release.begin(log, tmp_path, agent.LOG)
        first = release.head()
        log.append_now(log.redaction([7, 300], reason="asked for", actor="operator"))
        log.append_now(*[message(f"more {n}") for n in range(10)])
        file = io.BytesIO()
        export(log, release.head(), file)
        assert independent.verify(file.getvalue(), agent.SOUL) == ("UNBROKEN-PENDING", None)
        for position in (0, 7, 255, 256, 600, 611):
            file = io.BytesIO()
            prove(log, [first, release.head()], position, file)
            assert independent.verify(file.getvalue(), agent.SOUL) == ("UNBROKEN-PENDING", None)
            assert ours(file.getvalue(), agent.SOUL) == ("UNBROKEN-PENDING", None)


def raw_records(data):
    at = len(agent.MAGIC)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + length]
        at += 4 + length
        if at == len(data):
            return


def mutated(data, chance):
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


def test_the_two_decoders_agree_on_short_inputs():
    """Every input of up to two bytes, and random ones made of heads that matter."""
    chance = random.Random(8949)
    inputs = [bytes(item) for item in ([], *([n] for n in range(256)))]
    inputs += [bytes([a, b]) for a in range(256) for b in range(0, 256, 5)]
    heads = b"\x00\x17\x18\x19\x1b\x20\x3b\x40\x41\x58\x60\x61\x62\x78\x80\x81\x82\x98\xa0\xa1\xa2\xb8\xc0\xd8\xf4\xf5\xf6\xf7\xf9\xff\x7f\x80"
    inputs += [bytes(chance.choices(heads, k=chance.randrange(3, 12))) for _ in range(5000)]
    good = 0
    for data in inputs:
        try:
            expected = decode(data, bytes_max=64)
        except InvalidCbor:
            with pytest.raises(independent_anchor.Fail):
                independent_formats.decode(data, 64)
        else:
            good += 1
            assert independent_formats.decode(data, 64) == expected
    assert good > 100


@pytest.mark.parametrize("case", [*cases("cbor"), *cases("genesis")])
def test_it_agrees_on_values(case):
    data = bytes.fromhex(case.get("cbor") or case.get("payload") or "")
    check = independent_formats.check_genesis if "payload" in case else bool
    if case["class"] is None:
        check(independent_formats.decode(data, 2**20))
    else:
        with pytest.raises(independent_anchor.Fail):
            check(independent_formats.decode(data, 2**20))


@pytest.mark.parametrize("case", cases("checkpoints"))
def test_it_agrees_on_checkpoints(case):
    data, key = case["note"].encode(), bytes.fromhex(case["log_key"])
    if case["class"] is not None:
        with pytest.raises(independent_anchor.Fail):
            independent_formats.Head(data, key)
        return
    head = independent_formats.Head(data, key)
    assert (head.size, head.epoch, head.root.hex()) == (case["size"], case["epoch"], case["root"])
    assert head.anchor_digest.hex() == case["anchor_digest"]


@pytest.mark.parametrize("case", cases("events"))
def test_it_agrees_on_events(case):
    record = test_vectors.record_of(case)
    value = agent.event_record(record)
    if case["class"] is not None:
        with pytest.raises(independent_anchor.Fail):
            independent_formats.Event(value)
    else:
        assert independent_formats.Event(value).id.hex() == case["id"]


def agrees(case, call, *arguments):
    if case["class"] is None:
        call(*arguments)
    else:
        with pytest.raises(independent_anchor.Fail):
            call(*arguments)


@pytest.mark.parametrize("case", cases("inclusion"))
def test_it_agrees_on_inclusion(case):
    path = [bytes.fromhex(item) for item in case["path"]]
    leaf, root = bytes.fromhex(case["leaf"]), bytes.fromhex(case["root"])
    agrees(case, independent_formats.check_inclusion, leaf, case["index"], case["size"], path, root)


@pytest.mark.parametrize("case", cases("consistency"))
def test_it_agrees_on_consistency(case):
    path = [bytes.fromhex(item) for item in case["path"]]
    old, new = bytes.fromhex(case["root1"]), bytes.fromhex(case["root2"])
    agrees(
        case, independent_formats.check_consistency, case["size1"], case["size2"], path, old, new
    )


@pytest.mark.parametrize("case", cases("statements"))
def test_it_agrees_on_statements(case):
    body = (
        None
        if case["body"] is None
        else independent_formats.decode(bytes.fromhex(case["body"]), 2**20)
    )
    payload = independent_formats.decode(bytes.fromhex(case["payload"]), 65536)
    agrees(case, independent_formats.check_statement, payload, body, bytes.fromhex(case["ledger"]))


@pytest.mark.parametrize("case", cases("state"))
def test_it_agrees_on_state(case):
    entries = independent_formats.decode(bytes.fromhex(case["entries"]), 2**20)
    assert independent_formats.state_digest(entries, case["size"]).hex() == case["digest"]
