"""The bundles among the vectors that were written by more than one set of keys."""

from dataclasses import replace

from attest.core.commitment import Commitment, Kind
from attest.core.seal import Coin
from tests.spec import agent, life
from tests.spec.agent import bundle
from tests.spec.life import Chain, Life, anchored, branch, consistencies, named
from tests.spec.make_bundles import (
    BROKEN,
    DIVERGED,
    INCOMPLETE,
    PENDING,
    RECOVERED,
    REWRITTEN,
    TEST,
    ZEROS,
    case,
    changed,
    without,
)


def cases():
    return [
        *exports(),
        *broken_exports(),
        *proofs(),
        *broken_proofs(),
        *salvages(),
        *seals(),
        *broken_seals(),
    ]


def handed():
    """Genesis, words, handoff 1 at 2, words: the old key's last head is of size 3."""
    return Life.born().hand_over().say("from a new machine")


def handed_twice():
    return handed().hand_over().say("and from another")


def recovered():
    """Genesis, words, words; a recovery with new keys at 3, words."""
    return Life.born().say("kept").recover().say("recovered")


def last(kind, lives):
    """What each life says in its last head, under one verdict."""
    failure, verdict = kind
    return [case(name, failure, verdict, bundle(lived.export())) for name, lived in lives.items()]


def note(head):
    return ["checkpoint", head.encode()]


# ---- exports ------------------------------------------------------------------------------------


def exports():
    one, two = handed(), handed_twice()
    both = [one.head(3), one.head()]
    each = [two.head(2), two.head(3), two.head(4), two.head(5), two.head(6)]
    inside = Life.born().hand_over()
    return [
        *last((None, PENDING), {
            "export over a handoff": one,
            "export over two handoffs": two,
            "export over two handoffs side by side": Life.born().hand_over().hand_over(),
            "export that ends in a handoff, under the old key": inside,
        }),
        *last((None, RECOVERED), {
            "export over a recovery with new keys": recovered(),
            "export that ends in a recovery with new keys": Life.born().recover(),
            "export over an epoch and then a handoff": Life.born().recover(renew=False).hand_over().say("on"),
            "export over a handoff and then an epoch": Life.born().hand_over().recover(renew=False).say("on"),
            "export over a recovery right behind another": Life.born().recover().recover().say("on"),
        }),
        case("export with the last head of the old key", None, PENDING, bundle(one.export(both))),
        case("export with heads of three keys", None, PENDING, bundle(two.export(each))),
        case("backup over a handoff", None, PENDING, bundle([agent.header(one.ledger, "backup"), *one.export()[1:]])),
    ]  # fmt: skip


def broken_exports():
    one, two, new = handed(), handed_twice(), recovered()
    more = handed().say("more")
    old, later = named("log", 0), named("log", 1)
    above = {
        "old key signs above its handoff": (more, more.head(by=old)),
        "old key signs just above its handoff": (one, one.head(4, by=old)),
        "first key signs above the second handoff": (two, two.head(by=old)),
        "second key signs above the second handoff": (two, two.head(by=later)),
        "key of the epoch before signs after a recovery": (new, new.head(by=old)),
    }
    below = {
        "new key signs the head that covers its handoff": (one, one.head(3, by=later)),
        "new key signs below its handoff": (one, one.head(2, by=later)),
        "third key signs between the handoffs": (two, two.head(4, by=named("log", 2))),
        "stranger signs above a handoff": (one, one.head(by=agent.STRANGER)),
        "head of epoch 1 of the size it kept": (new, new.head(3)),
        "head of epoch 1 of the size it kept, by the old key": (new, new.head(3, by=old)),
        "head of an epoch that has not begun": (new, new.head(epoch=2)),
    }
    return [
        *(case(name, "diverged", DIVERGED, bundle(lived.export([head, lived.head()])))
          for name, (lived, head) in above.items()),
        *(case(name, "checkpoint", BROKEN, bundle(lived.export([lived.head(), head])))
          for name, (lived, head) in below.items()),
        case("export with a head of the epoch before", "checkpoint", BROKEN,
             bundle(new.export([new.head(), new.head(3, epoch=0)]))),
        case("first an old key above its handoff, then a stranger", "diverged", DIVERGED,
             bundle(one.export([one.head(by=old), one.head(by=agent.STRANGER)]))),
        case("first a stranger, then an old key above its handoff", "checkpoint", BROKEN,
             bundle(one.export([one.head(by=agent.STRANGER), one.head(by=old)]))),
        *last(("rewritten", REWRITTEN), {
            "handoff that keeps another size": Life.born().hand_over(kept_size=1).say("on"),
            "handoff that keeps another root": Life.born().hand_over(kept_root=ZEROS).say("on"),
            "recovery that keeps another size": Life.born().recover(kept_size=1).say("on"),
            "recovery that keeps a root of 31 bytes": Life.born().recover(kept_root=bytes(31)).say("on"),
        }),
        *last(("lineage", BROKEN), {
            "export over a handoff without the old key": Life.born().hand_over(old=agent.STRANGER).say("on"),
            "export over a handoff by a key that nobody announced": Life.born().hand_over(by=agent.STRANGER).say("on"),
            "export over a handoff whose new seal key did not sign": Life.born().hand_over(new={"seal": agent.STRANGER}).say("on"),
            "export over a handoff of another SOUL": Life.born().hand_over(soul=ZEROS).say("on"),
            "export over a false handoff that keeps another root": Life.born().hand_over(soul=ZEROS, kept_root=ZEROS).say("on"),
            "export over a recovery by the old key": Life.born().recover(by=old).say("on"),
        }),
        case("header of epoch 0 over a recovery", "lineage", BROKEN, bundle([agent.header(new.ledger), *new.export()[1:]])),
        case("last event missing behind a handoff", "missing", INCOMPLETE, bundle(without(one.export(), "event", 3))),
    ]  # fmt: skip


# ---- proofs -------------------------------------------------------------------------------------


def given_up():
    """A recovery at 4, and the life that it gave up, of 7 events: both go on from the same 4."""
    kept = Life.born().open_seal().say("kept")
    lost = branch(kept).say("lost 1").say("lost 2").say("lost 3")
    return kept.recover().say("recovered").say("more").say("and more"), lost


def tied(lived, position, older, pairs, *, sizes=None):
    """A proof with heads of an older epoch, and consistencies (ledger, size, size) for them."""
    records = lived.proof(position, sizes)
    heads = [record for record in records if record[0] == "checkpoint"]
    records = [record for record in records if record[0] != "checkpoint"]
    records += consistencies(records, pairs)
    return [*records, *map(note, older), *heads]


def proofs():
    one, two = handed(), handed_twice()
    new, lost = given_up()
    twice = Life.born().say("kept").recover(renew=False).say("on").recover().say("on")
    early = [(twice.ledger, 3, 4), (twice.ledger, 4, 7)]
    at_kept = [(new.ledger, 4, 8)]
    kept = [(new.ledger, 3, 8)]
    above = [(lost.ledger, 4, 7)]
    mixed = [(lost.ledger, 2, 5), (lost.ledger, 5, 7), (lost.ledger, 4, 7)]
    reversed_ = two.proof(3)
    return [
        case("proof across a handoff", None, PENDING, bundle(one.proof(1))),
        case("proof across two handoffs", None, PENDING, bundle(two.proof(1))),
        case("proof of a handoff", None, PENDING, bundle(two.proof(2))),
        case("proof of a handoff under the old key's last head", None, PENDING, bundle(one.proof(2, [3, 4]))),
        case("proof that ends at a handoff", None, PENDING, bundle(Life.born().hand_over().proof(1))),
        case("proof under heads of three keys", None, PENDING, bundle(two.proof(1, [2, 3, 4, 5, 6]))),
        case("proof across two handoffs, its records reversed", None, PENDING, bundle([reversed_[0], *reversed(reversed_[1:])])),
        case("proof that leaves the last handoff out", None, PENDING, bundle(one.proof(1, [3], lineage=[]))),
        case("proof across a recovery with new keys", None, RECOVERED, bundle(recovered().proof(1))),
        case("proof with a head of the epoch before, below what was kept", None, RECOVERED, bundle(tied(new, 1, [lost.head(3)], kept))),
        case("proof with a head of the epoch before, of what was kept", None, RECOVERED, bundle(tied(new, 1, [lost.head(4)], at_kept))),
        case("proof with a head of the epoch before, above what was kept", None, RECOVERED, bundle(tied(new, 1, [lost.head(7)], above))),
        case("proof with heads of the epoch before on both sides", None, RECOVERED,
             bundle(tied(new, 1, [lost.head(2), lost.head(5), lost.head(7)], mixed))),
        case("proof with a head that was given up, of a size there is again", None, RECOVERED,
             bundle(again(new, lost))),
        case("proof with heads of three epochs", None, RECOVERED,
             bundle(tied(twice, 1, [twice.head(3, epoch=0), twice.head(4, epoch=1)], early))),
        case("proof across an epoch and then a handoff", None, RECOVERED,
             bundle(Life.born().recover(renew=False).hand_over().say("on").proof(1))),
        case("proof across a handoff and then a recovery", None, RECOVERED,
             bundle(Life.born().hand_over().recover().say("on").proof(1))),
    ]  # fmt: skip


def again(lived, lost):
    """Heads of size 7 before and behind the recovery: its record is proven under that of size 8."""
    ledger = lived.ledger
    records = tied(lived, 1, [lost.head(7)], [(ledger, 4, 8)], sizes=[7, 8])
    number = [r[1] for r in records if r[0] == "inclusion"].index(4)
    records = changed(records, "inclusion", number, f2=8, f3=ledger.tree.inclusion(4, 8))
    path = lost.ledger.tree.consistency(4, 7)
    return [[*r[:3], path] if r[:3] == ["consistency", 4, 7] else r for r in records]


def broken_proofs():
    one, two, new = handed(), handed_twice(), recovered()
    lived, lost = given_up()
    above = [(lost.ledger, 4, 7)]
    old = named("log", 0)
    whole, under_two = one.proof(1), one.proof(1, [3, 4])
    false = tied(lived, 1, [lost.head(7)], above)
    false = [[*r[:3], [ZEROS] * len(r[3])] if r[:3] == ["consistency", 4, 7] else r for r in false]
    straight = tied(lived, 1, [lost.head(7)], [(lived.ledger, 7, 8)])
    epoch_before = [record for record in new.proof(1) if record[0] != "checkpoint"]
    broken = {
        "proof in which the old key signs above its handoff": ("diverged", DIVERGED, [*whole, note(one.head(by=old))]),
        "proof that leaves out a handoff that its head is above": ("checkpoint", BROKEN, one.proof(1, lineage=[])),
        "proof that leaves out the first of two handoffs": ("lineage", BROKEN, two.proof(1, lineage=[4])),
        "proof that leaves out the second of two handoffs": ("checkpoint", BROKEN, two.proof(1, lineage=[2])),
        "proof without the record of a recovery with new keys": ("missing", INCOMPLETE, new.proof(1, lineage=[])),
        "proof with a head of epoch 0 alone, behind a recovery": ("checkpoint", BROKEN, [*epoch_before, note(new.head(3, epoch=0))]),
        "proof with an inclusion under a head of the epoch before": ("missing", INCOMPLETE, early_inclusion(new)),
        "handoff that keeps another size, in a proof": ("rewritten", REWRITTEN, Life.born().hand_over(kept_size=1).say("on").proof(1)),
        "handoff that keeps another root, in a proof": ("rewritten", REWRITTEN, Life.born().hand_over(kept_root=ZEROS).say("on").proof(1)),
        "no consistency from what a handoff keeps": ("missing", INCOMPLETE, without(whole, "consistency")),
        "false consistency from what a handoff keeps": ("rewritten", REWRITTEN, changed(whole, "consistency", f3=[ZEROS])),
        "no consistency between the heads of two keys": ("missing", INCOMPLETE, without(under_two, "consistency", 1)),
        "handoff without an inclusion": ("missing", INCOMPLETE, without(whole, "inclusion", 2)),
        "no consistency to a head that was given up": ("missing", INCOMPLETE, tied(lived, 1, [lost.head(7)], [])),
        "consistency from a head that was given up to one of the epoch after": ("missing", INCOMPLETE, straight),
        "false consistency to a head that was given up": ("rewritten", REWRITTEN, false),
        "two roots among what was given up": ("diverged", DIVERGED,
            tied(lived, 1, [lost.head(7), lost.head(7, root=ZEROS)], above)),
        "proof across a handoff without the old key": ("lineage", BROKEN, Life.born().hand_over(old=agent.STRANGER).say("on").proof(1)),
    }  # fmt: skip
    return [case(name, *found[:2], bundle(found[2])) for name, found in broken.items()]


def early_inclusion(lived):
    """The subject is proven under a head of the epoch before, and the rest under the newest."""
    ledger = lived.ledger
    records = tied(lived, 1, [lived.head(3, epoch=0)], [(ledger, 3, 5)])
    number = [r[1] for r in records if r[0] == "inclusion"].index(1)
    return changed(records, "inclusion", number, f2=3, f3=ledger.tree.inclusion(1, 3))


# ---- salvages -----------------------------------------------------------------------------------


def salvage(lived, here, heads, *, events=None, epoch=None):
    """Events that are left, and heads; nothing stands for what is lost."""
    epoch = lived.epoch if epoch is None else epoch
    total = lived.size if events is None else events
    return [
        agent.header(lived.ledger, "salvage", epoch),
        ["attachment", "salvage", {"events": total}],
        *(agent.event_record(lived.ledger.records[at]) for at in here),
        *map(note, heads),
    ]


def salvages():
    one, two, new = handed(), handed_twice(), recovered()
    false = Life.born().hand_over(soul=ZEROS).say("on")
    twice = Life.born().recover(renew=False).recover(renew=False).say("on")
    lost = [["attachment", "subtrees", {"size": 5, "hashes": [[0, 2, leaf_of(twice, 2)]]}]]
    without_first = salvage(twice, [0, 1, 3, 4], [twice.head()])
    found = {
        "salvage over a handoff": (None, PENDING, salvage(one, range(4), [one.head(3), one.head()])),
        "salvage over two handoffs": (None, PENDING, salvage(two, range(6), [two.head()])),
        "salvage over a recovery with new keys": (None, RECOVERED, salvage(new, range(5), [new.head()])),
        "salvage of what came before a handoff": ("missing", INCOMPLETE, salvage(one, range(3), [one.head(3)], events=4)),
        "salvage that lost a handoff, under the new key's head": ("checkpoint", BROKEN, salvage(one, [0, 1, 3], [one.head()])),
        "salvage that lost a handoff, under the old key's head": ("missing", INCOMPLETE, salvage(one, [0, 1, 3], [one.head(2)])),
        "salvage in which the old key signs above its handoff": ("checkpoint", BROKEN, salvage(one, range(4), [one.head(by=named("log", 0))])),
        "salvage with a handoff that breaks its rules": ("checkpoint", BROKEN, salvage(false, range(4), [false.head()])),
        "salvage with a handoff that breaks its rules, under the old key's head": (None, PENDING,
            salvage(false, range(4), [false.head(by=named("log", 0))])),
        "salvage with a head of the epoch before": ("checkpoint", BROKEN, salvage(new, range(5), [new.head(3, epoch=0)])),
        "salvage that lost the first of two epochs": ("missing", INCOMPLETE, [*without_first, *lost]),
    }  # fmt: skip
    return [case(name, *parts[:2], bundle(parts[2])) for name, parts in found.items()]


def leaf_of(lived, position):
    return lived.ledger.tree.node(0, position)


# ---- Bitcoin ------------------------------------------------------------------------------------


def sealed():
    """Genesis, words, seal.opened: T_0 is over size 3."""
    lived = Life.born().open_seal()
    return lived, Chain.opened(lived.head())


def sealed_handoff(*, blocks=6):
    """... words, handoff at 4: the handoff link is over size 5; words: an anchor over size 6."""
    lived, chain = sealed()
    lived.say("anchored words").hand_over()
    chain.hand_over(lived.head(), 1)
    lived.say("from a new machine")
    return lived, chain.anchor(lived.head(), blocks=blocks)


def sealed_recovery(*, lost=False, blocks=6):
    """... anchored words at size 4, a recovery at 4, its link over size 6."""
    lived, chain = sealed()
    lived.say("anchored words")
    chain.anchor(lived.head())
    gone = branch(lived).say("lost 1").say("lost 2").say("lost 3")
    if lost:
        chain.anchor(gone.head())
    lived.recover().say("recovered")
    return lived, chain.recover(lived.head(), 1, blocks=blocks), gone


def sealed_epoch():
    """... anchored words at size 4, an epoch with the same keys at 4, an anchor over size 6."""
    lived, chain = sealed()
    lived.say("anchored words")
    chain.anchor(lived.head())
    lived.recover(renew=False).say("recovered")
    return lived, chain.anchor(lived.head(), blocks=6)


def recovered_late(*steps, number=1):
    """... anchored words at size 4, `steps` in the log, a recovery link over the head behind them.

    Nothing ties heads in between: none was released before the link.
    """
    lived, chain = sealed()
    lived.say("anchored words")
    chain.anchor(lived.head())
    for step in steps:
        step(lived)
    lived.say("on")
    chain.recover(lived.head(), number, blocks=6)
    pairs = [(lived.ledger, 3, 4), (lived.ledger, 4, lived.size)]
    return anchored(lived, chain, 3, pairs=pairs)


def renewed(lived):
    lived.recover()


def kept_keys(lived):
    lived.recover(renew=False)


def handed_on(lived):
    lived.hand_over()


def seals():
    handed_over, chain = sealed_handoff()
    again, two = sealed_handoff(blocks=1)
    again.hand_over()
    two.hand_over(again.head(), 2, blocks=6)
    side, pair = sealed()
    side.hand_over()
    pair.hand_over(side.head(), 1)
    side.hand_over()
    pair.hand_over(side.head(), 2, blocks=6)
    new, recovery, _ = sealed_recovery()
    old_sizes = [(new.ledger, 3, 4), (new.ledger, 4, 6)]
    above, beyond, lost = sealed_recovery(lost=True)
    ties = [(above.ledger, 3, 4), (lost.ledger, 4, 7)]
    same, kept = sealed_epoch()
    both = [(same.ledger, 3, 4), (same.ledger, 4, 6)]
    late = Life.born().hand_over().open_seal()
    opening = agent.opening_draft_of(late.head().anchor_digest())
    opened_late = Chain().add(sealed_at(opening, 1), late.head(), number=1)
    after = branch(above).say("again at 6").say("again at 7")
    after_chain = [(after.ledger, 3, 4), (lost.ledger, 4, 7)]
    alone = handed_over.proof(3, also=[2])
    on, mixed = sealed_handoff(blocks=1)
    on.recover().say("on")
    mixed.recover(on.head(), 2, blocks=6)
    direct, far = sealed()
    direct.hand_over().hand_over()
    far.hand_over(direct.head(), 2, blocks=6)
    cut, dated, only = only_lost()
    waiting, late_link = sealed()
    waiting.hand_over()
    late_link.anchor(waiting.head()).hand_over(waiting.head(), 1, blocks=6)
    on_pairs = [(on.ledger, a, b) for a, b in ((3, 5), (5, 6), (6, 8))]
    confirmed = {
        "anchored proof across a handoff": anchored(handed_over, chain, 1),
        "anchored proof of words before a handoff": anchored(handed_over, chain, 3),
        "anchored proof of a handoff": anchored(handed_over, chain, 4),
        "anchored proof of words behind a handoff": anchored(handed_over, chain, 5),
        "anchored proof across two handoffs": anchored(again, two, 1),
        "anchored proof across two handoffs side by side": anchored(side, pair, 1),
        "anchored proof across two handoffs that are one in Bitcoin": anchored(direct, far, 1),
        "anchored proof with a handoff over a head that is anchored already": anchored(
            waiting, late_link, 1
        ),
        "anchored proof across a recovery": anchored(new, recovery, 3, pairs=old_sizes),
        "anchored proof of words behind a recovery": anchored(new, recovery, 5, pairs=old_sizes),
        "anchored proof with an anchor of what was given up": anchored(
            above, beyond, 3, pairs=ties
        ),
        "anchored proof across an epoch with the same keys": anchored(same, kept, 3, pairs=both),
        "anchored proof across a handoff and then a recovery": anchored(
            on, mixed, 1, pairs=on_pairs
        ),
        "anchor of what was given up covers what was kept": anchored(cut, dated, 3, pairs=only),
        "recovery in Bitcoin behind an epoch that kept the recovered keys": recovered_late(
            renewed, kept_keys
        ),
        "recovery in Bitcoin behind two epochs that kept the recovered keys": recovered_late(
            renewed, kept_keys, kept_keys
        ),
        "recovery in Bitcoin between two epochs that kept the keys": recovered_late(
            kept_keys, renewed, kept_keys
        ),
        "recovery in Bitcoin to the second keys that a recovery put in charge": recovered_late(
            renewed, renewed, kept_keys, number=2
        ),
        "recovery in Bitcoin over the recovery's own head, then an epoch": first_head(),
    }
    seen = {
        "anchored proof of a seal that a second tenure opened": anchored(
            late, opened_late, 3, opening=3
        ),
        "anchored proof whose chain ends in a handoff": anchored(*until(handed_over, chain, 2), 3),
    }
    return [
        *(case(name, None, TEST, bundle(data), standing="confirmed") for name, data in confirmed.items()),
        *(case(name, None, TEST, bundle(data), standing="seen") for name, data in seen.items()),
        case("anchor of what was given up covers nothing that came instead", None, TEST,
             bundle(anchored(after, beyond, 6, pairs=after_chain)), standing="pending"),
        case("anchor of what was given up does not cover the record that gave it up", None, TEST,
             bundle(anchored(cut, dated, 4, pairs=only)), standing="pending"),
        case("anchored proof across a handoff, unanchored", None, PENDING, bundle(alone)),
    ]  # fmt: skip


def only_lost():
    """Opened over 3, kept up to 4; the one anchor over event 3 is of 7 events, of which 4 were kept."""
    lived, chain = sealed()
    lived.say("kept")
    gone = branch(lived).say("lost 1").say("lost 2").say("lost 3")
    chain.anchor(gone.head(), blocks=6)
    lived.recover().say("recovered")
    return lived, chain, [(gone.ledger, 3, 7), (gone.ledger, 4, 7)]


def first_head():
    """A recovery link over the first head of the new keys, then an epoch that keeps them."""
    new, chain, _ = sealed_recovery()
    new.recover(renew=False).say("on")
    pairs = [(new.ledger, a, b) for a, b in ((3, 4), (4, 6), (6, 8))]
    return anchored(new, chain, 3, pairs=pairs)


def until(lived, chain, count):
    """The same life and only its first links."""
    kept = {
        "links": chain.links[:count],
        "heads": chain.heads[:count],
        "transactions": chain.transactions[:count],
    }
    return lived, replace(chain, **kept)


def broken_seals():
    new, recovery, _ = sealed_recovery()
    pairs = [(new.ledger, 3, 4), (new.ledger, 4, 6)]

    def other(**changes):
        return anchored(new, recovery, 3, pairs=pairs, attachment=recovery.attachment(**changes))

    lived, dated, only = only_lost()
    untied = anchored(lived, dated, 3, pairs=only[:1])
    bent = anchored(lived, dated, 3, pairs=only)
    bent = [[*r[:3], [ZEROS] * len(r[3])] if r[:3] == ["consistency", 4, 7] else r for r in bent]
    gone = [r for r in anchored(lived, dated, 3, pairs=only) if r != note(dated.heads[1])]
    broken = {
        "anchor of what was given up, not tied to what was kept": ("missing", INCOMPLETE, untied),
        "anchor of what was given up, which does not go on from what was kept": ("rewritten", REWRITTEN, bent),
        "anchor of what was given up, without its head": ("missing", INCOMPLETE, gone),
        **broken_handoff_links(),
        **broken_recovery_links(),
        "links without their epochs, of two epochs": ("missing", INCOMPLETE, other(epochs=None)),
        "epochs fewer than sizes": ("seal", BROKEN, other(epochs=[0, 0])),
        "epochs that are a map": ("seal", BROKEN, other(epochs={})),
        "epochs that are null": ("seal", BROKEN, with_null(other())),
        "epochs with a boolean": ("missing", INCOMPLETE, other(epochs=[False, False, True])),
        "link of a size that its epoch has no head of": ("missing", INCOMPLETE, other(epochs=[0, 0, 0])),
        "first epochs of another number, then no such head": ("seal", BROKEN, other(epochs=[7])),
    }  # fmt: skip
    return [case(name, *found[:2], bundle(found[2])) for name, found in broken.items()]


def with_null(records):
    *rest, (kind, name, value) = records
    return [*rest, [kind, name, value | {"epochs": None}]]


def kinded(draft, kind, head):
    """The draft with a commitment of another kind."""
    outputs = list(draft.transaction.outputs)
    outputs[0] = Commitment(kind=kind, digest=head.anchor_digest()).output
    return replace(draft, transaction=replace(draft.transaction, outputs=tuple(outputs)))


def sealed_at(draft, number):
    """The draft with a next seal of another tenure's key."""
    outputs = list(draft.transaction.outputs)
    outputs[1] = life.seal_out(number)
    return replace(draft, transaction=replace(draft.transaction, outputs=tuple(outputs)))


def unenrolled(draft):
    """The handoff without its vin[1], whose coin goes to nobody."""
    inputs = [draft.transaction.inputs[0], *draft.transaction.inputs[2:]]
    coins = (draft.coins[0], *draft.coins[2:])
    return replace(draft, transaction=replace(draft.transaction, inputs=tuple(inputs)), coins=coins)


def enrolled_with(draft, coin):
    coins = (draft.coins[0], coin, *draft.coins[2:])
    inputs = list(draft.transaction.inputs)
    inputs[1] = replace(inputs[1], outpoint=coin.outpoint)
    return replace(draft, transaction=replace(draft.transaction, inputs=tuple(inputs)), coins=coins)


def broken_handoff_links():
    def handed(make, *, number=1, unsigned=()):
        """The proof whose handoff link is made by `make` from the true draft and its head."""
        lived, chain = sealed()
        lived.say("anchored words").hand_over()
        head = lived.head()
        draft = make(chain, chain.handoff_draft(head, 1), head)
        chain.add(draft, head, number=number, unsigned=unsigned)
        return anchored(lived, chain, 3)

    def after(size, make):
        """The proof of a log with a handoff at 4 whose second link is over `size`."""
        lived, chain = sealed()
        lived.say("anchored words").hand_over().say("on")
        head = lived.head(size)
        return anchored(lived, make(chain, head), 3)

    def plain(make):
        """The proof of a log without a handoff."""
        lived, chain = sealed()
        lived.say("anchored words")
        return anchored(lived, make(chain, lived.head()), 3)

    enrolment = Coin(outpoint=agent.coin(99).outpoint, output=life.seal_out(0))
    third = Coin(outpoint=agent.coin(99).outpoint, output=life.seal_out(2))
    funded = agent.coin(99)
    twice, two = sealed_handoff(blocks=1)
    two.add(two.handoff_draft(twice.head(5), 1), twice.head(5))
    missing, chain = sealed()
    missing.say("anchored words").hand_over().say("on").say("more")
    chain.anchor(missing.head(4))
    chain.add(sealed_at(chain.anchor_draft(missing.head(6)), 0), missing.head(6))
    back, returned = sealed_handoff(blocks=1)
    back.say("more")
    returned.add(
        enrolled_with(returned.handoff_draft(back.head(), 0), enrolment), back.head(), number=0
    )
    early = Life.born().open_seal().hand_over()
    opening = agent.opening_draft_of(early.head().anchor_digest())
    first = Chain().add(kinded(sealed_at(opening, 1), Kind.HANDOFF, early.head()), early.head())
    found = {
        "handoff in Bitcoin of the old key to itself": handed(lambda c, d, h: enrolled_with(sealed_at(d, 0), enrolment)),
        "handoff in Bitcoin whose two inputs are of the old key": handed(lambda c, d, h: enrolled_with(d, enrolment)),
        "handoff in Bitcoin without an enrolment": handed(lambda c, d, h: unenrolled(d)),
        "handoff in Bitcoin with no input but the seal": handed(lambda c, d, h: alone(d)),
        "handoff in Bitcoin with the enrolment behind the fee": handed(lambda c, d, h: swapped(d)),
        "handoff in Bitcoin with an enrolment of a third key": handed(lambda c, d, h: enrolled_with(d, third)),
        "handoff in Bitcoin with an enrolment of the funding key": handed(lambda c, d, h: enrolled_with(d, funded)),
        "handoff in Bitcoin that the new key did not sign": handed(lambda c, d, h: d, unsigned=[1]),
        "handoff in Bitcoin that the old key did not sign": handed(lambda c, d, h: d, unsigned=[0]),
        "handoff in Bitcoin to a third key": handed(lambda c, d, h: enrolled_with(sealed_at(d, 2), third)),
        "handoff in Bitcoin with a seal of the old key": handed(lambda c, d, h: sealed_at(d, 0)),
        "handoff in the log, an anchor in Bitcoin to the new key": handed(lambda c, d, h: kinded(d, Kind.ANCHOR, h)),
        "handoff in the log, a recovery in Bitcoin": handed(lambda c, d, h: kinded(d, Kind.RECOVERY, h)),
        "handoff in Bitcoin and none in the log": plain(lambda c, h: c.hand_over(h, 1)),
        "handoff in Bitcoin over the head before the log's handoff": after(4, lambda c, h: c.hand_over(h, 1)),
        "handoff in Bitcoin over the new key's first head": after(6, lambda c, h: c.hand_over(h, 1)),
        "anchor by the old seal key after the handoff": after(6, lambda c, h: c.anchor(h)),
        "second anchor by the old seal key after the handoff": anchored(missing, chain, 3),
        "anchor that moves the seal to the new key after the handoff": after(6, lambda c, h: c.add(sealed_at(c.anchor_draft(h), 1), h)),
        "two handoffs in Bitcoin for one in the log": anchored(twice, two, 3),
        "handoff in Bitcoin back to the first key": anchored(back, returned, 3),
        "opening that is a handoff": anchored(early, first, 1),
    }  # fmt: skip
    return {name: ("seal", BROKEN, data) for name, data in found.items()}


def alone(draft):
    inputs, coins = draft.transaction.inputs[:1], draft.coins[:1]
    return replace(draft, transaction=replace(draft.transaction, inputs=inputs), coins=coins)


def swapped(draft):
    """The enrolment as vin[2], the fee coin as vin[1]."""
    one, two, three = draft.transaction.inputs
    seal, enrolment, fee = draft.coins
    transaction = replace(draft.transaction, inputs=(one, three, two))
    return replace(draft, transaction=transaction, coins=(seal, fee, enrolment))


def recovered_over(size, on, *, number=1):
    """... a recovery link to the keys of `number` over a head of the epoch before the last."""
    lived, chain = sealed()
    lived.say("anchored words")
    chain.anchor(lived.head())
    on(lived)
    chain.recover(lived.head(size, epoch=lived.epoch - 1), number)
    lived.say("on")
    pairs = [(lived.ledger, a, b) for a, b in ((3, 4), (4, size), (size, lived.size))]
    return anchored(lived, chain, 3, pairs=pairs)


def broken_recovery_links():
    def recovered(make, *, renew=True, unsigned=(), opening=agent.OPENING):
        lived = Life.born().open_seal(opening)
        chain = Chain.opened(lived.head())
        lived.say("anchored words")
        chain.anchor(lived.head())
        lived.recover(renew=renew).say("recovered")
        chain.add(make(chain, lived.head()), lived.head(), unsigned=unsigned)
        pairs = [(lived.ledger, 3, 4), (lived.ledger, 4, 6)]
        return anchored(lived, chain, 3, pairs=pairs)

    plain, chain = sealed()
    plain.say("words").say("more")
    chain.add(chain.recovery_draft(plain.head(), 1), plain.head())
    handed_over, link = sealed_handoff(blocks=1)
    handed_over.say("more")
    link.add(link.recovery_draft(handed_over.head(), 1), handed_over.head())
    after, behind, _ = sealed_recovery(blocks=1)
    after.hand_over().say("on")
    behind.add(sealed_at(behind.recovery_draft(after.head(), 2), 2), after.head())
    again, second, _ = sealed_recovery(blocks=1)
    again.recover().say("again")
    second.recover(again.head(), 2)
    again_pairs = [(again.ledger, a, b) for a, b in ((3, 4), (4, 6), (6, 8))]
    after_pairs = [(after.ledger, 3, 4), (after.ledger, 4, 6)]
    unrecoverable = replace(agent.OPENING, recovery=None)
    found = {
        "recovery in Bitcoin, in the log an epoch with the same keys":
            recovered(lambda c, h: c.recovery_draft(h, 0), renew=False),
        "recovery in Bitcoin and none in the log": anchored(plain, chain, 3),
        "recovery in Bitcoin behind a handoff": anchored(handed_over, link, 3),
        "recovery in Bitcoin over a head behind a later handoff": anchored(after, behind, 3, pairs=after_pairs),
        "recovery in the log, an anchor by the old seal key": recovered(lambda c, h: c.anchor_draft(h)),
        "recovery in the log, an anchor to the new key": recovered(lambda c, h: sealed_at(c.anchor_draft(h), 1)),
        "recovery in the log, a handoff in Bitcoin": recovered(lambda c, h: c.handoff_draft(h, 1)),
        "recovery that spends the seal": recovered(lambda c, h: c.recovery_draft(h, 1, recovery=c.seal)),
        "recovery that spends a coin": recovered(lambda c, h: c.recovery_draft(h, 1, recovery=agent.coin(77))),
        "recovery that the recovery key did not sign": recovered(lambda c, h: c.recovery_draft(h, 1), unsigned=[0]),
        "recovery to the old seal key": recovered(lambda c, h: sealed_at(c.recovery_draft(h, 1), 0)),
        "recovery of a seal that was opened without a recovery seal":
            recovered(lambda c, h: c.recovery_draft(h, 1), opening=unrecoverable),
        "second recovery in Bitcoin": anchored(again, second, 3, pairs=again_pairs),
        "recovery in Bitcoin to a handoff's keys, behind an epoch that kept them": recovered_late(handed_on, kept_keys),
        "recovery in Bitcoin behind a recovery, a handoff and an epoch":
            recovered_late(renewed, handed_on, kept_keys, number=2),
        "recovery in Bitcoin to the keys of birth, behind an epoch": recovered_late(kept_keys, number=0),
        "recovery in Bitcoin, behind an epoch, to the keys that were lost": recovered_late(renewed, kept_keys, number=0),
        "recovery in Bitcoin over a head of the epoch before the recovery":
            recovered_over(5, lambda lived: lived.say("late").recover()),
        "recovery in Bitcoin over a head of the epoch that kept the keys before it":
            recovered_over(6, lambda lived: lived.recover(renew=False).say("late").recover()),
        "recovery in Bitcoin over a head of the first recovery, to the keys of the second":
            recovered_over(6, lambda lived: lived.recover().say("late").recover(), number=2),
    }  # fmt: skip
    return {name: ("seal", BROKEN, data) for name, data in found.items()}
