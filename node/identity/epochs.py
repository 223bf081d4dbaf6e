"""`timmy recover --kit` with the keys that are here: the next epoch of a log that lost its end."""

from functools import partial
from pathlib import Path
from typing import Any

from genesis.core.recovery import RecoveryKit
from ledger.core import types
from ledger.core.epoch import EpochRecord
from ledger.core.errors import GuardError, Refused
from ledger.core.event import Draft, Event
from ledger.core.keys import Signer
from ledger.core.lineage import Lineage
from ledger.log import Log
from ledger.release import GuardFile, Release, check_guard
from node import console
from node.fleet.looking_back import GO_ON, RECOVERED, contradicts, is_later
from node.home import Home
from node.identity.setting_aside import put_in_place, renew, writer
from node.open import open_log


def kept(home: Home, log: Log, lineage: Lineage) -> int:
    """How many events the next epoch keeps: all, if the guard is lost or newer; else, if others saw
    more, those that were released. Raises Refused if nothing says that anything is lost.
    """
    try:
        guard = GuardFile(home.state, log.ledger_id)
        released = check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch).size
    except GuardError as error:
        console.say(str(error))
        return log.size
    why = _told(home, log, lineage, released)
    if not why:
        raise Refused(
            "the guard and the ledger agree, and nobody has told this node of more: there is "
            "nothing to recover from",
            hint="start the node: timmy run; whoever saw more tells it then; after a theft of the "
            "keystore: --new-keys",
        )
    console.say(why)
    return released


def _told(home: Home, log: Log, lineage: Lineage, released: int) -> str:
    """Say what shows that there is more than is here. Raises Refused for a later epoch.

    A node that is held releases nothing: what it was told then lies above its last released head.
    """
    told = [one for one in log.events(released) if one.type == types.WITNESS_DISAGREED.name]
    note = home.elsewhere.read_bytes() if home.elsewhere.exists() else b""
    shown = contradicts(log, lineage, note, "a mirror")
    if is_later(shown) or any(one.payload["outcome"] == RECOVERED for one in told):
        raise Refused(shown or "others have a head of a later epoch", hint=GO_ON)
    if told:
        return f"event {told[-1].position}: others saw more of this log than is here"
    proof = home.diverged / f"{log.ledger_id.hex()}-{lineage.epoch}.proof"
    return shown or (f"this log signed two histories: {proof}" if proof.exists() else "")


def begin(
    home: Home,
    log: Log,
    lineage: Lineage,
    kit: RecoveryKit,
    signer: Signer,
    *,
    size: int,
    reason: str,
) -> dict[str, Any]:
    """Begin the next epoch over the first `size` events, and release its first head.

    `log` is closed if others follow them: they go to a file ("aside" of the result).
    """
    append = partial(_append, lineage=lineage, kit=kit, reason=reason)
    if size == log.size:
        event, file = append(log), None
    else:

        def grow(path: Path) -> Event:
            with writer(path) as other:
                return append(other)

        event, file = renew(home, log, size, grow)
        log.close()
        put_in_place(home)
        log = open_log(home, write=True)
    with log:
        Release.begin(log, home.state, signer, epoch=event.payload["epoch"])
    return {
        "epoch": event.payload["epoch"], "kept_size": size, "position": event.position,
        "aside": None if file is None else str(file),
    }  # fmt: skip


def _append(log: Log, *, lineage: Lineage, kit: RecoveryKit, reason: str) -> Event:
    record = EpochRecord(
        ledger_id=log.ledger_id,
        epoch=lineage.epoch + 1,
        kept_size=log.size,
        kept_root=log.tree.root(),
    )
    payload = record.to_payload(kit.recovery_key, reason)
    draft = Draft(type=types.EPOCH.name, stream=types.LINEAGE_STREAM, payload=payload)
    [event] = log.append_now(draft)
    return event
