"""Consensus-critical: the event types this version writes, and which of them may carry content.

A type without content cannot be redacted: there is nothing in it but facts that rules are made
of (keys, denials, approvals). A type that is not in this table is opaque: kept, replayed, proven,
never interpreted. Housekeeping never triggers publishing, anchoring or witnessing.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """What may be in an event of this type. `schema` is the newest this version writes."""

    name: str
    about: str
    schema: int = 1
    content: bool = False
    housekeeping: bool = False


NODE_STREAM: Final = bytes(16)
"""The log's own events: births, starts, redactions, attestations, what was published."""
EPOCH_STREAM: Final = bytes(15) + b"\x01"
"""Epoch records: read at every opening of a log, so they do not lie among a million others."""
SEAL_STREAM: Final = bytes(15) + b"\x02"
"""The seal's opening, requests for anchors, anchors that were mined."""

MEMORY_STREAM: Final = bytes(15) + b"\x03"
"""What the operator gave the agent to remember, apart from any conversation."""

GENESIS = EventType(name="genesis.born", about="SOUL digest, keys, network: fixes the ledger id")
MESSAGE_RECEIVED = EventType(
    name="message.received", about="words to the agent, with conversation and author", content=True
)
MESSAGE_SENT = EventType(
    name="message.sent", about="the agent's words, with conversation and turn", content=True
)
MEMORY_NOTED = EventType(name="memory.noted", about="something to remember", content=True)
POLICY_DECIDED = EventType(name="policy.decided", about="a screen or rule fired; what it did")
POLICY_RELEASED = EventType(name="policy.released", about="the operator lifted a hold")
TURN_STARTED = EventType(name="turn.started", about="the agent process was given a message")
TURN_FINISHED = EventType(name="turn.finished", about="how the turn ended")
TURN_STEPPED = EventType(
    name="turn.stepped", about="a step whose result is in no other event: a status, a refusal"
)
MODEL_REQUESTED = EventType(
    name="model.requested", about="references and template digest of a prompt, never its text"
)
MODEL_REPLIED = EventType(
    name="model.replied", about="who answered, tokens, finish reason, and the words", content=True
)
RECALLED = EventType(name="memory.recalled", about="which events a search gave to a turn")
STATEMENT_RECEIVED = EventType(
    name="statement.received", about="signed words of a foreign author", content=True
)
REDACTED = EventType(name="ledger.redacted", about="whose content is erased, by whom, and why")
EPOCH = EventType(name="ledger.epoch", about="a recovered log: kept size and root, recovery key")
STATE_ATTESTED = EventType(
    name="state.attested", about="digest of the replayed state, with the reducers' hash"
)
NODE_STARTED = EventType(
    name="node.started", about="version, architecture tree, sandbox", housekeeping=True
)
NODE_STOPPED = EventType(name="node.stopped", about="a clean stop", housekeeping=True)
CLOCK_STEPPED = EventType(
    name="clock.stepped", about="the clock went back further than the bound", housekeeping=True
)
PUBLISHED = EventType(
    name="checkpoint.published", about="a checkpoint went to relays", housekeeping=True
)
SEAL_OPENED = EventType(name="seal.opened", about="names the outpoint the opening spends")
ANCHOR_REQUESTED = EventType(
    name="anchor.requested",
    about="the signed note that a transaction is to commit to",
    housekeeping=True,
)
ANCHORED = EventType(
    name="checkpoint.anchored", about="an anchor reached a block", housekeeping=True
)
PATCH_PROPOSED = EventType(name="patch.proposed", about="digest, class and diff", content=True)
PATCH_JUDGED = EventType(name="patch.judged", about="a signed verdict on a patch")

_ALL: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, EventType))
KNOWN: Final = {kind.name: kind for kind in _ALL}
HOUSEKEEPING: Final = frozenset(kind.name for kind in _ALL if kind.housekeeping)


def may_hold_content(name: str) -> bool:
    """Tell whether events of this type have words that can be erased; unknown types may."""
    kind = KNOWN.get(name)
    return kind is None or kind.content
