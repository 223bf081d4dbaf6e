"""`timmy init`: from nothing to an agent with a ledger of one event.

Order: everything in memory; the kit is shown; keystores and SOUL.md; the tree the agent thinks
with; the guard over an empty log; the genesis event last. Before that event nothing was born, and
the next try says what to do with what is lying about.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis import birth, trees
from genesis.core.errors import PrivateFileExists
from genesis.core.recovery import render_kit
from genesis.keys import keystore, passphrase
from genesis.keys.private import create
from genesis.soul import Soul, default_soul, read_soul
from ledger.core.errors import StoreOld, StoreUnmade
from ledger.core.keys import Signer
from ledger.log import Log
from ledger.migrations import History
from ledger.release import Release
from ledger.schema import HISTORY
from ledger.sqlite import SqliteStore
from mesh.core import nip19
from node.home import Home
from node.open import now_ms


class AlreadyBorn(PrivateFileExists):
    """An agent lives in this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted of a birth."""

    name: str
    soul: Path | None
    network: str
    passphrase: passphrase.Passphrase
    show_kit: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Born:
    """What came of it."""

    name: str
    npub: str
    ledger_id: bytes
    soul: Soul
    home: Path


def agent_source() -> Path:
    """The agent's tree as it was installed with this software."""
    import runtime.agent

    return Path(runtime.agent.__file__).parent


def is_born(home: Home) -> bool:
    """Tell whether an agent lives in this home; a half birth or a lost part raises."""
    return birth.is_born(home.path, has_genesis=_has_genesis(home.ledger))


def _has_genesis(ledger: Path, *, history: History = HISTORY) -> bool:
    if not ledger.exists():
        return False
    try:
        store = SqliteStore.open_read_only(ledger, history=history)
    except StoreOld:  # an agent's of an older version: opening it for writing brings it forward
        return True
    except StoreUnmade:  # a birth that was cut short while it made the file
        return False
    try:
        return store.size > 0
    finally:
        store.close()


def be_born(home: Home, wish: Wish) -> Born:
    """Carry out a birth. Raises AlreadyBorn, GenesisError; then no agent was born."""
    if is_born(home):
        raise AlreadyBorn(
            f"an agent lives in {home.path}",
            hint="choose another home: timmy --home FOLDER init",
        )
    soul = default_soul() if wish.soul is None else read_soul(wish.soul)
    tree = trees.read_tree(agent_source())
    prepared = birth.prepare(
        name=wish.name,
        soul=soul,
        architecture=tree.digest,
        created_ms=now_ms(),
        passphrase=wish.passphrase.text,
        network=wish.network,
        operator=_operator(home, wish.passphrase.text),
    )
    wish.show_kit(render_kit(prepared.kit))
    home.make()
    birth.write(prepared, home=home.path, operator_folder=home.operator)
    trees.store_tree(home.path, tree)
    trees.set_current(home.path, tree.digest)
    if home.ledger.exists():  # an empty ledger that an interrupted birth left behind
        shutil.move(home.ledger, home.path / f"ledger.unborn-{now_ms()}.db")
    with Log(SqliteStore.create(home.ledger), clock=now_ms, entropy=os.urandom) as log:
        (event,) = log.append_now(prepared.draft)
        Release.begin(log, home.state, prepared.keys.log)
    return Born(
        name=prepared.genesis.name,
        npub=nip19.npub(prepared.keys.nostr.public.hex()),
        ledger_id=event.id,
        soul=soul,
        home=home.path,
    )


def _operator(home: Home, text: str) -> Signer | None:
    """One operator may have several agents: his keystore is opened if it is there."""
    if not keystore.operator_path(home.operator).exists():
        return None
    return keystore.unlock_operator(home.operator, text)


KIT_FILES: Final = "recovery-kit-*.txt"
"""Kits that nobody was there to be shown (docs/adr/0012-the-kit-of-an-unattended-birth.md)."""


def keep_kit(home: Home, name: str) -> tuple[Callable[[str], None], Path]:
    """For a birth nobody watches: write the kit 0600 into the state directory, and say so."""
    slug = "".join(c if c.isalnum() else "-" for c in name.lower())
    path = home.state / f"recovery-kit-{slug}-{now_ms()}.txt"

    def write(text: str) -> None:
        create(path, text.encode())

    return write, path
