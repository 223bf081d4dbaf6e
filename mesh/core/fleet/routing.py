"""Which member of a fleet answers a message, and what a gateway does until somebody has.

A conversation has a home: the first, in the order that its name gives the members
(`mesh.core.fleet.duty.order`), whose lease holds. A lease is the expiry of a member's presence,
renewed while it lives. A gateway keeps a message until it is answered: it forwards it to the home,
again while nothing is heard, and to the next home once the lease of the one before has ended for
longer than clocks differ. The first answer is delivered. An answer that comes later is a
*duplicate*, recorded and shown, never delivered: behind a cut link the old home may live and
answer, too, and no rule without a majority can tell.

For those who want no second answer ever there is the majority mode (`mesh.core.fleet.majority`).

A member that is handed a message of which another is the home, as far as it knows, names that one
instead (`redirect`); gateways keep no state that matters, and may be wrong. A home that a gateway
does not reach, but the member that named it does, is asked through that one: an envelope proves
itself, whoever carries it. So one cut link costs a hop, not a second answer.

All times come from one number, the lease (`Times`), which a fleet's nodes share.

Not covered: what the answer is made of (a mirror of the home's ledger); keeping messages on disk,
which is the outbox's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mesh.core.fleet.duty import order

KEPT_S: Final = 7 * 24 * 3600
"""A message that nobody answered for a week is told to be unanswered; it stays in the outbox."""

LEASE_SECONDS: Final = 90
"""Until a home that died is followed, slack not counted; a node that restarts is back before."""
LEASE_SECONDS_MIN: Final = 3
"""Presence each second: for a test, or a fleet in one room."""

Leases: TypeAlias = Mapping[bytes, int]
"""Of each member that was heard of, until when, in Unix seconds of whoever heard it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Every time of routing, in whole seconds, made of the lease."""

    lease_s: int = LEASE_SECONDS

    def __post_init__(self) -> None:
        if self.lease_s < LEASE_SECONDS_MIN:
            raise ValueError(f"a lease of {self.lease_s} s, at least {LEASE_SECONDS_MIN}")

    @property
    def presence_s(self) -> int:
        """Between two presences: two lost ones do not move a conversation."""
        return self.lease_s // 3

    @property
    def slack_s(self) -> int:
        """How long a lease that ended is honoured: clocks differ, and word travels."""
        return self.lease_s // 3

    @property
    def retry_s(self) -> int:
        """Between two tries with a member that has a lease and says nothing."""
        return max(1, self.lease_s * 2 // 9)


TIMES: Final = Times()


def holds(leases: Leases, member: bytes, now_s: int, times: Times = TIMES) -> bool:
    """Tell whether a member counts as alive."""
    return leases.get(member, 0) + times.slack_s > now_s


def home_of(
    conversation: bytes,
    members: tuple[bytes, ...],
    leases: Leases,
    now_s: int,
    times: Times = TIMES,
) -> bytes | None:
    """Return the member whose a conversation is now; None if no lease holds."""
    alive = (one for one in order(conversation, members) if holds(leases, one, now_s, times))
    return next(alive, None)


def redirect(
    conversation: bytes,
    me: bytes,
    members: tuple[bytes, ...],
    leases: Leases,
    now_s: int,
    times: Times = TIMES,
) -> bytes | None:
    """Return whom a member that is handed a message names instead of itself, or None to take it."""
    home = home_of(conversation, members, {**leases, me: now_s}, now_s, times)
    return home if home != me else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Hand the message to this member; `through` that one if it is not reached."""

    to: bytes
    through: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Nobody answered for KEPT_S. Said once; the message is kept all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Come again at this time."""

    at_s: int


Action: TypeAlias = Forward | Unanswered | Wake


@dataclass(slots=True)
class Letter:
    """One message at a gateway, until the first answer is on record.

    Made anew after a restart: then it is forwarded once more.
    """

    conversation: bytes
    members: tuple[bytes, ...]
    taken_s: int
    times: Times = TIMES
    _asked: bytes | None = None
    _asked_s: int = 0
    _instead: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    _told: bool = False

    def tick(self, now_s: int, leases: Leases) -> list[Action]:
        """Say what is due now."""
        actions: list[Action] = []
        if now_s - self.taken_s > KEPT_S and not self._told:
            self._told = True
            actions.append(Unanswered())
        home = self._home(leases, now_s)
        retry_s = self.times.retry_s
        if home is not None and (home != self._asked or now_s - self._asked_s >= retry_s):
            self._asked, self._asked_s = home, now_s
            until_s, named_by = self._instead.get(home, (0, None))
            actions.append(Forward(to=home, through=named_by if until_s > now_s else None))
        return [*actions, Wake(at_s=now_s + retry_s)]

    def _home(self, leases: Leases, now_s: int) -> bytes | None:
        """The home as far as is known here, or as a member knows it that was asked."""
        for member in order(self.conversation, self.members):
            until_s, _ = self._instead.get(member, (0, None))
            if holds(leases, member, now_s, self.times) or until_s > now_s:
                return member
        return None

    def redirected(self, by: bytes, to: bytes, now_s: int, leases: Leases) -> list[Action]:
        """A member that was asked names another: believed for a lease, if it is a member."""
        if by != self._asked or to not in self.members:
            return []
        self._instead[to] = now_s + self.times.lease_s, by
        return self.tick(now_s, leases)
