"""Leading the seal away from a lost key, with the kit, on a stopped node.

The record in the ledger comes first (`timmy recover --new-keys`); this is the transaction in
Bitcoin that spends the recovery seal of the opening. It is signed at several feerates while the
kit's key is in memory; the running node sends the cheapest, `timmy anchor bump` the next one.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from attest.address import p2tr_address
from attest.anchorer import Anchorer
from attest.core.errors import AttestError, NoBackend
from attest.core.header import network_by_name
from attest.core.signer import RecoverySigner
from attest.state import FileState
from genesis.core.keys import AgentKeys
from genesis.core.recovery import RecoveryKit
from ledger.core.errors import Refused
from ledger.core.lineage import Cause, Lineage, Tenure
from ledger.log import Log
from node import console
from node.anchors import requests
from node.anchors.anchoring import anchor_keys, bitcoind
from node.config import load
from node.home import Home
from node.identity import succession
from node.open import lineage_of


def try_seal(home: Home, log: Log, kit: RecoveryKit, text: str) -> dict[str, Any] | None:
    """Recover the seal if that can be done now; say what is missing otherwise."""
    try:
        return recover_seal(home, log, kit, text)
    except AttestError as error:
        console.say(f"the seal is not recovered yet: {error}")
        console.say("finish it, on the stopped node: timmy anchor recover --kit FILE")
        return None


def recover_seal(home: Home, log: Log, kit: RecoveryKit, text: str) -> dict[str, Any]:
    """Sign the recovery of the seal to the keys in charge, and send it. Raises AttestError."""
    lineage = lineage_of(log)
    tenure = _recovered(lineage)
    keys = succession.unlock(home, log, lineage, text).keys
    request = log.find(requests.takeover_key(log, tenure))
    if request is None:
        raise Refused(
            "there is no seal to recover: it was opened later, or never",
            hint="open one: timmy anchor open",
        )
    return asyncio.run(_recover(home, lineage, kit, keys, request.payload["digest"]))


def _recovered(lineage: Lineage) -> Tenure:
    """The tenure that the seal goes to: recovered ones that handed over since come first."""
    newest = lineage.newest
    found = [t for t in lineage.tenures if t.number == newest.number]
    if found[0].cause is not Cause.RECOVERY:
        raise Refused(
            "the keys in charge did not begin with a recovery",
            hint="if the keystore is stolen or lost: timmy recover --kit FILE --new-keys",
        )
    return found[0]


async def _recover(
    home: Home, lineage: Lineage, kit: RecoveryKit, keys: AgentKeys, digest: bytes
) -> dict[str, Any]:
    section = load(home.config).attest
    mine = anchor_keys(keys, lineage.genesis.soul.sha256)
    network = network_by_name(lineage.genesis.network)
    node = bitcoind(section)
    if node is None:
        raise NoBackend("no Bitcoin node is configured", hint="set attest.backend in node.toml")
    async with AsyncExitStack() as stack:
        anchorer = Anchorer(
            network=network,
            node=await stack.enter_async_context(node),
            state=stack.enter_context(FileState(home.anchors)),
            seal=mine.seal,
            funding=mine.funding,
            mainnet_allowed=section.i_understand_that_mainnet_costs_money,
        )
        address = p2tr_address(mine.funding.output_key, network.address_hrp)
        try:
            await anchorer.recover(digest, RecoverySigner(secret=kit.recovery_key.secret))
        except AttestError:
            console.say(f"its fee is paid from {address}")
            raise
        link = (await anchorer.advance()).links[-1]
    return {"txid": link.txid[::-1], "fee_sat": link.fee_sat, "funding_address": address}
