"""New keys in charge of a home: handoff and recovery, and finishing one that was cut short.

    1. the new keystores are beside the old ones            (genesis.succession)
    2. the record is in the ledger                          the point of no return
    3. the head over it is released: a handoff's by the old key, its last; a recovery's by the new
    4. its note is kept in the ledger, if a seal is to move with it
    5. the new keystore takes its place, the old one is kept under its number

Before 2 the old keys are in charge and nothing has happened. From 2 on each step is done if it was
not, by `finish`: at the next start, or by the command that is run again. Which keystore is in
charge, its public key says: it is the one that the ledger names. Where another recovery came
before 3 or 4 (the guard was lost as well), the note is made from the record at the next start:
`make_up`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from attest.core.commitment import Kind
from genesis import trees
from genesis.core import nip49
from genesis.core.errors import BirthError, PrivateFileMissing
from genesis.core.keys import AgentKeys
from genesis.core.recovery import RecoveryKit
from genesis.keys import entropy, keystore, private
from genesis.succession import Collect, Heir, prepare, put_in_charge, write_heir
from ledger.core.epoch import EpochRecord
from ledger.core.errors import Refused
from ledger.core.event import Draft
from ledger.core.handoff import Handoff
from ledger.core.keys import Signer
from ledger.core.lineage import Cause, Lineage, Tenure
from ledger.core.types import ADOPTION_STREAM, EPOCH, HANDED_OFF, LINEAGE_STREAM
from ledger.log import Log
from ledger.release import GuardFile, Release, check_guard
from ledger.tail import check_tail
from node import console
from node.anchors import requests
from node.anchors.evidence import anchored
from node.home import Home
from runtime.core.adoptions import of_steps

_STEPS_MAX: Final = 4_096
"""Newest steps of adoptions that are read: the one under way has five at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """Keys in charge, and those of earlier tenures whose keystores are here, by number."""

    keys: AgentKeys
    past: dict[int, AgentKeys] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """scrypt's cost, for keystores that are made and for those that are opened."""

    log_n: int = nip49.LOG_N_MIN
    log_n_min: int = nip49.LOG_N_MIN


SAFE: Final = Cost()


def unlock(home: Home, log: Log, lineage: Lineage, text: str, *, cost: Cost = SAFE) -> Unlocked:
    """Open the keystores of the tenure in charge; finish a change of keys that was cut short.

    Raises PrivateFileError, InvalidKeystore, WrongPassphrase or KeyMismatch.
    """
    finish(home, log, lineage, text, cost=cost)
    keys = keystore.unlock_agent(
        home.path, text, expected=expected(lineage), log_n_min=cost.log_n_min
    )
    past = {}
    for number, path in keystore.past_paths(home.path).items():
        try:
            past[number] = keystore.unlock_root(path, text, log_n_min=cost.log_n_min)
        except BirthError as error:  # a recovery may be due to a passphrase that is forgotten
            console.say(f"warning: {path} of earlier keys does not open: {error}")
    unlocked = Unlocked(keys=keys, past=past)
    make_up(home, log, lineage, unlocked)
    return unlocked


def expected(lineage: Lineage) -> dict[str, bytes]:
    """The keys that the keystores must hold, by role.

    After a recovery with new keys the Nostr key may be another one: the old may be lost.
    """
    recovered = any(tenure.cause is Cause.RECOVERY for tenure in lineage.tenures)
    return {r: key for r, key in lineage.keys.items() if not (recovered and r == "nostr")}


# ---- a handoff -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """New keys in memory, and what it takes to put them in charge."""

    heir: Heir
    old: AgentKeys
    kit: RecoveryKit = field(repr=False)
    reason: str


def check_ready(home: Home, log: Log, lineage: Lineage) -> None:
    """Raise GuardError, StoreDamaged or Refused if this home may not hand over now."""
    guard = GuardFile(home.state, log.ledger_id)
    newest = check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch)
    check_tail(log, newest.size)
    steps = log.stream(ADOPTION_STREAM, last=_STEPS_MAX)
    if (trial := of_steps(steps).under_way) is not None:
        raise Refused(
            f"the adoption of proposal {trial.patch} is under way: who hands over vouches for what "
            "is in force",
            hint="start the node and let it settle, or: timmy patch rollback",
        )
    if requests.named(log) is not None and not requests.opened_in_block(log):
        raise Refused(
            "the seal is being opened, and its transaction is not in a block yet",
            hint="start the node and wait for it: timmy anchor status",
        )
    if requests.delegation(log) is not None:
        raise Refused(
            "the seal is delegated to an aggregator: its key returns it before it is handed over",
            hint="start the node, then: timmy aggregate return, and wait for its block",
        )
    kinds = [kept.kind for kept in anchored(home)]
    if kinds and kinds[-1] is Kind.DELEGATION:
        raise Refused(
            "the seal is delegated to an aggregator",
            hint="take it back first, and wait for a block: timmy aggregate return",
        )


def prepare_handoff(
    home: Home,
    lineage: Lineage,
    kit: RecoveryKit,
    text: str,
    *,
    reason: str,
    collect: Collect = entropy.collect,
    cost: Cost = SAFE,
) -> Prepared:
    """Make new keys for a handoff of this home. Raises what opening the keystores raises."""
    old = keystore.unlock_agent(
        home.path, text, expected=expected(lineage), log_n_min=cost.log_n_min
    )
    heir = prepare(
        kit=kit,
        nostr=old.nostr,
        nostr_kept=keystore.nostr_path(home.path).exists(),
        passphrase=text,
        collect=collect,
        log_n=cost.log_n,
    )
    return Prepared(heir=heir, old=old, kit=kit, reason=reason)


def hand_over(
    home: Home,
    log: Log,
    lineage: Lineage,
    prepared: Prepared,
    *,
    disk: private.Disk = private.REAL_DISK,
) -> Tenure:
    """Put the new keys in charge. Raises Moved if something was appended since the lineage."""
    before, heir = lineage.newest, prepared.heir
    position = log.size
    record = Handoff(
        number=before.number + 1,
        previous=before.record,
        soul=lineage.genesis.soul.sha256,
        kept_size=position,
        kept_root=log.tree.root(),
        architecture=_in_force(home, log, lineage),
        successor=heir.successor,
        key=prepared.kit.next_key.public,
        reason=prepared.reason,
    )
    payload = record.to_payload(
        log.ledger_id,
        old=prepared.old.log,
        next_key=prepared.kit.next_key,
        new=heir.signers,
    )
    write_heir(heir, home.path, disk=disk)
    draft = Draft(type=HANDED_OFF.name, stream=LINEAGE_STREAM, payload=payload)
    [event] = log.append_now(draft, expected=position)
    after = lineage.add(event)
    _finish_handoff(home, log, after, prepared.old.log)
    put_in_charge(home.path, before.number, disk=disk)
    return after.newest


def _in_force(home: Home, log: Log, lineage: Lineage) -> bytes:
    """The tree that the ledger names; where it names none, the one that the home has."""
    now = of_steps(log.stream(ADOPTION_STREAM, last=_STEPS_MAX)).in_force
    if now is not None:
        return now.tree
    return trees.current(home.path) or lineage.genesis.architecture


def _finish_handoff(home: Home, log: Log, lineage: Lineage, old: Signer) -> None:
    """Release the old key's last head, and keep its note if the seal is to move."""
    tenure = lineage.newest
    release = Release.open(log, home.state, old, epoch=tenure.epoch, key_at=lineage.key_at)
    head = release.last_head(tenure.start - 1)
    key = requests.takeover_key(log, tenure)
    if requests.wants_seal(log, tenure) and log.find(key) is None:
        log.append_now(requests.request(head, key, log.read(tenure.position).cause))


# ---- a recovery ----------------------------------------------------------------------------------


def prepare_recovery(
    home: Home,
    kit: RecoveryKit,
    text: str,
    *,
    collect: Collect = entropy.collect,
    cost: Cost = SAFE,
) -> Heir:
    """Make new keys for a recovery. The old Nostr key stays if its keystore is here and opens."""
    kept = keystore.nostr_path(home.path).exists()
    nostr = None
    try:
        old = keystore.unlock_agent(home.path, text, log_n_min=cost.log_n_min)
        nostr = old.nostr
    except BirthError as error:
        kept = False
        console.say(f"the old keystore does not open, so the npub will be another one: {error}")
    return prepare(
        kit=kit,
        nostr=nostr,
        nostr_kept=kept,
        passphrase=text,
        collect=collect,
        log_n=cost.log_n,
    )


def recover(
    home: Home,
    log: Log,
    lineage: Lineage,
    heir: Heir,
    *,
    kit: RecoveryKit,
    reason: str,
    disk: private.Disk = private.REAL_DISK,
) -> Tenure:
    """Begin the next epoch with the keys of `heir`, by the recovery key of `kit`."""
    position, before = log.size, lineage.newest
    record = EpochRecord(
        ledger_id=log.ledger_id,
        epoch=lineage.epoch + 1,
        kept_size=position,
        kept_root=log.tree.root(),
        successor=heir.successor,
    )
    payload = record.to_payload(kit.recovery_key, reason, new=heir.signers)
    write_heir(heir, home.path, disk=disk)
    draft = Draft(type=EPOCH.name, stream=LINEAGE_STREAM, payload=payload)
    [event] = log.append_now(draft, expected=position)
    after = lineage.add(event)
    _finish_recovery(home, log, after, heir.keys.log)
    put_in_charge(home.path, before.number, disk=disk)
    return after.newest


def _finish_recovery(home: Home, log: Log, lineage: Lineage, new: Signer) -> None:
    """Begin the epoch's guard, and keep the note of its first head if there is a seal."""
    tenure = lineage.newest
    key = requests.takeover_key(log, tenure)
    if log.find(key) is not None:
        return
    release = Release.begin(log, home.state, new, epoch=tenure.epoch, size=tenure.start)
    if requests.named(log) is not None:
        cause = log.read(tenure.position).cause
        log.append_now(requests.request(release.newest, key, cause))


# ---- finishing -----------------------------------------------------------------------------------


def finish(
    home: Home, log: Log, lineage: Lineage, text: str, *, cost: Cost = SAFE
) -> Tenure | None:
    """Finish a change of keys that was cut short after its record; None if there is nothing to do.

    Raises what opening the keystores raises.
    """
    tenure = lineage.newest
    mine = _public(keystore.agent_path(home.path))
    heir_path = keystore.heir_path(home.path)
    if mine == tenure.keys["log"] or _public(heir_path) != tenure.keys["log"]:
        return None
    if tenure.cause is Cause.HANDOFF:
        old = keystore.unlock_root(keystore.agent_path(home.path), text, log_n_min=cost.log_n_min)
        _finish_handoff(home, log, lineage, old.log)
    elif tenure.cause is Cause.RECOVERY:
        new = keystore.unlock_root(heir_path, text, log_n_min=cost.log_n_min)
        _finish_recovery(home, log, lineage, new.log)
    put_in_charge(home.path, tenure.number - 1)
    console.say(f"a change to key {tenure.number} was cut short after its record: finished now")
    return tenure


def make_up(home: Home, log: Log, lineage: Lineage, unlocked: Unlocked) -> None:
    """Keep the notes that lead the seal to the keys in charge, where they are lost.

    The note is an event after the record, so a ledger may end between them; and who then recovers
    because the guard is lost, begins an epoch before anybody finishes the change. What the note
    must say, the record says: which head of which key. Raises GuardError.
    """
    missing = [
        (before, tenure)
        for before, tenure in requests.takeovers(lineage)
        if requests.wants_seal(log, tenure) and log.find(requests.takeover_key(log, tenure)) is None
    ]
    if not missing:
        return
    own = unlocked.keys.log
    release = Release.open(log, home.state, own, epoch=lineage.epoch, key_at=lineage.key_at)
    by_key = {one.log.public: one.log for one in (unlocked.keys, *unlocked.past.values())}
    for before, tenure in missing:
        handoff = tenure.cause is Cause.HANDOFF
        signer = by_key.get((before if handoff else tenure).keys["log"])
        if signer is None:
            console.say(
                f"warning: the seal does not follow to key {tenure.number}: the keystore of key "
                f"{before.number} is not here"
            )
            continue
        # A handoff's is the last head of the key before, a recovery's the first of its own.
        size = tenure.start - 1 if handoff else tenure.start
        if size > release.newest.size:
            continue  # an older guard was put back: at the start after the next head
        head = release.earlier_head(signer, epoch=tenure.epoch, size=size)
        cause = log.read(tenure.position).cause
        log.append_now(requests.request(head, requests.takeover_key(log, tenure), cause))
        console.say(f"the note that leads the seal to key {tenure.number} was lost: made again")


def in_charge(home: Home, lineage: Lineage) -> Path:
    """The keystore whose log key the ledger names: an heir's, if its handoff was cut short."""
    heir = keystore.heir_path(home.path)
    return heir if _public(heir) == lineage.newest.keys["log"] else keystore.agent_path(home.path)


def _public(path: Path) -> bytes | None:
    try:
        return keystore.read_keystore(path, role="agent").public
    except PrivateFileMissing:
        return None
