"""Mainnet's blocks as summa-tx's relay and bitcoin-spv were tested on them: runs, retargets, paths."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from attest.core.errors import (
    BadDifficulty,
    BadPath,
    BadWork,
    BrokenHeaders,
    DuplicatedSibling,
    InvalidHeader,
    InvalidProof,
    InvalidTransaction,
)
from attest.core.header import (
    MAINNET,
    PERIOD_BLOCKS,
    next_bits,
    parse_header,
    target_of,
    verify_headers,
    work_of,
)
from attest.core.merkle import MerklePath
from attest.core.transaction import double_sha256, parse_transaction

VECTORS = Path(__file__).parents[1] / "vectors/bitcoin/spv"
PLAIN = json.loads((VECTORS / "headers.json").read_text())
RETARGET = json.loads((VECTORS / "headersWithRetarget.json").read_text())
REORG = json.loads((VECTORS / "headersReorgAndRetarget.json").read_text())
SPV = json.loads((VECTORS / "testVectors.cut.json").read_text())
PROOFS = json.loads((VECTORS / "testProofs.json").read_text())
DIFFICULTY_1 = target_of(MAINNET.pow_limit_bits)
EARLY = replace(MAINNET, work_min=1)
"""Without the floor for seals: a block of 2016 is below it."""


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def joined(*entries: dict) -> bytes:
    return b"".join(unhex(entry["hex"]) for entry in entries)


# ---- runs of headers -----------------------------------------------------------------------------

RUNS = {
    "562621": [PLAIN["genesis"], *PLAIN["chain"]],
    "554390 and a retarget": [RETARGET["genesis"], *RETARGET["chain"]],
    "437466 and a retarget": [
        REORG["genesis"],
        *REORG["preRetargetChain"],
        *REORG["postRetargetChain"],
    ],
}


@pytest.mark.parametrize("entries", RUNS.values(), ids=RUNS)
def test_runs_of_mainnet(entries):
    height = entries[0]["height"]
    run = verify_headers(EARLY, height, joined(*entries))
    assert [h.hex() for h in run.hashes] == [e["digest_le"].removeprefix("0x") for e in entries]
    assert run.tip_height == entries[-1]["height"]
    expected = sum(work_of(target_of(parse_header(unhex(e["hex"])).bits)) for e in entries)
    assert run.work == expected
    if any(e["height"] % PERIOD_BLOCKS == 0 for e in entries):
        # One block off, and the same headers break the rule that bits stay within a period.
        for wrong in (height - 1, height + 1):
            with pytest.raises(BadDifficulty):
                verify_headers(EARLY, wrong, joined(*entries))


@pytest.mark.parametrize(
    ("old", "before", "after"),
    [
        (RETARGET["oldPeriodStart"], RETARGET["chain"][8], RETARGET["chain"][9]),
        (REORG["oldPeriodStart"], REORG["preRetargetChain"][-1], REORG["postRetargetChain"][0]),
    ],
    ids=["554400", "437472"],
)
def test_retargets_out_of_a_period(old, before, after):
    assert (after["height"], old["height"]) == (before["height"] + 1, after["height"] - 2016)
    first, last, next_ = (parse_header(unhex(e["hex"])) for e in (old, before, after))
    assert next_bits(MAINNET, first.bits, first.time_s, last.time_s) == next_.bits != last.bits


@pytest.mark.parametrize("case", SPV["retargetAlgorithm"], ids=lambda c: str(c["output"]))
def test_nine_retargets(case):
    first, last, next_ = (parse_header(unhex(e["hex"])) for e in case["input"])
    bits = next_bits(MAINNET, first.bits, first.time_s, last.time_s)
    assert bits == next_.bits
    assert DIFFICULTY_1 // target_of(bits) == case["output"]


def test_an_orphan_has_work_and_a_place_and_nothing_to_follow_it():
    for entries, orphan in ((RUNS["562621"], PLAIN["orphan_562630"]),
                            (RUNS["437466 and a retarget"], REORG["orphan_437478"])):  # fmt: skip
        place = orphan["height"] - entries[0]["height"]
        branch = [*entries[:place], orphan]
        assert verify_headers(EARLY, entries[0]["height"], joined(*branch))
        with pytest.raises(BrokenHeaders):
            verify_headers(EARLY, entries[0]["height"], joined(*branch, *entries[place + 1 :]))


def test_a_header_of_another_place():
    stray = unhex(PLAIN["badHeader"]["hex"])
    assert verify_headers(MAINNET, 541_000, stray)
    with pytest.raises(BrokenHeaders):
        verify_headers(MAINNET, 562_621, joined(*RUNS["562621"]) + stray)


def test_a_chain_of_2018_and_every_way_it_was_broken():
    [good] = SPV["validateHeaderChain"]
    run = verify_headers(MAINNET, 1, unhex(good["input"]))
    difficulties = len(run.hashes) * (DIFFICULTY_1 // target_of(run.last_bits))
    assert difficulties == good["output"]
    named = {
        "Header bytes not multiple of 80": InvalidHeader,
        "Header bytes not a valid chain": BrokenHeaders,
        "Header does not meet its own difficulty target": BadWork,
    }
    assert {case["comment"] for case in SPV["validateHeaderChainError"]} == set(named)
    for case in SPV["validateHeaderChainError"]:
        with pytest.raises(InvalidProof) as caught:
            verify_headers(MAINNET, 1, unhex(case["input"]))
        assert caught.type is named[case["comment"]]


# ---- Merkle paths --------------------------------------------------------------------------------


def path_of(data: bytes, index: int) -> MerklePath:
    return MerklePath(
        index=index, siblings=tuple(data[at : at + 32] for at in range(0, len(data), 32))
    )


def leads(leaf: bytes, path: bytes, index: int, root: bytes) -> bool:
    try:
        return path_of(path, index).root(leaf) == root
    except BadPath:
        return False


@pytest.mark.parametrize("case", SPV["prove"])
def test_paths_of_transactions(case):
    given = case["input"]
    leaf, root = unhex(given["txIdLE"]), unhex(given["merkleRootLE"])
    path = unhex(given["proof"])
    if not path:
        # "true" there: a leaf that is its own root, whatever the index. Here the index must fit.
        assert (leaf, case["output"]) == (root, True)
        assert leads(leaf, path, 0, root)
        assert leads(leaf, path, given["index"], root) is (given["index"] == 0)
        return
    assert leads(leaf, path, given["index"], root) is case["output"]


@pytest.mark.parametrize("case", SPV["verifyHash256Merkle"])
def test_paths_with_leaf_and_root_at_their_ends(case):
    data, index = unhex(case["input"]["proof"]), case["input"]["index"]
    if len(data) % 32:
        assert not case["output"]  # a txid of another length cannot be made
        return
    leaf, path, root = data[:32], data[32:-32], data[-32:]
    assert leads(leaf, path, index, root) is case["output"]


def test_a_path_of_mainnet_block_592920():
    [text] = PROOFS["valid"]
    proof = json.loads(text)
    transaction, header = assembled(proof), unhex(proof["confirming_header"]["raw"])
    run = verify_headers(MAINNET, proof["confirming_header"]["height"], header)
    assert run.hashes[0] == unhex(proof["confirming_header"]["hash"])
    assert run.first.merkle_root == unhex(proof["confirming_header"]["merkle_root"])
    txid = parse_transaction(transaction).txid
    assert txid == unhex(proof["tx_id"])
    path = unhex(proof["intermediate_nodes"])
    assert path_of(path, proof["index"]).root(txid) == run.first.merkle_root
    for wrong in (proof["index"] ^ 1, proof["index"] ^ 2):
        assert not leads(txid, path, wrong, run.first.merkle_root)
    with pytest.raises(BadPath, match="position"):
        path_of(path, 1 << 20)


def assembled(proof: dict) -> bytes:
    return b"".join(unhex(proof[name]) for name in ("version", "vin", "vout", "locktime"))


@pytest.mark.parametrize("case", PROOFS["badSPVProofs"], ids=lambda c: c["comment"])
def test_bad_proofs(case):
    proof = case["proof"]
    header = parse_header(unhex(proof["confirming_header"]["raw"]))
    path = path_of(unhex(proof["intermediate_nodes"]), proof["index"])
    if case["comment"] in {"Bad Vin", "Bad Vout"}:
        with pytest.raises(InvalidTransaction):
            parse_transaction(assembled(proof))
        return
    txid = parse_transaction(assembled(proof)).txid
    assert (txid == unhex(proof["tx_id"])) is (case["comment"] != "Bad TxID")
    if case["comment"] != "Bad TxID":
        assert path.root(txid) != header.merkle_root


@pytest.mark.parametrize("case", PROOFS["badHeaders"], ids=lambda c: c["comment"])
def test_bad_headers_disagree_with_their_own_bytes(case):
    header = case["header"]
    parsed = parse_header(unhex(header["raw"]))
    said = {"hash": parsed.hash, "merkle_root": parsed.merkle_root, "prevhash": parsed.previous}
    wrong = [name for name, value in said.items() if unhex(header[name]) != value]
    assert len(wrong) == 1


def test_headers_and_hashes_of_another_length():
    for name, error in (("errBadLenRawHeader", InvalidHeader), ("errBadLenHash256", InvalidProof)):
        proof = json.loads(PROOFS[name])
        header = unhex(proof["confirming_header"]["raw"])
        if error is InvalidHeader:
            with pytest.raises(InvalidHeader):
                parse_header(header)
        else:
            assert len(unhex(proof["tx_id"])) == 31
            path = path_of(unhex(proof["intermediate_nodes"]), proof["index"])
            assert path.root(unhex(proof["tx_id"])) != parse_header(header).merkle_root


def test_twins_of_a_path_are_refused():
    leaf = double_sha256(b"leaf")
    with pytest.raises(DuplicatedSibling):
        path_of(leaf, 1).root(leaf)


def test_work_that_was_enough_in_2009():
    with pytest.raises(BadWork, match="are expected"):
        verify_headers(MAINNET, 1, unhex(SPV["retargetAlgorithm"][-1]["input"][0]["hex"]))
