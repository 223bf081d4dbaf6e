"""A fleet as people are shown it: `timmy mesh members`, and `GET /v1/fleet`."""

from typing import Any

from mesh.core.fleet.duty import order
from mesh.core.fleet.manifest import Fleet, Member
from mesh.core.fleet.routing import holds
from mesh.core.nip19 import npub
from node.fleet.leases import HOME, having, leases
from node.fleet.members import BACK_HINT, FleetNode
from node.fleet.proposals import shown
from node.open import now_ms


def members_value(node: FleetNode, conversation: str = "") -> dict[str, Any]:
    """What `timmy mesh members` shows. `answers`: who answers a conversation, in order."""
    if node.fleet is None:
        return {"fleet": None, "members": [], "waiting": [], "joining": node.joining,
                "unheard": _unheard(node), "proposal": None, "forks": [],
                "removed": None}  # fmt: skip
    manifest = node.fleet.manifest
    return {
        "fleet": node.fleet.fleet_id,
        "number": manifest.number,
        "digest": manifest.digest,
        "operator": manifest.operator,
        "quorum": manifest.quorum,
        "needed": manifest.needed,
        "since": manifest.since,
        "deciding": _deciding(node.fleet),
        "members": [_shown(node, one) for one in manifest.members],
        "answers": _answers(node, conversation) if conversation else [],
        "waiting": [
            {"ledger": m.ledger, "name": m.name, "roles": m.roles, "npub": npub(m.nostr.hex())}
            for m in node.waiting()
        ],
        "joining": node.joining,
        "unheard": _unheard(node),
        "proposal": None if node.proposal is None else shown(node.proposal, manifest),
        "forks": [str(path) for path in node.files.forks()],
        "removed": None if node.removed_by is None else _removed(node.removed_by),
    }


def _removed(number: int) -> dict[str, Any]:
    return {"number": number, "hint": BACK_HINT}


def _unheard(node: FleetNode) -> list[dict[str, str]]:
    """Why a newcomer was not answered when he asked last, and what to do, by each way."""
    known = node.unheard.values() if node.joining else ()
    return [{"why": why, "hint": hint} for why, hint in known]


def _deciding(fleet: Fleet) -> list[str]:
    """Names of the voters who decide what is planned now; a key for one who is no member now."""
    names = {one.nostr: one.name for one in fleet.manifest.members}
    return [names.get(one, one.hex()[:16]) for one in fleet.voters_at(now_ms() // 1000)]


def _answers(node: FleetNode, conversation: str) -> list[dict[str, Any]]:
    """Homes in the order in which they answer; the first whose lease holds does now."""
    names = {} if node.fleet is None else {m.ledger: m.name for m in node.fleet.manifest.members}
    alive, now_s = leases(node), now_ms() // 1000
    return [
        {"name": names[one], "ledger": one, "lease": holds(alive, one, now_s, node.times)}
        for one in order(conversation.encode(), having(node, HOME))
    ]


def _shown(node: FleetNode, member: Member) -> dict[str, Any]:
    seen = node.seen.get(member.ledger)
    ago = (now_ms() - node.heard_ms.get(member.ledger, 0)) // 1000
    own = member.ledger == node.own.ledger
    return {
        "ledger": member.ledger,
        "name": member.name,
        "urls": member.urls,
        "roles": member.roles,
        "self": own,
        "there": own or (seen is not None and ago < node.times.lease_s + node.times.slack_s),
        "lease_s": max(0, leases(node)[member.ledger] + node.times.slack_s - now_ms() // 1000),
        "seen_s": None if seen is None else ago,
        "events": node.log.size if own else seen.events if seen else None,
        "load": node.load() if own else seen.load / 1000 if seen else None,
        "able": node.able if own else seen.able if seen else (),
        "number": seen.number if seen else None,
    }
