"""The records of lineage.md among the vectors: what they lead to, and each rule broken by name."""

from dataclasses import replace

from ledger.core import handoff as handoff_record
from ledger.core.codec import encode
from ledger.core.event import Event
from ledger.core.genesis import key_digest
from ledger.core.handoff import Handoff
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.successor import RENEWED_ROLES
from tests.spec import agent
from tests.spec.agent import RECOVERY, STRANGER
from tests.spec.life import Life, handoff, keys_of, named, recovery, successor

ZEROS = bytes(32)
FORM, KEY, SIGNATURE = "lineage.form", "lineage.key", "lineage.signature"
PLACE, TWICE = "lineage.place", "lineage.twice"
ROLES_OF_GENESIS = ("log", "nostr", "seal", "funding", "operator")


def case(name, failure, lived):
    """A life whose last record is the one that fails, if any does."""
    records = [
        parts(record) for record in lived.ledger.records if Event.open(record).type in LINEAGE_TYPES
    ]
    found = {"name": name, "class": failure, "records": records}
    return found if failure else found | {"tenures": shown(lineage_of(lived))}


def parts(record):
    return {
        "position": record.position,
        **{name: getattr(record, name).hex() for name in ("envelope", "salt", "payload")},
    }


def lineage_of(lived):
    first, *events = [Event.open(record) for record in lived.ledger.records]
    lineage = Lineage.of(first)
    for event in events:
        lineage = lineage.add(event) if event.type in LINEAGE_TYPES else lineage
    return lineage


def shown(lineage):
    """What the vectors say of each tenure."""
    return [
        {
            "number": tenure.number,
            "epoch": tenure.epoch,
            "start": tenure.start,
            **{role: tenure.keys[role].hex() for role in RENEWED_ROLES},
            "next_key_digest": tenure.next_key_digest.hex(),
            "record": tenure.record.hex(),
        }
        for tenure in lineage.tenures
    ]


def cases():
    return [*good(), *broken_handoffs(), *broken_epochs(), *keys_used_twice()]


def good():
    lives = {
        "birth alone": Life.born(),
        "a handoff": Life.born().hand_over(),
        "two handoffs": Life.born().hand_over().say("then").hand_over(),
        "two handoffs side by side": Life.born().hand_over().hand_over(),
        "a recovery that keeps the keys": Life.born().recover(renew=False),
        "a recovery with new keys": Life.born().recover(),
        "an epoch, then a handoff": Life.born().recover(renew=False).hand_over(),
        "a handoff, then an epoch": Life.born().hand_over().recover(renew=False),
        "an epoch right after a handoff, then new keys": Life.born().hand_over().recover().recover(),
        "a handoff, a recovery with new keys, a handoff": Life.born().hand_over().recover().hand_over(),
        "a handoff with the longest reason": Life.born().hand_over(reason="\u00fc" * 500),
        "a handoff without a reason": Life.born().hand_over(reason=""),
        "a handoff that keeps what the log does not hold": Life.born().hand_over(kept_size=7, kept_root=ZEROS),
    }  # fmt: skip
    more = Life.born()
    draft = recovery(more.ledger)
    more.ledger.add(replace(draft, payload=draft.payload | {"further": [1]}))
    lives["a recovery record with a further field"] = more
    short = Life.born()
    draft = agent.epoch_record(short.ledger, kept_size=-1, kept_root=b"")
    short.ledger.add(draft)
    lives["an epoch that keeps a size below zero and an empty root"] = short
    return [case(name, None, lived) for name, lived in lives.items()]


def altered(kind, changes, *, absent=(), lived=None):
    """A life whose last record has other fields, signed before they were changed."""
    lived = Life.born() if lived is None else lived
    draft = kind(lived.ledger)
    payload = {k: v for k, v in (draft.payload | changes).items() if k not in absent}
    lived.ledger.add(replace(draft, payload=payload))
    return lived


def message_of(payload, ledger_id):
    """What the keys of a handoff sign, whatever stands in it."""
    signatures = ("old_signature", "next_signature", "proofs")
    return encode([ledger_id, {k: v for k, v in payload.items() if k not in signatures}])


def resigned(changes):
    """A handoff with fields that our own code would not write, and every signature true."""
    lived = Life.born()
    draft = handoff(lived.ledger)
    payload = draft.payload | changes
    message = message_of(payload, lived.ledger.id)
    tag = handoff_record.TAG
    signed = {
        "old_signature": named("log", 0).sign(tag, message),
        "next_signature": named("next", 0).sign(tag, message),
        "proofs": {role: by.sign(tag, message) for role, by in keys_of(1).items()},
    }
    lived.ledger.add(replace(draft, payload=payload | signed))
    return lived


def _successors(payload):
    """What no successor may look like."""
    whole, keys = payload["successor"], payload["successor"]["keys"]
    return {
        "successor without its digest": {"keys": keys},
        "successor with a further field": whole | {"x": 1},
        "successor whose digest is of 31 bytes": whole | {"next_key_digest": bytes(31)},
        "successor whose keys are an array": whole | {"keys": list(keys.values())},
        "successor without a log key": whole | {"keys": {k: v for k, v in keys.items() if k != "log"}},
        "successor with a nostr key": whole | {"keys": keys | {"nostr": STRANGER.public}},
        "successor whose seal key is of 33 bytes": whole | {"keys": keys | {"seal": bytes(33)}},
        "successor with one key in two roles": whole | {"keys": keys | {"funding": keys["log"]}},
        "successor that is null": None,
    }  # fmt: skip


def _proofs(proofs):
    return {
        "proofs without that of the seal key": {k: v for k, v in proofs.items() if k != "seal"},
        "proofs with one too many": proofs | {"nostr": bytes(64)},
        "proofs that are an array": list(proofs.values()),
    }


def broken_handoffs():
    payload = handoff(Life.born().ledger).payload
    forms = {
        **{f"handoff without {name}": altered(handoff, {}, absent=[name]) for name in payload},
        "handoff with a further field": resigned({"x": 1}),
        "handoff of version 2": resigned({"version": 2}),
        "handoff of version true": resigned({"version": True}),
        "handoff of number 0": resigned({"number": 0}),
        "handoff whose number is text": resigned({"number": "1"}),
        "handoff that keeps nothing": resigned({"kept_size": 0}),
        "handoff that keeps less than nothing": resigned({"kept_size": -1}),
        "handoff that keeps true": resigned({"kept_size": True}),
        **{
            f"handoff whose {name} is of 31 bytes": resigned({name: bytes(31)})
            for name in ("previous", "soul", "kept_root", "architecture", "key")
        },
        "handoff with a reason of 501 characters": resigned({"reason": "x" * 501}),
        "handoff whose reason is bytes": resigned({"reason": b"x"}),
        "handoff whose old signature is null": altered(handoff, {"old_signature": None}),
        "handoff whose next signature is an array": altered(handoff, {"next_signature": []}),
        **{
            f"handoff: {name}": resigned({"successor": value})
            for name, value in _successors(payload).items()
        },
        **{
            f"handoff: {name}": altered(handoff, {"proofs": value})
            for name, value in _proofs(payload["proofs"]).items()
        },
    }
    return [
        *(case(name, FORM, lived) for name, lived in forms.items()),
        *(case(name, KEY, lived) for name, lived in wrong_next_keys().items()),
        *(case(name, SIGNATURE, lived) for name, lived in wrong_signatures(payload).items()),
        *(case(name, PLACE, lived) for name, lived in wrong_places().items()),
    ]


def wrong_next_keys():
    return {
        "handoff by a key that nobody announced": Life.born().hand_over(by=STRANGER),
        "handoff by the recovery key": Life.born().hand_over(by=RECOVERY),
        "handoff by the old log key in the next key's place": Life.born().hand_over(by=agent.LOG),
        "second handoff by the next key of the first": Life.born().hand_over().hand_over(by=named("next", 0)),
        "handoff after a recovery by the next key before it": Life.born().recover().hand_over(by=named("next", 0)),
    }  # fmt: skip


def wrong_signatures(payload):
    stranger = {role: {role: STRANGER} for role in RENEWED_ROLES}
    lived = Life.born()
    elsewhere = altered(handoff, foreign_signatures(lived.ledger))
    flipped = payload["old_signature"][:-1] + bytes([payload["old_signature"][-1] ^ 1])
    return {
        "handoff without the old log key": Life.born().hand_over(old=STRANGER),
        "second handoff signed by the first log key": Life.born().hand_over().hand_over(old=agent.LOG),
        "handoff with one bit of the old signature flipped": altered(handoff, {"old_signature": flipped}),
        "handoff with an empty old signature": altered(handoff, {"old_signature": b""}),
        "handoff with an empty next signature": altered(handoff, {"next_signature": b""}),
        "handoff with the old signature in the place of the next": altered(handoff, {"next_signature": payload["old_signature"]}),
        "handoff with another reason than the signed one": altered(handoff, {"reason": "x"}),
        "handoff signed for another ledger": elsewhere,
        "handoff signed under the tag of an epoch": altered(handoff, epoch_tagged(payload)),
        **{f"handoff without the new {role} key": Life.born().hand_over(new=new) for role, new in stranger.items()},
    }  # fmt: skip


def _facts(payload):
    names = (
        "number",
        "previous",
        "soul",
        "kept_size",
        "kept_root",
        "architecture",
        "key",
        "reason",
    )
    return Handoff(successor=successor(1), **{name: payload[name] for name in names})


def foreign_signatures(ledger):
    record = _facts(handoff(ledger).payload)
    return record.to_payload(ZEROS, old=agent.LOG, next_key=named("next", 0), new=keys_of(1))


def epoch_tagged(payload):
    message = _facts(payload).message(Life.born().ledger.id)
    return {"old_signature": agent.LOG.sign("timmy/epoch/v1", message)}


def wrong_places():
    twice = Life.born().hand_over()
    twice.ledger.add(
        handoff(
            twice.ledger,
            1,
            previous=twice.record,
            after=successor(2),
            old=named("log", 1),
            by=named("next", 1),
            new=keys_of(2),
        )
    )
    far = Life.born()
    signers = {"old": agent.LOG, "by": named("next", 0), "new": keys_of(1)}
    far.ledger.add(handoff(far.ledger, 2, after=successor(1), **signers))
    return {
        "handoff of number n + 2": far,
        "handoff of the number before again": twice,
        "handoff that continues no tenure": Life.born().hand_over(previous=ZEROS),
        "second handoff that continues birth": second(),
        "handoff of another SOUL": Life.born().hand_over(soul=ZEROS),
    }


def second():
    lived = Life.born().hand_over()
    lived.record = lived.ledger.id
    return lived.hand_over()


def broken_epochs():
    payload = recovery(Life.born().ledger).payload
    plain = ("epoch", "kept_size", "kept_root", "key", "signature")
    kinds = {"epoch": True, "kept_size": "1", "kept_root": "", "key": None, "signature": []}
    forms = {
        **{f"epoch without {name}": altered(agent.epoch_record, {}, absent=[name]) for name in plain},
        **{f"epoch whose {name} is of another type": altered(agent.epoch_record, {name: value})
           for name, value in kinds.items()},
        "recovery without proofs": altered(recovery, {}, absent=["proofs"]),
        "proofs without a successor": altered(recovery, {}, absent=["successor"]),
        **{f"recovery: {name}": altered(recovery, {"successor": value})
           for name, value in _successors(payload).items()},
        **{f"recovery: {name}": altered(recovery, {"proofs": value})
           for name, value in _proofs(payload["proofs"]).items()},
    }  # fmt: skip
    keys = {
        "epoch by a stranger": Life.born().recover(renew=False, by=STRANGER),
        "recovery by a stranger": Life.born().recover(by=STRANGER),
        "recovery by the next key": Life.born().recover(by=named("next", 0)),
        "recovery by the log key": Life.born().recover(by=agent.LOG),
    }
    bare = agent.epoch_record(Life.born().ledger).payload["signature"]
    signatures = {
        "recovery whose signature is without the successor": altered(recovery, {"signature": bare}),
        "epoch that is signed with a successor": altered(recovery, {}, absent=["successor", "proofs"]),
        "epoch with an empty signature": altered(agent.epoch_record, {"signature": b""}),
        "epoch of another size than the signed one": altered(agent.epoch_record, {"kept_size": 1}),
        **{f"recovery without the new {role} key": Life.born().recover(new={role: STRANGER}) for role in RENEWED_ROLES},
    }  # fmt: skip
    again, far = Life.born().recover(), Life.born()
    again.ledger.add(recovery(again.ledger, 1, 2))
    far.ledger.add(recovery(far.ledger, 2, 1))
    below = Life.born()
    below.ledger.add(agent.epoch_record(below.ledger, -1))
    places = {
        "recovery to epoch 1 again": again,
        "recovery to epoch 2 from 0": far,
        "epoch -1": below,
    }
    found = {FORM: forms, KEY: keys, SIGNATURE: signatures, PLACE: places}
    return [case(name, kind, lived) for kind, lives in found.items() for name, lived in lives.items()]  # fmt: skip


def keys_used_twice():
    """Each with true signatures of every key: a key that is known already is used again."""
    genesis = {role: agent.signer(role) for role in ROLES_OF_GENESIS}
    others = {
        **{f"genesis' {role} key": by for role, by in genesis.items()},
        "genesis' recovery output key": agent.RECOVERY_OUTPUT,
        "the next key that is revealed here": named("next", 0),
        "the recovery key": RECOVERY,
    }
    lives = {}
    for name, by in others.items():
        for kind, began in (("handoff", Life.hand_over), ("recovery", Life.recover)):
            lives[f"{kind} to {name}"] = to_key(Life.born(), began, by)
    for role in RENEWED_ROLES:
        early = Life.born().hand_over()
        lives[f"second handoff to the {role} key of the first"] = to_key(
            early, Life.hand_over, named(role, 1)
        )
        late = Life.born().recover()
        lives[f"handoff to the {role} key of the recovery before"] = to_key(
            late, Life.hand_over, named(role, 1)
        )
    lives["second handoff to the next key of the first"] = to_key(
        Life.born().hand_over(), Life.hand_over, named("next", 0)
    )
    digests = {
        "the next key that is revealed here": named("next", 0),
        "the recovery key": RECOVERY,
        "a new log key": named("log", 1),
        **{f"genesis' {role} key": by for role, by in genesis.items()},
        "genesis' recovery output key": agent.RECOVERY_OUTPUT,
    }
    for name, by in digests.items():
        after = successor(1, next_key_digest=key_digest(by.public))
        lives[f"handoff that announces {name}"] = Life.born().hand_over(after=after)
        lives[f"recovery that announces {name}"] = Life.born().recover(after=after)
    return [case(name, TWICE, lived) for name, lived in lives.items()]


def to_key(lived, began, by, role="log"):
    """The next record, to a log key that had a role before."""
    after = successor(lived.number + 1, **{role: by.public})
    return began(lived, after=after, new={role: by})


def table():
    """What stands in the file: the event 0 that all of them begin with, and the cases."""
    return {"genesis": parts(Life.born().ledger.records[0]), "cases": cases()}
