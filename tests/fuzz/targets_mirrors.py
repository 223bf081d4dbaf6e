"""The parsers of replication: what peers send of a log, and what asks for one."""

from dataclasses import replace

from ledger.core.errors import InvalidEvent
from ledger.core.merkle import leaf_hash
from mesh.core.errors import InvalidPackage, InvalidSignedRequest
from mesh.core.mirrors.packages import (
    Place,
    Redacted,
    encode_leaves,
    encode_package,
    open_bodies,
    open_leaves,
    open_package,
    package_path,
)
from mesh.core.nip01 import NostrSigner
from mesh.core.nip98 import check_request, sign_request
from mesh.core.witnesses.introduction import open_introduction
from mesh.mirrors.offer import NotOffered
from mesh.mirrors.offering import _tile, tile_path
from tests.mesh.lives import Life

from .engine import Target, same

NOW = 1_790_000_000
ALICE, NODE = NostrSigner(bytes([1] * 32)), NostrSigner(bytes([2] * 32)).pubkey
PATH = "/v1/mesh/logs/ab/head?since=3"
LIFE = Life().say(5).redact(2).hand_off().say(2)
OFFER = LIFE.offer()
PLACE = Place(start=0, stop=LIFE.size, size=LIFE.size, root=LIFE.ledger.tree.root())
RUN = replace(PLACE, stop=4, width=4)
ENVELOPES = [record.envelope for record in LIFE.ledger.records]

LEAVES = [leaf_hash(envelope) for envelope in ENVELOPES[:4]]


def run_introduction(data):
    found = open_introduction(data, LIFE.id)
    assert found.head.root == LIFE.ledger.tree.root(found.head.size)


def run_package(data):
    assert open_package(data, PLACE, []) == ENVELOPES
    same(data, encode_package(ENVELOPES, package_path(LIFE.ledger.tree, 0, LIFE.size)))


def run_leaves(data):
    assert open_leaves(data, RUN, []) == LEAVES
    path = package_path(LIFE.ledger.tree, 0, LIFE.size, RUN.width)
    same(data, encode_leaves(LEAVES, path))


def run_bodies(data):
    redacted = Redacted()
    redacted.add([2])
    whole = LIFE.copy()
    assert [event.record for event in open_bodies(data, 0, ENVELOPES, redacted)] == whole[
        : len(open_bodies(data, 0, ENVELOPES, redacted))
    ]


def run_request(data):
    header = data.decode(errors="replace")
    assert check_request(header, PATH, "GET", node=NODE, now=NOW).pubkey == ALICE.pubkey


def run_tile(data):
    path = data.decode(errors="replace")
    level, index, width = _tile(path)
    same(data, tile_path(level, index, width).encode())


TARGETS = [
    Target(name="introduction", run=run_introduction, errors=(InvalidPackage,), weight=4,
           specimens=lambda: [OFFER.introduction(0), OFFER.introduction(3)]),
    Target(name="log-package", run=run_package, errors=(InvalidPackage,), kind="cbor",
           specimens=lambda: [OFFER.package(0, LIFE.size)],
           bulk={"envelopes": lambda n: b"\x82\x9a" + (n // 2).to_bytes(4, "big") + b"\x40" * n}),
    Target(name="log-leaves", run=run_leaves, errors=(InvalidPackage,), kind="cbor",
           specimens=lambda: [encode_leaves(LEAVES, package_path(LIFE.ledger.tree, 0, LIFE.size, 4))],
           bulk={"hashes": lambda n: b"\x82\x5a" + n.to_bytes(4, "big") + b"\x01" * n}),
    Target(name="log-bodies", run=run_bodies, errors=(InvalidPackage, InvalidEvent), kind="cbor",
           specimens=lambda: [OFFER.bodies(0, LIFE.size), OFFER.bodies(0, 2)],
           bulk={"bodies": lambda n: b"\x9a" + (n // 2).to_bytes(4, "big") + b"\x80" * n}),
    Target(name="signed-request", run=run_request, errors=(InvalidSignedRequest,), kind="text",
           specimens=lambda: [
               sign_request(ALICE, f"http://a{PATH}", "GET", node=NODE, now=NOW).encode()
           ],
           bulk={"long": lambda n: b"Nostr " + b"A" * n}),
    Target(name="tile-path", run=run_tile, errors=(NotOffered,), kind="text",
           specimens=lambda: [b"0/000", b"1/x001/x234/067", b"6/000.p/17"],
           bulk={"groups": lambda n: b"0/" + b"x000/" * (n // 5) + b"000"}),
]  # fmt: skip
