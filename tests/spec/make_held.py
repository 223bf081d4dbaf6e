"""Files beside what their reader was shown before, among the vectors: docs/spec/bundle.md, steps C."""

from ledger.core.merkle import EMPTY_ROOT
from tests.spec import agent, make_bundles, make_succession
from tests.spec.agent import bundle, export, fact, header, proof, words
from tests.spec.life import Life, anchored, branch, consistencies, named
from tests.spec.make_bundles import (
    BROKEN,
    DIVERGED,
    INCOMPLETE,
    PENDING,
    RECOVERED,
    REWRITTEN,
    TEST,
    ZEROS,
    changed,
    six,
    without,
)
from tests.spec.make_succession import handed, note, sealed_recovery

STALE = "STALE"
MISSING, REWRITES, DIVERGES, OLD = (
    ("missing", INCOMPLETE),
    ("rewritten", REWRITTEN),
    ("diverged", DIVERGED),
    ("stale", STALE),
)


def cases():
    return [
        *contained(),
        *contained_by_a_proof(),
        *older_epochs(),
        *salvages(),
        *older_files(),
        *other_histories(),
        *two_records(),
        *bad_notes(),
        *bad_bundles(),
    ]


def case(name, outcome, file, held, *, standing=None):
    """`outcome` is a class and a verdict; `held` are records or the bytes of a note."""
    failure, verdict = outcome
    data = held if isinstance(held, bytes) else bundle(held)
    found = make_bundles.case(name, failure, verdict, bundle(file), soul=None, standing=standing)
    return found | {"held": data}


def good(verdict, found):
    return [case(name, (None, verdict), *parts) for name, parts in found.items()]


def bad(outcome, found):
    return [case(name, outcome, *parts) for name, parts in found.items()]


def noted(ledger, size=None, **changes):
    return ledger.head(size, **changes).encode()


def grown():
    """The six events of `six`, and two more."""
    ledger = six()
    ledger.add(words("later"))
    ledger.add(fact(3))
    return ledger


def otherwise():
    """Another fact at position 5, and other words behind it."""
    ledger = make_bundles.small_ledger()
    for draft in (words("more"), fact(2), words("later"), fact(3)):
        ledger.add(draft)
    return ledger


def led(ledger, position, sizes, *pairs, epoch=0, also=()):
    """A proof that leads on between more sizes."""
    records = proof(ledger, position, sizes, epoch=epoch, also=also)
    return [*records, *consistencies(records, [(ledger, *pair) for pair in pairs])]


# ---- what is held is contained ------------------------------------------------------------------


def contained():
    now, then = grown(), six()
    whole = export(now)
    lost = export(then, [then.head(2), then.head()])
    erased = changed(export(then), "event", 2, f5=None, f6=None)
    return good(PENDING, {
        "export beside a head": (whole, noted(then)),
        "export beside a head of one event": (whole, noted(then, 1)),
        "export beside a head of no event": (whole, noted(then, 0, root=EMPTY_ROOT)),
        "export beside an export": (whole, export(then)),
        "export beside an export with two heads": (whole, lost),
        "export beside itself": (whole, whole),
        "export beside a backup": (whole, [header(then, "backup"), *export(then)[1:]]),
        "backup beside an export": ([header(now, "backup"), *whole[1:]], export(then)),
        "export beside a proof": (whole, proof(then, 2, [6])),
        "export beside a proof under two heads": (whole, proof(then, 2, [3, 6])),
        "export beside an export that lacks content": (whole, erased),
        "export beside an export that lacks its last event": (whole, without(export(then), "event", 5)),
        "export beside a proof whose heads nothing ties": (whole, without(proof(then, 2, [3, 6]), "consistency")),
    })  # fmt: skip


def contained_by_a_proof():
    now, then = grown(), six()
    first = proof(now, 2, [8])
    return [
        *good(PENDING, {
            "proof beside the head that it is under": (proof(then, 2, [6]), noted(then)),
            "proof beside a smaller one of its heads": (proof(now, 2, [6, 8]), noted(then)),
            "proof that leads on from a head": (led(now, 2, [8], (6, 8)), noted(then)),
            "proof that leads on from two heads": (led(now, 2, [8], (6, 8), (3, 8)), export(then, [then.head(3), then.head()])),
            "proof that leads on to the first of its heads": (led(now, 2, [7, 8], (6, 7)), noted(then)),
            "proof beside a head of no event": (first, noted(now, 0, root=EMPTY_ROOT)),
            "proof beside a proof of the same event": (first, proof(now, 2, [8])),
        }),
        *bad(MISSING, {
            "proof that leads on from another size": (led(now, 2, [8], (5, 8)), noted(then)),
            "proof that does not lead on": (first, noted(then)),
            "proof between whose heads the held one lies": (proof(now, 2, [3, 8]), noted(then)),
            "proof that leads on from one of two heads": (led(now, 2, [8], (6, 8)), export(then, [then.head(3), then.head()])),
        }),
        *bad(REWRITES, {
            "proof with a bent path from a head": (
                [*first, ["consistency", 6, 8, [ZEROS, *now.tree.consistency(6, 8)[1:]]]], noted(then)),
            "proof that leads on from another head": (led(now, 2, [8], (6, 8)), noted(otherwise(), 6)),
            "proof with a bent path to the first of its heads and a true one to the last": (
                [*led(now, 2, [7, 8], (6, 8)), ["consistency", 6, 7, [ZEROS]]], noted(then)),
            "proof beside a head of no event with a root": (first, noted(now, 0, root=ZEROS)),
        }),
    ]  # fmt: skip


# ---- more than one epoch or set of keys ---------------------------------------------------------


def older_epochs():
    """A recovery at 4, 8 events; before it 7, of which 4 were kept."""
    new, gone = make_succession.given_up()
    early = [*export(gone.ledger)[:5], note(gone.head(4))]
    one = handed().say("more")
    plain = branch(gone).recover(renew=False).say("on")
    twice = Life.born().say("kept").recover(renew=False).say("on").recover().say("on")
    shown = new.proof(1)
    tied = [*shown, *consistencies(shown, [(new.ledger, 3, 8), (new.ledger, 4, 8)])]
    sealed, chain, _ = sealed_recovery()
    dated = anchored(sealed, chain, 3, pairs=[(sealed.ledger, 3, 4), (sealed.ledger, 4, 6)])
    ahead = handed()
    return [
        *good(RECOVERED, {
            "export over a recovery beside a head below what it kept": (new.export(), noted(gone.ledger, 3)),
            "export over a recovery beside a head of what it kept": (new.export(), noted(gone.ledger, 4)),
            "export over a recovery beside an export of what it kept": (new.export(), early),
            "proof across a recovery, whose record leads on from a head of what it kept": (shown, noted(gone.ledger, 4)),
            "proof across a recovery beside a head below what it kept": (tied, noted(gone.ledger, 3)),
            "export over an epoch with the same keys beside all that was before": (plain.export(), gone.export()),
            "export of epoch 2 beside a head of epoch 0": (twice.export(), noted(twice.ledger, 3)),
            "export of epoch 2 beside a head of epoch 1": (twice.export(), twice.head(5, epoch=1).encode()),
        }),
        *good(PENDING, {
            "export over a handoff beside a head of the old key": (one.export(), noted(one.ledger, 3)),
            "export over a handoff beside a head of the new key": (one.export(), noted(one.ledger, 4)),
            "export over a handoff beside an export of before it": (one.export(), Life.born().export()),
        }),
        case("anchored proof beside the head of an anchor", (None, TEST), dated, noted(sealed.ledger, 6, epoch=1),
             standing="confirmed"),
        *bad(REWRITES, {
            "export over a recovery beside a head that it gave up": (new.export(), noted(gone.ledger, 7)),
            "export over a recovery beside an export that it gave up": (new.export(), gone.export()),
            "proof across a recovery beside a head that it gave up": (tied, noted(gone.ledger, 7)),
            "proof with a head that its recovery gave up, beside that head": (
                make_succession.tied(new, 1, [gone.head(7)], [(gone.ledger, 4, 7)]), noted(gone.ledger, 7)),
            "handoff that a recovery gave up, and one of its number after that":
                (Life.born().recover(renew=False).hand_over().say("again").export(), handed().export()),
        }),
        *bad(MISSING, {
            "proof across a recovery that leads on from no head below what it kept": (shown, noted(gone.ledger, 3)),
        }),
        *bad(OLD, {
            "anchored proof beside a larger head": (dated, branch(sealed).say("more").head().encode()),
            "export over a handoff beside a head of a later epoch by the same key":
                (ahead.export(), branch(ahead).recover(renew=False).say("on").head().encode()),
            "export beside a proof of a later epoch": (early, tied),
        }),
        *bad(("checkpoint", BROKEN), {
            "export beside a head of a later epoch by keys that it does not know": (gone.export(), new.head().encode()),
            "export beside a head of a size that no tenure signs": (new.export(), noted(new.ledger, 3, epoch=1)),
            "export beside a head of the new key below its handoff": (one.export(), noted(one.ledger, 3, by=named("log", 1))),
        }),
    ]  # fmt: skip


def salvages():
    now, then = grown(), six()
    whole, few = make_bundles.salvage(now, range(8)), make_bundles.salvage(then, [], events=6)
    one, new = handed(), make_succession.recovered()
    moved = make_succession.salvage(one, range(4), [one.head(3), one.head()])
    renewed = make_succession.salvage(new, range(5), [new.head()])
    part = make_bundles.salvage(then, range(6), events=7)
    return [
        *good(PENDING, {
            "salvage of everything beside a head": (whole, noted(then, 3)),
            "salvage of everything beside an export": (whole, export(then)),
            "export beside a salvage of everything": (export(now), make_bundles.salvage(then, range(6))),
            "export beside a salvage that lost the last event": (export(now), part),
            "salvage over a handoff beside a head of the new key": (moved, noted(one.ledger, 4)),
            "salvage over a handoff beside a head of the old key": (moved, noted(one.ledger, 2)),
        }),
        *good(RECOVERED, {
            "salvage over a recovery beside a head of what it kept": (renewed, noted(new.ledger, 3, epoch=0, by=named("log", 0))),
            "salvage over a recovery beside a head of the new key": (renewed, new.head().encode()),
        }),
        *bad(MISSING, {
            "export beside a salvage without event 0": (export(now), few),
            "export beside a salvage without a head": (export(now), make_bundles.salvage(then, range(6), sizes=[])),
        }),
        *bad(REWRITES, {
            "export beside a salvage of another history": (export(now), make_bundles.salvage(otherwise(), range(6), events=8, sizes=[6])[:-1]),
            "salvage over a recovery beside a head that it gave up":
                (renewed, branch(Life.born()).say("a").say("b").say("c").export()),
        }),
        *bad(DIVERGES, {
            "salvage over a handoff beside another handoff of its number":
                (moved, make_succession.salvage(*_elsewhere())),
        }),
        *bad(OLD, {
            "export beside a salvage of more": (export(then), whole),
            "salvage of everything beside a head of more": (make_bundles.salvage(then, range(6)), noted(now)),
        }),
    ]  # fmt: skip


def _elsewhere():
    there = Life.born().say("longer").hand_over().say("elsewhere")
    return there, range(5), [there.head()]


# ---- the file is the older one ------------------------------------------------------------------


def older_files():
    now, then, other = grown(), six(), otherwise()
    tied = led(now, 2, [8], (6, 8))
    untied = without(proof(other, 5, [6, 8]), "consistency")
    several = export(then, [then.head(3), then.head()])
    return [
        *bad(OLD, {
            "export beside a larger head": (export(then), noted(now)),
            "export beside a larger export": (export(then), export(now)),
            "proof beside a larger export": (proof(then, 2, [6]), export(now)),
            "export beside a larger proof that leads on from it": (export(then), tied),
            "export beside a larger proof that does not lead on from it": (export(then), proof(now, 2, [8])),
            "export beside a larger proof that leads on from its last head alone": (several, tied),
            "export beside a larger export that lacks content": (export(then), changed(export(now), "event", 2, f5=None, f6=None)),
            "proof beside a larger proof of another event whose heads nothing ties": (proof(now, 5, [7]), untied),
            "proof beside a larger export of another history without its last event":
                (proof(now, 5, [7]), without(export(other), "event", 7)),
            "proof beside a larger export without its last event": (proof(then, 2, [6]), without(export(now), "event", 7)),
        }),
        *bad(DIVERGES, {
            "export beside a larger export of another history": (export(then), export(other)),
        }),
        *bad(REWRITES, {
            "proof beside a larger export of another history": (proof(then, 2, [6]), export(other)),
            "export beside a larger proof that leads on from another head": (export(then), led(other, 2, [8], (6, 8))),
            "export whose first head a larger proof leads on from, and another than the last":
                (export(then, [then.head(3), then.head()]), led(other, 2, [8], (6, 8))),
        }),
    ]  # fmt: skip


# ---- other histories ----------------------------------------------------------------------------


def other_histories():
    now, then, other = grown(), six(), otherwise()
    return [
        *bad(DIVERGES, {
            "export beside another head of its size": (export(then), noted(other, 6)),
            "export beside another export of its size": (export(now), export(other)),
            "proof beside another head of its size": (proof(now, 2, [8]), noted(other)),
            "export beside a proof with another head of its size": (export(then), proof(other, 2, [6, 8])),
            "proof beside another head of the size of its first": (proof(now, 2, [6, 8]), noted(other, 6)),
            "two heads of one size, and another leaf": (proof(then, 5, [6]), proof(other, 5, [6])),
        }),
        *bad(REWRITES, {
            "export beside a head of another history": (export(now), noted(other, 6)),
            "export beside a proof of another event": (export(now), proof(other, 5, [7])),
            "proof beside a proof of another event at one position": (led(now, 5, [8], (7, 8)), proof(other, 5, [7])),
            "proof beside a larger export with another event": (proof(then, 5, [6]), export(other)),
        }),
        *bad(("identity", BROKEN), {
            "export beside a head of another ledger": (export(now), noted(now, ledger_id=ZEROS)),
            "export beside an export of another ledger": (export(now), export(stranger())),
            "proof beside a proof of another ledger": (proof(now, 2, [8]), proof(stranger(), 1, [2])),
        }),
    ]  # fmt: skip


def stranger():
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft(**agent.genesis_payload(created_ms=agent.BORN_MS + 1)))
    ledger.add(words("hello"))
    return ledger


def two_records():
    here, there = handed(), Life.born().say("longer").hand_over().say("elsewhere")
    found = {
        "export beside another handoff of one number": (here.export(), there.export()),
        "export beside a proof of another handoff of one number": (here.export(), there.proof(1)),
        "export beside a head of the old key above its handoff":
            (here.say("more").export(), Life.born().say("no").say("handoff").head().encode()),
        "another handoff, before a leaf that differs": (here.proof(2), there.proof(2)),
    }  # fmt: skip
    for renew, name in ((True, "recovery"), (False, "epoch")):
        one = Life.born().recover(renew=renew).say("here")
        two = Life.born().say("longer").recover(renew=renew).say("there").say("and there")
        found[f"export beside another {name} of one number"] = (one.export(), two.proof(1))
    mixed = Life.born().say("longer").recover(renew=False).say("there")
    one = Life.born().recover().say("here")
    found["recovery beside an epoch of its number"] = (one.export(), mixed.export())
    later = branch(mixed).recover().say("on")
    found["an older epoch that began twice"] = (one.export(), later.export())
    return bad(DIVERGES, found)


# ---- what is held is bad itself -----------------------------------------------------------------


def bad_notes():
    now, then = grown(), six()
    head = noted(then)
    found = {
        "export beside nothing": b"",
        "export beside what is no text": b"\xff\xfe",
        "export beside a head of a stranger": noted(then, by=agent.STRANGER),
        "export beside a head with another size in it": head.replace(b"\n6\n", b"\n5\n"),
        "export beside a head without a signature": head[: head.index(b"\n\n") + 2],
        "export beside a head and a byte": head + b"x",
        "export beside a note of another kind": head.replace(b"timmy/", b"tommy/"),
        "export beside a note of 65537 bytes": head.ljust(65537, b"\n"),
        "export beside the first bytes of a bundle": agent.MAGIC[:-1],
    }
    return bad(("checkpoint", BROKEN), {name: (export(now), data) for name, data in found.items()})


def bad_bundles():
    now, then = grown(), six()
    whole = export(then)
    seal, chain = make_succession.sealed()
    seal.say("words")
    chain.anchor(seal.head())
    unheaded = [r for r in anchored(seal, chain, 3) if r != note(chain.heads[0])]
    found = {
        "bundle": (
            bundle(whole)[:-1],
            agent.MAGIC,
            bundle([["header", "snapshot", *whole[0][2:]]]),
        ),
        "event": (bundle(changed(whole, "event", 2, f3=ZEROS)),),
        "checkpoint": (bundle(export(then, [then.head(by=agent.STRANGER)])),),
        "root": (bundle([*whole[:-1], note(then.head(root=ZEROS))]),),
    }
    names = ("cut", "that is only begun", "of another purpose")
    broken = [
        case(f"export beside a file {name}", (kind, BROKEN), export(now), data)
        for kind, files in found.items()
        for name, data in zip(
            names if len(files) > 1 else (f"with a bad {kind}",), files, strict=True
        )
    ]
    return [
        *broken,
        case("anchored proof beside itself without the head of its opening", (None, TEST),
             anchored(seal, chain, 3), unheaded, standing="seen"),
        *bad(MISSING, {
            "export beside an export without a head": (export(now), whole[:-1]),
            "export beside a proof without its subject": (export(now), without(proof(then, 2, [6]), "subject")),
        }),
        *bad(DIVERGES, {
            "export beside an export with two heads of one size": (export(now), [*whole, note(then.head(root=ZEROS))]),
        }),
        *bad(REWRITES, {
            "export beside an export with a head of another history": (export(now), export(then, [then.head(), then.head(2, root=ZEROS)])),
        }),
    ]  # fmt: skip
