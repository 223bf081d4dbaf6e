"""Birth: make everything in memory, show the recovery kit, then write so that a crash is harmless.

    1. prepare   entropy, keys, genesis, kit, encrypted keystores; nothing is written
    2. the caller shows the kit, and waits for the person if there is one
    3. write     operator keystore (outside the home), SOUL.md, agent keystore last
    4. the caller appends `birth.draft` at position 0 of the ledger: now the agent is born

A crash before the agent keystore is linked leaves nothing that counts: the same birth may be tried
again at once (an operator keystore that stands already is opened and used again). A crash between
3 and 4 leaves a keystore without a genesis event. That state cannot be told from a lost ledger, so
nothing is deleted: `is_born` names it (HalfBirth), and `set_aside` moves it out of the way, for the
person who knows that no ledger was lost. The kit comes before the writes because the other order
can make an agent that nobody can recover.

Two births at once in one home: the second fails at the keystore, with PrivateFileExists. Not
covered: a person who is shown the kit and does not copy it.
"""

import secrets
import shlex
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from genesis.core import nip49
from genesis.core.birth import sign_genesis
from genesis.core.errors import (
    HalfBirth,
    InvalidSoul,
    PrivateFileError,
    PrivateFileExists,
    PrivateFileMissing,
)
from genesis.core.keys import AgentKeys, Entropy, derive_independent, derive_root, derive_scalar
from genesis.core.recovery import RecoveryKit, output_key, output_signer, phrase_from_entropy
from genesis.keys import entropy, keystore, private
from genesis.soul import FILE_NAME, Soul, read_soul
from ledger.core.event import Draft
from ledger.core.genesis import (
    Genesis,
    GenesisFacts,
    SoulDigest,
    check_name,
    check_network,
    key_digest,
)
from ledger.core.keys import Signer
from ledger.core.limits import STREAM_BYTES

SOUL_MODE = 0o444
"""Public and never written again: an editor that respects modes warns before it breaks identity."""

Collect = Callable[[], tuple[Entropy, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A birth that has happened in memory only. `operator_keystore` is None for an operator who
    has one already. The repr hides what is secret.
    """

    genesis: Genesis
    draft: Draft
    soul: Soul
    keys: AgentKeys
    operator: Signer
    kit: RecoveryKit = field(repr=False)
    agent_keystore: bytes = field(repr=False)
    operator_keystore: bytes | None = field(repr=False)


def _make_kit(name: str, network: str, soul: SoulDigest, collect: Collect) -> RecoveryKit:
    return RecoveryKit(
        agent=name,
        network=network,
        soul_sha256=soul.sha256,
        next_phrase=phrase_from_entropy(derive_independent("next", collect())),
        recovery_phrase=phrase_from_entropy(derive_independent("recovery", collect())),
    )


def _make_operator(collect: Collect) -> Signer:
    return Signer(derive_scalar(derive_independent("operator", collect()), "operator"))


def _sign(
    *,
    keys: AgentKeys,
    operator: Signer,
    kit: RecoveryKit,
    soul: SoulDigest,
    architecture: bytes,
    sources: tuple[str, ...],
    created_ms: int,
) -> Genesis:
    recovery = kit.recovery_key
    facts = GenesisFacts(
        name=kit.agent,
        network=kit.network,
        soul=soul,
        keys={**keys.public(), "operator": operator.public},
        next_key_digest=key_digest(kit.next_key.public),
        recovery_key_digest=key_digest(recovery.public),
        recovery_output_key=output_key(recovery.public),
        architecture=architecture,
        entropy=sources,
        created_ms=created_ms,
    )
    return sign_genesis(
        facts, keys=keys, operator=operator, recovery_output=output_signer(recovery)
    )


def prepare(
    *,
    name: str,
    soul: Soul,
    architecture: bytes,
    created_ms: int,
    passphrase: str,
    network: str = "regtest",
    operator: Signer | None = None,
    operator_passphrase: str | None = None,
    collect: Collect = entropy.collect,
    log_n: int = nip49.LOG_N_MIN,
) -> Birth:
    """Return a birth; nothing is written. Costs one scrypt for each keystore made.

    `architecture` is the 32-byte digest of the tree the agent starts with; `operator` an existing
    key, or None to make one, locked with `operator_passphrase` or, without one, with `passphrase`.
    `collect` is called anew for each independent key. Raises InvalidGenesis for a bad name, network
    or digest, InvalidEntropy, InvalidNcryptsec.
    """
    name = unicodedata.normalize("NFC", name)
    check_name(name)
    check_network(network)
    inputs = collect()
    root = derive_root(soul_sha256=soul.digest.sha256, inputs=inputs)
    keys = AgentKeys.from_root(root)
    key = _make_operator(collect) if operator is None else operator
    kit = _make_kit(name, network, soul.digest, collect)
    genesis = _sign(
        keys=keys,
        operator=key,
        kit=kit,
        soul=soul.digest,
        architecture=architecture,
        sources=entropy.source_names(inputs),
        created_ms=created_ms,
    )
    operator_keystore = None
    if operator is None:
        lock = passphrase if operator_passphrase is None else operator_passphrase
        operator_keystore = keystore.lock_operator(key, lock, log_n=log_n).to_bytes()
    return Birth(
        genesis=genesis,
        draft=genesis.to_draft(secrets.token_bytes(STREAM_BYTES)),
        soul=soul,
        keys=keys,
        operator=key,
        kit=kit,
        agent_keystore=keystore.lock_agent(root, passphrase, log_n=log_n).to_bytes(),
        operator_keystore=operator_keystore,
    )


def _check_free(birth: Birth, home: Path, operator_folder: Path) -> None:
    """Find everything that would stop the writes before the first one."""
    if operator_folder.resolve().is_relative_to(home.resolve()):
        raise PrivateFileError(
            f"the operator folder {operator_folder} lies in the home {home}",
            hint="tools and backups reach the home: keep the operator key outside it",
        )
    taken = [keystore.agent_path(home)]
    if birth.operator_keystore is not None:
        taken.append(keystore.operator_path(operator_folder))
    for path in taken:
        if path.exists():
            raise PrivateFileExists(
                f"{path} exists and is never overwritten",
                hint="open it and use its key, or choose another home",
            )
    _same_soul(birth.soul, home / FILE_NAME)


def _same_soul(soul: Soul, path: Path) -> bool:
    """Tell whether the SOUL.md is there already; another one is never overwritten."""
    if not path.exists():
        return False
    if read_soul(path).digest != soul.digest:
        raise InvalidSoul(
            f"{path} is another SOUL than the one to be born",
            hint=f"be born with it: timmy init --soul {shlex.quote(str(path))}, or move it away",
        )
    return True


def write(
    birth: Birth, *, home: Path, operator_folder: Path, disk: private.Disk = private.REAL_DISK
) -> None:
    """Write the birth's files, the agent keystore last; each is whole and durable or absent.

    Show the kit before, append `birth.draft` after. Raises PrivateFileError or InvalidSoul; what
    was in the way is still there.
    """
    _check_free(birth, home, operator_folder)
    path, operator_path = keystore.agent_path(home), keystore.operator_path(operator_folder)
    for target in (path, operator_path, home / FILE_NAME):
        private.remove_leftovers(target)  # of a birth that was cut short
    if birth.operator_keystore is not None:
        private.make_folder(operator_folder, disk=disk)
        private.create(operator_path, birth.operator_keystore, disk=disk)
    if not home.exists():
        private.make_folder(home, disk=disk)
    private.make_folder(path.parent, disk=disk)
    if not _same_soul(birth.soul, home / FILE_NAME):
        private.create(home / FILE_NAME, birth.soul.data, mode=SOUL_MODE, disk=disk)
    private.create(path, birth.agent_keystore, disk=disk)


def is_born(home: Path, *, has_genesis: bool) -> bool:
    """Tell whether an agent lives in this home. `has_genesis`: its ledger holds a genesis event.

    Raises HalfBirth for a keystore without a genesis, PrivateFileMissing for a genesis without a
    keystore. A missing or changed SOUL.md is for genesis.soul to name.
    """
    path = keystore.agent_path(home)
    if path.exists() and not has_genesis:
        raise HalfBirth(
            f"{path} exists, and the ledger of {home} has no genesis event",
            hint="if a ledger was lost, restore it; if a birth was interrupted, set the keystore "
            f"aside and begin again: mv {shlex.quote(str(path))} {shlex.quote(str(path))}.unborn",
        )
    if has_genesis and not path.exists():
        raise PrivateFileMissing(
            f"the ledger of {home} has a genesis event, and {path} does not exist",
            hint="restore the keystore from a backup, or recover with the recovery kit",
        )
    return has_genesis


def set_aside(home: Path) -> Path:
    """Move a half birth's keystore to a new name beside it, and return that name.

    Nothing is deleted. SOUL.md stays: the next birth takes it if it is the same.
    """
    path = keystore.agent_path(home)
    aside = path.with_name(f"{path.name}.unborn-{secrets.token_hex(4)}")
    try:
        path.rename(aside)
    except OSError as error:
        raise PrivateFileError(f"cannot move {path}: {error.strerror}") from error
    return aside
