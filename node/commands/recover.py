"""Bring back what was lost: from a mirror of this ledger, or by a new epoch with the recovery kit.

    timmy recover --from-mirror URL [--npub NPUB]    another node has a copy of what is missing here
    timmy recover --kit FILE --yes                the newer ledger or state directory is lost
    timmy recover --kit FILE --new-keys --yes     the keystore is stolen, or lost, or its passphrase

--from-mirror is the way without loss: nothing is given up and no epoch begun. The node at URL (a
member of the fleet, one of [[mesh.peers]], or the one that --npub names) gives what follows on this
ledger; every event of it is checked, and the head over it is this log's own. It is for the one copy
of this home that goes on: first stop every other. Where something was appended to an old copy, it
is no beginning of the mirror's any more. A node that is held (timmy mesh witness) released nothing
of that, so with --yes it goes to <home>/aside, and the mirror's events take its place. What was
released stays: then an epoch is the way.

Whichever it is: a member of a fleet that votes grants no run for an hour then, as it may have
granted it before.

--kit - reads the kit from standard input. What the node released and no longer has is given up
publicly: the record, signed by the recovery key, names what is kept, and every later head carries
the new epoch. What a held node appended goes to <home>/aside then, too (with --new-keys it stays).
It is refused unless the guard is lost or newer, or a witness, relay, peer or mirror told this node
of more than is here. Two recoveries of one log contradict each other for all to see, so do it once.

With --new-keys the agent gets new log, seal and funding keys without the old ones' consent: the
verdict on it is RECOVERED for good, never "handed over". A new kit is shown. The Nostr key stays if
the old keystore is here and opens; else the agent has another npub. If the seal is open, the kit's
recovery key then leads it away from whoever holds the old seal key; without money at the new
address, or without a Bitcoin node, that is left to: timmy anchor recover --kit FILE.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ledger.core.errors import Refused, TimmyError
from node import console
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--kit", metavar="FILE", help="recovery kit; - for stdin")
    parser.add_argument("--from-mirror", metavar="URL", help="fetch what is missing from there")
    parser.add_argument("--npub", help="whose node is at URL, if nothing here says it")
    parser.add_argument("--reason", help="kept in the ledger")
    parser.add_argument("--passphrase-fd", type=int, metavar="N", help="of the agent's keystore")
    parser.add_argument("--new-keys", action="store_true", help="the keystore is stolen or lost")
    parser.add_argument("--new-kit", type=Path, metavar="FILE", help="write the new kit here")
    parser.add_argument(
        "--yes", action="store_true",
        help="the newer state is lost for good; --from-mirror: what is in the way goes to a file",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Fetch the tail, or begin the next epoch."""
    if (arguments.kit is None) == (arguments.from_mirror is None):
        raise TimmyError(
            "recover from a mirror, or with the recovery kit: one of the two",
            hint="--from-mirror URL, or --kit FILE",
        )
    return _from_mirror(arguments) if arguments.from_mirror is not None else _with_kit(arguments)


def _from_mirror(arguments: argparse.Namespace) -> int:
    """Fetch what a mirror has beyond this ledger."""
    from node.assembly import open_ledger
    from node.identity import fetching, succession

    home = Home.find(arguments.home)
    log, lineage = open_ledger(home)
    with log:
        text = _passphrase(home, arguments, confirm=False)
        keys = succession.unlock(home, log, lineage, text).keys
    result = fetching.from_mirror(
        home, keys, arguments.from_mirror, arguments.npub, aside=arguments.yes
    )
    if arguments.json:
        console.out_json(result)
    else:
        told = result["events"] - result["before"]
        console.out(f"{told} events fetched, {result['events']} are here, each of them checked")
        _aside(result)
        console.out("start it:    timmy run")
    return 0


def _with_kit(arguments: argparse.Namespace) -> int:
    """Begin the next epoch."""
    from genesis.core.recovery import check_kit
    from node.assembly import open_ledger
    from node.identity.kits import read_kit

    if arguments.new_kit is not None and not arguments.new_keys:
        raise TimmyError("a new kit is made with new keys only", hint="--new-keys")
    if not arguments.yes:
        raise Refused(
            "a new epoch gives up whatever was released and is not in this ledger",
            hint="say so with --yes, if the newer state is lost for good",
        )
    home = Home.find(arguments.home)
    kit = read_kit(arguments.kit)
    log, lineage = open_ledger(home)
    with log:
        check_kit(kit, lineage.genesis, announced=[t.next_key_digest for t in lineage.tenures])
        renew = _with_new_keys if arguments.new_keys else _with_its_keys
        result = renew(arguments, home, log, lineage, kit)
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"epoch {result['epoch']} begins; {result['kept_size']} events are kept")
        _aside(result)
    return 0


def _aside(result: dict[str, Any]) -> None:
    if result.get("aside") is not None:
        console.out(f"what was appended here meanwhile: {result['aside']}")


def _passphrase(home: Home, arguments: argparse.Namespace, *, confirm: bool) -> str:
    from genesis.keys import passphrase

    given = passphrase.obtain(
        state=home.state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
        confirm=confirm,
    )
    return given.text


def _with_its_keys(
    arguments: argparse.Namespace, home: Home, log: Any, lineage: Any, kit: Any
) -> dict[str, Any]:
    """Go on with the keys that are here, after the guard or newer events were lost."""
    from genesis.keys import keystore
    from mesh.fleet.grants import forget
    from node.identity import epochs, succession
    from node.open import now_ms

    size = epochs.kept(home, log, lineage)
    keys = keystore.unlock_agent(
        home.path,
        _passphrase(home, arguments, confirm=False),
        path=succession.in_charge(home, lineage),
        expected=succession.expected(lineage),
    )
    forget(home.grants(log.ledger_id), now_ms() // 1000)
    reason = arguments.reason or "the guard, or newer events, were lost"
    return epochs.begin(home, log, lineage, kit, keys.log, size=size, reason=reason)


def _with_new_keys(
    arguments: argparse.Namespace, home: Home, log: Any, lineage: Any, kit: Any
) -> dict[str, Any]:
    """Put new keys in charge by the recovery key alone."""
    from genesis.core.recovery import render_kit
    from mesh.fleet.grants import forget
    from node.anchors import requests
    from node.identity import kits, recovering, succession
    from node.open import now_ms

    text = _passphrase(home, arguments, confirm=True)
    tenure = succession.finish(home, log, lineage, text)
    forget(home.grants(log.ledger_id), now_ms() // 1000)
    path = None
    if tenure is None:
        show, path = kits.shower(
            home, lineage.genesis.name, arguments.new_kit, as_json=arguments.json
        )
        heir = succession.prepare_recovery(home, kit, text)
        show(render_kit(heir.kit, remark=kits.REMARK))
        reason = arguments.reason or "the keystore was stolen or lost"
        tenure = succession.recover(home, log, lineage, heir, kit=kit, reason=reason)
    result: dict[str, Any] = {
        "epoch": tenure.epoch,
        "kept_size": tenure.position,
        "position": tenure.position,
        "number": tenure.number,
        "keys": dict(tenure.keys),
        "kit": None if path is None else str(path),
    }
    if path is not None:
        console.say(f"the new recovery kit is in {path}: move it off this machine")
    if requests.named(log) is not None:
        result["seal"] = recovering.try_seal(home, log, kit, text)
    return result
