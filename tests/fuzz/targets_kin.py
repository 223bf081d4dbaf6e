"""Targets of what agents tell each other: letters and certificates of kin, words passed in a fleet, signs of life."""

import hashlib
import json

import msgspec

from genesis.core.children import letters
from genesis.core.children.errors import InvalidLetter
from genesis.core.children.letters import Letter, open_letter
from ledger.core import descent
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, InvalidCertificate
from ledger.core.errors import InvalidEvent as InvalidRecord
from ledger.core.handoff import open_handoff
from ledger.core.statement import make_statement
from mesh.core import bridge, signed_json
from mesh.core.errors import InvalidEnvelope, InvalidEvent, InvalidNKey, UnsafeToMint
from mesh.core.fleet import nkeys, passing
from mesh.core.nip01 import verify
from mesh.core.pool.relay_limits import RelayLimits
from mesh.core.pool.routes import Route
from tests.children.kin import CHILD, letter
from tests.mesh import test_bridge_events, test_nkeys, test_passing
from tests.mesh.peers import ALICE, BOB, NOW, make
from tests.mesh.test_relay_limits import document
from tests.spec import agent, make_children
from tests.spec.make_children import PARENT_LOG, PARENT_NOSTR

from .engine import Target, same
from .targets_ledger import CBOR_BULK, VECTORS, born
from .targets_wires import JSON_BULK

# ---- kin ----------------------------------------------------------------------------------------


def run_letter(data):
    found = Letter.parse(data)
    same(data, found.encode())
    opened = open_letter(found, author=PARENT_NOSTR.public, ledger_id=CHILD)
    kept = Letter.from_event(found.to_payload(), {"text": opened.text})
    assert open_letter(kept, author=PARENT_NOSTR.public, ledger_id=CHILD).digest == opened.digest


def run_signed_letter(data):
    """[kind, facts, text]: whatever they are, a parent has signed them."""
    value = decode(data, bytes_max=2**20)
    match value:
        case [str(kind), dict(facts), str() | None as text]:
            pass
        case _:
            raise InvalidLetter("nothing to be signed")
    signed = make_statement(facts, ledger_id=CHILD, nonce=b"n" * 16, kind=kind, signer=PARENT_NOSTR)
    run_letter(Letter(facts=facts, text=text, **signed).encode())


def opened_letters():
    """One of each kind."""
    numbered = letters.ORDERS | letters.TELLINGS
    chains = {kind: letters.Chain() if kind in numbered else None for kind in letters.Kind}
    return [letter(kind, chain=chain, text="mind the window") for kind, chain in chains.items()]


def written():
    return [one.letter.encode() for one in opened_letters()]


def letter_values():
    return [encode([one.kind.value, dict(one.facts), one.text]) for one in opened_letters()]


def run_certificate(data):
    value = decode(data, bytes_max=2**20)
    if not isinstance(value, dict):
        raise InvalidCertificate("no payload")
    found = descent.open_certificate(value)
    same(data, encode(found.to_payload(signature=value["signature"], proof=value["proof"])))


def run_signed_certificate(data):
    """The map of a certificate: whatever it says, parent and child have signed it."""
    value = decode(data, bytes_max=2**20)
    descent.open_certificate(
        {
            "certificate": value,
            "signature": PARENT_LOG.sign(descent.TAG, encode(value)),
            "proof": agent.LOG.sign(descent.TAG, encode(value)),
        }
    )


def certificates():
    return [bytes.fromhex(case["payload"]) for case in make_children.good()]


def records():
    """The handoffs of the vectors that follow birth."""
    cases = json.loads((VECTORS / "spec/lineage.json").read_text())["cases"]
    found = [
        case["records"][0]["payload"] for case in cases if case["class"] is None and case["records"]
    ]
    return [
        bytes.fromhex(one)
        for one in dict.fromkeys(found)
        if "successor" in decode(bytes.fromhex(one), bytes_max=2**20)
    ]


def run_handoff(data):
    value = decode(data, bytes_max=2**20)
    if not isinstance(value, dict):
        raise InvalidRecord("no payload")
    digest = hashlib.sha256(agent.signer("next").public).digest()
    open_handoff(value, ledger_id=born().id, log_key=agent.LOG.public, next_key_digest=digest)


# ---- a fleet ------------------------------------------------------------------------------------


def run_passed(data):
    same(data, passing.parse(data).encode())


def run_signed_passed(data):
    """A payload in JSON: whatever it says, a member has signed it."""
    try:
        payload = msgspec.json.decode(data)
        digest = signed_json.digest(passing.TAG, test_passing.CONVERSATION, ALICE.pubkey, payload)
        whole = {
            "conversation_id": test_passing.CONVERSATION,
            "node_id": ALICE.pubkey,
            "payload": payload,
            "signature": signed_json.sign(digest, ALICE, bytes(32)),
        }
        signed = signed_json.canonical(whole)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEnvelope("nothing to be signed") from error
    run_passed(signed)


def payloads():
    """One of each kind."""
    every = {"id": "11" * 32, "sent_at": NOW, "to": "22" * 32}
    return [
        passing.Words(
            author="ada", conversation="letters", known=7, ledger="33" * 32, position=5,
            taken_at=NOW, text="hello \u00e9", watched=True, **every,
        ),
        passing.Settled(by="44" * 32, **every),
        passing.Answer(event="55" * 32, ledger="33" * 32, position=9, root="66" * 32, size=10, text="hi", **every),
        passing.Waiting(draft="", **every),
        passing.Elsewhere(home="44" * 32, **every),
        passing.Withdrawn(**every),
        passing.Failed(reason="budget", **every),
    ]  # fmt: skip


def passed():
    ours = {"conversation": test_passing.CONVERSATION, "signer": ALICE, "aux": bytes(32)}
    return [passing.sign(one, **ours).encode() for one in payloads()]


def run_nkey(data):
    text = data.decode("utf-8", "replace")
    if text.startswith("S"):
        key = nkeys.UserKey.read(text)
        same(data, key.seed.encode())
        text = key.public
    nkeys.read_public(text)


# ---- relays -------------------------------------------------------------------------------------


def run_relay_document(data):
    known = RelayLimits().told(data)
    assert RelayLimits.from_json(known.to_json()) == known
    known.objection(make(content="x"), now=NOW)
    return "accepted" if known.known() else "nothing said"


def run_kept_limits(data):
    known = RelayLimits.from_json(data.decode("utf-8", "replace"))
    assert RelayLimits.from_json(known.to_json()) == known
    return "accepted" if known.known() else "nothing said"


def run_bridge(data):
    """[kind, tags, content] of an event that somebody signed."""
    event = signed_event(data)
    found = [read(event) for read in test_bridge_events.READERS]
    bridge.mint_ack(ALICE, event, now=NOW)
    if found[2] is not None:
        bridge.mint_receipt(ALICE, event, found[2], now=NOW)
    return "accepted" if any(found) else "nothing said"


def run_relay_list(data):
    event = signed_event(data)
    for anywhere in (False, True):
        Route.parse(event, anywhere=anywhere, hosts=["127.0.0.1", "fd00::5"])


def signed_event(data):
    """An event of these three, as it comes from a relay. Raises InvalidEvent."""
    try:
        kind, tags, content = msgspec.json.decode(
            data, type=tuple[int, tuple[tuple[str, ...], ...], str]
        )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEvent("no event") from error
    try:
        made = make(BOB, kind=kind, tags=tags, content=content)
    except UnsafeToMint as error:
        raise InvalidEvent("nobody of ours signs that") from error
    return verify(type(made).from_json(made.to_json().encode()))


def unsigned(*events):
    return [msgspec.json.encode([one.kind, one.tags, one.content]) for one in events]


def bridged():
    told = test_bridge_events
    return unsigned(told.BEAT, told.ACK, told.REPORT, told.RECEIPT)


def relay_lists():
    tags = (
        ("r", "wss://a.example.org", "read"),
        ("r", "wss://b.example.org/x", "write"),
        ("r", "ws://127.0.0.1:1"),
    )
    return unsigned(make(BOB, kind=10002, tags=tags))  # fmt: skip


LIMITATION = {
    "max_message_length": 65_536, "max_content_length": 8192, "max_event_tags": 100, "max_limit": 500,
    "max_subscriptions": 20, "created_at_lower_limit": 94_608_000, "created_at_upper_limit": 900,
    "auth_required": False,
}  # fmt: skip
TARGETS = [
    Target(name="letter", run=run_letter, errors=(InvalidLetter,), kind="cbor", specimens=written,
           weight=2, bulk=CBOR_BULK),
    Target(name="letter-signed", run=run_signed_letter, errors=(InvalidLetter, InvalidCbor), kind="cbor",
           specimens=letter_values, weight=2),
    Target(name="child-certificate", run=run_certificate, errors=(InvalidCertificate, InvalidCbor),
           kind="cbor", specimens=certificates, weight=2, bulk=CBOR_BULK),
    Target(name="child-certificate-signed", run=run_signed_certificate,
           errors=(InvalidCertificate, InvalidCbor), kind="cbor", weight=2,
           specimens=lambda: [encode(make_children.certificate().signed_value())]),
    Target(name="handoff", run=run_handoff, errors=(InvalidRecord, InvalidCbor), kind="cbor",
           specimens=records, weight=4, bulk=CBOR_BULK),
    Target(name="fleet-words", run=run_passed, errors=(InvalidEnvelope,), kind="json",
           specimens=passed, bulk=JSON_BULK),
    Target(name="fleet-words-signed", run=run_signed_passed, errors=(InvalidEnvelope,), kind="json",
           specimens=lambda: [signed_json.canonical(one) for one in payloads()]),
    Target(name="nkey", run=run_nkey, errors=(InvalidNKey,), kind="text",
           specimens=lambda: [test_nkeys.SEED.encode(), test_nkeys.PUBLIC.encode()]),
    Target(name="relay-document", run=run_relay_document, errors=(), kind="json",
           specimens=lambda: [document(**LIMITATION)], bulk=JSON_BULK),
    Target(name="relay-kept-limits", run=run_kept_limits, errors=(), kind="json",
           specimens=lambda: [RelayLimits().told(document(**LIMITATION)).to_json().encode()], bulk=JSON_BULK),
    Target(name="bridge-event", run=run_bridge, errors=(InvalidEvent,), kind="json", specimens=bridged, weight=2),
    Target(name="relay-list", run=run_relay_list, errors=(InvalidEvent,), kind="json", specimens=relay_lists, weight=2),
]  # fmt: skip
