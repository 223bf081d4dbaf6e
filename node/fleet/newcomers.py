"""Who asks to join with an invitation, and what he may say of himself.

A token crosses lines in the clear, and ledger ids and addresses are no secrets: whoever sees a
request could repeat it under a key of his own. So an invitation is bound to the first key that asks
with it, and nobody names a ledger or an address that somebody else here has.

Not covered: who is first. A thief who asks before the newcomer does stands in the operator's list
in his place, under his ledger id, and is told apart by the key (its npub) alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from mesh.core.errors import Refused
from mesh.core.fleet.joining import open_request
from mesh.core.fleet.manifest import WITNESS, Member

Invite: TypeAlias = Mapping[str, Any]
"""`roles` that are offered, `until` when (Unix seconds), and `member`: the request in hex, None
before the first."""


def asker(invite: Invite) -> Member | None:
    """Who asked with an invitation, in his own words."""
    if invite["member"] is None:
        return None
    return open_request(bytes.fromhex(invite["member"]))[1]


def waiting(invites: Mapping[str, Invite]) -> list[Member]:
    """Who asked to join, with the roles that were offered."""
    return [
        _offered(member, invite["roles"])
        for invite in invites.values()
        if (member := asker(invite)) is not None
    ]


def check(
    member: Member,
    invite: Invite,
    invites: Mapping[str, Invite],
    members: Iterable[Member],
    *,
    now_s: int,
) -> None:
    """Refuse a request that cannot be kept. Raises Refused, or InvalidManifest.

    `invite` is the one that it came with, of all `invites`; `members` are of the newest manifest.
    """
    first = asker(invite)
    if first is not None and _who(first) != _who(member):
        raise Refused("somebody else asked with this invitation", hint="ask for another")
    _offered(member, invite["roles"])
    open_ = (one for one in invites.values() if one["until"] > now_s)
    others = [one for one in map(asker, open_) if one is not None]
    for one in (*members, *others):
        same = one.ledger == member.ledger or not set(one.urls).isdisjoint(member.urls)
        if same and _who(one) != _who(member):
            raise Refused(
                f"{one.name} has that ledger, or that address, under another key",
                hint="ask the operator: timmy mesh members shows both keys",
            )


def _who(member: Member) -> tuple[bytes, bytes]:
    return member.ledger, member.nostr


def _offered(member: Member, roles: Iterable[str]) -> Member:
    """A newcomer with the roles that he was offered. Raises InvalidManifest.

    One who cannot have them, a witness without a key, could be neither shown nor taken in.
    """
    offered = tuple(roles)
    key = member.witness if WITNESS in offered else b""
    return replace(member, roles=offered, witness=key)
