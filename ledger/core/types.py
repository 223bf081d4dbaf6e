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
LINEAGE_STREAM: Final = bytes(15) + b"\x01"
"""Epoch records and handoffs, the log's lineage: read at every opening of a log, so they do not lie
among a million others."""
SEAL_STREAM: Final = bytes(15) + b"\x02"
"""The seal's opening, requests for anchors, anchors that were mined."""

MEMORY_STREAM: Final = bytes(15) + b"\x03"
"""What the operator gave the agent to remember, apart from any conversation."""

ARTIFACT_STREAM: Final = bytes(15) + b"\x04"
"""What this agent and its peers made and reported, and the receipts."""

CHILDREN_STREAM: Final = bytes(15) + b"\x05"
"""What a parent agent knows of its children: certificates, orders, what they told, checks."""

PARENT_STREAM: Final = bytes(15) + b"\x06"
"""What a child agent has of its parent: the certificate, orders, what it told the parent. Read at
each start, so it does not lie among a million others."""

ADOPTION_STREAM: Final = bytes(15) + b"\x07"
"""The steps of adoptions: which architecture is in force is read without the rest of the ledger."""

TASK_STREAM: Final = bytes(15) + b"\x09"
"""Tasks that other agents were given, and what they reported."""

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
TURN_RETOLD = EventType(
    name="turn.retold",
    about="a recorded turn was tried otherwise, on a fork: what, and how it went",
)
MODEL_REQUESTED = EventType(
    name="model.requested", about="references and template digest of a prompt, never its text"
)
MODEL_REPLIED = EventType(
    name="model.replied", about="who answered, tokens, finish reason, and the words", content=True
)
MODEL_TESTED = EventType(
    name="model.tested", about="safety tests put to a model: digests, outcomes, reasons, no words"
)
TOOL_REQUESTED = EventType(
    name="tool.requested", about="a turn asks for a tool: its name, and the arguments", content=True
)
TOOL_DECIDED = EventType(
    name="tool.decided",
    about="whether the call may be made, by which rule or whom, and why",
    content=True,
)
TOOL_RETURNED = EventType(
    name="tool.returned",
    about="what a tool gave: outcome, sizes, time, and the words",
    content=True,
)
APPROVAL_ASKED = EventType(
    name="approval.asked", about="the operator is asked about a call, until when", content=True
)
APPROVAL_ANSWERED = EventType(
    name="approval.answered", about="what the operator, or the deadline, said to it"
)
TODO_SET = EventType(
    name="todo.set", about="the list of what a conversation is still to do", content=True
)
TOOL_ADDED = EventType(name="tool.added", about="a tool over HTTP was registered: name, digest")
TOOL_REMOVED = EventType(name="tool.removed", about="a tool over HTTP was taken out")
MEMORY_FORGOTTEN = EventType(
    name="memory.forgotten", about="a memory that counts no more: which, by whom, and why"
)
MEMORY_DISTILLED = EventType(
    name="memory.distilled",
    about="a stretch of a conversation was searched for memories: from, to, kept, dropped",
    housekeeping=True,
)
CONTEXT_COMPACTED = EventType(
    name="context.compacted",
    about="a summary that stands in prompts for a stretch of a conversation, and its digest",
    content=True,
)
SKILL_DRAFTED = EventType(
    name="skill.drafted", about="a draft of a SKILL.md: from what, by whom", content=True
)
SKILL_JUDGED = EventType(
    name="skill.judged", about="the operator adopted a draft of a skill, or rejected it"
)
RECALLED = EventType(name="memory.recalled", about="which events a search gave to a turn")
STATEMENT_RECEIVED = EventType(
    name="statement.received", about="signed words of a foreign author", content=True
)
REDACTED = EventType(name="ledger.redacted", about="whose content is erased, by whom, and why")
EPOCH = EventType(name="ledger.epoch", about="a recovered log: kept size and root, recovery key")
HANDED_OFF = EventType(
    name="soul.handed_off", about="new keys take over: signed by old, next and new keys"
)
STATE_ATTESTED = EventType(
    name="state.attested", about="digest of the replayed state, with the reducers' hash"
)
NODE_STARTED = EventType(
    name="node.started", about="version, architecture tree, sandbox", housekeeping=True
)
NODE_STOPPED = EventType(name="node.stopped", about="a clean stop", housekeeping=True)
NODE_CHECKED = EventType(
    name="node.checked",
    about="a reading of the whole ledger that failed: verdict, question, size",
    housekeeping=True,
)
CLOCK_STEPPED = EventType(
    name="clock.stepped", about="the clock went back further than the bound", housekeeping=True
)
PUBLISHED = EventType(
    name="checkpoint.published", about="a checkpoint went to relays", housekeeping=True
)
SEAL_OPENED = EventType(name="seal.opened", about="names the outpoint the opening spends")
SEAL_DELEGATED = EventType(
    name="seal.delegated", about="names the aggregator whose links are this log's anchors"
)
COSIGNED = EventType(
    name="checkpoint.cosigned", about="witnesses signed a checkpoint", housekeeping=True
)
WITNESS_DISAGREED = EventType(
    name="witness.disagreed",
    about="a witness saw another or a later history of this log: nothing is released",
    housekeeping=True,
)
WITNESS_VOUCHED = EventType(
    name="witness.vouched",
    about="the operator vouched for this state in the place of a witness",
    housekeeping=True,
)
WITNESS_PROVED = EventType(
    name="witness.proved",
    about="another log was proven to have signed two histories: which, and the file's digest",
    housekeeping=True,
)
AGGREGATED = EventType(
    name="aggregate.closed",
    about="a round of other ledgers' heads: its root, and this log's own slot in it",
    housekeeping=True,
)
ANCHOR_REQUESTED = EventType(
    name="anchor.requested",
    about="the signed note that a transaction is to commit to",
    housekeeping=True,
)
ANCHORED = EventType(
    name="checkpoint.anchored", about="an anchor reached a block", housekeeping=True
)
STAMPED = EventType(
    name="checkpoint.stamped",
    about="OpenTimestamps calendars took a checkpoint, or named a block for it",
    housekeeping=True,
)
SOUL_ATTESTED = EventType(
    name="soul.attested", about="an identity file was published", housekeeping=True
)
SOUL_TAGGED = EventType(name="soul.tagged", about="a git tag of SOUL.md, signed by an SSH key")
JOB_ADDED = EventType(name="job.added", about="a job: its plan, and what it does", content=True)
JOB_CHANGED = EventType(name="job.changed", about="a job's new plan and deed", content=True)
JOB_PAUSED = EventType(name="job.paused", about="a job is not due until it is resumed")
JOB_RESUMED = EventType(name="job.resumed", about="a job is due again, from now on")
JOB_REMOVED = EventType(name="job.removed", about="a job is gone; its history stays")
JOB_NOTICED = EventType(
    name="job.noticed", about="how a file or branch looked that a job follows, and if it changed"
)
JOB_STARTED = EventType(
    name="job.started", about="a run of a job is claimed: by job and planned time, once"
)
JOB_AWAITED = EventType(
    name="job.awaited", about="a planned run of a shared job: its fleet decides who does it"
)
JOB_SKIPPED = EventType(name="job.skipped", about="planned times that get no run, and why")
JOB_FINISHED = EventType(name="job.finished", about="how a run ended, and its output", content=True)
NODE_BEAT = EventType(
    name="node.beat", about="how machine and node are, every quarter of an hour", housekeeping=True
)
NODE_REPORTED = EventType(
    name="node.reported", about="the morning report", content=True, housekeeping=True
)
FLEET_AGREED = EventType(
    name="fleet.agreed", about="a quorum of the fleet's voters approved a manifest that now holds"
)
NODE_ESCALATED = EventType(name="node.escalated", about="something needs a person: what, and where")
NODE_RELIEVED = EventType(name="node.relieved", about="what was escalated is so no longer")
SKIN_ADDED = EventType(
    name="skin.added", about="a signed skin: how the agent speaks where it is worn", content=True
)
SKIN_REMOVED = EventType(name="skin.removed", about="a skin is worn no more")
SKIN_CHOSEN = EventType(name="skin.chosen", about="which skin a conversation wears, or all others")
CONTEXT_READ = EventType(
    name="context.read",
    about="a context file as prompts may show it, and what is suspect in it",
    content=True,
)
CONTEXT_GONE = EventType(name="context.gone", about="a context file is there no more, or no text")
CONTEXT_ALLOWED = EventType(
    name="context.allowed", about="the operator looked at a suspect context file: it may be shown"
)
PROXY_REQUESTED = EventType(
    name="proxy.requested", about="another agent asked a model through the proxy", content=True
)
PROXY_REPLIED = EventType(
    name="proxy.replied", about="what came back through the proxy, and how it ended", content=True
)
GATEWAY_DELIVERED = EventType(
    name="gateway.delivered", about="a gateway delivered the agent's answers up to this one"
)
ROUTE_FORWARDED = EventType(
    name="route.forwarded", about="a gateway asked a member of its fleet to answer a message"
)
ROUTE_TAKEN = EventType(
    name="route.taken", about="a gateway answers a message itself: it is the home now"
)
ROUTE_SETTLED = EventType(
    name="route.settled",
    about="what became of a message at a member that was asked and did not give the answer",
)
CONVERSATION_CARRIED = EventType(
    name="conversation.carried",
    about="words of a conversation from another member's ledger, with the head that covers them",
    content=True,
)
ARTIFACT_REPORTED = EventType(
    name="artifact.reported", about="this agent made something: its type and digest"
)
ARTIFACT_RECEIVED = EventType(
    name="artifact.received", about="a peer reported something it made: who, type, digest"
)
ARTIFACT_RECEIPTED = EventType(
    name="artifact.receipted",
    about="a peer says it noted what this agent reported",
    housekeeping=True,
)
CHILD_FATHERED = EventType(
    name="child.fathered", about="a child of this agent: the certificate that both log keys signed"
)
CHILD_ORDERED = EventType(
    name="child.ordered",
    about="an order to a child: a gate, guidance, a patch, a reset; signed, numbered",
    content=True,
)
CHILD_TOLD = EventType(
    name="child.told", about="what a child said: a report, an alarm; signed, numbered", content=True
)
CHILD_CHECKED = EventType(
    name="child.checked", about="what a child's own ledger showed of its gates, under which head"
)
PARENT_CERTIFIED = EventType(
    name="parent.certified", about="the parent's certificate over this agent's birth: event 1"
)
PARENT_ORDERED = EventType(
    name="parent.ordered", about="an order of the parent, as it was signed", content=True
)
PARENT_TOLD = EventType(
    name="parent.told", about="what this agent told its parent: signed, numbered", content=True
)
TASK_GIVEN = EventType(
    name="task.given",
    about="other agents were asked for something: who, in which conversation, until when",
    content=True,
)
TASK_REPORTED = EventType(
    name="task.reported",
    about="what an agent that was given a task said of it: which, outcome, words",
    content=True,
)
PATCH_PROPOSED = EventType(
    name="patch.proposed",
    about="a change of the architecture: roots before and after, attempt, lineage, the document",
    content=True,
)
PATCH_REFUSED = EventType(
    name="patch.refused",
    about="a proposal that was refused: reason, line, digest; and why",
    content=True,
)
PATCH_COMMENTED = EventType(
    name="patch.commented", about="words about a line of a proposal", content=True
)
PATCH_WITHDRAWN = EventType(
    name="patch.withdrawn", about="a proposal that is open no more, and why", content=True
)
PATCH_JUDGED = EventType(name="patch.judged", about="a signed verdict on a patch")
PATCH_STAGED = EventType(
    name="patch.staged", about="an approved architecture lies ready; how it is to be tried"
)
PATCH_CANARY = EventType(
    name="patch.canary", about="a share of the conversations goes to a staged architecture"
)
PATCH_ADOPTED = EventType(
    name="patch.adopted", about="an architecture is in force from here on: tree, version, root"
)
PATCH_SETTLED = EventType(
    name="patch.settled", about="an adoption stood its time; the state was rebuilt, its digest"
)
PATCH_ROLLED_BACK = EventType(
    name="patch.rolledback",
    about="the architecture of before is in force again: why, by whom",
    content=True,
)
TURN_MOVED = EventType(
    name="turn.moved", about="a turn under way is begun anew, by another architecture: why"
)
PATCH_REPORTED = EventType(
    name="patch.reported", about="another home's signed verdict on a patch: its digest, who signed"
)
PATCH_APPROVED = EventType(
    name="patch.approved", about="a signed yes to one verdict on a patch: whose, and when"
)
PATCH_DISAPPROVED = EventType(
    name="patch.disapproved", about="a signed no to a patch, or a yes taken back: whose, and when"
)

_ALL: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, EventType))
KNOWN: Final = {kind.name: kind for kind in _ALL}
LINEAGE: Final = frozenset({EPOCH.name, HANDED_OFF.name})
"""What LINEAGE_STREAM holds, and no other stream."""
HOUSEKEEPING: Final = frozenset(kind.name for kind in _ALL if kind.housekeeping)


def may_hold_content(name: str) -> bool:
    """Tell whether events of this type have words that can be erased; unknown types may."""
    kind = KNOWN.get(name)
    return kind is None or kind.content
