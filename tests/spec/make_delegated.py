"""The bundles among the vectors that an aggregator has a part in: times, own slots, delegations.

Own links stand at heights 200 and up, the aggregator's at 190 (the one that made the seal that is
delegated to) and from 300 up.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

from attest.core.aggregate import AggregateTree
from attest.core.commitment import Kind
from attest.core.delegation import Delegation, Segment, SlottedLink
from attest.core.proof import AnchorProof
from attest.core.seal import anchor_draft
from attest.core.transaction import OutPoint, Transaction
from ledger.core.event import Draft
from tests.attest.delegations import AGGREGATOR, OTHER, sha
from tests.attest.forge import forge_link
from tests.spec import agent
from tests.spec.agent import bundle
from tests.spec.life import Chain, Life, anchored
from tests.spec.make_bundles import BROKEN, INCOMPLETE, PENDING, TEST, case

ORIGIN, FIRST = 190, 300
NEIGHBOURS = {sha(f"ledger {n}"): sha(f"head of {n}") for n in range(6)}


@dataclass
class Rounds:
    """The transactions of an aggregator, each in a block of its own."""

    transactions: list[Transaction] = field(default_factory=list)
    links: list[SlottedLink] = field(default_factory=list)

    @cached_property
    def origin(self) -> AnchorProof:
        self.transactions.append(AGGREGATOR.signed(AGGREGATOR.opening(sha("aggregator head 0"))))
        return forge_link(self.transactions[0], height=ORIGIN)

    @property
    def offer(self) -> Delegation:
        return Delegation(
            aggregator=AGGREGATOR.ledger,
            seal_key=AGGREGATOR.seal.public,
            soul_digest=AGGREGATOR.seal.soul_digest,
            network="regtest",
            outpoint=OutPoint(txid=self.origin.path.root(self.transactions[0].txid), index=1),
            seal_sat=agent.SEAL_SAT,
        )

    def close(self, head=None, *, digest=None, ledger=None, blocks=1):
        """A round with this head (or digest) of a ledger in it, or without that ledger."""
        mine = head.checkpoint.ledger_id if ledger is None else ledger
        kept = digest if head is None else head.anchor_digest()
        tree = AggregateTree(NEIGHBOURS | ({} if kept is None else {mine: kept}))
        return self._add(Kind.AGGREGATE, tree.root, tree.prove(mine), blocks)

    def close_over(self, root, slot):
        """A round whose tree was not made as it should."""
        return self._add(Kind.AGGREGATE, root, slot, 1)

    def anchor(self):
        """A link of the aggregator's own."""
        return self._add(Kind.ANCHOR, sha("aggregator head 1"), None, 1)

    def _add(self, kind, digest, slot, blocks):
        assert self.origin
        number = len(self.transactions)
        draft = AGGREGATOR.next(self.transactions[-1], kind, digest, number)
        transaction = AGGREGATOR.signed(draft)
        self.transactions.append(transaction)
        height = FIRST + 10 * number
        headers = agent.block_of(transaction.txid, blocks=blocks)
        link = agent.link(transaction, height=height, headers=headers, spent=draft.spent[1:])
        self.links.append(SlottedLink(link=link, slot=slot))
        return self

    @property
    def segment(self) -> Segment:
        return Segment(origin=self.origin, links=tuple(self.links))


@dataclass
class Story:
    """A ledger, the links of its own seal, and what an aggregator did for it."""

    life: Life
    chain: Chain
    rounds: Rounds = field(default_factory=Rounds)
    event: int = 3
    slotted: list = field(default_factory=list)
    """The head in each slot of the segment, or None."""

    @classmethod
    def begun(cls):
        """Genesis, words, the opening of the seal at 2, a head of 3 in T_0."""
        life = Life.born().open_seal()
        return cls(life, Chain.opened(life.head()))

    def delegate(self):
        """The aggregator named at 3, and a link of kind 5 over a head of 4."""
        payload = {"delegation": self.rounds.offer.to_value()}
        self.event = self.life.size
        draft = Draft(type="seal.delegated", stream=bytes(16), payload=payload)
        self.life.ledger.add(draft)
        return self.own(Kind.DELEGATION)

    def own(self, kind=Kind.ANCHOR, **changes):
        """A link of the own seal over everything until now."""
        head = self.life.head()
        self.chain.add(of_kind(self.chain, kind, head.anchor_digest()), head, **changes)
        return self

    def say(self, text):
        self.life.say(text)
        return self

    def slot(self, **changes):
        """A round with everything until now."""
        self.slotted.append(self.life.head())
        self.rounds.close(self.slotted[-1], **changes)
        return self

    def absent(self):
        self.slotted.append(None)
        self.rounds.close(ledger=self.life.ledger.id)
        return self

    def foreign(self):
        """A link that is the aggregator's own affair."""
        self.slotted.append(None)
        self.rounds.anchor()
        return self

    @property
    def entry(self):
        """The delegation, by the link of kind 5, which is the second."""
        return {
            "link": 1,
            "event": self.event,
            "segment": self.rounds.segment.to_value(),
            "heads": [None if h is None else [h.checkpoint.epoch, h.size] for h in self.slotted],
        }

    def records(self, position, *, also=None, pairs=(), **changes):
        """The proof of an event, with parts of the attachment replaced (None: left out)."""
        value = {"delegations": [self.entry]} | changes
        return anchored(
            self.life,
            self.chain,
            position,
            also=[self.event] if also is None else also,
            older=[head for head in self.slotted if head is not None],
            pairs=pairs,
            attachment=self.chain.attachment(**value),
        )

    def with_link(self, number, **changes):
        """The entry with parts of one link of its segment replaced."""
        segment = self.rounds.segment.to_value()
        segment["links"][number] |= changes
        return [self.entry | {"segment": segment}]


def of_kind(chain, kind, digest):
    return anchor_draft(
        seal=chain.seal,
        fee_coins=[chain.fee_coin],
        digest=digest,
        change_script=agent.FUNDING.script,
        fee=agent.FEE,
        kind=kind,
    )


def cases():
    return [*times(), *own_slots(), *delegated(), *broken_delegations()]


# ---- a time --------------------------------------------------------------------------------------


def time_of(story, position, sizes, **changes):
    """A proof without a seal, with the slot of the newest head that has one."""
    head, shown = story.slotted[-1], story.rounds.links[-1]
    link = replace(shown.link, spent=())
    value = {"epoch": 0, "size": head.size} | replace(shown, link=link).to_value() | changes
    value = {name: item for name, item in value.items() if item is not ...}
    return story.life.proof(position, sizes, attachments=[("aggregate", value)])


def slotted_words():
    """Two rounds: the first over a head of 3, the second over one of 4."""
    return Story.begun().slot().say("under a slot").slot(blocks=6).say("later")


def times():
    story = slotted_words()
    first, second = story.rounds.links
    other = first.slot.to_value()
    bare = second.link.to_value()
    anchor = story.rounds.anchor().links.pop().link
    records = time_of(story, 3, [4, 5])
    twice = [*records, records[-1]]
    bad = {
        "a time, of a head that is not here": ("missing", time_of(story, 1, [4, 5], size=3)),
        "a time, of a head below the event": ("missing", time_of(story, 4, [4, 5])),
        "a time, of a head of another epoch": ("missing", time_of(story, 3, [4, 5], epoch=1)),
        "a time, with the slot of another round": ("slot", time_of(story, 3, [4, 5], slot=other)),
        "a time, with what the transaction spends": ("seal", time_of(story, 3, [4, 5], link=bare)),
        "a time, of an anchor": (
            "seal", time_of(story, 3, [4, 5], link=replace(anchor, spent=()).to_value())),
        "a time without its slot": ("slot", time_of(story, 3, [4, 5], slot=...)),
        "a time with a field too many": ("slot", time_of(story, 3, [4, 5], more=1)),
        "two times": ("duplicate", twice),
    }  # fmt: skip
    ignored = story.records(1, also=[], delegations=None)
    return [
        case("a time from a slot", None, TEST, bundle(records)),
        case("a time from a slot, of a head above the event's", None, TEST, bundle(time_of(story, 1, [3, 4, 5]))),
        case("a time beside a seal counts for nothing", None, TEST, bundle([*ignored, ["attachment", "aggregate", {}]]), standing="seen"),
        *(failing(name, failure, records) for name, (failure, records) in bad.items()),
    ]  # fmt: skip


def failing(name, failure, records):
    verdict = INCOMPLETE if failure == "missing" else BROKEN
    return case(name, failure, verdict, bundle(records))


# ---- an aggregator's own chain -------------------------------------------------------------------


def own_slots():
    """The ledger is an aggregator itself, and its head has a slot like the others."""
    story = Story.begun().say("in the own slot")
    head, ledger = story.life.head(), story.life.ledger.id
    tree = AggregateTree(NEIGHBOURS | {ledger: head.anchor_digest()})
    story.chain.add(of_kind(story.chain, Kind.AGGREGATE, tree.root), head, blocks=6)
    slot = tree.prove(ledger).to_value()
    absent = AggregateTree(NEIGHBOURS).prove(ledger).to_value()

    def proof(**changes):
        return story.records(3, also=[], delegations=None, **changes)

    bad = {
        "an own link of kind 4 without its slot": proof(slots=[None, None]),
        "an own link of kind 4, and no slots": proof(),
        "an own slot for the opening": proof(slots=[slot, slot]),
        "an own slot that shows absence": proof(slots=[None, absent]),
        "an own slot of another head": proof(slots=[None, slot], sizes=[3, 3]),
        "slots fewer than links": proof(slots=[None]),
        "slots that are a map": proof(slots={}),
    }
    return [
        case("anchored in the own slot", None, TEST, bundle(proof(slots=[None, slot])), standing="confirmed"),
        *(failing(name, "seal", records) for name, records in bad.items()),
    ]  # fmt: skip


# ---- delegated -----------------------------------------------------------------------------------


def while_delegated():
    """A head of 5 in a slot, a round without the ledger, a link of the aggregator's own."""
    return Story.begun().delegate().say("delegated").absent().foreign().slot(blocks=6)


def returned():
    return while_delegated().say("on the own seal again").own(blocks=6)


def handed_over(*, back):
    story = while_delegated()
    if back:
        story.own()
    story.life.hand_over()
    story.chain.hand_over(story.life.head(), 1, blocks=6)
    story.life.say("on another machine")
    return story


def recovered():
    """With new keys, without a return."""
    story = while_delegated()
    story.life.recover()
    story.chain.recover(story.life.head(), 1, blocks=6)
    story.life.say("recovered")
    return story


def new_epoch():
    """The same keys in a new epoch; the delegation lasts, and the next slot is of that epoch."""
    story = while_delegated()
    story.life.recover(renew=False).say("after it")
    return story.slot(blocks=6)


def delegated():
    story, back, after = while_delegated(), returned(), handed_over(back=True)
    over, epoch = recovered(), new_epoch()
    none = Story.begun().delegate()
    ties = [(over.life.ledger, a, b) for a, b in ((3, 4), (4, 5), (5, 6))]
    kept = [(epoch.life.ledger, a, b) for a, b in ((3, 4), (4, 5), (5, 6))]
    confirmed = {
        "delegated, words under a slot": story.records(4),
        "delegated, words under the link that delegates": story.records(1),
        "delegated and returned, words under a slot": back.records(4),
        "delegated and returned, words after the return": back.records(5),
        "delegated, returned and handed over": after.records(5),
        "delegated and recovered, words under a slot": over.records(4, pairs=ties),
        "delegated and recovered, words after the recovery": over.records(5, pairs=ties),
        "delegated in two epochs, words under a slot of the second": epoch.records(6, pairs=kept),
    }
    alone = [none.entry | {"segment": Segment(origin=none.rounds.origin, links=()).to_value()}]
    return [
        *(case(name, None, TEST, bundle(records), standing="confirmed") for name, records in confirmed.items()),
        case("delegated, and no link of the aggregator yet", None, TEST, bundle(none.records(3, delegations=alone)), standing="seen"),
        case("delegated, words that no slot covers", None, TEST, bundle(while_delegated().say("late").records(5)), standing="pending"),
        case("delegated, and the proof goes without the seal", None, PENDING, bundle(while_delegated().life.proof(4))),
    ]  # fmt: skip


def broken_delegations():
    story, twice = while_delegated(), Story.begun().delegate().own(Kind.DELEGATION)
    first, _, last = story.rounds.links
    entry, early = story.entry, Story.begun()
    segment = entry["segment"]
    links = segment["links"]
    early.chain.add(of_kind(early.chain, Kind.DELEGATION, early.life.head().anchor_digest()),
                    early.life.head())  # fmt: skip
    payload = {"delegation": early.rounds.offer.to_value()}
    early.life.ledger.add(Draft(type="seal.delegated", stream=bytes(16), payload=payload))
    unnamed = {**story.rounds.offer.to_value(), "seal_sat": 9_999}
    dear = changed_delegation(unnamed)

    def proof(*entries):
        return story.records(4, delegations=list(entries))

    bad = {
        "delegated, and no segment": ("missing", story.records(4, delegations=None)),
        "delegated, and the event is not here": ("missing", story.records(4, also=[])),
        "delegated, by an event of another type": ("missing", proof(entry | {"event": 2})),
        "delegated, the aggregator dropped a slot": (
            "missing", story.records(4, delegations=story.with_link(2, slot=None))),
        "delegated, the aggregator dropped an absence": (
            "missing", story.records(4, delegations=story.with_link(0, slot=None))),
        "delegated, a head of a slot is not here": (
            "missing", proof(entry | {"heads": [None, None, [0, 2]]})),
        "delegated, a head of a slot in another epoch": (
            "missing", proof(entry | {"heads": [None, None, [1, 5]]})),
        "delegated, a slot is said to hold another head": (
            "slot", proof(entry | {"heads": [None, None, [0, 4]]})),
        "delegated, a slot is said to be absent": (
            "slot", proof(entry | {"heads": [None, None, None]})),
        "delegated, an absence is said to be a slot": (
            "slot", proof(entry | {"heads": [[0, 4], None, [0, 5]]})),
        "delegated, the slot of another round": (
            "slot", story.records(4, delegations=story.with_link(0, slot=last.slot.to_value()))),
        "delegated, a slot beside an anchor of the aggregator's": (
            "slot", story.records(4, delegations=story.with_link(1, slot=first.slot.to_value()))),
        "delegated, a link of the aggregator left out": (
            "seal", proof(entry | {"segment": segment | {"links": links[1:]}, "heads": [None, [0, 5]]})),
        "delegated, links of the aggregator in another order": (
            "seal", proof(entry | {"segment": segment | {"links": [links[2], *links[:2]]},
                                   "heads": [[0, 5], None, None]})),
        "delegated, from another seal of the aggregator": (
            "seal", proof(entry | {"segment": segment | {"origin": replace(first.link, spent=()).to_value()}})),
        "delegated, heads fewer than links": ("seal", proof(entry | {"heads": [None, [0, 5]]})),
        "delegated, heads by size alone": ("seal", proof(entry | {"heads": [None, None, 5]})),
        "delegated, a head of epoch false": (
            "seal", proof(entry | {"heads": [None, None, [False, 5]]})),
        "delegated, two entries of one link": ("seal", proof(entry, entry)),
        "delegated, an entry of another link": ("seal", proof(entry, entry | {"link": 0})),
        "delegated, an entry of the return": ("seal", returned().records(4, delegations=[
            entry, entry | {"link": 2}])),
        "delegated, an entry of a link that is not there": ("seal", proof(entry | {"link": 2})),
        "delegated, a field too many": ("seal", proof(entry | {"more": 1})),
        "delegated, entries in a map": ("seal", story.records(4, delegations={"1": entry})),
        "delegated before the ledger named the aggregator": ("seal", early.records(1)),
        "delegated, to another amount": ("seal", dear.records(4)),
        "delegated again without a return": (
            "seal", twice.records(1, delegations=[twice.entry, twice.entry | {"link": 2}])),
        "delegated, and handed over without a return": ("seal", handed_over(back=False).records(4)),
        "delegated to itself": ("seal", to_itself().records(4)),
        "delegated, an anchor under a stranger's slot": ("slot", strangers().records(4)),
    }  # fmt: skip
    return [failing(name, failure, records) for name, (failure, records) in bad.items()]


def changed_delegation(value):
    """While delegated, where the event names something else."""
    story = Story.begun()
    draft = Draft(type="seal.delegated", stream=bytes(16), payload={"delegation": value})
    story.life.ledger.add(draft)
    return story.own(Kind.DELEGATION).say("delegated").absent().foreign().slot(blocks=6)


def to_itself():
    mine = Story.begun().life.ledger.id
    return changed_delegation({**Rounds().offer.to_value(), "aggregator": mine})


def strangers():
    """The ledger's head stands in the slot of another ledger."""
    story = Story.begun().delegate().say("delegated")
    story.slotted.append(story.life.head())
    story.rounds.close(story.slotted[-1], ledger=OTHER.ledger)
    return story
