"""The bundles among the vectors: each breaks one thing, or shows something and passes."""

import base64
import hashlib
import struct
from dataclasses import replace

from attest.core.commitment import Commitment, Kind
from attest.core.transaction import TxOut, double_sha256
from ledger.core.codec import encode
from ledger.core.event import Cause, Draft, Event
from ledger.core.merkle import leaf_hash, node_hash
from ledger.core.note import sign_note
from tests.attest.forge import grind_raw
from tests.spec import agent
from tests.spec.agent import Ledger, anchored_ledger, bundle, export, fact, proof, words

PENDING, RECOVERED, TEST = "UNBROKEN-PENDING", "RECOVERED", "TEST"
INCOMPLETE, REWRITTEN, DIVERGED, BROKEN = "INCOMPLETE", "REWRITTEN", "DIVERGED", "BROKEN"
ZEROS = bytes(32)


def case(name, failure, verdict, data, *, soul="same", standing=None):
    return {
        "name": name,
        "class": failure,
        "soul": soul,
        "verdict": verdict,
        "standing": standing,
        "bundle": data,
    }


def share(found, *files):
    """The cases with each of `files` as a list of indexes into a table of chunks, to be joined.

    A chunk is a record with its length, so that a genesis that a hundred bundles begin with is
    there once; or a whole note.
    """
    table = {}
    cases = [
        case
        | {
            name: [table.setdefault(chunk, len(table)) for chunk in chunks(case[name])]
            for name in files
        }
        for case in found
    ]
    return [base64.b64encode(chunk).decode() for chunk in table], cases


def chunks(data):
    start = len(agent.MAGIC if data.startswith(agent.MAGIC[:8]) else data)
    while data:
        yield data[:start]
        data = data[start:]
        start = 4 + int.from_bytes(data[:4], "big")


def small_ledger():
    """Genesis, words, an answer, and the redaction of the words."""
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    asked = ledger.add(words("hello"))
    ledger.add(words("hi", causes=(asked.cause,), kind="message.sent"))
    ledger.add(agent.redaction(1))
    ledger.erase(1)
    return ledger


def born():
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    return ledger


def changed(records, kind, number=0, **fields):
    """The records with fields of the number-th record of a kind replaced, by index."""
    at = [n for n, record in enumerate(records) if record[0] == kind][number]
    record = list(records[at])
    for index, value in fields.items():
        record[int(index[1:])] = value
    return [*records[:at], record, *records[at + 1 :]]


def without(records, kind, number=0):
    at = [n for n, record in enumerate(records) if record[0] == kind][number]
    return records[:at] + records[at + 1 :]


def cases():
    return [
        *containers(),
        *exports(),
        *broken_exports(),
        *proofs(),
        *broken_proofs(),
        *epochs(),
        *seals(),
        *salvages(),
    ]


# ---- the file itself ----------------------------------------------------------------------------


def containers():
    good = export(born())
    data = bundle(good)
    start = agent.MAGIC + agent.frame(encode(good[0]))

    def unclosed(*frames):
        return start + b"".join(frames)

    def closed(count, digest=None):
        body = agent.MAGIC + b"".join(agent.frame(encode(record)) for record in good)
        digest = hashlib.sha256(body).digest() if digest is None else digest
        return body + agent.frame(encode(["end", count, digest]))

    broken = {
        "empty file": b"",
        "another first line": data.replace(b" v1\n", b" v2\n", 1),
        "first record is not a header": bundle(good[1:]),
        "truncated by one byte": data[:-1],
        "truncated at a record": data[: -len(closed(len(good))) + len(start)],
        "byte after the end": data + b"\x00",
        "one bit of the closing digest flipped": data[:-1] + bytes([data[-1] ^ 1]),
        "one bit of the head's signature flipped": data[:-60] + bytes([data[-60] ^ 1]) + data[-59:],
        "wrong count": closed(len(good) - 1),
        "wrong digest": closed(len(good), ZEROS),
        "record of length 0": unclosed(bytes(4)),
        "record longer than 4 MiB": unclosed((2**22 + 1).to_bytes(4, "big")),
        "record is not canonical": bundle([*good, bytes.fromhex("8267 7375626a656374 1801")]),
        "record of an unknown kind": bundle([*good, ["remark", "x"]]),
        "record with a field too many": bundle([*good, ["subject", 1, 2]]),
        "record with a negative number": bundle([*good, ["subject", -1]]),
        "record with true for a number": bundle([*good, ["subject", True]]),
        "record that is a map": bundle([*good, {}]),
        "path of 64 hashes": bundle([*good, ["inclusion", 1, 2, [ZEROS] * 64]]),
        "path of numbers": bundle([*good, ["inclusion", 1, 2, [1]]]),
        "attachment that is a number": bundle([*good, ["attachment", "x", 1]]),
        "second header": bundle([*good, good[0]]),
        "unknown purpose": bundle([["header", "snapshot", *good[0][2:]], *good[1:]]),
    }
    return [case(name, "bundle", BROKEN, data) for name, data in broken.items()]


# ---- exports ------------------------------------------------------------------------------------


def exports():
    ledger = small_ledger()
    good = export(ledger)
    head = ledger.head()
    witness = sign_note(head.note.text, "witness.example", agent.WITNESS).signatures[0]
    cosigned = replace(head, note=replace(head.note, signatures=(*head.note.signatures, witness)))
    foreign = small_ledger()
    foreign.add(fact(1, causes=(Cause(position=9, id=ZEROS, ledger=b"\xee" * 32),)))
    later = export(ledger)[:-1]
    later.insert(2, ["checkpoint", head.encode()])
    return [
        case("export", None, PENDING, bundle(good)),
        case("export, no SOUL.md at hand", None, PENDING, bundle(good), soul=None),
        case("export of the genesis alone", None, PENDING, bundle(export(born()))),
        case("export with a cosigned head", None, PENDING, bundle(export(ledger, [cosigned]))),
        case("export with two heads", None, PENDING, bundle(export(ledger, [head, ledger.head(2)]))),
        case("export with a smaller head of another history", "rewritten", REWRITTEN, bundle(export(ledger, [head, ledger.head(2, root=ZEROS)]))),
        case("export with the same head twice", None, PENDING, bundle(export(ledger, [head, head]))),
        case("export with the head among the events", None, PENDING, bundle(later)),
        case("export with a cause in another ledger", None, PENDING, bundle(export(foreign))),
        case("export with another SOUL.md", "identity", BROKEN, bundle(good), soul="other"),
        case("backup", None, PENDING, bundle([agent.header(ledger, "backup"), ["attachment", "file", {"path": "SOUL.md"}], *good[1:]])),
        case("backup without a head", "missing", INCOMPLETE, bundle([agent.header(ledger, "backup"), *good[1:-1]])),
        case("backup with a subject", "bundle", BROKEN, bundle([agent.header(ledger, "backup"), *good[1:], ["subject", 1]])),
    ]  # fmt: skip


def broken_exports():
    ledger = small_ledger()
    good, head = export(ledger), ledger.head()
    early = born()
    early.add(words("hello"))
    early.add(agent.redaction(1))
    missing = born()
    missing.add(words("hello"))
    missing.erase(1)
    cut = export(ledger)
    del cut[3]
    bodies = {
        "another payload": changed(good, "event", 2, f4=encode({"author": "0perator"})),
        "another salt": changed(good, "event", 2, f3=ZEROS),
        "another content": changed(good, "event", 2, f6=encode({"text": "Hi"})),
        "content without its salt": changed(good, "event", 2, f5=None),
        "event left out": cut,
        "event twice": [*good[:3], good[2], *good[3:]],
        "position skipped": changed(good, "event", 2, f1=3),
    }
    found = [case(name, "event", BROKEN, bundle(records)) for name, records in bodies.items()]
    wrong = {
        "head signed by another key": [ledger.head(by=agent.STRANGER)],
        "head of another epoch": [ledger.head(epoch=1)],
        "head of another ledger": [ledger.head(ledger_id=ZEROS)],
        "one good head and one of another key": [head, ledger.head(2, by=agent.STRANGER)],
    }
    found += [
        case(name, "checkpoint", BROKEN, bundle(export(ledger, heads)))
        for name, heads in wrong.items()
    ]
    other = small_ledger().head(root=ZEROS)
    return [
        *found,
        *(case(name, "event", BROKEN, bundle(export(log))) for name, log in bad_logs().items()),
        *(
            case(name, "redaction", BROKEN, bundle(export(log)))
            for name, log in bad_redactions().items()
        ),
        *(case(name, "identity", BROKEN, bundle(data)) for name, data in strangers().items()),
        case("root of other events", "root", BROKEN, bundle(export(ledger, [other]))),
        case("no head", "missing", INCOMPLETE, bundle(good[:-1])),
        case("no events", "missing", INCOMPLETE, bundle([good[0], good[-1]])),
        case("last event missing", "missing", INCOMPLETE, bundle(without(good, "event", 3))),
        case("event beyond the head", "missing", INCOMPLETE, bundle(export(ledger, [ledger.head(3)]))),
        case("content dropped", "missing", INCOMPLETE, bundle(export(missing))),
        case("redacted content still there", "redaction", BROKEN, bundle(export(early))),
        case("two roots at one size", "diverged", DIVERGED, bundle(export(ledger, [head, other]))),
        case("export with a subject", "bundle", BROKEN, bundle([*good, ["subject", 1]])),
        case("export with a path", "bundle", BROKEN, bundle([*good, agent.inclusion(ledger, 1, 4)])),
        case("export with an attachment", "bundle", BROKEN, bundle([*good, ["attachment", "x", {}]])),
    ]  # fmt: skip


def bad_logs():
    """Logs whose every signature is good and whose events break a rule."""
    gap, back, ahead, wrong, itself = born(), born(), born(), born(), born()
    gap.add(fact(1), stream_sequence=1)
    back.add(fact(1), ts_ms=agent.BORN_MS - 1)
    ahead.add(fact(1, causes=(Cause(position=2, id=ZEROS),)))
    wrong.add(fact(1, causes=(Cause(position=0, id=ZEROS),)))
    itself.add(fact(1, causes=(Cause(position=1, id=ZEROS),)))
    return {
        "stream sequence skips 0": gap,
        "time goes back": back,
        "cause that is not there yet": ahead,
        "cause with another id": wrong,
        "cause that is the event itself": itself,
    }


def bad_redactions():
    facts, beyond, text = born(), born(), born()
    facts.add(fact(1))
    facts.add(agent.redaction(1))
    beyond.add(agent.redaction(9))
    text.add(agent.redaction("0"))
    shapes = {
        "a number": 5,
        "bytes": b"\x00",
        "an array of arrays": [[1]],
        "an array of a boolean": [True],
        "an array of number and text": [1, "a"],
    }
    odd = {}
    for name, targets in shapes.items():
        log = odd[f"redaction whose targets are {name}"] = born()
        draft = agent.redaction()
        log.add(replace(draft, payload=draft.payload | {"targets": targets}))
    return odd | {
        "redaction of an event without content": facts,
        "redaction of an event that is not there": beyond,
        "redaction whose target is text": text,
    }


def strangers():
    """Event 0 is not the genesis it should be."""
    good = export(born())
    unproven = Ledger()
    payload = agent.genesis_payload()
    signatures = payload["signatures"] | {"operator": bytes(64)}
    unproven.add(agent.genesis_draft(signatures=signatures))
    plain = Ledger()
    plain.add(fact(1))
    return {
        "another ledger id in the header": [["header", "export", ZEROS, 0], *good[1:]],
        "ledger id of 31 bytes": [["header", "export", bytes(31), 0], *good[1:]],
        "genesis with an unproven key": export(unproven),
        "event 0 is no genesis": export(plain),
    }


# ---- proofs -------------------------------------------------------------------------------------


def six():
    ledger = small_ledger()
    ledger.add(words("more"))
    ledger.add(fact(1))
    return ledger


def proofs():
    ledger = six()
    silent = proof(ledger, 4, [6])
    silent = changed(silent, "event", 1, f5=None, f6=None)
    shuffled = proof(ledger, 2, [4, 6])
    shuffled = [shuffled[0], *reversed(shuffled[1:])]
    extra = [*proof(ledger, 4, [6]), ["attachment", "x", {}], agent.inclusion(ledger, 5, 6)]
    return [
        case("proof", None, PENDING, bundle(proof(ledger, 2, [6]))),
        case("proof of the genesis", None, PENDING, bundle(proof(ledger, 0, [6]))),
        case("proof under two heads", None, PENDING, bundle(proof(ledger, 4, [3, 6]))),
        case("proof of a redacted event", None, PENDING, bundle(proof(ledger, 1, [6]))),
        case("proof with the words left out", None, PENDING, bundle(silent)),
        case("proof with its records reversed", None, PENDING, bundle(shuffled)),
        case("proof with more than it needs", None, PENDING, bundle(extra)),
        case("proof with another SOUL.md", "identity", BROKEN, bundle(proof(ledger, 2, [6])), soul="other"),
    ]  # fmt: skip


def broken_proofs():
    ledger = six()
    one, two = proof(ledger, 4, [6]), proof(ledger, 4, [3, 6])
    path = ledger.tree.inclusion(4, 6)
    other = ledger.head(3, root=ZEROS)
    rewritten = [*two[:-2], ["checkpoint", other.encode()], two[-1]]
    # The genesis is proven under the newer head, so that only the two heads disagree.
    rewritten = changed(rewritten, "inclusion", 0, f2=6, f3=ledger.tree.inclusion(0, 6))
    empty = ledger.head(0, root=hashlib.sha256(b"").digest())
    return [
        case("no subject", "missing", INCOMPLETE, bundle(without(one, "subject"))),
        case("no genesis", "missing", INCOMPLETE, bundle(without(without(one, "event"), "inclusion"))),
        case("subject is not here", "missing", INCOMPLETE, bundle(changed(one, "subject", f1=3))),
        case("no head, in a proof", "missing", INCOMPLETE, bundle(one[:-1])),
        case("no path of the subject", "missing", INCOMPLETE, bundle(without(one, "inclusion", 1))),
        case("path to a size without a head", "missing", INCOMPLETE, bundle(changed(one, "inclusion", 1, f2=5))),
        case("no consistency between the heads", "missing", INCOMPLETE, bundle(without(two, "consistency"))),
        case("path with another hash", "inclusion", BROKEN, bundle(changed(one, "inclusion", 1, f3=[ZEROS, *path[1:]]))),
        case("path too short", "inclusion", BROKEN, bundle(changed(one, "inclusion", 1, f3=path[:-1]))),
        case("hash of 31 bytes", "inclusion", BROKEN, bundle(changed(one, "inclusion", 1, f3=[path[0][1:], *path[1:]]))),
        case("event at another position", "inclusion", BROKEN, bundle(moved(one))),
        case("first a false path, then a missing one", "inclusion", BROKEN,
             bundle(without(changed(one, "inclusion", 0, f3=[ZEROS] * 3), "inclusion", 1))),
        case("first a missing path, then a false one", "missing", INCOMPLETE,
             bundle(without(changed(one, "inclusion", 1, f3=[ZEROS] * 3), "inclusion", 0))),
        case("heads that do not continue each other", "rewritten", REWRITTEN, bundle(rewritten)),
        case("consistency with another hash", "rewritten", REWRITTEN, bundle(changed(two, "consistency", f3=[ZEROS] * 3))),
        case("consistency from an empty tree", "rewritten", REWRITTEN,
             bundle([*one, ["checkpoint", empty.encode()], ["consistency", 0, 6, []]])),
        case("two roots at one size, in a proof", "diverged", DIVERGED, bundle([*one, ["checkpoint", ledger.head(6, root=ZEROS).encode()]])),
        case("event twice, in a proof", "duplicate", BROKEN, bundle([*one, one[2]])),
        case("path twice", "duplicate", BROKEN, bundle([*one, one[3]])),
        case("consistency twice", "duplicate", BROKEN, bundle([*two, two[-3]])),
        case("attachment that nobody knows, twice", None, PENDING, bundle([*one, *[["attachment", "x", {}]] * 2])),
        case("seal attachment twice", "duplicate", BROKEN, bundle([*one, *[["attachment", "seal", {}]] * 2])),
        case("head of another key", "checkpoint", BROKEN, bundle([*one[:-1], ["checkpoint", ledger.head(by=agent.STRANGER).encode()]])),
        case("another payload, in a proof", "event", BROKEN, bundle(changed(one, "event", 1, f4=encode({"author": "x"})))),
        case("content that is no map, beside the subject", "event", BROKEN, bundle(unmapped([3]))),
        case("first content that is no map, then no head", "event", BROKEN, bundle(unmapped([3])[:-1])),
        case("another ledger id in the header, in a proof", "identity", BROKEN, bundle([["header", "proof", ZEROS, 0], *one[1:]])),
    ]  # fmt: skip


def unmapped(sizes):
    """A proof of a fact, and beside it an event whose content is a text and no map."""
    ledger = born()
    ledger.add(replace(words("hello"), content="hello"))
    ledger.add(fact(1))
    return proof(ledger, 2, sizes, also=[1])


def moved(records):
    """The subject's event, path and number all say 3, where another event is."""
    records = changed(records, "event", 1, f1=3)
    return changed(changed(records, "inclusion", 1, f1=3), "subject", f1=3)


# ---- epochs -------------------------------------------------------------------------------------


def epochs():
    ledger = small_ledger()
    ledger.add(agent.epoch_record(ledger))
    ledger.add(words("recovered"))
    whole = export(ledger, [ledger.head(epoch=1)], epoch=1)
    twice = small_ledger()
    for number in (1, 2):
        twice.add(agent.epoch_record(twice, number))
    second = export(twice, [twice.head(epoch=2)], epoch=2)
    one = proof(ledger, 5, [6], also=[4], epoch=1)
    two = proof(twice, 1, [6], also=[4, 5], epoch=2)

    def broken(**changes):
        log = small_ledger()
        log.add(agent.epoch_record(log, **changes))
        epoch = changes.get("epoch", 1)
        return bundle(export(log, [log.head(epoch=epoch)], epoch=epoch))

    stranger = broken(by=agent.STRANGER)
    old = [*whole[:-1], ["checkpoint", ledger.head(epoch=0).encode()]]
    silent = export(small_ledger(), [small_ledger().head(epoch=1)], epoch=1)
    return [
        case("export of epoch 1", None, RECOVERED, bundle(whole)),
        case("export of epoch 2", None, RECOVERED, bundle(second)),
        case("proof of epoch 1", None, RECOVERED, bundle(one)),
        case("proof of epoch 2", None, RECOVERED, bundle(two)),
        case("epoch signed by another key", "lineage", BROKEN, stranger),
        case("epoch record without its size", "lineage", BROKEN, lacking()),
        case("epoch 2 follows epoch 0", "lineage", BROKEN, broken(epoch=2)),
        case("epoch that keeps another size", "rewritten", REWRITTEN, broken(kept_size=3)),
        case("epoch that keeps another root", "rewritten", REWRITTEN, broken(kept_root=ZEROS)),
        case("header of an epoch that never began", "lineage", BROKEN, bundle(silent)),
        case("head of the epoch before", "checkpoint", BROKEN, bundle(old)),
        case("proof without the record of its epoch", "missing", INCOMPLETE, bundle(proof(ledger, 5, [6], epoch=1))),
        case("proof without the first of two epochs", "lineage", BROKEN, bundle(proof(twice, 1, [6], also=[5], epoch=2))),
    ]  # fmt: skip


def lacking():
    log = small_ledger()
    draft = agent.epoch_record(log)
    log.add(replace(draft, payload={k: v for k, v in draft.payload.items() if k != "kept_size"}))
    return bundle(export(log, [log.head(epoch=1)], epoch=1))


# ---- salvages -----------------------------------------------------------------------------------


def salvage(ledger, here, *, events=None, hashes=(), sizes=None, epoch=0, attachments=()):
    """What is left of a log: the events `here`, and for each size the hashes of the others."""
    count = len(ledger.records)
    total = count if events is None else events
    records = [agent.header(ledger, "salvage", epoch), ["attachment", "salvage", {"events": total}]]
    records += [agent.event_record(ledger.records[at]) for at in here]
    for size in [count] if sizes is None else sizes:
        records.append(["checkpoint", ledger.head(size, epoch=epoch).encode()])
    shown = [list(hash_) for hash_ in hashes]
    records.append(["attachment", "subtrees", {"size": count, "hashes": shown}])
    return records + [["attachment", name, value] for name, value in attachments]


def salvages():
    ledger = six()
    leaves = [leaf_hash(record.envelope) for record in ledger.records]
    pair, four = (1, 1, node_hash(leaves[2], leaves[3])), (0, 4, leaves[4])
    some = salvage(ledger, [0, 1, 4, 5], hashes=[pair])
    whole = salvage(ledger, range(6))
    odd = ("file", {"path": "x"}), ("subtrees", {"size": 9, "hashes": [], "more": 1})
    recovered = small_ledger()
    recovered.add(agent.epoch_record(recovered))
    dropped = born()
    dropped.add(words("hello"))
    dropped.erase(1)
    apart = [("subtrees", {"size": 6, "hashes": [list(four)]})]
    return [
        case("salvage of everything", None, PENDING, bundle(whole)),
        case("salvage with two heads and attachments that nobody knows", None, PENDING,
             bundle(salvage(ledger, range(6), sizes=[6, 4], attachments=odd))),
        case("salvage of epoch 1", None, RECOVERED, bundle(salvage(recovered, range(5), epoch=1))),
        *lost(ledger, leaves, some, pair, four, dropped, apart),
        *broken_salvages(ledger, leaves, some, whole, pair, four),
    ]  # fmt: skip


def lost(ledger, leaves, some, pair, four, dropped, apart):
    """True as far as it goes."""
    half = (2, 0, ledger.tree.root(4))
    found = {
        "salvage without two events": some,
        "salvage with the hashes of one size apart": salvage(ledger, [0, 1, 5], hashes=[pair], attachments=apart),
        "salvage with a hash in the place of an event that is here": salvage(ledger, range(6), hashes=[four]),
        "salvage with a hash over four events that are here": salvage(ledger, range(6), hashes=[half]),
        "salvage without a head": salvage(ledger, range(6), sizes=[]),
        "salvage without event 0": salvage(ledger, range(1, 6), hashes=[(0, 0, leaves[0])]),
        "salvage of nothing": [agent.header(ledger, "salvage")],
        "salvage of a log that had more": salvage(ledger, range(6), events=7),
        "salvage with content dropped": salvage(dropped, range(2)),
    }  # fmt: skip
    return [case(name, "missing", INCOMPLETE, bundle(records)) for name, records in found.items()]


def broken_salvages(ledger, leaves, some, whole, pair, four):
    lower, wide = (0, 2, leaves[2]), (2, 1, ZEROS)
    beside = [("subtrees", {"size": 5, "hashes": [[-1, 0, ZEROS]]})]
    here = [0, 1, 4, 5]
    attached = {
        "salvage without a hash that is needed": salvage(ledger, here),
        "salvage with a hash under another": salvage(ledger, here, hashes=[pair, lower]),
        "salvage with a hash twice": salvage(ledger, here, hashes=[pair, pair]),
        "salvage with a hash that reaches beyond the size": salvage(ledger, here, hashes=[pair, wide]),
        "salvage with a hash beside the tree": salvage(ledger, here, hashes=[pair, (0, 6, ZEROS)]),
        "salvage with a hash of level 50": salvage(ledger, here, hashes=[pair, (50, 0, ZEROS)]),
        "salvage with a hash of 31 bytes": salvage(ledger, here, hashes=[(1, 1, bytes(31))]),
        "salvage with a level below zero, of a size without a head": [*some, ["attachment", *beside[0]]],
        "salvage of a log smaller than its head": salvage(ledger, range(4), events=5, hashes=[(1, 2, ZEROS)]),
        "salvage that says twice how many events there were": [*whole, whole[1]],
        "salvage that does not say how many": [whole[0], ["attachment", "salvage", {}], *whole[2:]],
        "salvage of true events": [whole[0], ["attachment", "salvage", {"events": True}], *whole[2:]],
        "salvage of 2^48 + 1 events": [whole[0], ["attachment", "salvage", {"events": 2**48 + 1}], *whole[2:]],
    }  # fmt: skip
    other = ledger.head(root=ZEROS).encode()
    swapped = [*whole[:3], whole[4], whole[3], *whole[5:]]
    others = [
        ("salvage with events out of order", "event", swapped),
        ("salvage with an event twice", "event", [*whole[:3], whole[2], *whole[3:]]),
        ("salvage with an event beyond its end", "event", salvage(ledger, range(6), events=5)),
        ("salvage with another payload", "event", changed(whole, "event", 2, f4=encode({"author": "x"}))),
        ("salvage with a hash of another subtree", "root", salvage(ledger, here, hashes=[(1, 1, ZEROS)])),
        ("salvage with a head of another key", "checkpoint", [*whole, ["checkpoint", ledger.head(by=agent.STRANGER).encode()]]),
        ("salvage with another ledger id in the header", "identity", [["header", "salvage", ZEROS, 0], *whole[1:]]),
        ("salvage with a subject", "bundle", [*whole, ["subject", 1]]),
        ("salvage whose redaction targets text", "redaction", salvage(redacting_text(), range(2))),
    ]  # fmt: skip
    return [
        *(case(name, "salvage", BROKEN, bundle(records)) for name, records in attached.items()),
        *(case(name, failure, BROKEN, bundle(records)) for name, failure, records in others),
        case("salvage with two roots at one size", "diverged", DIVERGED, bundle([*whole, ["checkpoint", other]])),
    ]  # fmt: skip


def redacting_text():
    log = born()
    log.add(agent.redaction("0"))
    return log


# ---- seals --------------------------------------------------------------------------------------


def seals():
    chain = anchored_ledger()
    value = chain.attachment()[1]
    opening = agent.OPENING

    def seal(value, position=3, name="seal", **more):
        return bundle(chain.proof(position, attachment=(name, value), **more))

    good = [
        case("anchored words", None, TEST, bundle(chain.proof(3)), standing="confirmed"),
        case("words under the opening itself", None, TEST, bundle(chain.proof(1)), standing="confirmed"),
        case("words no anchor covers yet", None, TEST, bundle(chain.proof(5, sizes=[3, 5, 6], attachment=chain.attachment())), standing="pending"),
        case("the opening alone", None, TEST, seal({"links": value["links"][:1], "sizes": [3]}, 1), standing="confirmed"),
        case("an anchor one block deep", None, TEST, bundle(anchored_ledger(blocks=1).proof(3)), standing="seen"),
        case("no recovery seal", None, TEST, bundle(unrecoverable().proof(3)), standing="confirmed"),
        case("a key too many beside links and sizes", None, TEST, seal(value | {"more": 1}), standing="confirmed"),
    ]  # fmt: skip
    good[3]["standing"] = "seen"
    missing = [
        ("no event that opens the seal", bundle(chain.proof(3, also=[]))),
        ("a size without its head", seal(value | {"sizes": [3, 4]})),
        ("a size that is an array", seal(value | {"sizes": [3, []]})),
    ]
    malformed = [
        ("seal attachment is an array", seal([])),
        ("seal attachment without sizes", seal({"links": value["links"]})),
        ("no links", seal({"links": [], "sizes": []})),
        ("more sizes than links", seal(value | {"links": value["links"][:1]})),
        ("a link is an array", seal(value | {"links": [[], []]})),
        ("a link without its height", seal(with_link(value, 1, height=None))),
        ("a link with a field too many", seal(with_link(value, 1, more=1))),
        ("opened after the head it commits to", seal({"links": value["links"], "sizes": [2, 5]}, sizes=[2, 3, 5])),
    ]  # fmt: skip
    broken = {**broken_openings(chain), **broken_links(chain, value, seal)}
    assert opening.network == "regtest"
    return [
        *good,
        *(case(name, "missing", INCOMPLETE, data) for name, data in missing),
        *(case(name, "seal", BROKEN, data) for name, data in malformed),
        *(case(name, failure, BROKEN, data) for name, (failure, data) in broken.items()),
    ]


def with_link(value, number, **fields):
    """The attachment with fields of a link replaced; None takes a field away."""
    links = list(value["links"])
    links[number] = {k: v for k, v in (links[number] | fields).items() if v is not None}
    return {**value, "links": links}


def unrecoverable():
    """A seal without a recovery output: vout[2] of the opening is change."""
    opening = replace(agent.OPENING, recovery=None)
    chain = anchored_ledger()
    return rebuilt(chain, opening=opening, keep_recovery=False)


def rebuilt(chain, *, opening=agent.OPENING, keep_recovery=True, **changes):
    """The chain made again with other facts in the opening or other transactions."""
    ledger = Ledger()
    for number, record in enumerate(chain.ledger.records):
        if number == chain.opening_position:
            payload = {"opening": opening.to_value()}
            ledger.add(Draft(type="seal.opened", stream=bytes(16), payload=payload))
        else:
            ledger.keep(record)
            stream = Event.open(record).stream
            ledger.lengths[stream] = ledger.lengths.get(stream, 0) + 1
    zero = agent.opening_draft_of(ledger.head(3).anchor_digest())
    if not keep_recovery:
        outputs = zero.transaction.outputs
        zero = replace(
            zero, transaction=replace(zero.transaction, outputs=outputs[:2] + outputs[3:])
        )
    zero = changes.get("opening_transaction", lambda draft: draft)(zero)
    first = agent.signed(zero)
    draft = agent.anchor_draft_of(first, ledger.head(5).anchor_digest(), 11)
    second = agent.signed(draft)
    head = agent.block_of(first.txid)
    tail = agent.block_of(second.txid, blocks=6, previous=double_sha256(head[0]))
    links = [
        agent.link(first, height=200, headers=head),
        agent.link(second, height=201, headers=tail, spent=draft.spent[1:]),
    ]
    return agent.Chain(ledger, [3, 5], links, chain.opening_position, [first, second])


def broken_openings(chain):
    """The event that opens the seal says something that the transactions do not keep."""
    stranger = replace(agent.RECOVERY_OUT, script=b"\x51\x20" + agent.KEYS.funding.public)
    cases = {
        "opening names another coin": replace(agent.OPENING, outpoint=agent.coin(9).outpoint),
        "opening names another amount": replace(agent.OPENING, seal_sat=20_000),
        "opening on another network": replace(agent.OPENING, network="signet"),
        "recovery seal of a stranger": replace(agent.OPENING, recovery=stranger),
    }

    def with_stranger(draft):
        outputs = list(draft.transaction.outputs)
        outputs[2] = stranger
        return replace(draft, transaction=replace(draft.transaction, outputs=tuple(outputs)))

    paid = rebuilt(
        chain, opening=cases["recovery seal of a stranger"], opening_transaction=with_stranger
    )
    del cases["recovery seal of a stranger"]
    found = {
        name: ("seal", bundle(rebuilt(chain, opening=opening).proof(3)))
        for name, opening in cases.items()
    }
    return found | {"recovery seal of a stranger": ("seal", bundle(paid.proof(3)))}


def broken_links(chain, value, seal):
    """One link at a time, each in a block of real work."""
    zero, one = chain.transactions
    draft = agent.anchor_draft_of(zero, chain.ledger.head(5).anchor_digest(), 11)

    def second(transaction, **more):
        """The attachment with another second transaction, in a block made for it."""
        previous = double_sha256(chain.links[0].headers[0])
        headers = b"".join(agent.block_of(transaction.txid, previous=previous))
        fields = {
            "transaction": transaction.raw, "index": 0, "siblings": [], "headers": headers, **more
        }  # fmt: skip
        return seal(with_link(value, 1, **fields))

    def outputs(index, output):
        kept = list(draft.transaction.outputs)
        kept[index] = output
        changed = replace(draft.transaction, outputs=tuple(kept))
        return replace(draft, transaction=changed)

    def signed(draft):
        """Signed as it stands: the seal's signer itself would refuse some of these."""
        transaction = draft.transaction
        digest = agent.tap_digest(transaction, draft.spent)
        entries = list(agent.signed(plain(draft)).inputs)
        entries[0] = replace(transaction.inputs[0], witness=(agent.tap_sign(digest),))
        return replace(transaction, inputs=tuple(entries))

    def plain(draft):
        return replace(draft, transaction=agent.anchor_draft_of(
            zero, chain.ledger.head(5).anchor_digest(), 11).transaction)  # fmt: skip

    commitment = Commitment(kind=Kind.ANCHOR, digest=ZEROS).output
    handoff = Commitment(kind=Kind.HANDOFF, digest=chain.ledger.head(5).anchor_digest()).output
    magic = TxOut(value_sat=0, script=b"\x6a\x03TMY")
    headers = value["links"][1]["headers"]
    easy = replace(one, inputs=(replace(one.inputs[0], witness=(bytes(64),)), *one.inputs[1:]))
    longer = one.inputs[0].witness[0] + b"\x01"
    typed = replace(one, inputs=(replace(one.inputs[0], witness=(longer,)), *one.inputs[1:]))
    other_coin = agent.anchor_draft_of(one, chain.ledger.head(5).anchor_digest(), 11)
    spent = value["links"][1]["spent"]
    after = double_sha256(headers[:80])
    forked = headers[:80] + grind_raw(previous=ZEROS)
    harder = headers[:80] + grind_raw(previous=after, bits=0x207FFFFE)
    stale = headers + b"".join(_slow(double_sha256(headers[-80:])))
    links = value["links"]
    return {
        "anchor of another digest": ("seal", second(signed(outputs(0, commitment)))),
        "anchor of an undefined kind": ("seal", second(signed(outputs(0, handoff)))),
        "next seal of another amount": ("seal", second(signed(outputs(1, replace(agent.SEAL_OUT, value_sat=9_999))))),
        "next seal of another key": ("seal", second(signed(outputs(1, agent.RECOVERY_OUT)))),
        "a second commitment": ("seal", second(signed(outputs(2, magic)))),
        "another output spent": ("seal", second(signed(other_coin))),
        "signature of zeros": ("seal", second(easy)),
        "signature of 65 bytes": ("seal", second(typed)),
        "lie about what a fee input spends": ("seal", seal(with_link(value, 1, spent=[[spent[0][0] + 1, spent[0][1]]]))),
        "what the fee input spends left out": ("seal", seal(with_link(value, 1, spent=[]))),
        "spent outputs beside an opening": ("seal", seal(with_link(value, 0, spent=spent))),
        "byte after the transaction": ("seal", seal(with_link(value, 1, transaction=one.raw + b"\x00"))),
        "transaction without its witness": ("seal", seal(with_link(value, 1, transaction=one.stripped))),
        "another sibling": ("seal", seal(with_link(value, 1, siblings=[ZEROS]))),
        "position beyond the path": ("seal", seal(with_link(value, 1, index=2))),
        "the same node twice": ("seal", duplicated(value, one, seal)),
        "no headers": ("seal", seal(with_link(value, 1, headers=b""))),
        "half a header": ("seal", seal(with_link(value, 1, headers=headers[:-40]))),
        "height 0": ("seal", seal(with_link(value, 1, height=0))),
        "headers that do not link": ("seal", seal(with_link(value, 1, headers=forked))),
        "another target": ("seal", seal(with_link(value, 1, headers=harder))),
        "a block whose hash misses its target": ("seal", seal(with_link(value, 1, headers=_miss(headers)))),
        "a block not later than the median before it": ("seal", seal(with_link(value, 1, headers=stale))),
        "link below the link it spends": ("seal", seal(with_link(value, 1, height=199))),
        "two blocks at one height": ("seal", seal(with_link(value, 1, height=200))),
        "links in another order": ("seal", seal({"links": links[::-1], "sizes": [5, 3]})),
    }  # fmt: skip


def duplicated(value, one, seal):
    """The odd level's last node proven at the place of its own copy."""
    headers = b"".join(agent.block_of(one.txid, sibling=one.txid))
    return seal(with_link(value, 1, index=1, siblings=[one.txid], headers=headers))


def _miss(headers):
    """The first header with a nonce that does not do."""
    target = 0x7FFFFF << 232
    for nonce in range(1000):
        raw = headers[:76] + struct.pack("<I", nonce)
        if int.from_bytes(double_sha256(raw), "little") > target:
            return raw
    raise AssertionError("a thousand hashes below half of all")


def _slow(previous):
    """Eleven blocks of rising time and one that is as old as the median of them."""
    times = [1_790_010_000 + n for n in range(11)] + [1_790_010_005]
    for time_s in times:
        raw = grind_raw(previous=previous, time_s=time_s)
        previous = double_sha256(raw)
        yield raw
