"""What happens to the agent of the vectors later: handoffs, recoveries, and their Bitcoin links.

Tenure n has the keys `log n`, `seal n`, `funding n` and announces `next n`; those of tenure 0 are
without a number. Nothing is checked: broken lives are made here too.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from coincurve import PrivateKey

from attest.core.proof import AnchorProof
from attest.core.seal import Coin, anchor_draft, handoff_draft, recovery_draft
from attest.core.seal import Draft as Unsigned
from attest.core.signer import SealSigner
from attest.core.taproot import key_path_sighash, soul_leaf, tweak_secret
from attest.core.transaction import OutPoint, Transaction, TxOut, double_sha256
from ledger.core.epoch import EpochRecord
from ledger.core.event import Draft
from ledger.core.genesis import key_digest
from ledger.core.handoff import Handoff
from ledger.core.successor import RENEWED_ROLES, Successor
from tests.spec import agent
from tests.spec.agent import FEE, FUNDING, RECOVERY, SOUL, Ledger, signer, words

SOUL_SHA256 = hashlib.sha256(SOUL).digest()
ARCHITECTURE = bytes(range(32))


def named(role, number):
    return signer(role if number == 0 else f"{role} {number}")


def keys_of(number):
    return {role: named(role, number) for role in RENEWED_ROLES}


def successor(number, **changes):
    """The keys of tenure `number`; `changes` are by role, or of `next_key_digest`."""
    keys = {role: by.public for role, by in keys_of(number).items()}
    digest = changes.pop("next_key_digest", key_digest(named("next", number).public))
    return Successor(keys=keys | changes, next_key_digest=digest)


def handoff(ledger, number=1, *, previous=None, after=None, old=None, by=None, new=None, **changes):
    """The draft of handoff `number`; `after` is the successor, the signers are `old`, `by`, `new`."""
    facts: dict[str, Any] = {
        "number": number,
        "previous": ledger.id if previous is None else previous,
        "soul": SOUL_SHA256,
        "kept_size": ledger.tree.size,
        "kept_root": ledger.tree.root(),
        "architecture": ARCHITECTURE,
        "reason": "another machine",
    }
    by = named("next", number - 1) if by is None else by
    record = Handoff(
        successor=successor(number) if after is None else after,
        key=by.public,
        **(facts | changes),
    )
    payload = record.to_payload(
        ledger.id,
        old=named("log", number - 1) if old is None else old,
        next_key=by,
        new=keys_of(number) | (new or {}),
    )
    return Draft(type="soul.handed_off", stream=bytes(16), payload=payload)


def recovery(ledger, epoch=1, number=1, *, after=None, by=RECOVERY, new=None, **changes):
    """The draft of a record that begins an epoch with the keys of tenure `number`."""
    facts = {"kept_size": ledger.tree.size, "kept_root": ledger.tree.root()} | changes
    after = successor(number) if after is None else after
    record = EpochRecord(ledger_id=ledger.id, epoch=epoch, successor=after, **facts)
    payload = record.to_payload(by, "keys stolen", new=keys_of(number) | (new or {}))
    return Draft(type="ledger.epoch", stream=bytes(16), payload=payload)


@dataclass
class Life:
    """A ledger that knows its tenures."""

    ledger: Ledger = field(default_factory=Ledger)
    number: int = 0
    epoch: int = 0
    record: bytes = b""
    records: list[int] = field(default_factory=list)
    """Positions of handoffs and recoveries."""

    @classmethod
    def born(cls):
        life = cls()
        life.record = life.ledger.add(agent.genesis_draft()).id
        return life.say("hello")

    def say(self, text):
        self.ledger.add(words(text))
        return self

    def open_seal(self, opening=agent.OPENING):
        payload = {"opening": opening.to_value()}
        self.ledger.add(Draft(type="seal.opened", stream=bytes(16), payload=payload))
        return self

    def hand_over(self, **changes):
        self.number += 1
        draft = handoff(self.ledger, self.number, **({"previous": self.record} | changes))
        self.record = self._began(draft).id
        self.ledger.signers.append((len(self.ledger.records) + 1, named("log", self.number)))
        return self

    def recover(self, *, renew=True, **changes):
        self.epoch += 1
        if renew:
            self.number += 1
            self.record = self._began(recovery(self.ledger, self.epoch, self.number, **changes)).id
        else:
            self._began(agent.epoch_record(self.ledger, self.epoch, **changes))
        self.ledger.signers.append((len(self.ledger.records), named("log", self.number)))
        return self

    def _began(self, draft):
        self.records.append(len(self.ledger.records))
        return self.ledger.add(draft)

    @property
    def size(self):
        return len(self.ledger.records)

    def head(self, size=None, **changes):
        return self.ledger.head(size, **({"epoch": self.epoch} | changes))

    def export(self, heads=None):
        return agent.export(
            self.ledger, [self.head()] if heads is None else heads, epoch=self.epoch
        )

    def proof(self, position, sizes=None, *, also=(), attachments=(), lineage=None):
        lineage = self.records if lineage is None else lineage
        return agent.proof(
            self.ledger,
            position,
            [self.size] if sizes is None else sizes,
            also=[*lineage, *also],
            attachments=attachments,
            epoch=self.epoch,
        )


def branch(life):
    """The same life up to here, to go on otherwise."""
    ledger = Ledger(signers=list(life.ledger.signers), lengths=dict(life.ledger.lengths))
    for record in life.ledger.records:
        ledger.keep(record)
    return replace(life, ledger=ledger, records=list(life.records))


# ---- Bitcoin ------------------------------------------------------------------------------------


def seal_signer(number):
    return SealSigner(secret=named("seal", number).secret, soul_digest=SOUL_SHA256)


def seal_out(number):
    return TxOut(value_sat=agent.SEAL_SAT, script=seal_signer(number).script)


def secrets():
    """The secret behind each script that our inputs spend."""
    found = {
        seal_signer(n).script: tweak_secret(named("seal", n).secret, soul_leaf(SOUL_SHA256))
        for n in range(4)
    }
    found[FUNDING.script] = tweak_secret(FUNDING.secret, b"")
    found[agent.RECOVERY_OUT.script] = agent.RECOVERY_OUTPUT.secret
    return found


def signed(draft: Unsigned, *, unsigned=()) -> Transaction:
    """Every input signed by the key of what it spends; those in `unsigned` by zeros."""
    known, inputs = secrets(), []
    for index, (entry, output) in enumerate(
        zip(draft.transaction.inputs, draft.spent, strict=True)
    ):
        digest = key_path_sighash(draft.transaction, index, draft.spent)
        secret = known[output.script]
        signature = PrivateKey(secret).sign_schnorr(digest, bytes(32))
        witness = bytes(64) if index in unsigned else signature
        inputs.append(replace(entry, witness=(witness,)))
    return replace(draft.transaction, inputs=tuple(inputs))


@dataclass
class Chain:
    """The links of a seal, one after another, each over a head of some life."""

    links: list[AnchorProof] = field(default_factory=list)
    heads: list[Any] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    number: int = 0
    """Of the tenure whose seal is open."""
    previous: bytes = bytes(32)

    def add(self, draft, head, *, number=None, blocks=1, unsigned=()):
        transaction = signed(draft, unsigned=unsigned)
        headers = agent.block_of(
            transaction.txid,
            blocks=blocks,
            previous=self.previous,
            time_s=1_790_000_000 + 600 * len(self.links),
        )
        spent = draft.spent[1:] if self.links else ()
        height = 200 + len(self.links)
        self.links.append(agent.link(transaction, height=height, headers=headers, spent=spent))
        self.heads.append(head)
        self.transactions.append(transaction)
        self.previous = double_sha256(headers[0])
        self.number = self.number if number is None else number
        return self

    @classmethod
    def opened(cls, head):
        return cls().add(agent.opening_draft_of(head.anchor_digest()), head)

    @property
    def seal(self):
        at = OutPoint(txid=self.transactions[-1].txid, index=1)
        return Coin(outpoint=at, output=self.transactions[-1].outputs[1])

    @property
    def recovery_seal(self):
        return Coin(
            outpoint=OutPoint(txid=self.transactions[0].txid, index=2), output=agent.RECOVERY_OUT
        )

    @property
    def fee_coin(self):
        return agent.coin(10 + len(self.links))

    def enrolment(self, number):
        at = OutPoint(txid=bytes([100 + len(self.links)]) * 32, index=0)
        return Coin(outpoint=at, output=seal_out(number))

    def anchor_draft(self, head):
        return anchor_draft(
            seal=self.seal,
            fee_coins=[self.fee_coin],
            digest=head.anchor_digest(),
            change_script=FUNDING.script,
            fee=FEE,
        )

    def handoff_draft(self, head, number):
        return handoff_draft(
            seal=self.seal,
            enrolment=self.enrolment(number),
            fee_coins=[self.fee_coin],
            digest=head.anchor_digest(),
            change_script=FUNDING.script,
            fee=FEE,
        )

    def recovery_draft(self, head, number, *, recovery=None):
        return recovery_draft(
            recovery=self.recovery_seal if recovery is None else recovery,
            seal=seal_out(number),
            fee_coins=[self.fee_coin],
            digest=head.anchor_digest(),
            change_script=FUNDING.script,
            fee=FEE,
        )

    def anchor(self, head, **changes):
        return self.add(self.anchor_draft(head), head, **changes)

    def hand_over(self, head, number, **changes):
        return self.add(self.handoff_draft(head, number), head, number=number, **changes)

    def recover(self, head, number, **changes):
        return self.add(self.recovery_draft(head, number), head, number=number, **changes)

    def attachment(self, **changes):
        value = {
            "links": [link.to_value() for link in self.links],
            "sizes": [head.size for head in self.heads],
            "epochs": [head.checkpoint.epoch for head in self.heads],
        }
        kept = {name: item for name, item in (value | changes).items() if item is not None}
        return ["attachment", "seal", kept]


def consistencies(records, pairs):
    """Those of `pairs`, (ledger, size, size), that are not among the records yet."""
    there = {(record[1], record[2]) for record in records if record[0] == "consistency"}
    return [
        ["consistency", size1, size2, ledger.tree.consistency(size1, size2)]
        for ledger, size1, size2 in pairs
        if (size1, size2) not in there
    ]


def anchored(life, chain, position, *, also=(), opening=2, older=(), pairs=(), attachment=None):
    """A proof of an event, with every head that the chain commits to and what ties them.

    `older` are more heads; `pairs` are (ledger, size, size) to be tied as well.
    """
    heads = {(h.checkpoint.epoch, h.size): h for h in (*older, *chain.heads, life.head())}
    newest = sorted(size for epoch, size in heads if epoch == life.epoch)
    records = life.proof(position, newest, also=[opening, *also])
    records = [record for record in records if record[0] != "checkpoint"]
    records += consistencies(records, pairs)
    records += [["checkpoint", heads[place].encode()] for place in sorted(heads)]
    return [*records, chain.attachment() if attachment is None else attachment]
