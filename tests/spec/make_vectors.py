"""Writes tests/vectors/spec from fixed seeds: python -m tests.spec.make_vectors

Each case has a `name` and a `class`: null if it is good, otherwise the failure class that
docs/spec/README.md lists. Bytes are hex. A bundle is a list of
indexes into `chunks` (base64), to be joined.
"""

import base64
import hashlib
import json
from pathlib import Path

from attest.core.aggregate import AggregateTree, slot_hash
from attest.core.commitment import Commitment, Kind
from ledger.core import handoff, hashing
from ledger.core.checkpoint import Checkpoint
from ledger.core.codec import encode
from ledger.core.event import Cause, Draft, Event, seal
from ledger.core.merkle import leaf_hash
from ledger.core.note import key_id, sign_note
from ledger.core.state import State
from ledger.core.statement import make_statement
from ledger.core.tiles import Tree
from tests.spec import (
    agent,
    make_aggregates,
    make_bundles,
    make_children,
    make_delegated,
    make_equivocations,
    make_held,
    make_lineage,
    make_succession,
)
from tests.spec.life import Life

FOLDER = Path(__file__).parent.parent / "vectors/spec"
case = make_aggregates.case


# ---- cbor ---------------------------------------------------------------------------------------

CBOR_GOOD = {
    "integers": "871818000120 1b7fffffffffffffff 3b7fffffffffffffff 1903e8",
    "text, bytes, null, booleans": "85 62c3bc 43010203 f6 f4 f5",
    "text that is not normalized": "63 65cc88",
    "map keys shorter first": "a3 6162 01 626161 02 63616161 03",
    "map key of 24 bytes after one of 23": "a2 77" + "7a" * 23 + "01 7818" + "61" * 24 + "02",
    "32 arrays deep": "81" * 32 + "01",
    "empty array, map, text, bytes": "84 80 a0 60 40",
}
CBOR_BAD = {
    "trailing byte": "0100",
    "empty input": "",
    "integer in two bytes that fits one": "1801",
    "length in two bytes that fits one": "580161",
    "array of indefinite length": "9f01ff",
    "text of indefinite length": "7f6161ff",
    "map key twice": "a2 6161 01 6161 02",
    "map keys out of order": "a2 6162 01 6161 02",
    "map key longer first": "a2 626161 01 6162 02",
    "map key is an integer": "a10102",
    "map key is bytes": "a1416102",
    "half float": "f93c00",
    "double float": "fb3ff0000000000000",
    "not a number": "f97e00",
    "undefined": "f7",
    "simple value 255": "f8ff",
    "false in two bytes": "f814",
    "date tag": "c074323031332d30332d32315432303a30343a30305a",
    "bignum tag": "c249010000000000000000",
    "regular expression tag": "d82361 5b",
    "shared value tags": "d81c81d81d00",
    "string reference tags": "d90100826161d81900",
    "self-described tag": "d9d9f701",
    "unknown tag": "d9ff0001",
    "integer of 2^63": "1b8000000000000000",
    "integer below -2^63": "3b8000000000000000",
    "text is not UTF-8": "61ff",
    "surrogate in UTF-8": "63eda080",
    "overlong UTF-8": "62c080",
    "claims more bytes than there are": "5b7fffffffffffffff",
    "claims more items than there are": "9b7fffffffffffffff",
    "33 arrays deep": "81" * 33 + "01",
    "break without a start": "ff",
    "reserved additional information": "1c",
}


def cbor():
    good = [case(name, None, cbor=bytes.fromhex(data)) for name, data in CBOR_GOOD.items()]
    return good + [case(name, "cbor", cbor=bytes.fromhex(data)) for name, data in CBOR_BAD.items()]


# ---- events -------------------------------------------------------------------------------------

ZEROS = bytes(32)
VERSION, TYPE, SCHEMA, STREAM, SEQUENCE, TS, CAUSES, KEY, COMMITMENT, LENGTH = range(10)


def event_case(name, failure, record):
    fields = {
        "envelope": record.envelope,
        "salt": record.salt,
        "payload": record.payload,
        "content_salt": record.content_salt,
        "content": record.content,
    }
    if failure is None:
        fields |= {
            "id": Event.open(record).id,
            "leaf": leaf_hash(record.envelope),
            "payload_commitment": hashing.digest(hashing.PAYLOAD, record.salt, record.payload),
            "content_commitment": Event.open(record).payload.get("content"),
        }
    return case(name, failure, **fields)


def sealed(draft, **changes):
    arguments = {"position": 0, "stream_sequence": 0, "ts_ms": agent.BORN_MS}
    arguments["salts"] = bytes(range(64))
    return seal(draft, **(arguments | changes)).record


def raw(record, value=None, **changes):
    """A record with other parts, the envelope given as a value."""
    envelope = record.envelope if value is None else encode(value)
    return record._replace(**{"envelope": envelope, **changes})


def envelope_of(record):
    envelope = Event.open(record).envelope
    return [
        1, envelope.type, envelope.schema, envelope.stream, envelope.stream_sequence,
        envelope.ts_ms, [cause.to_value() for cause in envelope.causes], envelope.idempotency_key,
        envelope.payload_commitment, envelope.payload_length,
    ]  # fmt: skip


EXAMPLE = agent.words("hello")


def events():
    local = Cause(position=0, id=bytes(range(32)))
    foreign = Cause(position=7, id=bytes(range(32)), ledger=b"\xee" * 32)
    keyed = Draft(
        type="test.fact", stream=agent.STREAM, payload={"n": 1}, idempotency_key=b"k" * 16, schema=3
    )
    ends = {"stream_sequence": 2**63 - 1, "ts_ms": 2**63 - 1}
    erased = raw(sealed(EXAMPLE), content=None, content_salt=None)
    good = {
        "words": sealed(EXAMPLE),
        "words whose content was erased": erased,
        "facts only": sealed(agent.fact(1)),
        "empty payload": sealed(Draft(type="a.b", stream=bytes(16), payload={})),
        "causes here and elsewhere": sealed(agent.fact(2, causes=(local, foreign))),
        "idempotency key and schema": sealed(keyed),
        "largest numbers": sealed(agent.fact(3), **ends),
        "64 causes": sealed(agent.fact(4, causes=(local,) * 64)),
        "type of 64 characters": sealed(
            Draft(type="a." + "b" * 62, stream=agent.STREAM, payload={})
        ),
        "genesis": sealed(agent.genesis_draft()),
    }
    return [event_case(name, None, record) for name, record in good.items()] + bad_events()


def _with(value, index, item):
    return [*value[:index], item, *value[index + 1 :]]


def bad_events():
    record = sealed(EXAMPLE)
    value = envelope_of(record)
    fields = {
        "version 2": (VERSION, 2),
        "version is true": (VERSION, True),
        "type without a dot": (TYPE, "message"),
        "type with a capital": (TYPE, "Message.received"),
        "type that begins with a digit": (TYPE, "message.1st"),
        "type that ends in a dot": (TYPE, "message."),
        "type with a newline at its end": (TYPE, "message.received\n"),
        "type of 65 characters": (TYPE, "a." + "b" * 63),
        "type is bytes": (TYPE, b"a.b"),
        "schema below zero": (SCHEMA, -1),
        "schema is a boolean": (SCHEMA, True),
        "stream of 15 bytes": (STREAM, bytes(15)),
        "stream is text": (STREAM, "s" * 16),
        "stream sequence below zero": (SEQUENCE, -1),
        "time below zero": (TS, -1),
        "causes is a map": (CAUSES, {}),
        "cause of one item": (CAUSES, [[1]]),
        "cause position below zero": (CAUSES, [[-1, ZEROS]]),
        "cause id of 31 bytes": (CAUSES, [[0, bytes(31)]]),
        "cause ledger is null": (CAUSES, [[None, 0, ZEROS]]),
        "cause ledger of 31 bytes": (CAUSES, [[bytes(31), 0, ZEROS]]),
        "65 causes": (CAUSES, [[0, ZEROS]] * 65),
        "idempotency key of 15 bytes": (KEY, bytes(15)),
        "payload commitment of 31 bytes": (COMMITMENT, bytes(31)),
        "payload length beyond the bound": (LENGTH, 65537),
    }
    shapes = {
        name: ("event.envelope", raw(record, _with(value, index, item)))
        for name, (index, item) in fields.items()
    }
    shapes |= {
        "envelope of 9 fields": ("event.envelope", raw(record, value[:-1])),
        "envelope of 11 fields": ("event.envelope", raw(record, [*value, 0])),
        "envelope is a map": ("event.envelope", raw(record, {"a": 1})),
        "envelope is not canonical": (
            "cbor", raw(record, envelope=record.envelope.replace(b"\x8a\x01", b"\x8a\x18\x01", 1)),
        ),
        "byte after the envelope": ("cbor", raw(record, envelope=record.envelope + b"\x00")),
    }  # fmt: skip
    cases = shapes | bad_bodies(record)
    return [event_case(name, failure, broken) for name, (failure, broken) in cases.items()]


def bad_bodies(record):
    def over(payload):
        """The envelope commits to these payload bytes, whatever they are."""
        value = envelope_of(record)
        commitment = hashing.digest(hashing.PAYLOAD, record.salt, payload)
        value = _with(_with(value, COMMITMENT, commitment), LENGTH, len(payload))
        return raw(record, value, payload=payload)

    def content(data):
        commitment = hashing.digest(hashing.CONTENT, record.content_salt, data)
        broken = over(encode({"author": "operator", "content": commitment}))
        return raw(broken, content=data)

    length = _with(envelope_of(record), LENGTH, len(record.payload) + 1)
    none = over(encode({"author": "operator"}))
    return {
        "salt of 31 bytes": ("event.salt", raw(record, salt=bytes(31))),
        "another salt": ("event.payload", raw(record, salt=bytes(32))),
        "another payload": ("event.payload", raw(record, payload=encode({"author": "0perator"}))),
        "another payload length": ("event.payload", raw(record, length)),
        "payload is an array": ("event.map", over(encode([1]))),
        "payload is not canonical": ("cbor", over(bytes.fromhex("a161611801"))),
        "content salt missing": ("event.content", raw(record, content_salt=None)),
        "content missing beside its salt": ("event.content", raw(record, content=None)),
        "content salt of 31 bytes": ("event.salt", raw(record, content_salt=bytes(31))),
        "another content": ("event.content", raw(record, content=encode({"text": "hellO"}))),
        "content that no payload commits to": ("event.content", none),
        "content commitment is text": (
            "event.content",
            over(encode({"author": "operator", "content": "x"})),
        ),
        "content is an array": ("event.map", content(encode(["hello"]))),
        "content is not canonical": ("cbor", content(bytes.fromhex("a161611801"))),
    }


# ---- genesis ------------------------------------------------------------------------------------


def genesis():
    payload = agent.genesis_payload()
    keys, soul = payload["keys"], payload["soul"]
    cases = [
        ("good", None, payload),
        ("a name of one character", None, agent.genesis_payload(name="天")),
        ("version 2", "genesis", payload | {"version": 2}),
        ("version is true", "genesis", payload | {"version": True}),
        ("an unknown field", "genesis", payload | {"motto": "x"}),
        ("a field is missing", "genesis", {k: v for k, v in payload.items() if k != "entropy"}),
        ("name of 33 characters", "genesis", payload | {"name": "x" * 33}),
        ("name ends with a space", "genesis", payload | {"name": "Vector "}),
        ("name with two spaces", "genesis", payload | {"name": "Vec  tor"}),
        ("name with a zero-width space", "genesis", payload | {"name": "Vec\u200btor"}),
        ("name with a right-to-left override", "genesis", payload | {"name": "Vec\u202etor"}),
        ("unknown network", "genesis", payload | {"network": "testnet"}),
        ("soul length 0", "genesis", payload | {"soul": soul | {"length": 0}}),
        ("soul length 65537", "genesis", payload | {"soul": soul | {"length": 65537}}),
        ("a role is missing", "genesis", payload | {"keys": dict(list(keys.items())[:-1])}),
        ("a role too many", "genesis", payload | {"keys": keys | {"tool": b"t" * 32}}),
        ("two roles share a key", "genesis", payload | {"keys": keys | {"nostr": keys["log"]}}),
        (
            "the next key is in use already",
            "genesis",
            payload | {"next_key_digest": hashlib.sha256(keys["log"]).digest()},
        ),
        ("no entropy source", "genesis", payload | {"entropy": []}),
        ("17 entropy sources", "genesis", payload | {"entropy": [f"s{n}" for n in range(17)]}),
        ("an entropy source twice", "genesis", payload | {"entropy": ["a", "a"]}),
        ("an entropy source with a space", "genesis", payload | {"entropy": ["a b"]}),
        ("created before the epoch", "genesis", payload | {"created_ms": -1}),
        ("another name", "genesis.signature", payload | {"name": "Victor"}),
        ("another operator", "genesis.signature", payload | {"keys": keys | {"operator": b"\x02" * 32}}),
        (
            "a signature under another tag",
            "genesis.signature",
            payload | {"signatures": payload["signatures"] | {"log": _other_tag(payload)}},
        ),
    ]  # fmt: skip
    return [case(name, failure, payload=encode(value)) for name, failure, value in cases]


def _other_tag(payload):
    message = encode({k: v for k, v in payload.items() if k != "signatures"})
    return agent.LOG.sign("timmy/note/v1", message)


# ---- tree ---------------------------------------------------------------------------------------


def tree_of(size):
    leaves = [leaf_hash(b"%d" % n) for n in range(size)]
    tree = Tree(lambda *_: b"")
    for leaf in leaves:
        tree.append(leaf)
    return tree, leaves


def roots():
    tree, _ = tree_of(17)
    return [case(f"size {n}", None, size=n, root=tree.root(n)) for n in range(18)]


def inclusion_case(name, failure, leaf, index, size, path, root):
    return case(
        name, failure, leaf=leaf, index=index, size=size, path=[h.hex() for h in path], root=root
    )


def inclusions():
    tree, leaves = tree_of(7)
    path, root = tree.inclusion(4, 7), tree.root(7)
    found = [
        inclusion_case(
            f"leaf {n} of {size}",
            None,
            leaves[n],
            n,
            size,
            tree.inclusion(n, size),
            tree.root(size),
        )
        for n, size in [(0, 1), (0, 2), (1, 3), (2, 3), (4, 7), (6, 7)]
    ]
    bad = {
        "another leaf": (leaves[3], 4, 7, path, root),
        "another index": (leaves[4], 5, 7, path, root),
        "another size": (leaves[4], 4, 6, path, root),
        "another root": (leaves[4], 4, 7, path, tree.root(6)),
        "one hash too many": (leaves[4], 4, 7, [*path, ZEROS], root),
        "one hash too few": (leaves[4], 4, 7, path[:-1], root),
        "hashes in another order": (leaves[4], 4, 7, path[::-1], root),
        "a hash of 31 bytes": (leaves[4], 4, 7, [path[0][:-1], *path[1:]], root),
        "index equals size": (leaves[4], 7, 7, path, root),
        "size beyond the bound": (leaves[4], 4, 2**48 + 1, path, root),
        "64 hashes": (leaves[4], 4, 7, [ZEROS] * 64, root),
    }  # fmt: skip
    return found + [inclusion_case(name, "tree", *values) for name, values in bad.items()]


def consistency_case(name, failure, size1, size2, path, root1, root2):
    hashes = [h.hex() for h in path]
    fields = {"size1": size1, "size2": size2, "path": hashes, "root1": root1, "root2": root2}
    return case(name, failure, **fields)


def consistencies():
    tree, _ = tree_of(7)
    path, old, new = tree.consistency(3, 7), tree.root(3), tree.root(7)
    pairs = [(1, 2), (2, 4), (3, 7), (4, 7), (6, 7), (7, 7)]
    found = [
        consistency_case(
            f"{a} to {b}", None, a, b, tree.consistency(a, b), tree.root(a), tree.root(b)
        )
        for a, b in pairs
    ]
    bad = {
        "from size 0": (0, 7, [], tree.root(0), new),
        "backwards": (7, 3, path, new, old),
        "empty path": (3, 7, [], old, new),
        "another old root": (3, 7, path, tree.root(2), new),
        "another new root": (3, 7, path, old, tree.root(6)),
        "one hash too many": (3, 7, [*path, ZEROS], old, new),
        "one hash too few": (3, 7, path[:-1], old, new),
        "the old root put before the path": (4, 7, [tree.root(4), *tree.consistency(4, 7)], tree.root(4), new),
        "equal sizes with a path": (7, 7, [ZEROS], new, new),
        "equal sizes with two roots": (7, 7, [], old, new),
    }  # fmt: skip
    return found + [consistency_case(name, "tree", *values) for name, values in bad.items()]


# ---- checkpoints --------------------------------------------------------------------------------

CHECKPOINT = Checkpoint(ledger_id=b"\xab" * 32, epoch=0, size=7, root=b"\xcd" * 32)


def _signed(text, name=CHECKPOINT.origin, by=agent.LOG):
    return sign_note(text, name, by).encode().decode()


def checkpoints():
    text = CHECKPOINT.text()
    note = _signed(text)
    line = note.split("\n\n")[1]
    witness = _signed(text, "witness.example", agent.WITNESS).split("\n\n")[1]
    unknown = "— someone.example " + base64.b64encode(b"idid" + b"other scheme").decode() + "\n"
    forged_id = key_id(CHECKPOINT.origin, agent.LOG.public)
    forged = f"— {CHECKPOINT.origin} " + base64.b64encode(forged_id + bytes(64)).decode() + "\n"
    origin, size, root, _ = text.split("\n")
    good = {
        "one signature": note,
        "cosignatures before and after": f"{text}\n{unknown}{line}{witness}",
        "epoch 12": _signed(text.replace("/0\n", "/12\n"), origin[:-1] + "12"),
        "size 0": _signed(f"{origin}\n0\n{root}\n"),
        "size 2^48": _signed(f"{origin}\n{2**48}\n{root}\n"),
    }
    malformed = {
        "no signatures": text,
        "no newline at the end": note[:-1],
        "no blank line": text + line,
        "hyphen for the dash": note.replace("—", "-"),
        "two spaces before the name": note.replace("— ", "—  "),
        "control character in the text": "\x01" + note,
        "not base64": note[:-3] + "!\n",
        "base64 without padding": note.rstrip("=\n") + "\n",
        "base64 with loose bits": f"{text}\n— {origin} AAAAAAB=\n",
        "key id without a signature": f"{text}\n— {origin} AAAAAA==\n",
        "plus sign in a name": f"{text}\n{line}— a+b AAAAAAAA\n",
        "65 signature lines": f"{text}\n{line}" + unknown * 64,
    }
    bodies = {
        "four lines": text + "extension\n",
        "two lines": f"{origin}\n{size}\n",
        "origin in capitals": text.replace("ab" * 32, "AB" * 32),
        "origin of 31 bytes": text.replace("ab" * 32, "ab" * 31),
        "origin without an epoch": text.replace("/0\n", "\n"),
        "epoch with a leading zero": text.replace("/0\n", "/00\n"),
        "epoch of 11 digits": text.replace("/0\n", "/10000000000\n"),
        "size with a leading zero": text.replace("\n7\n", "\n07\n"),
        "size with a sign": text.replace("\n7\n", "\n+7\n"),
        "size in other digits": text.replace("\n7\n", "\n٧\n"),
        "size beyond 2^48": text.replace("\n7\n", f"\n{2**48 + 1}\n"),
        "size of 5000 digits": text.replace("\n7\n", "\n" + "9" * 5000 + "\n"),
        "size is empty": text.replace("\n7\n", "\n\n"),
        "root of 31 bytes": f"{origin}\n7\n{base64.b64encode(bytes(31)).decode()}\n",
        "root without padding": text.replace("=\n", "\n"),
        "root with loose bits": text.replace(root[-2:], "1="),
    }
    signatures = {
        "another key": _signed(text, by=agent.STRANGER),
        "another size": note.replace("\n7\n", "\n8\n"),
        "a second signature of the key fails": note + forged,
        "signed under another name": _signed(text, "somebody.example"),
        "signed for another epoch": _signed(text, origin[:-1] + "1"),
    }
    return [
        *(checkpoint_case(name, None, value) for name, value in good.items()),
        *(checkpoint_case(name, "note", value) for name, value in malformed.items()),
        *(checkpoint_case(n, "checkpoint", _signed(v, v.split("\n")[0])) for n, v in bodies.items()),
        *(checkpoint_case(name, "note.signature", value) for name, value in signatures.items()),
    ]  # fmt: skip


def checkpoint_case(name, failure, note):
    fields = {"note": note, "log_key": agent.LOG.public}
    if failure is None:
        text, lines = note.split("\n\n")
        own = next(line for line in lines.split("\n") if line.startswith("— timmy/"))
        origin, size, root, *_ = text.split("\n")
        fields |= {
            "ledger": origin.split("/")[1],
            "epoch": int(origin.split("/")[2]),
            "size": int(size),
            "root": base64.b64decode(root),
            "key_id": key_id(origin, agent.LOG.public),
            "anchor_digest": hashlib.sha256(f"{text}\n\n{own}\n".encode()).digest(),
        }
    return case(name, failure, **fields)


# ---- statements ---------------------------------------------------------------------------------

DESTINATION, NONCE = b"L" * 32, b"n" * 16
BODY = {"text": "I approve"}


def statement_example():
    return make_statement(
        BODY, ledger_id=DESTINATION, nonce=NONCE, kind="patch.approve", signer=agent.OPERATOR
    )


def statements():
    author = agent.OPERATOR
    good = statement_example()

    def signed(value):
        data = encode(value)
        signature = author.sign("timmy/statement/v1", data)
        return {"author": author.public, "statement": data, "signature": signature}

    commitment = hashing.digest(hashing.STATEMENT_BODY, NONCE, encode(BODY))
    fields = [DESTINATION, NONCE, "patch.approve", commitment]
    elsewhere = b"M" * 32
    cases = [
        ("good", None, good, BODY, DESTINATION),
        ("good, more keys beside it", None, good | {"via": "relay"}, BODY, DESTINATION),
        ("good, body erased", None, good, None, DESTINATION),
        ("another body", "statement.body", good, {"text": "I refuse"}, DESTINATION),
        ("for another ledger", "statement.ledger", good, BODY, elsewhere),
        ("another author", "statement.signature", good | {"author": agent.STRANGER.public}, BODY, DESTINATION),
        ("author of 31 bytes", "statement.signature", good | {"author": author.public[1:]}, BODY, DESTINATION),
        ("signature of 63 bytes", "statement.signature", good | {"signature": good["signature"][1:]}, BODY, DESTINATION),
        ("no signature", "statement", {k: v for k, v in good.items() if k != "signature"}, BODY, DESTINATION),
        ("signature is text", "statement", good | {"signature": "x"}, BODY, DESTINATION),
        ("nonce of 15 bytes", "statement", signed(_with(fields, 1, NONCE[1:])), BODY, DESTINATION),
        ("type is bytes", "statement", signed(_with(fields, 2, b"x")), BODY, DESTINATION),
        ("five fields", "statement", signed([*fields, 1]), BODY, DESTINATION),
        ("beyond 256 bytes", "size", signed(_with(fields, 2, "x" * 256)), BODY, DESTINATION),
        ("not canonical", "cbor", good | {"statement": good["statement"] + b"\x00"}, BODY, DESTINATION),
    ]  # fmt: skip
    return [
        case(
            name,
            failure,
            payload=encode(payload),
            body=None if body is None else encode(body),
            ledger=ledger,
        )
        for name, failure, payload, body, ledger in cases
    ]


# ---- state --------------------------------------------------------------------------------------


def states():
    whole = {"type/a.b": 2, "stream/" + "00" * 16: [2, ZEROS], "redacted/7": 9}
    named = {"n": 1, "n/1/a": 2, "n/": 3, "": 4, "/": 5, "no/n": 6}
    cases = [
        ("nothing", {}, 0),
        ("nothing after one event", {}, 1),
        ("one entry", {"type/a.b": 1}, 1),
        ("three entries", whole, 2),
        ("three entries, later", whole, 3),
        ("parts", named, 1),
    ]
    return [
        case(
            name, None, entries=encode(e), size=n, digest=State.restore((), e, n).digest(),
            parts=encode(State.restore((), e, n).parts()),
        )
        for name, e, n in cases
    ]  # fmt: skip


# ---- files --------------------------------------------------------------------------------------


def example():
    """What the worked examples of the pages show."""
    record = sealed(EXAMPLE)
    opened = Event.open(record)
    note = _signed(CHECKPOINT.text())
    tree, _ = tree_of(3)
    chain = agent.anchored_ledger()
    return {
        "event": {
            "envelope": record.envelope.hex(),
            "salt": record.salt.hex(),
            "payload": record.payload.hex(),
            "content_salt": record.content_salt.hex(),
            "content": record.content.hex(),
            "content_commitment": opened.payload["content"].hex(),
            "payload_commitment": opened.envelope.payload_commitment.hex(),
            "id": opened.id.hex(),
            "leaf": leaf_hash(record.envelope).hex(),
        },
        "tree": {
            **{f"leaf_{n}": leaf_hash(b"%d" % n).hex() for n in range(3)},
            **{f"root_{n}": tree.root(n).hex() for n in (2, 3)},
        },
        "checkpoint": {
            "note": note,
            "log_key": agent.LOG.public.hex(),
            "key_id": key_id(CHECKPOINT.origin, agent.LOG.public).hex(),
            "anchor_digest": hashlib.sha256(note.encode()).hexdigest(),
        },
        "statement": {name: value.hex() for name, value in statement_example().items()},
        "state": {
            "entry": encode(["type/a.b", 1]).hex(),
            "lanes": hashing.xof(hashing.STATE_ENTRY, 8, encode(["type/a.b", 1])).hex(),
            "digest": State.restore((), {"type/a.b": 1}, 1).digest().hex(),
            "part": State.restore((), {"type/a.b": 1}, 1).parts()["type"].hex(),
        },
        "lineage": {name: value.hex() for name, value in lineage_example().items()},
        "bundle": {
            "start": (agent.MAGIC + agent.frame(encode(agent.header(chain.ledger, "proof")))).hex()
        },
        "aggregate": {name: value.hex() for name, value in aggregate_example().items()},
        "anchor": {
            "seal_key": agent.KEYS.seal.public.hex(),
            "soul_sha256": hashlib.sha256(agent.SOUL).hexdigest(),
            "seal_script": agent.SEAL_OUT.script.hex(),
            "digest": chain.ledger.head(5).anchor_digest().hex(),
            "vout_0": chain.transactions[1].outputs[0].script.hex(),
        },
    }


def lineage_example():
    """Genesis, words, and the handoff at position 2."""
    lived = Life.born().hand_over()
    event = Event.open(lived.ledger.records[2])
    payload = event.payload
    digest = hashing.tagged(handoff.TAG, make_lineage.message_of(payload, lived.ledger.id))
    return {
        "ledger": lived.ledger.id,
        "kept_root": payload["kept_root"],
        "key": payload["key"],
        **payload["successor"]["keys"],
        "next_key_digest": payload["successor"]["next_key_digest"],
        "message": make_lineage.message_of(payload, lived.ledger.id),
        "digest": digest,
        "old_signature": payload["old_signature"],
        "record": event.id,
    }


ZERO_ID, LAST_ID = bytes(32), b"\xff" * 32


def aggregate_example():
    """Two ledgers under one root."""
    digest = agent.anchored_ledger().ledger.head(5).anchor_digest()
    tree = AggregateTree({ZERO_ID: digest, LAST_ID: b"\x11" * 32})
    return {
        "ledger": ZERO_ID,
        "digest": digest,
        "slot": slot_hash(ZERO_ID, digest),
        "other": slot_hash(LAST_ID, b"\x11" * 32),
        "root": tree.root,
        "proof": encode(tree.prove(ZERO_ID).to_value()),
        "vout_0": Commitment(kind=Kind.AGGREGATE, digest=tree.root).output.script,
    }


def build():
    """File name to bytes: the same in every run."""
    tables = {
        "cbor": cbor(),
        "events": events(),
        "genesis": genesis(),
        "roots": roots(),
        "inclusion": inclusions(),
        "consistency": consistencies(),
        "checkpoints": checkpoints(),
        "statements": statements(),
        "state": states(),
        "aggregate": make_aggregates.slots(),
        "delegated": make_aggregates.delegated(),
        "children": make_children.cases(),
    }
    files = {f"{name}.json": {"cases": cases} for name, cases in tables.items()}
    files["lineage.json"] = make_lineage.table()
    found = [*make_bundles.cases(), *make_succession.cases(), *make_delegated.cases()]
    chunks, bundles = make_bundles.share(found, "bundle")
    files["bundles.json"] = {"soul": agent.SOUL.hex(), "chunks": chunks, "cases": bundles}
    chunks, cases = make_bundles.share(make_held.cases(), "bundle", "held")
    files["held.json"] = {"chunks": chunks, "cases": cases}
    chunks, cases = make_bundles.share(make_equivocations.cases(), "bundle")
    files["equivocations.json"] = {"soul": agent.SOUL.hex(), "chunks": chunks, "cases": cases}
    files["example.json"] = example()
    return {name: rendered(value) for name, value in files.items()}


def rendered(value):
    """One line a case: a change of one case is a change of one line."""
    if "cases" not in value:
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
    parts = []
    for name, found in value.items():
        shown = json.dumps(found)
        if isinstance(found, list):
            lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in found)
            shown = f"[\n{lines}\n]"
        parts.append(f"{json.dumps(name)}: {shown}")
    return ("{" + ",\n".join(parts) + "}\n").encode()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, data in build().items():
        (FOLDER / name).write_bytes(data)
