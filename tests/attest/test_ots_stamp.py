"""Paths out of our own evidence, each walked and compared with what it must lead to."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.core.errors import BadPath, InvalidProof, WrongDigest
from attest.core.header import parse_header
from attest.core.ots import SHA256, BitcoinBlock, Path, Pending, Timestamp, append
from attest.core.stamp import (
    anchor_timestamp,
    inclusion_steps,
    leaf_file,
    pending_of,
    tip_of,
    upgraded,
)
from ledger.core.errors import InvalidProof as InvalidInclusion
from ledger.core.merkle import leaf_hash
from ledger.core.tiles import Tree
from tests.spec import agent


def walk(steps, message):
    [leaf] = Timestamp((Path(tuple(steps), BitcoinBlock(1)),)).leaves(message)
    return leaf.message


@pytest.fixture(scope="module")
def links():
    chain = agent.anchored_ledger()
    digests = [chain.ledger.head(size).anchor_digest() for size in chain.sizes]
    return list(zip(chain.links, digests, strict=True))


def test_an_anchors_digest_leads_to_its_blocks_merkle_root(links):
    assert len(links) > 1
    for proof, digest in links:
        timestamp = anchor_timestamp(proof, digest)
        [leaf] = timestamp.leaves(digest)
        assert leaf.message == parse_header(proof.headers[0]).merkle_root
        assert timestamp.heights == (proof.height,)


def test_an_anchor_of_another_digest_or_block_is_no_timestamp(links):
    (opening, first), (anchor, second) = links[:2]
    with pytest.raises(WrongDigest):
        anchor_timestamp(opening, second)
    with pytest.raises(BadPath):
        anchor_timestamp(replace(anchor, headers=opening.headers), second)
    with pytest.raises(InvalidProof):
        anchor_timestamp(replace(opening, transaction=opening.transaction[:-1]), first)


def test_every_leaf_of_every_small_tree_leads_to_its_root():
    entries = [b"%d" % number for number in range(20)]
    tree = Tree(lambda level, index: None)
    for entry in entries:
        tree.append(leaf_hash(entry))
    for size in range(1, len(entries) + 1):
        for index in range(size):
            leaf = hashlib.sha256(leaf_file(entries[index])).digest()
            assert leaf == leaf_hash(entries[index])
            steps = inclusion_steps(index, size, tree.inclusion(index, size))
            assert (walk(steps, leaf) if steps else leaf) == tree.root(size)


def test_a_path_of_another_length_is_refused():
    for index, size, path in ((0, 1, [bytes(32)]), (0, 4, [bytes(32)]), (4, 4, [bytes(32)] * 2)):
        with pytest.raises(InvalidInclusion):
            inclusion_steps(index, size, path)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=2), st.data())
def test_two_digests_lead_to_one_tip_and_hide_each_other(digests, data):
    nonces = data.draw(st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=2))
    tip, *steps = tip_of(*digests, nonces)
    assert [walk(way, digest) for way, digest in zip(steps, digests, strict=True)] == [tip, tip]
    told = {step.argument for step in steps[0]}
    assert told == {b"", nonces[0], hashlib.sha256(digests[1] + nonces[1]).digest()}


def test_an_upgrade_takes_the_place_of_what_was_pending():
    digest = hashlib.sha256(b"x").digest()
    waiting = Timestamp.of(
        [Path((append(b"1"), SHA256), Pending("https://a")), Path((SHA256,), Pending("https://b"))]
    )
    [(path, pending, message)] = [
        found for found in pending_of(waiting, digest) if found[1].uri == "https://a"
    ]
    assert message == hashlib.sha256(digest + b"1").digest()
    assert pending == Pending("https://a")
    found = upgraded(waiting, path, Timestamp((Path((SHA256,), BitcoinBlock(7)),)))
    assert found.heights == (7,)
    assert [entry[1].uri for entry in pending_of(found, digest)] == ["https://b"]
    assert Path((append(b"1"), SHA256, SHA256), BitcoinBlock(7)) in found.paths
