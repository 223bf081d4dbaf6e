"""The certificates of child.md among the vectors: each as it stands in one of its two ledgers.

The agent of the vectors is the child; its parent is another one, out of seeds of its own.
"""

from dataclasses import replace

from coincurve import PrivateKey

from ledger.core import descent
from ledger.core.codec import encode
from ledger.core.descent import Certificate, sign_certificate
from tests.spec import agent
from tests.spec.agent import STRANGER, signer

PARENT_LOG, PARENT_NOSTR = signer("parent log"), signer("parent nostr")
PARENT, PARENT_SOUL = b"\x50" * 32, b"\x51" * 32
FORM, SIGNATURE, PLACE = "child.form", "child.signature", "child.place"


def child():
    """The ledger id and the genesis of the child."""
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    return ledger.id, agent.genesis_facts()


def certificate(**changes):
    ledger_id, facts = child()
    made = Certificate(
        parent=PARENT,
        parent_soul=PARENT_SOUL,
        parent_keys={"log": PARENT_LOG.public, "nostr": PARENT_NOSTR.public},
        kept_size=7,
        kept_root=b"\x52" * 32,
        ancestors=(b"\x53" * 32, b"\x54" * 32),
        child=ledger_id,
        child_soul=facts.soul.sha256,
        child_keys=dict(facts.keys),
        skills={"tiling": b"\x55" * 32},
        gates={"rite_answers": 1},
        made_ms=agent.BORN_MS,
    )
    return replace(made, **changes)


def payload(made, *, parent=PARENT_LOG, own=agent.LOG):
    return made.to_payload(
        signature=sign_certificate(made, parent), proof=sign_certificate(made, own)
    )


def signed_anyway(**changes):
    """A certificate that our own code would not make, with both signatures true."""
    value = certificate().signed_value() | changes
    value = {name: kept for name, kept in value.items() if kept is not ...}
    message = encode(value)
    return {
        "certificate": value,
        "signature": PARENT_LOG.sign(descent.TAG, message),
        "proof": agent.LOG.sign(descent.TAG, message),
    }


def case(name, failure, body, *, side="child", **changes):
    ledger_id, _ = child()
    facts = {
        "name": name,
        "class": failure,
        "side": side,
        "payload": encode(body).hex(),
        "position": 1 if side == "child" else 7,
        "ledger": (ledger_id if side == "child" else PARENT).hex(),
        "soul": (certificate().child_soul if side == "child" else PARENT_SOUL).hex(),
    }
    if side == "child":
        keys = {role: key.hex() for role, key in agent.genesis_facts().keys.items()}
        return facts | {"keys": keys} | changes
    return facts | {"log_key": PARENT_LOG.public.hex()} | changes


def cases():
    return [*good(), *malformed(), *forged(), *misplaced()]


def good():
    whole = payload(certificate())
    bare = certificate(ancestors=(), skills={}, gates={}, kept_size=2)
    most = certificate(
        ancestors=tuple(bytes([1, at]) + bytes(30) for at in range(64)),
        skills={f"s{at}": bytes([at]) * 32 for at in range(64)},
        gates={f"g{at}": 2**63 - 1 for at in range(32)},
        made_ms=0,
    )
    return [
        case("in the child's ledger", None, whole),
        case("in the parent's ledger", None, whole, side="parent"),
        case("without ancestors, skills and gates", None, payload(bare)),
        case("as much as there may be of each", None, payload(most)),
        case("kept up to the event before", None, whole, side="parent", position=7),
    ]


def _values():
    """Maps that are no certificate, whoever signs them."""
    skill, keys = b"\x55" * 32, dict(certificate().child_keys)
    over = {f"s{at}": skill for at in range(65)}
    return {
        "without a field": {"skills": ...},
        "with a further field": {"further": 1},
        "of another version": {"version": 2},
        "whose version is a boolean": {"version": True},
        "that keeps one event": {"kept_size": 1},
        "that keeps a text": {"kept_size": "7"},
        "whose root has 31 bytes": {"kept_root": bytes(31)},
        "made before 1970": {"made_ms": -1},
        "with 65 ancestors": {"ancestors": [bytes([2, at]) + bytes(30) for at in range(65)]},
        "with an ancestor of 31 bytes": {"ancestors": [bytes(31)]},
        "whose ancestor is a text": {"ancestors": ["a" * 32]},
        "of a child that is its own parent": {"parent": child()[0]},
        "of a child that is its own ancestor": {"ancestors": [child()[0]]},
        "of a parent that is its own ancestor": {"ancestors": [PARENT]},
        "with an ancestor twice": {"ancestors": [b"\x53" * 32, b"\x53" * 32]},
        "with 65 skills": {"skills": over},
        "with a skill named by a path": {"skills": {"../x": skill}},
        "with a skill without a name": {"skills": {"": skill}},
        "with a skill whose digest is a text": {"skills": {"a": "x"}},
        "with 33 numbers": {"gates": {f"g{at}": 1 for at in range(33)}},
        "with a number below zero": {"gates": {"a": -1}},
        "with a number that is a boolean": {"gates": {"a": True}},
        "with a number named in capitals": {"gates": {"A": 1}},
        "without an operator": {"child_keys": {k: v for k, v in keys.items() if k != "operator"}},
        "with a further key": {"child_keys": keys | {"x": skill}},
        "with a key of 31 bytes": {"child_keys": keys | {"seal": bytes(31)}},
        "with one key in two roles": {"child_keys": keys | {"seal": keys["funding"]}},
        "whose child has the parent's log key": {"child_keys": keys | {"seal": PARENT_LOG.public}},
        "whose child has the parent's npub": {"child_keys": keys | {"nostr": PARENT_NOSTR.public}},
        "by a parent without an npub": {"parent_keys": {"log": PARENT_LOG.public}},
        "by a parent with one key": {
            "parent_keys": {"log": PARENT_LOG.public, "nostr": PARENT_LOG.public}
        },
    }


def malformed():
    made = [case(name, FORM, signed_anyway(**changes)) for name, changes in _values().items()]
    whole = payload(certificate())
    bodies = {
        "a payload without its proof": {k: v for k, v in whole.items() if k != "proof"},
        "a payload with a further field": whole | {"x": 1},
        "a certificate that is an array": whole | {"certificate": []},
        "an empty payload": {},
    }
    return made + [case(name, FORM, body) for name, body in bodies.items()]


def forged():
    whole, other = payload(certificate()), certificate(made_ms=agent.BORN_MS + 1)
    untagged = PrivateKey(PARENT_LOG.secret).sign_schnorr(bytes(32), bytes(32))
    bodies = {
        "signed by a stranger as parent": payload(certificate(), parent=STRANGER),
        "signed by the parent's nostr key": payload(certificate(), parent=PARENT_NOSTR),
        "signed by the child as parent": payload(certificate(), parent=agent.LOG),
        "proven by a stranger as child": payload(certificate(), own=STRANGER),
        "proven by the parent": payload(certificate(), own=PARENT_LOG),
        "signatures in each other's place": whole
        | {"signature": whole["proof"], "proof": whole["signature"]},
        "a signature of another certificate": whole | {"signature": payload(other)["signature"]},
        "a signature of something else": whole | {"signature": untagged},
        "a signature of 63 bytes": whole | {"signature": whole["signature"][:63]},
        "a signature that is a text": whole | {"signature": "x" * 64},
        "another number in a gate, signed before": whole
        | {"certificate": whole["certificate"] | {"gates": {"rite_answers": 0}}},
        "another skill, signed before": whole
        | {"certificate": whole["certificate"] | {"skills": {"tiling": bytes(32)}}},
    }
    return [case(name, SIGNATURE, body) for name, body in bodies.items()]


def misplaced():
    whole = payload(certificate())
    zeros = bytes(32).hex()
    keys = {role: key.hex() for role, key in agent.genesis_facts().keys.items()}
    return [
        case("as the third event of the child", PLACE, whole, position=2),
        case("as the first event of the child", PLACE, whole, position=0),
        case("in the ledger of another child", PLACE, whole, ledger=zeros),
        case("of a child with another SOUL", PLACE, whole, soul=zeros),
        case("of a child with another seal key", PLACE, whole, keys=keys | {"seal": zeros}),
        case("in the ledger of another parent", PLACE, whole, side="parent", ledger=zeros),
        case("of a parent with another SOUL", PLACE, whole, side="parent", soul=zeros),
        case("by a log key not in charge", PLACE, whole, side="parent", log_key=zeros),
        case("that keeps what was not there", PLACE, whole, side="parent", position=6),
    ]
