"""What a ledger asks of an aggregator: a slot for its head, or to carry its seal's uniqueness.

submission   a head and what shows that it continues the last one; its note is kept here
delegate     the aggregator is named in the ledger, then in a link of kind 5 of the own seal
take_back    a link of kind 1 ends that; asked before there is a link, there will be none
"""

import asyncio
from typing import Any

from attest.core.commitment import Kind
from attest.core.delegation import Delegation
from ledger.core import types
from ledger.core.errors import Refused
from ledger.core.event import Draft
from node.anchors import requests
from node.anchors.anchoring import Anchoring
from node.anchors.submitting import make_submission


async def submission(anchoring: Anchoring, since: int) -> bytes:
    """A head for an aggregator that has the head of size `since`. Raises Refused."""
    head = await asyncio.to_thread(anchoring.release.head)
    data = make_submission(anchoring.log, head, since)
    await anchoring.hand_in(head)
    return data


async def delegate(anchoring: Anchoring, delegation: Delegation) -> dict[str, Any]:
    """Name an aggregator in the ledger and ask for the link that delegates to it.

    Again, with the same one, it goes on where a crash left it. Raises Refused.
    """
    _check(anchoring, delegation)
    log, value = anchoring.log, delegation.to_value()
    event = requests.delegation(log)
    if event is None:
        draft = Draft(
            type=types.SEAL_DELEGATED.name, stream=types.SEAL_STREAM, payload={"delegation": value}
        )
        [event] = await log.append(draft)
    elif event.payload["delegation"] != value:
        raise Refused("delegated already", hint="timmy aggregate return, then delegate anew")
    key = anchoring.key(b"delegate", event.id)
    kept = log.find(key)
    digest = await anchoring.head(event, key=key) if kept is None else kept.payload["digest"]
    await anchoring.anchorer.anchor(digest, kind=Kind.DELEGATION)
    return await anchoring.advance()


def _check(anchoring: Anchoring, delegation: Delegation) -> None:
    if anchoring.opened is None:
        raise Refused("the seal is not open", hint="open it first: timmy anchor open")
    if delegation.network != anchoring.network.name:
        raise Refused(
            f"an aggregator on {delegation.network}, this is {anchoring.network.name}",
            hint="a seal can be delegated on its own network only",
        )
    if delegation.aggregator == anchoring.log.ledger_id:
        raise Refused(
            "a ledger cannot delegate to itself",
            hint="give it the offer of another agent",
        )


async def take_back(anchoring: Anchoring) -> dict[str, Any]:
    """Anchor on the own seal again: the delegation ends. Raises Refused if there is none."""
    if requests.delegation(anchoring.log) is None:
        raise Refused("nothing is delegated", hint="timmy anchor status")
    await anchoring.anchorer.anchor(await anchoring.head())
    return await anchoring.advance()
