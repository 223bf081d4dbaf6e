"""New keys for an agent that lives: made in memory, shown as a kit, then written so that a crash is
harmless.

    1. prepare          new root, new next key, the kit that holds it; nothing is written
    2. the caller shows the kit
    3. write_heir       nostr.keystore (once), heir.keystore
    4. the caller appends the record that names the new keys: now they are in charge
    5. put_in_charge    agent.keystore is kept as agent-N.keystore, heir.keystore takes its name

A crash before 4 leaves the old keys in charge and an heir that nobody names, which the next try
replaces. After 4 the ledger names the heir's key, and `put_in_charge` may be called until it is
done. The recovery key stays the one of genesis: the new kit holds the words of the old one.

Not covered: who may hand over (`ledger.core.lineage`), and a person who does not copy the kit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from genesis.core import nip49
from genesis.core.keys import AgentKeys, Entropy, derive_independent, derive_root
from genesis.core.recovery import RecoveryKit, phrase_from_entropy
from genesis.keys import entropy, keystore, private
from ledger.core.genesis import key_digest
from ledger.core.keys import Signer
from ledger.core.successor import RENEWED_ROLES, Successor

Collect = Callable[[], tuple[Entropy, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """Keys that are about to take over. `nostr` is None if the one on the disk stays."""

    keys: AgentKeys
    kit: RecoveryKit = field(repr=False)
    agent_keystore: bytes = field(repr=False)
    nostr_keystore: bytes | None = field(repr=False)

    @property
    def signers(self) -> dict[str, Signer]:
        """The new keys by role."""
        return {role: self.keys.signer(role) for role in RENEWED_ROLES}

    @property
    def successor(self) -> Successor:
        """What the ledger is to say of them."""
        return Successor(
            keys={role: key.public for role, key in self.signers.items()},
            next_key_digest=key_digest(self.kit.next_key.public),
        )


def prepare(
    *,
    kit: RecoveryKit,
    nostr: Signer | None,
    nostr_kept: bool,
    passphrase: str,
    collect: Collect = entropy.collect,
    log_n: int = nip49.LOG_N_MIN,
) -> Heir:
    """Make new keys under the SOUL of `kit`; nothing is written. Costs one or two scrypts.

    `nostr` is the key that stays, without one the root's own serves; `nostr_kept` tells that its
    keystore is there and opens.
    """
    root = derive_root(soul_sha256=kit.soul_sha256, inputs=collect())
    keys = AgentKeys.from_root(root)
    stays = nostr or keys.nostr
    nostr_keystore = None
    if not nostr_kept:
        nostr_keystore = keystore.lock_nostr(stays, passphrase, log_n=log_n).to_bytes()
    return Heir(
        keys=replace(keys, nostr=stays),
        kit=replace(kit, next_phrase=phrase_from_entropy(derive_independent("next", collect()))),
        agent_keystore=keystore.lock_agent(root, passphrase, log_n=log_n).to_bytes(),
        nostr_keystore=nostr_keystore,
    )


def write_heir(heir: Heir, home: Path, *, disk: private.Disk = private.REAL_DISK) -> None:
    """Write the keystores of `heir` beside those in charge; each is whole and durable or absent.

    An heir that was left behind gives way: the ledger never named it, or it would be in charge.
    """
    private.make_folder(keystore.heir_path(home).parent, disk=disk)
    private.remove_leftovers(keystore.nostr_path(home))  # of a try that was cut short
    if heir.nostr_keystore is not None:
        _put(keystore.nostr_path(home), heir.nostr_keystore, disk)
    _put(keystore.heir_path(home), heir.agent_keystore, disk)


def _put(path: Path, data: bytes, disk: private.Disk) -> None:
    write = private.replace if path.exists() else private.create
    write(path, data, disk=disk)


def put_in_charge(home: Path, number: int, *, disk: private.Disk = private.REAL_DISK) -> None:
    """Keep the keystore of tenure `number` under that number, and give the heir's its name.

    At every moment there is an `agent.keystore`, unless it was lost before.
    """
    path, past = keystore.agent_path(home), keystore.past_path(home, number)
    if path.exists() and not past.exists():
        private.link(path, past, disk=disk)
    private.rename(keystore.heir_path(home), path, disk=disk)
