"""Consensus-critical: which member of a fleet does a planned run of a job, and which does not.

A run has one name wherever it is computed, made of its job and its planned time. Three modes:

pinned   one member, and nobody else: no fail-over, no double.
owner    the members in an order that the run's name gives them; the first does it at its time, each
         next one a grace later, unless it heard that the run was begun. A few seconds after the
         time it asks those before it whether they have the job at all: of who says no the grace is
         not waited for. Who was off at its time
         listens for a grace first, and such members too go one after the other. A run is done as
         long as one member lives; behind a cut link, or when word of it travels longer than a
         grace, by two.
quorum   whoever's turn it is asks the voters; a voter grants a run to one member, once and for all
         (`Voter`); with the grants of more than half a member begins. Two majorities share a
         voter: so no run is begun twice, whatever is lost, late, cut off or restarted. Whoever
         cannot reach a majority within the window skips the run, and says so. A run that was begun
         is never begun again, also if its member died of it.

The order is rendezvous hashing (Thaler and Ravishankar 1998): a member that leaves moves its own
runs only. Gossip without a majority cannot give both fail-over and no double, so a mode is chosen
per job.

Voters change by a newer manifest, which names the time S *since* when its voters decide: they have
runs planned at S or later, and those before stay with the runs before, for good (`Fleet.voters_at`
of mesh/core/fleet/manifest.py). So a run has one list of voters, whoever knows which manifest, if
no majority of the old list grants a run planned at S or later, neither before nor after. That is
what a voter promises when it signs the newer manifest (`Voter.promise`): it refuses to sign if it
has granted such a run, or may have forgotten one; and once it has signed it grants none under an
older manifest. A newer manifest holds with the signatures of a majority of the voters before it,
and any majority has one of those. No clock is asked: planned times are compared with S alone.

A member that was restored whole from a backup has forgotten grants that it gave, and runs that it
began. While its node cannot rule that out it grants nothing (HELD). Once that is found to be so
(`Voter.lost`), at W by its clock, it grants no run, and begins none, that is planned before W, the
skew of clocks and a second: what it forgot was granted by W, and nobody is granted a run that is
planned later than the skew ahead. So nothing that it grants from then on can it have granted
before. No clock but its own is asked.

Not covered: voters that lie: one that grants a run twice has signed both grants, and those two are
a proof against it; two members may have begun by then, if its vote decided. A voter whose disk is
lost with the promise on it, and who hears of no newer manifest for an hour after.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from ledger.core import hashing

ORDER: Final = "timmy-node 2026-11 order of duty v1"
FENCE: Final = "timmy-node 2026-11 job fence v1"
OTHER_MANIFEST: Final = "another manifest"
"""Why a voter refuses that knows a newer list of members, or an older one: ask again under it."""
NEXT_VOTERS: Final = "for the next voters"
"""Why a voter refuses that signed a newer manifest, whose voters are to decide the run."""
HELD: Final = "its release is held: it may be an old copy of itself"
"""Why a voter refuses whose node has not heard yet that it is no old backup."""
FORGOTTEN: Final = "of before what this voter remembers"
AGAIN: Final = (OTHER_MANIFEST, NEXT_VOTERS, HELD)
"""Reasons that pass: ask again, under the newest manifest."""
LACKS: Final = "has not got the job"
"""Why a member leaves its turn to the next one."""
BEGUN_BY_ANOTHER: Final = "begun by another member"
SKEW_S_MAX: Final = 3600
"""Clocks of a fleet differ by no more (docs/spec/mesh.md); a voter that is off by more refuses."""
KEPT_S: Final = 7 * 24 * 3600
"""A grant is remembered for so long after its planned time, by the voter's clock."""
GRANTS_MAX: Final = 100_000
"""Of one voter: a run each six seconds for a week. A member that asks for more finds it closed."""
GRACE_S: Final = 60
"""Longer than word of a run takes to reach a fleet whose links are up."""
LATE_S: Final = 5
"""Who listened, and looks at its plan so soon after its turn, is in time: far below a grace."""
WINDOW_S: Final = 900
WINDOW_S_MAX: Final = 24 * 3600
"""A run that is a day late is another run."""
ANSWER_RUN_BYTES: Final = 32
"""A run with an id of so many bytes is the answer to a message (`mesh.core.fleet.majority`)."""
ANSWER_WINDOW_S: Final = 6 * 24 * 3600
"""A message may wait for its answer longer than a job for its run. A day and two skews less than a
grant is remembered: nobody can ask for what a voter has forgotten."""


class Mode(StrEnum):
    """Who may do a run."""

    PINNED = "pinned"
    OWNER = "owner"
    QUORUM = "quorum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A planned run. Members and voters are ids of any one length; `manifest` names their list.

    `members[0]` is the one a pinned run is pinned to.
    """

    run: bytes
    planned_s: int
    mode: Mode
    members: tuple[bytes, ...]
    voters: tuple[bytes, ...] = ()
    manifest: bytes = b""
    gone: int = 0
    """Voters who decide the run and are no members now: they count, and nobody asks them."""
    grace_s: int = GRACE_S
    window_s: int = WINDOW_S

    @property
    def majority(self) -> int:
        """Voters that are more than half."""
        return self.voted // 2 + 1

    @property
    def voted(self) -> int:
        """Voters who decide the run, also those who are no members now."""
        return len(self.voters) + self.gone

    @property
    def until_s(self) -> int:
        """When the run is begun no more."""
        return self.planned_s + self.window_s


def order(run: bytes, members: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return whose turn it is first, second, ...; the same at every member."""
    return tuple(sorted(set(members), key=lambda id_: (hashing.digest(ORDER, run, id_), id_)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A member's question to a voter: may this run be mine?"""

    run: bytes
    planned_s: int
    until_s: int
    member: bytes
    manifest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A voter's word that it granted `ask` and grants the run to nobody else."""

    ask: Ask
    voter: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A voter's no. `holder`: whom it granted the run, if that is why."""

    ask: Ask
    voter: bytes
    why: str
    holder: bytes | None = None


@dataclass(slots=True)
class Voter:
    """One voter's grants. What `asked` changed is on disk before its answer is sent.

    `granted` is, of each run, who has it and its planned time. Of runs planned before `floor_s`
    grants may be forgotten, and none is given: a clock that was ahead and was set back grants
    nothing twice. `promised` is (number, since): no run planned since then is granted under a
    manifest of that number or a lower one. Of runs planned before `begins_s` this member may have
    forgotten that it began them itself.
    """

    me: bytes
    granted: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    floor_s: int = 0
    promised: tuple[int, int] | None = None
    begins_s: int = 0

    def asked(
        self,
        ask: Ask,
        now_s: int,
        *,
        manifest: bytes,
        members: Iterable[bytes],
        number: int = 0,
        held: bool = False,
    ) -> Grant | Refusal:
        """Answer a question under the newest manifest that this voter knows, and its number.

        `held`: its node may be an old copy of itself, and nobody has said yet that it is none.
        """
        self._forget(now_s)
        holder, _ = self.granted.get(ask.run, (None, 0))
        why = self._objection(ask, now_s, manifest, frozenset(members))
        if why is None and self.promised is not None:
            until, since_s = self.promised
            why = NEXT_VOTERS if number <= until and ask.planned_s >= since_s else None
        if why is None and holder not in (None, ask.member):
            why = "granted to another member"
        if why is None and held:
            why = HELD
        if why is not None:
            return Refusal(ask=ask, voter=self.me, why=why, holder=holder)
        self.granted[ask.run] = (ask.member, ask.planned_s)
        return Grant(ask=ask, voter=self.me)

    def lost(self, now_s: int) -> None:
        """Take it that grants and beginnings of up to now are forgotten: this is an old copy."""
        self.floor_s = max(self.floor_s, now_s + SKEW_S_MAX + 1)
        self.begins_s = max(self.begins_s, self.floor_s)

    @property
    def promises_s(self) -> int:
        """The earliest time from which on the next voters may decide, as far as it is up to this
        one: it has granted nothing that is planned then or later, and forgotten nothing of it.
        """
        return max([self.floor_s, *(at + 1 for _, at in self.granted.values())])

    def promise(self, number: int, since_s: int) -> bool:
        """Grant nothing planned at `since_s` or later under manifest `number` or an older one.

        False, and nothing is promised, where it may have granted such a run. A promise that was
        made is kept, whatever becomes of the manifest for which it was.
        """
        if since_s < self.promises_s:
            return False
        before = self.promised
        if before is None or before[0] < number:
            self.promised = number, since_s
        elif before[0] == number:
            self.promised = number, min(before[1], since_s)
        return True

    def _objection(
        self, ask: Ask, now_s: int, manifest: bytes, members: frozenset[bytes]
    ) -> str | None:
        if ask.manifest != manifest:
            return OTHER_MANIFEST
        if ask.member not in members:
            return "no member"
        longest_s = ANSWER_WINDOW_S if len(ask.run) == ANSWER_RUN_BYTES else WINDOW_S_MAX
        if not ask.planned_s <= ask.until_s <= ask.planned_s + longest_s:
            return "no window"
        if not ask.planned_s - SKEW_S_MAX <= now_s <= ask.until_s + SKEW_S_MAX:
            return "not its time"
        if ask.planned_s < self.floor_s:
            return FORGOTTEN
        if len(self.granted) >= GRANTS_MAX and ask.run not in self.granted:
            return f"{GRANTS_MAX} grants are as many as a voter keeps"
        return None

    def _forget(self, now_s: int) -> None:
        if now_s - KEPT_S <= self.floor_s:
            return
        self.floor_s = now_s - KEPT_S
        for run in [run for run, (_, at) in self.granted.items() if at < self.floor_s]:
            del self.granted[run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Ask these voters."""

    ask: Ask
    voters: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Ask these members, whose turn is before ours, whether they have the job."""

    ask: Ask
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Record that the run is begun, tell the others, then do it. `fence` goes with its effects."""

    run: bytes
    fence: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Record that the run is not done here, and why. `holder`: who does it, if that is known."""

    run: bytes
    why: str
    holder: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Come again at this time."""

    at_s: int


Action: TypeAlias = Questions | Turns | Begin | Skip | Wake
_RETRY_S: Final = 15
"""A question that got no answer is asked again: frames are lost."""


@dataclass(slots=True)
class Candidate:
    """What one member does about one run; over once it gave `Begin` or `Skip`.

    Made anew after a restart, unless the ledger says that the run was begun or skipped.
    """

    plan: Plan
    me: bytes
    since_s: int | None = None
    """Since when this member hears what others begin; None: since it looked first."""
    over: bool = False
    _first_s: int | None = None
    """When its turn would be, were it the first in the order."""
    _grants: set[bytes] = field(default_factory=set)
    _refused: dict[bytes, Refusal] = field(default_factory=dict)
    _before: dict[bytes, bool | None] = field(default_factory=dict)
    """Who comes before it, and whether that one has the job; None: it has not said so."""

    def tick(self, now_s: int) -> list[Action]:
        """Say what is due now."""
        plan = self.plan
        if self.over:
            return []
        ranked = plan.members[:1] if plan.mode is Mode.PINNED else order(plan.run, plan.members)
        if self.me not in ranked:
            if plan.mode is Mode.PINNED:
                return self._skip("pinned to another", *ranked)
            return self._skip("no member")
        if self._first_s is None:
            self._begin_to_look(now_s, ranked[: ranked.index(self.me)])
        if now_s > plan.until_s:
            return self._skip(self._too_late())
        if now_s < self._mine_s:
            return self._look_before(now_s)
        if plan.mode is not Mode.QUORUM:
            return self._begin()
        return self._question(now_s)

    def _begin_to_look(self, now_s: int, before: tuple[bytes, ...]) -> None:
        plan = self.plan
        self._before, self._first_s = dict.fromkeys(before), plan.planned_s
        if not plan.grace_s:  # an answer is due now, whatever the clock of its gateway says
            self._first_s = min(plan.planned_s, now_s)
        heard = self.since_s is not None and self.since_s <= plan.planned_s
        if now_s > self._mine_s + (LATE_S if heard else 0):  # who comes late listens first
            self._first_s = now_s + plan.grace_s

    @property
    def _mine_s(self) -> int:
        """When its turn is. A member that has not got the job is not waited for."""
        assert self._first_s is not None
        waits = sum(has is not False for has in self._before.values())
        return self._first_s + waits * self.plan.grace_s

    def _look_before(self, now_s: int) -> list[Action]:
        """Wait for its turn; a little after the first one's, ask those before it for theirs."""
        assert self._first_s is not None
        asks_s = self._first_s + LATE_S * len(self._before)  # mostly one has begun it by then
        silent = tuple(member for member, has in self._before.items() if has is None)
        again_s = min(self._mine_s, self.plan.until_s + 1)
        if not silent or self.plan.grace_s <= LATE_S:
            return [Wake(at_s=again_s)]
        if now_s < asks_s:
            return [Wake(at_s=min(again_s, asks_s))]
        return [Turns(ask=self._ask(), members=silent), Wake(at_s=min(again_s, now_s + _RETRY_S))]

    def told_of(self, member: bytes, *, has: bool) -> None:
        """A member whose turn is before says whether it has the job; `tick` goes by that."""
        if member in self._before:
            self._before[member] = has

    def heard_begun(self, member: bytes) -> list[Action]:
        """Another member says, signed, that it began the run."""
        return [] if self.over else self._skip(BEGUN_BY_ANOTHER, member)

    def answered(self, answer: Grant | Refusal, now_s: int) -> list[Action]:
        """A voter answered, perhaps a second time, perhaps a question of long ago."""
        plan = self.plan
        if self.over or answer.voter not in plan.voters or answer.ask != self._ask():
            return []
        if isinstance(answer, Refusal):
            self._refused[answer.voter] = answer
            lost = len(plan.voters) - len(self._refused.keys() - self._grants) < plan.majority
            return self._skip(f"refused: {answer.why}", answer.holder) if lost else []
        self._grants.add(answer.voter)
        if len(self._grants) < plan.majority:
            return []
        return self._begin() if now_s <= plan.until_s else self._skip("granted too late")

    def _ask(self) -> Ask:
        plan = self.plan
        return Ask(
            run=plan.run,
            planned_s=plan.planned_s,
            until_s=plan.until_s,
            member=self.me,
            manifest=plan.manifest,
        )

    def _question(self, now_s: int) -> list[Action]:
        silent = tuple(voter for voter in self.plan.voters if voter not in self._grants)
        again_s = min(now_s + _RETRY_S, self.plan.until_s + 1)
        return [Questions(ask=self._ask(), voters=silent), Wake(at_s=again_s)]

    def _too_late(self) -> str:
        if self.plan.mode is not Mode.QUORUM or not self.plan.voted:
            return "its window is over"
        return f"{len(self._grants)} of {self.plan.voted} voters, {self.plan.majority} needed"

    def _begin(self) -> list[Action]:
        self.over = True
        plan = self.plan
        return [
            Begin(run=plan.run, fence=hashing.digest(FENCE, plan.run, plan.manifest, self.me)[:16])
        ]

    def _skip(self, why: str, holder: bytes | None = None) -> list[Action]:
        self.over = True
        return [Skip(run=self.plan.run, why=why, holder=holder)]
