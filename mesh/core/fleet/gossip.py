"""Consensus-critical: how nodes tell each other of heads and of lies, without any relay.

Each node keeps the newest heads of the logs it cares for. What is new is told at once to a few
peers (rumours); now and then two nodes compare all they have (anti-entropy), which mends what loss,
churn and cut links took. A comparison costs a few bytes where nothing differs: fingerprints of
BUCKETS groups of logs first, then names and sizes of the groups that differ, then heads.

    Rumour    heads and proofs that the sender just learned
    Summary   a fingerprint of each bucket
    Have      of buckets that differ: log, epoch, size, start of the root of the newest head
    Rumour    what the receiver of `Have` has newer, or different
    Want      logs of which the sender of `Have` has more

Two heads of one log, one epoch and one size with different roots, both signed, are a proof that it
was written twice: the log is *frozen*, and the proof travels like a head, before all others. A head
of another size shows by itself neither that it continues the one before nor that it does not:
`Check` asks whoever drives this to find out, from the log itself or a mirror
(`mesh.core.witnesses.witness`, two inclusion proofs for one index), and to come back with
`conflict`.

Sans-I/O: messages in, messages out; peers to tell are drawn by the caller. Signatures are checked
before `take`. Memory is bounded: LOGS_MAX logs, HEADS_KEPT heads of each, OPEN_MAX untold rumours.

Not covered: who may say something about which log (the fleet manifest); a partition without end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ledger.core import hashing

FINGERPRINT: Final = "timmy-node 2026-11 gossip fingerprint v1"
BUCKETS: Final = 64
"""8 bytes each: half a kilobyte tells whether a thousand logs differ, and in which sixteen."""
LOGS_MAX: Final = 10_000
"""Ten times the fleets that were simulated; a peer cannot make us hold more."""
HEADS_KEPT: Final = 8
"""Of a log: two heads of one size are met although one of them is not the newest any more."""
OPEN_MAX: Final = 4096
"""Rumours not told yet: a newer head of a log takes the place of the older one."""
_FINGERPRINT_BYTES: Final = 8
_ROOT_START_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A signed head: `note` is what its log signed. `log` and `root` are 32 bytes."""

    log: bytes
    epoch: int
    size: int
    root: bytes
    note: bytes

    @property
    def order(self) -> tuple[int, int]:
        """Newer heads are greater."""
        return self.epoch, self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That a log was written twice. `data`: the two notes, or a bundle that shows it."""

    log: bytes
    data: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rumour:
    """Heads and proofs."""

    heads: tuple[Head, ...] = ()
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """BUCKETS fingerprints of all that the sender has."""

    fingerprints: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Have:
    """What the sender has in some buckets: (epoch, size, start of root) by log; frozen logs."""

    buckets: tuple[int, ...]
    newest: dict[bytes, tuple[int, int, bytes]]
    frozen: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Tell me what you have of these logs."""

    logs: tuple[bytes, ...]


Message: TypeAlias = Rumour | Summary | Have | Want


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Find out whether `new` continues `old`; call `conflict` if it does not."""

    old: Head
    new: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A log was found to be written twice: record it, tell people, stop copying and serving it."""

    proof: Proof


Finding: TypeAlias = Check | Frozen


@dataclass(slots=True)
class Gossip:
    """What one node knows and has not told yet."""

    heads: dict[bytes, list[Head]] = field(default_factory=dict)
    """Of each log, oldest first."""
    frozen: dict[bytes, Proof] = field(default_factory=dict)
    refused: int = 0
    """Heads of further logs than LOGS_MAX."""
    _marks: dict[bytes, bytes] = field(default_factory=dict)
    _sums: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    _open: dict[bytes, Head | Proof] = field(default_factory=dict)

    def newest(self, log: bytes) -> Head | None:
        """The newest head of a log."""
        known = self.heads.get(log)
        return known[-1] if known else None

    def take(self, head: Head) -> list[Finding]:
        """Take in a head whose signature was checked: our own, or one that we were told of."""
        if head.log in self.frozen:
            return []
        known = self.heads.get(head.log, [])
        for other in known:
            if other.order == head.order:
                return [] if other.root == head.root else self._freeze(other, head)
        if not known and len(self.heads) >= LOGS_MAX:
            self.refused += 1
            return []
        before = known[-1] if known else None
        kept = sorted([*known, head], key=lambda one: one.order)[-HEADS_KEPT:]
        self.heads[head.log] = kept
        if kept[-1] is not head:  # it came late, or from another history
            return [Check(old=head, new=kept[-1])] if head in kept else []
        self._mark(head.log, _of_head(head))
        self._tell(head.log, head)
        return [Check(old=before, new=head)] if before is not None else []

    def conflict(self, proof: Proof) -> list[Finding]:
        """Take in a proof that was checked: our own, or one that we were told of."""
        if proof.log in self.frozen:
            return []
        self.frozen[proof.log] = proof
        self._mark(proof.log, b"frozen" + proof.log)
        self._tell(proof.log, proof)
        return [Frozen(proof=proof)]

    def _freeze(self, one: Head, other: Head) -> list[Finding]:
        return self.conflict(Proof(log=one.log, data=tuple(sorted((one.note, other.note)))))

    def _tell(self, log: bytes, item: Head | Proof) -> None:
        if log in self._open or len(self._open) < OPEN_MAX:  # else anti-entropy brings it
            self._open[log] = item

    def _mark(self, log: bytes, what: bytes) -> None:
        """Let the log's bucket say this of it."""
        bucket, mark = bucket_of(log), hashing.digest(FINGERPRINT, what)[:_FINGERPRINT_BYTES]
        before = self._marks.get(log, bytes(_FINGERPRINT_BYTES))
        self._sums[bucket] ^= int.from_bytes(before, "big") ^ int.from_bytes(mark, "big")
        self._marks[log] = mark

    def rumour(self) -> Rumour | None:
        """What was learned since the last call, to be told to a few peers; proofs first."""
        items, self._open = list(self._open.values()), {}
        return _rumour(items) if items else None

    def summary(self) -> Summary:
        """Open a comparison with a peer."""
        return Summary(
            fingerprints=tuple(one.to_bytes(_FINGERPRINT_BYTES, "big") for one in self._sums)
        )

    def answer(self, message: Message) -> tuple[list[Message], list[Finding]]:
        """Answer a peer. Heads and proofs in a Rumour were checked before."""
        match message:
            case Rumour(heads=heads, proofs=proofs):
                findings = [found for proof in proofs for found in self.conflict(proof)]
                findings += [found for head in heads for found in self.take(head)]
                return [], findings
            case Summary(fingerprints=theirs):
                mine = self.summary().fingerprints
                differ = tuple(n for n in range(BUCKETS) if theirs[n : n + 1] != mine[n : n + 1])
                return ([self._have(differ)] if differ else []), []
            case Have():
                return self._compare(message), []
            case Want(logs=logs):
                told = _rumour(self._all_of(logs))
                return ([told] if told.heads or told.proofs else []), []

    def _have(self, buckets: Sequence[int]) -> Have:
        mine = frozenset(buckets)
        logs = [log for log in self._marks if bucket_of(log) in mine]
        newest = {log: _short(self.heads[log][-1]) for log in logs if log in self.heads}
        frozen = frozenset(log for log in logs if log in self.frozen)
        return Have(buckets=tuple(buckets), newest=newest, frozen=frozen)

    def _compare(self, have: Have) -> list[Message]:
        """Tell what is newer here, or differs; ask for what is newer there, or differs."""
        buckets = frozenset(have.buckets)
        mine = {log for log in self._marks if bucket_of(log) in buckets}
        tell: list[bytes] = []
        want: list[bytes] = []
        for log in sorted(mine | have.newest.keys() | have.frozen):
            here = _standing(log in self.frozen, self.newest(log))
            there = _standing(log in have.frozen, have.newest.get(log))
            if here != there:
                tell += [log] if here[:3] >= there[:3] else []
                want += [log] if there[:3] >= here[:3] else []
        told = _rumour(self._all_of(tell))
        answers: list[Message] = [told] if told.heads or told.proofs else []
        return [*answers, Want(logs=tuple(want[:LOGS_MAX]))] if want else answers

    def _all_of(self, logs: Iterable[bytes]) -> list[Head | Proof]:
        """All heads that are kept, so that two of one size meet; of a frozen log the proof."""
        items: list[Head | Proof] = []
        for log in logs:
            if log in self.frozen:
                items.append(self.frozen[log])
            else:
                items += self.heads.get(log, [])
        return items


def bucket_of(log: bytes) -> int:
    """The bucket of a log: its id is a hash, so any six bits of it will do."""
    return log[0] % BUCKETS


def _of_head(head: Head) -> bytes:
    return head.log + head.epoch.to_bytes(8, "big") + head.size.to_bytes(8, "big") + head.root


def _short(head: Head) -> tuple[int, int, bytes]:
    return head.epoch, head.size, head.root[:_ROOT_START_BYTES]


def _standing(
    frozen: bool,  # noqa: FBT001 - private
    newest: Head | tuple[int, int, bytes] | None,
) -> tuple[int | bytes, ...]:
    """What is known of a log, such that more is greater; a root decides nothing."""
    if frozen:
        return (1,)
    if newest is None:
        return ()
    return (0, *(_short(newest) if isinstance(newest, Head) else newest))


def _rumour(items: Iterable[Head | Proof]) -> Rumour:
    heads = tuple(item for item in items if isinstance(item, Head))
    return Rumour(heads=heads, proofs=tuple(item for item in items if isinstance(item, Proof)))


def wire_bytes(message: Message) -> int:
    """About how long a message is on a wire: lengths of what it holds, and a head for each."""
    match message:
        case Rumour(heads=heads, proofs=proofs):
            notes = [head.note for head in heads] + [note for one in proofs for note in one.data]
            return 16 + sum(8 + len(note) for note in notes)
        case Summary(fingerprints=fingerprints):
            return 16 + sum(map(len, fingerprints))
        case Have(newest=newest, frozen=frozen):
            return 16 + 56 * len(newest) + 33 * len(frozen)
        case Want(logs=logs):
            return 16 + 33 * len(logs)
