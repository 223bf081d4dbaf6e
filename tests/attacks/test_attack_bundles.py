"""Files made by a liar who owns real keys. None of them may be told a good verdict.

Attacks that the verifier repels; the numbers are those of the attacks on the first design.
"""

import copy
import io
from dataclasses import replace

import pytest

from attest.core.transaction import double_sha256
from attest.verify.bundle import verify_bundle
from attest.verify.report import GOOD, LEVELS
from ledger.core.codec import encode
from ledger.core.errors import InvalidEvent
from ledger.core.event import Cause, Draft, Event
from ledger.core.note import Note, NoteSignature, sign_note
from tests.spec import agent
from tests.spec.agent import Ledger, bundle, export, proof, words

ODD = [
    *(None, True, -1, 0, 2**31, 2**62, -(2**63), "x", "", b"", bytes(32), [], {}),
    *([None], {"a": 1}, [b"", b""], [-1, b""], [[2**60, b""]]),
]


def verdict(records, *, soul=agent.SOUL, require=None):
    data = records if isinstance(records, bytes) else bundle(records)
    report = verify_bundle(io.BytesIO(data), soul, require=require)
    assert report.good == (report.verdict in GOOD and report.met)
    return report


def born(*drafts):
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    for draft in drafts:
        ledger.add(draft)
    return ledger


def refused(records, *verdicts, **more):
    report = verdict(records, **more)
    assert not report.good, report
    assert report.verdict in verdicts, report
    return report


@pytest.fixture(scope="module")
def chain():
    return agent.anchored_ledger()


# ---- whose ------------------------------------------------------------------------------------


def test_a_stranger_with_my_soul_cannot_put_an_event_under_my_genesis():
    mine, his = born(words("mine")), Ledger()
    his.add(agent.genesis_draft())
    his.add(words("never said"))
    records = proof(mine, 1, [2])
    records[-1] = ["checkpoint", his.head(by=agent.STRANGER).encode()]
    refused(records, "BROKEN")


def test_genesis_of_another_agent_is_refused_whatever_the_header_says():
    mine = born(words("mine"))
    other = Ledger()
    other.add(Draft(type="genesis.born", stream=bytes(16), payload=agent.genesis_payload(name="X")))
    other.add(words("mine"))
    records = proof(other, 1, [2])
    records[0] = ["header", "proof", mine.id, 0]
    refused(records, "BROKEN")
    records = proof(mine, 1, [2])
    records[0] = ["header", "proof", other.id, 0]
    refused(records, "BROKEN")


@pytest.mark.parametrize("key", [agent.OPERATOR, agent.RECOVERY, agent.KEYS.nostr, agent.KEYS.seal])
def test_no_other_key_of_the_agent_signs_heads(key):
    ledger = born(words("hello"))
    refused(export(ledger, [ledger.head(by=key)]), "BROKEN")


def test_a_log_key_signature_of_something_else_is_no_head():
    ledger = born(words("hello"))
    text = ledger.head().checkpoint.text()
    under_another_tag = agent.LOG.sign("timmy/statement/v1", text.encode())
    signed = ledger.head().note.signatures[0]
    forged = NoteSignature(name=signed.name, key_id=signed.key_id, signature=under_another_tag)
    note = Note(text=text, signatures=(forged,))
    refused([*export(ledger)[:-1], ["checkpoint", note.encode()]], "BROKEN")


def test_an_extension_line_cannot_hide_in_a_head():
    ledger = born(words("hello"))
    head = ledger.head()
    note = sign_note(head.checkpoint.text() + "extra\n", head.checkpoint.origin, agent.LOG)
    refused([*export(ledger)[:-1], ["checkpoint", note.encode()]], "BROKEN")


# ---- what --------------------------------------------------------------------------------------


def test_contents_of_two_events_cannot_be_swapped():
    ledger = born(words("yes"), words("no"))
    records = export(ledger)
    one, two = records[2], records[3]
    records[2], records[3] = [*one[:5], *two[5:]], [*two[:5], *one[5:]]
    refused(records, "BROKEN")


def test_an_event_of_another_ledger_is_not_in_this_one():
    mine, other = born(words("mine"), words("more")), born(words("other"), words("more"))
    records = proof(mine, 1, [3])
    records[4] = agent.event_record(other.records[1])
    refused(records, "BROKEN")


def test_an_event_in_another_encoding_is_broken():
    """The same event, a byte longer, in a log that is signed over that very byte."""
    ledger = born(words("a"))
    true = ledger.records[1]
    for envelope in (b"\x98\x0a" + true.envelope[1:], b"\x9f" + true.envelope[1:] + b"\xff"):
        forged = Ledger()
        forged.keep(ledger.records[0])
        forged.keep(true._replace(envelope=envelope))
        for records in (export(forged), proof(forged, 1, [2])):
            report = refused(records, "BROKEN")
            assert "event 1" in report.lines[-1][1] or "encoding" in report.lines[-1][1], report


def test_inclusion_under_a_head_of_another_epoch_is_refused():
    ledger = born(words("a"), words("b"))
    records = proof(ledger, 1, [3])
    records[-1] = ["checkpoint", ledger.head(epoch=1).encode()]
    refused(records, "BROKEN")


def test_redaction_by_an_event_of_another_type_does_not_excuse_dropped_content():
    payload = {"targets": [1], "reason": "x", "actor": "operator"}
    ledger = born(words("a"), Draft(type="ledger.redact", stream=bytes(16), payload=payload))
    ledger.erase(1)
    refused(export(ledger), "INCOMPLETE")


def test_heads_in_any_order_give_one_verdict():
    ledger = born(*(words(str(n)) for n in range(5)))
    records = proof(ledger, 1, [2, 4, 6])
    heads = [record for record in records if record[0] == "checkpoint"]
    rest = [record for record in records if record[0] != "checkpoint"]
    for order in (heads, heads[::-1], [*heads, *heads], heads[1:] + heads[:1]):
        assert verdict([*rest, *order]).verdict == "UNBROKEN-PENDING"
        assert verdict([rest[0], *order, *rest[1:]]).verdict == "UNBROKEN-PENDING"


def test_rewriting_everything_with_the_real_keys_shows_beside_an_older_head():
    mine, his = born(words("a"), words("b")), born(words("never"), words("b"), words("c"))
    records = proof(his, 1, [3, 4])
    old = mine.head(3)
    records = [r for r in records if r[0] != "checkpoint"]
    records += [["checkpoint", old.encode()], ["checkpoint", his.head(4).encode()]]
    refused(records, "REWRITTEN", "BROKEN")
    under_new = [
        ["inclusion", r[1], 4, his.tree.inclusion(r[1], 4)] if r[0] == "inclusion" else r
        for r in records
    ]
    refused(under_new, "REWRITTEN")


# ---- Bitcoin: attacks 1, 2, 20 -------------------------------------------------------------------


def test_no_evidence_of_a_test_network_makes_a_mainnet_agent_final(chain):
    ledger = Ledger()
    ledger.add(agent.genesis_draft(**agent.genesis_payload(network="mainnet")))
    for record in chain.ledger.records[1:]:
        ledger.keep(record)
    records = proof(ledger, 3, [3, 5], also=[2], attachments=[chain.attachment()])
    refused(records, "BROKEN")
    opening = replace(agent.OPENING, network="mainnet").to_value()
    ledger = Ledger()
    ledger.add(agent.genesis_draft(**agent.genesis_payload(network="mainnet")))
    ledger.add(words("before the seal"))
    ledger.add(Draft(type="seal.opened", stream=bytes(16), payload={"opening": opening}))
    zero = agent.signed(agent.opening_draft_of(ledger.head(3).anchor_digest()))
    link = agent.link(zero, height=900_000, headers=agent.block_of(zero.txid, blocks=100))
    seal = ("seal", {"links": [link.to_value()], "sizes": [3]})
    ledger.add(words("later"))
    refused(proof(ledger, 1, [3], also=[2], attachments=[seal]), "BROKEN", require="final")


def test_a_second_opening_funded_by_a_stranger_is_not_the_seal_that_was_named(chain):
    draft = agent.opening_draft(
        coins=[agent.coin(66)],
        digest=chain.ledger.head(3).anchor_digest(),
        seal=agent.SEAL_OUT,
        recovery=agent.RECOVERY_OUT,
        change_script=agent.FUNDING.script,
        fee=agent.FEE,
    )
    zero = agent.signed(draft)
    link = agent.link(zero, height=200, headers=agent.block_of(zero.txid, blocks=100))
    value = {"links": [link.to_value()], "sizes": [3]}
    refused(chain.proof(1, attachment=("seal", value)), "BROKEN")


def test_two_openings_that_the_ledger_named_are_none(chain):
    """Both coins are named, both seals may be open: which of them is meant nobody can say."""
    other = replace(agent.OPENING, outpoint=agent.coin(12).outpoint).to_value()
    ledger = Ledger()
    for record in chain.ledger.records[:3]:
        ledger.keep(record)
    ledger.lengths[bytes(16)] = 2
    ledger.add(Draft(type="seal.opened", stream=bytes(16), payload={"opening": other}))
    ledger.add(words("later"))
    seal = chain.attachment()
    for shown, verdict, says in (
        ([2, 3], "INCOMPLETE", "2 events name the opening of the seal, expected 1"),
        ([], "INCOMPLETE", "0 events name the opening of the seal, expected 1"),
        ([3], "BROKEN", "the seal was opened before the ledger named its outpoint"),
    ):
        records = proof(ledger, 4, [3, 5], also=shown, attachments=[seal])
        report = refused(records, verdict)
        assert says in report.lines[-1][1], report.lines


def test_an_anchor_of_a_rewritten_log_on_the_same_seal_is_named(chain):
    other = Ledger()
    for record in chain.ledger.records[:3]:
        other.keep(record)
        stream = agent.Event.open(record).stream
        other.lengths[stream] = other.lengths.get(stream, 0) + 1
    other.add(words("rewritten"))
    other.add(agent.fact(2))
    records = proof(chain.ledger, 3, [3, 5], also=[2], attachments=[chain.attachment()])
    records = [r for r in records if r[0] != "checkpoint"]
    records += [
        ["checkpoint", chain.ledger.head(3).encode()],
        ["checkpoint", other.head(5).encode()],
    ]
    refused(records, "REWRITTEN", "BROKEN")


def test_a_cosignature_does_not_change_what_was_anchored(chain):
    head = chain.ledger.head(5)
    witness = sign_note(head.note.text, "witness.example", agent.WITNESS).signatures[0]
    for signatures in ((witness, *head.note.signatures), (*head.note.signatures, witness)):
        cosigned = replace(head, note=replace(head.note, signatures=signatures))
        records = chain.proof(3)
        records[-2] = ["checkpoint", cosigned.encode()]
        assert verdict(records, require="confirmed").good


def test_sizes_links_and_digests_that_disagree_are_refused(chain):
    links = chain.attachment()[1]["links"]
    sizes = ([3], [3, 3], [5, 3], [5, 5], [3, 5, 5], [3, 4], [], [-3, 5], ["3", 5], [3, None])
    for wrong in sizes:
        refused(chain.proof(3, attachment=("seal", {"links": links, "sizes": wrong})), "BROKEN", "INCOMPLETE")  # fmt: skip
    for wrong in (links[::-1], links[:1], links * 2, [links[0], links[0]], links[1:]):
        refused(chain.proof(3, attachment=("seal", {"links": wrong, "sizes": [3, 5]})), "BROKEN")


def test_require_is_not_met_by_depth_under_another_event(chain):
    late = chain.proof(5, sizes=[3, 5, 6], attachment=chain.attachment())
    assert verdict(late).good
    for level in LEVELS:
        assert verdict(late, require=level).good == (level == "pending")
        assert verdict(chain.proof(3), require=level).good == (level != "final")
        unanchored = export(born(words("a")))
        assert verdict(unanchored, require=level).good == (level == "pending")


def test_headers_given_twice_count_once(chain):
    value = copy.deepcopy(chain.attachment()[1])
    headers = value["links"][1]["headers"]
    value["links"][1]["headers"] = headers + headers
    refused(chain.proof(3, attachment=("seal", value)), "BROKEN")
    value["links"][1]["headers"] = headers
    value["links"][0]["headers"] += headers
    report = verdict(chain.proof(3, attachment=("seal", value)), require="confirmed")
    assert "6 deep" in dict(report.lines)["freshness"], report


def test_headers_of_a_fork_do_not_add_to_the_depth(chain):
    value = copy.deepcopy(chain.attachment()[1])
    fork = agent.block_of(bytes(32), blocks=100, previous=double_sha256(b"elsewhere"))
    value["links"][0]["headers"] += b"".join(fork)
    refused(chain.proof(3, attachment=("seal", value)), "BROKEN")


@pytest.mark.usefixtures("unmeasured")
def test_a_truncated_bundle_is_refused_at_every_length(chain):
    """An export too, whose records end where a file may end."""
    for records in (chain.proof(3), export(born(words("a"), words("b")))):
        data = bundle(records)
        assert verdict(data).good
        for length in range(len(data)):
            report = refused(data[:length], "BROKEN", "INCOMPLETE")
            assert report.lines[-1][0] == "failing link"


# ---- nothing crashes -----------------------------------------------------------------------------


def _paths(value, path=()):
    if path:
        yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _paths(item, (*path, key))


def _with(value, path, item):
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = item
    return value


def test_odd_values_in_a_genesis_are_never_good():
    payload = agent.genesis_payload()
    for path in _paths(payload):
        for odd in ODD:
            ledger = Ledger()
            changed = _with(payload, path, odd)
            ledger.add(Draft(type="genesis.born", stream=bytes(16), payload=changed))
            refused(export(ledger), "BROKEN")


def test_odd_values_in_an_epoch_record_are_never_good():
    ledger = born(words("a"))
    draft = agent.epoch_record(ledger)
    for name in ("epoch", "kept_size", "kept_root", "key", "signature"):
        for odd in ODD:
            log = born(words("a"))
            log.add(replace(draft, payload={**draft.payload, name: odd}))
            refused(export(log, [log.head(epoch=1)], epoch=1), "BROKEN", "REWRITTEN")


def test_odd_values_in_an_opening_are_never_good(chain):
    opening = agent.OPENING.to_value()
    for path in _paths(opening):
        for odd in ODD:
            payload = {"opening": _with(opening, path, odd)}
            ledger = born(words("a"), Draft(type="seal.opened", stream=bytes(16), payload=payload))
            ledger.add(words("b"))
            ledger.add(words("c"))
            records = proof(ledger, 3, [3, 5], also=[2], attachments=[chain.attachment()])
            refused(records, "BROKEN", "INCOMPLETE")


def test_odd_values_in_a_link_never_crash_and_never_deepen(chain):
    value = chain.attachment()[1]
    for path in _paths(value):
        if path[0] != "sizes":
            for odd in ODD:
                report = verdict(chain.proof(3, attachment=("seal", _with(value, path, odd))))
                assert report.verdict in {"TEST", "BROKEN", "INCOMPLETE"}


@pytest.mark.parametrize(
    "text",
    [
        *("9bffffffffffffffff", "9b7fffffffffffffff", "5b7fffffffffffffff", "7bffffffffffffffff"),
        *("bbffffffffffffffff", "ff", "81ff", "f7", "e0", "fb7ff8000000000000", "d81c80"),
        *("c249010000000000000000", "d8198100", "5f41004100ff", "9f00ff", "d9010080", "fc"),
        *(
            "81" * 40 + "80",
            "81" * 100_000 + "80",
            "a160" * 100_000 + "80",
            "9a00ffffff" + "80" * 9,
        ),
    ],
    ids=lambda text: f"{text[:18]}-{len(text)}",
)
def test_hostile_cbor_in_any_place_is_broken(text):
    hostile = bytes.fromhex(text)
    ledger = born(words("a"))
    refused(bundle([*export(ledger), hostile]), "BROKEN")
    record = ["event", 2, hostile[:16384], bytes(32), hostile[:65536], None, None]
    refused([*export(ledger)[:-1], record], "BROKEN")


def test_a_cause_far_away_is_not_looked_up():
    far = Cause(position=2**62, id=bytes(32))
    refused(export(born(words("a", causes=(far,)))), "BROKEN")


def test_the_end_record_cannot_be_played_twice_or_early():
    data = bundle(export(born(words("a"))))
    refused(data + data, "BROKEN")
    refused(data[:-1], "BROKEN")
    end = data[data.rindex(b"\x83\x63end") - 4 :]
    refused(data[: -len(end)] + end + end, "BROKEN")


def test_a_proof_of_more_than_ten_thousand_records_is_not_read_on():
    records = [*proof(born(words("a")), 1, [2]), *[encode(["subject", 1])] * 10_001]
    refused(records, "BROKEN")


# ---- what succeeded once ---------------------------------------------------------------------


def test_an_export_with_a_head_of_another_history_is_rewritten():
    mine, other = born(words("a"), words("b")), born(words("never"))
    refused(export(mine, [other.head(2), mine.head()]), "REWRITTEN")
    refused(export(mine, [mine.head(), other.head(2)]), "REWRITTEN")
    assert verdict(export(mine, [mine.head(2), mine.head()])).good


def test_an_envelope_of_version_true_is_no_second_leaf_for_one_id():
    ledger = born()
    record = ledger.records[0]
    twin = record._replace(envelope=b"\x8a\xf5" + record.envelope[2:])
    with pytest.raises(InvalidEvent):
        Event.open(twin)


@pytest.mark.parametrize(
    "targets", [None, 5, [[]], [{}], ["x", 1], [True], {"1": 1}, b"\x01"], ids=repr
)
def test_targets_that_are_no_positions_are_refused(targets):
    ledger = born(words("a"))
    payload = {"targets": targets}
    ledger.add(Draft(type="ledger.redacted", stream=bytes(16), payload=payload))
    ledger.erase(1)
    refused(export(ledger), "BROKEN")


@pytest.mark.parametrize("odd", [[], {}, [[]], True], ids=repr)
def test_sizes_that_are_no_numbers_are_refused(odd):
    chain = agent.anchored_ledger()
    value = chain.attachment()[1] | {"sizes": [odd, 5]}
    refused(chain.proof(3, attachment=("seal", value)), "BROKEN", "INCOMPLETE")


def test_a_size_of_five_thousand_digits_is_refused():
    ledger = born(words("a"))
    origin = ledger.head().checkpoint.origin
    note = sign_note(f"{origin}\n{'9' * 5000}\n{'A' * 43}=\n", origin, agent.LOG)
    refused([*export(ledger)[:-1], ["checkpoint", note.encode()]], "BROKEN")
