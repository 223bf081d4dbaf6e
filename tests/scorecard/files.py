"""Attacks on what leaves a home: exports, proofs, anchors in Bitcoin, heads that others relay."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

from attest.core.seal import opening_draft
from ledger.core.codec import encode
from ledger.core.equivocation import Equivocation
from ledger.core.event import Draft
from mesh.core.nip01 import NostrSigner
from mesh.mirrors.comparing import Unresponsive, View, put_beside
from mesh.mirrors.source import SourceFailed
from mesh.witnesses.checkpoints import CheckpointKinds, Published, mint_checkpoint
from tests.scorecard.homes import BROKEN, INCOMPLETE, PENDING, row
from tests.scorecard.rows import (
    BITCOIN,
    COMPARED,
    EXPORT,
    KIT,
    LEDGER,
    LOG_KEY,
    NO_KEY,
    NOBODY,
    SEAL_KEY,
    WITNESS,
    Beside,
)
from tests.spec import agent, make_bundles
from tests.spec.agent import Ledger, export, fact, proof, words
from tests.spec.make_bundles import changed, without

DIVERGED, RECOVERED, REWRITTEN, TEST = "DIVERGED", "RECOVERED", "REWRITTEN", "TEST"
STALE = "STALE"
OTHER_HISTORY = "that no other history was shown to somebody else"


def life(*more) -> Ledger:
    """Genesis, words, an answer, the redaction of the words, more words and a fact."""
    ledger = make_bundles.six()
    for draft in more:
        ledger.add(draft)
    return ledger


def liar() -> Ledger:
    """The same life with another answer, told by whoever owns the log key."""
    mine, ledger = life(), Ledger()
    for record in mine.records[:2]:
        ledger.keep(record)
    ledger.lengths = {bytes(16): 1, agent.STREAM: 1}
    ledger.add(words("no", kind="message.sent"))
    ledger.add(agent.redaction(1))
    for draft in (words("more"), fact(1), words("and more")):
        ledger.add(draft)
    return ledger


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


# ---- an export -----------------------------------------------------------------------------------


def export_edit_content():
    return changed(export(life()), "event", 2, f6=encode({"text": "no"}))


def export_edit_payload():
    return changed(export(life()), "event", 2, f4=encode({"author": "mallory"}))


def export_edit_and_reseal():
    events = export(liar())[: 1 + life().tree.size]
    return [*events, ["checkpoint", life().head().encode()]]


def export_insert():
    records = export(life())
    return [*records[:4], records[3], *records[4:]]


def export_delete():
    return without(export(life()), "event", 2)


def export_reorder():
    records = export(life())
    records[3], records[5] = records[5], records[3]
    return records


def export_truncate():
    return without(export(life()), "event", 5)


def export_truncate_with_its_head():
    """An export made when the log was shorter is as good as ever: nothing says that it is old."""
    ledger = life()
    records = export(ledger, [ledger.head(4)])
    return [record for record in records if record[0] != "event" or record[1] < 4]


def export_cut_the_file():
    data = agent.bundle(export(life()))
    return data[: len(data) * 2 // 3]


def export_backdate():
    ledger = life()
    ledger.add(words("long ago"), ts_ms=agent.BORN_MS)
    return export(ledger)


def export_drop_content():
    ledger = life()
    ledger.erase(4)
    return export(ledger)


def export_put_redacted_content_back():
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    ledger.add(words("hello"))
    ledger.add(agent.redaction(1))
    return export(ledger)


def export_flip_a_bit():
    data = agent.bundle(export(life()))
    return flipped(data, len(data) * 2 // 3)


def export_sign_with_another_key():
    return export(life(), [life().head(by=agent.STRANGER)])


def export_swap_a_key_in_genesis():
    ledger = Ledger()
    keys = {**agent.genesis_payload()["keys"], "log": agent.STRANGER.public}
    ledger.add(agent.genesis_draft(keys=keys))
    return export(ledger, [ledger.head(by=agent.STRANGER)])


def export_another_agent_with_the_same_soul():
    ledger = Ledger()
    payload = agent.genesis_payload(created_ms=1)
    ledger.add(Draft(type="genesis.born", stream=bytes(16), payload=payload))
    ledger.add(words("I am the real one"))
    return export(ledger)


def export_rewrite():
    return export(liar())


def export_rewrite_beside_an_older_head():
    return Beside(export(liar()), life().head().encode())


def export_rewrite_beside_a_head_of_its_size():
    mine = life(words("what was really said"))
    return Beside(export(liar()), export(mine))


def export_rewrite_beside_an_older_export():
    """No head of one size is in both: the first event that differs is what shows it."""
    return Beside(export(liar()), export(life()))


def export_rewrite_with_both_heads_in_it():
    """Who joins the two himself needs no second file."""
    return export(liar(), [life().head(), liar().head()])


def export_another_agent_beside_a_head():
    return Beside(export_another_agent_with_the_same_soul(), life().head().encode())


def export_an_old_one_beside_a_newer_head():
    """Nobody can say that an old export is the newest to one who was shown a newer head."""
    return Beside(export_truncate_with_its_head(), life().head().encode())


def export_recovered_beside_what_it_gave_up():
    """A recovery keeps what it likes, publicly: whoever was shown more is told."""
    ledger = make_bundles.small_ledger()
    ledger.add(agent.epoch_record(ledger))
    return Beside(export(ledger, [ledger.head(epoch=1)], epoch=1), life().head().encode())


def export_recover_to_another_history():
    """The thief of the recovery kit keeps what he likes; the record says which history that is."""
    ledger = liar()
    ledger.add(agent.epoch_record(ledger, kept_root=life(fact(2)).tree.root()))
    return export(ledger, [ledger.head(epoch=1)], epoch=1)


def export_recover_a_second_time():
    """Each of two recoveries is whole by itself."""
    ledger = make_bundles.small_ledger()
    ledger.add(agent.epoch_record(ledger))
    ledger.add(words("the other recovery said something else here"))
    return export(ledger, [ledger.head(epoch=1)], epoch=1)


def export_an_old_one():
    return export(make_bundles.small_ledger())


# ---- a proof -------------------------------------------------------------------------------------


def proof_edit_content():
    return changed(proof(life(), 2, [6]), "event", 1, f6=encode({"text": "no"}))


def proof_of_an_event_that_was_inserted():
    """An event of the liar's under the true head."""
    records = proof(life(), 2, [6])
    return [agent.event_record(liar().records[2]) if r[:2] == ["event", 2] else r for r in records]


def proof_at_another_position():
    return make_bundles.moved(proof(life(), 4, [6]))


def proof_leave_content_out():
    return changed(proof(life(), 2, [6]), "event", 1, f5=None, f6=None)


def proof_flip_a_bit():
    data = agent.bundle(proof(life(), 2, [6]))
    return flipped(data, len(data) // 2)


def proof_sign_with_another_key():
    records = proof(life(), 2, [6])
    return [*records[:-1], ["checkpoint", life().head(by=agent.STRANGER).encode()]]


def proof_rewrite():
    return proof(liar(), 2, [7])


def proof_rewrite_beside_an_older_head():
    """The path that his proof carries leads to his own past, not to the head that is held."""
    path = ["consistency", 6, 7, liar().tree.consistency(6, 7)]
    return Beside([*proof(liar(), 2, [7]), path], life().head().encode())


def proof_rewrite_beside_an_older_proof():
    """No path at all, but the event itself: another one was proven at its position before."""
    return Beside(proof(liar(), 2, [7]), proof(life(), 2, [6]))


def proof_rewrite_beside_a_head_of_its_size():
    mine = life(words("what was really said"))
    return Beside(proof(liar(), 2, [7]), mine.head().encode())


# ---- Bitcoin -------------------------------------------------------------------------------------


def rewritten_chain(chain):
    """The thief's log continues genesis and opening, and his head is in the anchor."""
    other = Ledger()
    for record in chain.ledger.records[:3]:
        other.keep(record)
        stream = agent.Event.open(record).stream
        other.lengths[stream] = other.lengths.get(stream, 0) + 1
    other.add(words("never said"))
    other.add(fact(2))
    return other


def anchor_a_rewritten_log():
    """He owns log and seal key: the spend is valid, and Bitcoin has it. The heads tell."""
    chain = agent.anchored_ledger()
    other = rewritten_chain(chain)
    draft = agent.anchor_draft_of(chain.transactions[0], other.head().anchor_digest(), 11)
    spend = agent.signed(draft)
    previous = agent.double_sha256(chain.links[0].headers[0])
    blocks = agent.block_of(spend.txid, blocks=6, previous=previous, time_s=1_790_000_600)
    link = agent.link(spend, height=201, headers=blocks, spent=draft.spent[1:])
    seal = {"links": [chain.links[0].to_value(), link.to_value()], "sizes": [3, 5]}
    return proof(other, 3, [3, 5], also=[2], attachments=[("seal", seal)])


def anchor_a_rewritten_past():
    """What lay under the first anchor was changed too: its preimage is still the true head."""
    chain = agent.anchored_ledger()
    other = Ledger()
    other.keep(chain.ledger.records[0])
    other.lengths = {bytes(16): 1}
    other.add(words("never said"))
    other.add(Draft(type="seal.opened", stream=bytes(16),
                    payload={"opening": agent.OPENING.to_value()}))  # fmt: skip
    other.add(words("first anchored words"))
    other.add(fact(1))
    draft = agent.anchor_draft_of(chain.transactions[0], other.head().anchor_digest(), 11)
    spend = agent.signed(draft)
    previous = agent.double_sha256(chain.links[0].headers[0])
    blocks = agent.block_of(spend.txid, blocks=6, previous=previous, time_s=1_790_000_600)
    link = agent.link(spend, height=201, headers=blocks, spent=draft.spent[1:])
    seal = {"links": [chain.links[0].to_value(), link.to_value()], "sizes": [3, 5]}
    records = proof(other, 1, [3, 5], also=[2], attachments=[("seal", seal)])
    records = [r for r in records if r[0] not in {"checkpoint", "inclusion"}]
    paths = [agent.inclusion(other, at, 5) for at in (0, 1, 2)]
    heads = [["checkpoint", head.encode()] for head in (chain.ledger.head(3), other.head())]
    return [*records, *paths, *heads]


def anchor_leave_a_preimage_out():
    """The anchor that would contradict him is in the chain; he does not show what it commits to."""
    chain = agent.anchored_ledger()
    return chain.proof(3, sizes=[5])


def anchor_swap_transactions():
    chain = agent.anchored_ledger()
    return make_bundles_seal(chain, links=[link.to_value() for link in reversed(chain.links)])


def anchor_reuse_for_another_head():
    """The anchor of size 5, shown as if it were over size 6."""
    chain = agent.anchored_ledger()
    seal = ("seal", {"links": [link.to_value() for link in chain.links], "sizes": [3, 6]})
    return chain.proof(5, sizes=[3, 6], attachment=seal)


def anchor_of_another_seal():
    chain = agent.anchored_ledger()
    opening = replace(agent.OPENING, outpoint=agent.coin(9).outpoint)
    return make_bundles.rebuilt(chain, opening=opening).proof(3)


def anchor_twice_as_deep():
    chain = agent.anchored_ledger()
    link = chain.links[1].to_value()
    return make_bundles_seal(
        chain, links=[chain.links[0].to_value(), link | {"headers": link["headers"] * 2}]
    )


def anchor_in_an_earlier_block():
    """The block's time is what the work was done over: an earlier one is another block."""
    chain = agent.anchored_ledger()
    link = chain.links[1].to_value()
    headers = bytearray(link["headers"])
    headers[68:72] = (1_500_000_000).to_bytes(4, "little")
    return make_bundles_seal(
        chain, links=[chain.links[0].to_value(), link | {"headers": bytes(headers)}]
    )


def anchor_an_event_with_an_earlier_time():
    """Ten years before birth is what the node says; the block says only "not after"."""
    ledger = Ledger()
    ledger.add(agent.genesis_draft(), ts_ms=agent.BORN_MS - 10**11)
    ledger.add(words("I knew it ten years ago"), ts_ms=agent.BORN_MS - 10**11)
    ledger.add(Draft(type="seal.opened", stream=bytes(16),
                     payload={"opening": agent.OPENING.to_value()}))  # fmt: skip
    zero = agent.signed(agent.opening_draft_of(ledger.head().anchor_digest()))
    link = agent.link(zero, height=200, headers=agent.block_of(zero.txid))
    seal = ("seal", {"links": [link.to_value()], "sizes": [3]})
    return proof(ledger, 1, [3], also=[2], attachments=[seal])


def anchor_another_opening():
    """Two seals for one identity: each proof is whole, and says how little that is."""
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    ledger.add(words("never said"))
    opening = replace(agent.OPENING, outpoint=agent.coin(12).outpoint).to_value()
    ledger.add(Draft(type="seal.opened", stream=bytes(16), payload={"opening": opening}))
    draft = opening_draft(
        coins=[agent.coin(12)],
        digest=ledger.head().anchor_digest(),
        seal=agent.SEAL_OUT,
        recovery=agent.RECOVERY_OUT,
        change_script=agent.FUNDING.script,
        fee=agent.FEE,
    )
    zero = agent.signed(draft)
    link = agent.link(zero, height=200, headers=agent.block_of(zero.txid))
    seal = ("seal", {"links": [link.to_value()], "sizes": [3]})
    return proof(ledger, 1, [3], also=[2], attachments=[seal])


def make_bundles_seal(chain, **changes):
    return chain.proof(3, attachment=chain.attachment(**changes))


# ---- heads that relays hand on -------------------------------------------------------------------


def relayed(head) -> bytes:
    """A head as it comes back from a relay: a Nostr event of kind 78, opened by its reader."""
    checkpoint = head.checkpoint
    published = Published(
        ledger=checkpoint.ledger_id.hex(),
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        note=head.encode().decode(),
    )
    signer = NostrSigner(agent.KEYS.nostr.secret)
    event = mint_checkpoint(signer, published, now=agent.BORN_MS // 1000, kinds=CheckpointKinds())
    return Published.parse(event, CheckpointKinds()).note.encode()


def relay_forge_a_head():
    return Beside(export(life()), relayed(life().head(root=bytes(32), by=agent.STRANGER)))


def relay_another_root_at_one_size():
    return Beside(export(life()), relayed(life().head(root=bytes(32))))


def relay_a_head_of_a_rewritten_log():
    return Beside(export(liar()), relayed(life().head()))


def relay_keep_the_newer_head_back():
    """Every relay agrees, and none shows the newest: an old head is a true one."""
    return Beside(export_truncate_with_its_head(), relayed(life().head(4)))


def relay_show_a_newer_head():
    """One relay that shows it is enough."""
    return Beside(export_truncate_with_its_head(), relayed(life().head()))


def relay_a_different_head_to_each():
    """One reader, one relay, one head: nothing to compare it with."""
    return Beside(export(liar()), relayed(liar().head()))


def put_together(tiles):
    """Two nodes have met: each was shown its own history, and asks the other for its hashes."""
    mine, other = life(), liar()

    async def given(level, index, width):
        return tiles(other.tree, level, index, width)

    one = View(head=mine.head(), tiles=None, log=SimpleNamespace(tree=mine.tree))
    return asyncio.run(put_beside(one, View(head=other.head(), tiles=given)))


def relay_two_histories_of_two_sizes():
    """The file that the comparison makes, as any stranger reads it."""
    found = put_together(
        lambda tree, level, index, width: b"".join(
            tree.node(8 * level, 256 * index + column) for column in range(width)
        )
    )
    return Equivocation(
        ledger_id=life().id, epoch=0, introduction=agent.bundle(proof(life(), 0, [6])),
        notes=found.notes, branches=found.branches,
    ).encode()  # fmt: skip


def relay_refuse_to_be_compared():
    """No hashes, or hashes of something else, show nothing: the file alone is as good as before."""

    def refused(*_):
        raise SourceFailed("no such thing", refused=True)

    for tiles in (refused, lambda _tree, _level, _index, width: bytes(32 * width)):
        assert isinstance(put_together(tiles), Unresponsive)
    return export(liar())


FILES = [
    row(export_edit_content, "edit content", LEDGER, BROKEN, "event 2: ", question="integrity", to="export"),
    row(export_edit_payload, "edit a payload", LEDGER, BROKEN, "event 2: ", question="integrity", to="export"),
    row(export_edit_and_reseal, "edit an event, seal all after it anew, keep the signed head", LEDGER, BROKEN, "events lead to root", question="integrity", to="export"),
    row(export_insert, "insert an event", LEDGER, BROKEN, "event 2 where event 3 belongs", question="integrity", to="export"),
    row(export_delete, "delete an event", LEDGER, BROKEN, "event 3 where event 2 belongs", question="integrity", to="export"),
    row(export_reorder, "reorder two events", LEDGER, BROKEN, "event 4 where event 2 belongs", question="integrity", to="export"),
    row(export_truncate, "truncate the tail", LEDGER, INCOMPLETE, "5 events are here, the checkpoint signs 6", question="completeness", to="export"),
    row(export_truncate_with_its_head, "truncate the tail, with an older head that was signed", WITNESS, PENDING, "nothing here shows it is the newest", to="export", witnessed="STALE"),
    row(export_cut_the_file, "cut the file", LEDGER, BROKEN, "truncated", question="integrity", to="export"),
    row(export_backdate, "backdate one event", LEDGER, BROKEN, "is before its predecessor's", question="integrity", to="export", means=LOG_KEY),
    row(export_drop_content, "drop content silently", LEDGER, INCOMPLETE, "content of events 4 is MISSING", question="completeness", to="export"),
    row(export_put_redacted_content_back, "put redacted content back", LEDGER, BROKEN, "redacted content of events 1", question="completeness", to="export"),
    row(export_flip_a_bit, "corrupt one bit", LEDGER, BROKEN, "closing record does not match", question="integrity", to="export"),
    row(export_sign_with_another_key, "swap the key that signs the head", LEDGER, BROKEN, "signature", question="integrity", to="export"),
    row(export_swap_a_key_in_genesis, "swap a key in genesis", LEDGER, BROKEN, "genesis: ", question="identity", to="export"),
    row(export_another_agent_with_the_same_soul, "swap every key: another agent with the same SOUL", NOBODY, PENDING, "that no other agent has this SOUL: compare the ledger id", to="export"),
    row(export_an_old_one, "show an old export as if it were new", WITNESS, PENDING, "nothing here shows it is the newest", to="export", witnessed="STALE"),
    row(export_rewrite, "rewrite everything, show each reader another history", WITNESS, PENDING, OTHER_HISTORY, means=LOG_KEY, to="export", witnessed="not cosigned"),
    row(export_rewrite_beside_an_older_head, "rewrite everything, an older head is held beside it", EXPORT, REWRITTEN, "held: the head of size 6 is of another history", question="integrity", means=LOG_KEY, to="export"),
    row(export_rewrite_beside_a_head_of_its_size, "rewrite everything, a head of its size is held beside it", EXPORT, DIVERGED, "held: two signed roots at size 7", question="integrity", means=LOG_KEY, to="export"),
    row(export_rewrite_beside_an_older_export, "rewrite everything, an older export is held beside it", EXPORT, DIVERGED, "is one under the signed head of size 7 and another under that of size 6", question="integrity", means=LOG_KEY, to="export"),
    row(export_rewrite_with_both_heads_in_it, "rewrite everything, an older head is in the same file", LEDGER, REWRITTEN, "is of another history", question="integrity", means=LOG_KEY, to="export"),
    row(export_another_agent_beside_a_head, "swap every key: another agent, an older head is held beside it", EXPORT, BROKEN, "held: it is of ledger", question="identity", to="export"),
    row(export_an_old_one_beside_a_newer_head, "show an old export as if it were new, a newer head is held beside it", EXPORT, STALE, "nothing shows whether it is the beginning", question="freshness", to="export"),
    row(export_recovered_beside_what_it_gave_up, "recover, giving up what a reader was shown", EXPORT, REWRITTEN, "gave up what came after", question="integrity", means=KIT, to="export"),
    row(export_recover_to_another_history, "recover, keeping another history than the file's", LEDGER, REWRITTEN, "keeps another history", question="integrity", means=KIT, to="export"),
    row(export_recover_a_second_time, "recover a second time, from an older state", WITNESS, RECOVERED, OTHER_HISTORY, means=KIT, to="export", witnessed="not cosigned"),
    row(proof_edit_content, "edit content", LEDGER, BROKEN, "event 2: ", question="integrity", to="proof"),
    row(proof_of_an_event_that_was_inserted, "insert an event that is not in the log", LEDGER, BROKEN, "inclusion leads to root", question="integrity", to="proof"),
    row(proof_at_another_position, "reorder: the event at another position", LEDGER, BROKEN, "hashes are too few for index 3 of 6", question="integrity", to="proof"),
    row(proof_leave_content_out, "drop content silently", NOBODY, PENDING, "redacted, or left out by who made this file", to="proof"),
    row(proof_flip_a_bit, "corrupt one bit", LEDGER, BROKEN, "does not match the envelope's commitment", question="integrity", to="proof"),
    row(proof_sign_with_another_key, "swap the key that signs the head", LEDGER, BROKEN, "signature", question="integrity", to="proof"),
    row(proof_rewrite, "rewrite everything, show each reader another history", WITNESS, PENDING, OTHER_HISTORY, means=LOG_KEY, to="proof", witnessed="not cosigned"),
    row(proof_rewrite_beside_an_older_head, "rewrite everything, an older head is held beside it", EXPORT, REWRITTEN, "held: the head of size 7 does not continue", question="integrity", means=LOG_KEY, to="proof"),
    row(proof_rewrite_beside_an_older_proof, "rewrite everything, an older proof of the event is held beside it", EXPORT, REWRITTEN, "held: event 2 is another one", question="integrity", means=LOG_KEY, to="proof"),
    row(proof_rewrite_beside_a_head_of_its_size, "rewrite everything, a head of its size is held beside it", EXPORT, DIVERGED, "two signed roots at size 7", question="integrity", means=LOG_KEY, to="proof"),
    row(relay_forge_a_head, "forge a head", LEDGER, BROKEN, "signature", question="integrity", to="relayed heads"),
    row(relay_another_root_at_one_size, "show different histories: two roots of one size", EXPORT, DIVERGED, "two signed roots at size 6", question="integrity", means=LOG_KEY, to="relayed heads"),
    row(relay_a_head_of_a_rewritten_log, "rewrite everything, an older head is still on a relay", EXPORT, REWRITTEN, "is of another history", question="integrity", means=LOG_KEY, to="relayed heads"),
    row(relay_show_a_newer_head, "show an old export, a newer head is still on a relay", EXPORT, STALE, "6 events of epoch 0 are held", question="freshness", to="relayed heads"),
    row(relay_keep_the_newer_head_back, "keep newer heads back", WITNESS, PENDING, "that no later head exists", to="relayed heads", witnessed="STALE"),
    row(relay_a_different_head_to_each, "show each reader another head", WITNESS, PENDING, OTHER_HISTORY, means=LOG_KEY, to="relayed heads", witnessed="not cosigned"),
    row(relay_two_histories_of_two_sizes, "show two nodes two histories, of two sizes", COMPARED, DIVERGED, "and another under that of size 7", question="integrity", means=LOG_KEY, to="relayed heads"),
    row(relay_refuse_to_be_compared, "the same, and give nobody the hashes", WITNESS, PENDING, OTHER_HISTORY, means=LOG_KEY, to="relayed heads", witnessed="not cosigned"),
    row(anchor_a_rewritten_log, "rewrite what no anchor covers yet, anchor it", NOBODY, TEST, "that no other history", means=SEAL_KEY, to="anchored proof"),
    row(anchor_a_rewritten_past, "rewrite what is anchored, anchor the new history on the same seal", BITCOIN, REWRITTEN, "does not continue that of 3", question="integrity", means=SEAL_KEY, to="anchored proof"),
    row(anchor_leave_a_preimage_out, "leave out the head of an earlier anchor", BITCOIN, INCOMPLETE, "preimage of an anchor", question="freshness", means=NO_KEY, to="anchored proof"),
    row(anchor_swap_transactions, "swap two anchors", BITCOIN, BROKEN, "is of kind anchor, expected opening", question="freshness", to="anchored proof"),
    row(anchor_reuse_for_another_head, "reuse an anchor for a later head", BITCOIN, BROKEN, "commits to", question="freshness", to="anchored proof"),
    row(anchor_of_another_seal, "swap the seal: an opening that the ledger did not name", BITCOIN, BROKEN, "the opening names", question="freshness", means=SEAL_KEY, to="anchored proof"),
    row(anchor_twice_as_deep, "count the same blocks twice", BITCOIN, BROKEN, "as the one before it", question="freshness", to="anchored proof"),
    row(anchor_in_an_earlier_block, "backdate the block", BITCOIN, BROKEN, "does not meet its target", question="freshness", to="anchored proof"),
    row(anchor_an_event_with_an_earlier_time, "backdate an event before it is anchored", NOBODY, TEST, "existed no later than", means=LOG_KEY, to="anchored proof"),
    row(anchor_another_opening, "anchor a second history on a seal of its own", WITNESS, TEST, "no other seal", means=SEAL_KEY, to="anchored proof", witnessed="not cosigned"),
]  # fmt: skip
"""Every attack on a file."""
