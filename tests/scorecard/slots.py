"""Attacks of an aggregator on the ledgers in its rounds, and of one who hides behind it."""

from dataclasses import replace

from attest.core.aggregate import Slot, SlotProof, branch_hash
from tests.attest.delegations import sha
from tests.scorecard.homes import BROKEN, row
from tests.scorecard.rows import BITCOIN, NOBODY, NODE, ROUNDS, SEAL_KEY, verified
from tests.spec.life import branch
from tests.spec.make_delegated import Rounds, Story, while_delegated

WORDS = 4
"""Where the words are that the ledger said after it had delegated."""


def delegated_true_history():
    """Not an attack: what the others are compared with."""
    return while_delegated().records(WORDS)


# ---- dropped -------------------------------------------------------------------------------------


def slot_left_out():
    """The last link is handed out without slot and without absence."""
    story = while_delegated()
    return story.records(WORDS, delegations=story.with_link(2, slot=None))


def slot_never_given():
    """Every round goes without the ledger, and shows it."""
    return Story.begun().delegate().say("delegated").absent().absent().records(WORDS)


def slot_link_left_out():
    """The round in the middle, in which he would have to show something."""
    story = while_delegated()
    del story.rounds.links[1], story.slotted[1]
    return story.records(WORDS)


def slot_links_kept_back():
    """The segment ends before the round that he will not show."""
    story = while_delegated().say("and on").slot()
    del story.rounds.links[-1], story.slotted[-1]
    return story.records(WORDS)


# ---- doubled -------------------------------------------------------------------------------------


def doubled(story, shown):
    """A tree with two slots of one ledger, the true head's where it belongs; `shown` is proven."""
    ledger, rounds = story.life.ledger.id, story.rounds
    place = Slot(ledger=ledger, digest=story.life.head().anchor_digest())
    other = Slot(ledger=ledger, digest=sha("another history"))
    pair = (place.hash, other.hash) if ledger[0] < 128 else (other.hash, place.hash)
    proofs = {
        "first": SlotProof(end=place, siblings=(other.hash,)),
        "second": SlotProof(end=other, siblings=(place.hash,)),
    }
    rounds.close_over(branch_hash(*pair), proofs[shown])
    story.slotted.append(story.life.head())
    return story.records(WORDS)


def slot_doubled():
    """The second slot has no proof: the path follows the ledger's own id."""
    return doubled(Story.begun().delegate().say("delegated"), "second")


def slot_doubled_in_vain():
    """What the true slot shows is the true head, whatever else the tree holds."""
    return doubled(Story.begun().delegate().say("delegated"), "first")


def slot_in_another_tree():
    """Two trees, two histories, each with its time; the ledger did not delegate."""
    story = Story.begun().say("never said").slot()
    head, shown = story.slotted[0], story.rounds.links[0]
    link = replace(shown, link=replace(shown.link, spent=()))
    value = {"epoch": 0, "size": head.size} | link.to_value()
    return story.life.proof(3, [4], attachments=[("aggregate", value)])


# ---- delayed -------------------------------------------------------------------------------------


def slot_delayed():
    """The head waits while rounds go by, and is given a slot in the end: dated by that block."""
    story = Story.begun().delegate().say("delegated")
    return story.absent().absent().absent().slot(blocks=6).records(WORDS)


# ---- lied ----------------------------------------------------------------------------------------


def slot_of_another_digest():
    """He puts something else into the slot, and says that it is the head."""
    story = Story.begun().delegate().say("delegated")
    story.slotted.append(story.life.head())
    story.rounds.close(digest=sha("a lie"), ledger=story.life.ledger.id)
    return story.records(WORDS)


def slot_said_to_be_absent():
    """The ledger has its slot; he shows the absence of a round in which it had none."""
    story = while_delegated()
    absence = story.rounds.links[0].slot.to_value()
    [entry] = story.with_link(2, slot=absence)
    return story.records(WORDS, delegations=[entry | {"heads": [None, None, None]}])


def slot_of_a_rewritten_head():
    """He is the ledger's owner too: the slot has the true head, the rest of the log is another."""
    story = while_delegated()
    his = branch(Story.begun().life)
    for record in story.life.ledger.records[3:WORDS]:
        his.ledger.keep(record)
    his.ledger.lengths = dict(story.life.ledger.lengths)
    his.say("never said").say("and more")
    return replace(story, life=his).records(WORDS + 1)


# ---- behind it -----------------------------------------------------------------------------------


def slot_behind_a_spent_seal():
    """While it was delegated he anchored another history on the own seal, and does not show it."""
    story = while_delegated()
    shown = story.records(WORDS)
    spent = story.chain.seal.outpoint
    story.say("another history").own()
    assert story.chain.links[-1].to_value() not in shown[-1][2]["links"]
    assert any(str(spent) in text for text in verified(shown).not_shown)
    return shown


def slot_of_a_seal_handed_over():
    """The own seal goes to a new key while it is delegated, without a return."""
    story = while_delegated()
    story.life.hand_over()
    story.chain.hand_over(story.life.head(), 1)
    return story.records(WORDS)


def slot_from_another_seal():
    """Links of an aggregator that the ledger did not name."""
    story = while_delegated()
    rounds = Rounds()
    rounds.close(ledger=story.life.ledger.id).close(story.life.head())
    segment = rounds.segment.to_value() | {
        "origin": replace(rounds.links[0].link, spent=()).to_value()
    }
    entry = story.entry | {"segment": segment, "heads": [None, [0, story.life.size]]}
    return story.records(WORDS, delegations=[entry])


def by_him(make, attack, by, verdict, says, question="", *, means=ROUNDS, to="delegated proof"):
    return row(make, attack, by, verdict, says, question=question, means=means, to=to)


ROWS = [
    by_him(slot_left_out, "drop a ledger: hand out a link without its slot", BITCOIN, "INCOMPLETE", "without this ledger's slot", "freshness"),
    by_him(slot_never_given, "drop a ledger from every round (its absence is shown, not whose fault it is)", BITCOIN, "TEST", "no anchor here covers it"),
    by_him(slot_link_left_out, "drop a round: leave its link out", BITCOIN, BROKEN, "the seal is", "freshness"),
    by_him(slot_links_kept_back, "drop the last round: keep its link back", NODE, "TEST", "made no further link"),
    by_him(slot_doubled, "double a ledger: two slots in one tree", BITCOIN, BROKEN, "the slot leads to root", "freshness"),
    by_him(slot_doubled_in_vain, "the same, and show the slot in its place: it is the true one", BITCOIN, "TEST", "existed no later than"),
    by_him(slot_in_another_tree, "double a ledger: a second history in another tree", NOBODY, "TEST", "that there is one history", means=SEAL_KEY, to="proof with a slot"),
    by_him(slot_delayed, "delay a ledger: a slot some rounds later", NOBODY, "TEST", "block 340, 6 deep here"),
    by_him(slot_of_another_digest, "lie: another digest in the slot", BITCOIN, BROKEN, "the slot holds", "freshness"),
    by_him(slot_said_to_be_absent, "lie: the absence of another round", BITCOIN, BROKEN, "the slot leads to root", "freshness"),
    by_him(slot_of_a_rewritten_head, "rewrite what a slot has, with the owner", BITCOIN, "REWRITTEN", "does not continue", "integrity", means=SEAL_KEY),
    by_him(slot_behind_a_spent_seal, "anchor a second history on the own seal, show the delegation alone", NODE, "TEST", "own seal was not spent", means=SEAL_KEY),
    by_him(slot_of_a_seal_handed_over, "hand the own seal over while it is delegated", BITCOIN, BROKEN, "returned first", "freshness", means=SEAL_KEY),
    by_him(slot_from_another_seal, "swap the aggregator for one that the ledger did not name", BITCOIN, BROKEN, "the delegation names", "freshness", means=SEAL_KEY),
]  # fmt: skip
"""Every attack by an aggregator, or behind its back."""
