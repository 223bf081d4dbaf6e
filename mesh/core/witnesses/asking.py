"""Asking one witness to cosign, as a pure state machine: what to send, what an answer means.

    state + head  ->  request  ->  answer  ->  next request, or an outcome

A node knows the size that a witness saw last, or 0, and is told the right one (409). A witness of
our own kind that does not know the log, or not its newest key, is introduced once. The outcome that
matters most is AHEAD: the witness saw a larger head of ours than we hold, so that we are an old
copy of ourselves. It is its word alone, a size without a signature: reason enough to stop and ask,
no proof of anything.

The witness is believed nothing else. A cosignature that does not verify is no answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.cosignature import Witness, cosignatures, parse_lines
from ledger.core.errors import InvalidNote
from ledger.core.note import NoteSignature
from mesh.core.witnesses.add_checkpoint import SIZE, SIZE_TYPE, AddCheckpoint

ROUNDS_MAX: Final = 4
"""Requests for one head: the right size, an introduction, the right size again, and one more."""
OUR_KIND: Final = "timmy/"
"""How the names of witnesses begin that take introductions: those of nodes."""


class Outcome(StrEnum):
    """How asking for one head ended."""

    COSIGNED = "cosigned"
    AHEAD = "ahead"
    """It saw a larger head of this log than the one it was shown."""
    DIFFERENT = "different"
    """It says that this head does not continue what it saw."""
    REFUSED = "refused"
    UNRESPONSIVE = "unresponsive"


_FAULTS: Final = frozenset({Outcome.REFUSED, Outcome.UNRESPONSIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer over HTTP."""

    status: int
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended. `lines` has the witness' own, verified, if any; `size` is what it knows."""

    outcome: Outcome
    reason: str = ""
    size: int = 0
    lines: tuple[NoteSignature, ...] = ()

    @property
    def fault(self) -> str:
        """What kind of refusal or silence it is, without the witness' own words; "" if none."""
        if self.outcome not in _FAULTS:
            return ""
        return f"{self.outcome}: {self.reason.partition(':')[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send `request`; if `introduce`, introduce the log first."""

    request: AddCheckpoint
    introduce: bool = False


Paths = Callable[[int, int], Sequence[bytes]]
"""The consistency proof between two sizes of our own tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One head on its way to one witness."""

    witness: Witness
    head: SignedCheckpoint
    paths: Paths
    known: int = 0
    rounds: int = 0
    introduced: bool = False

    def first(self) -> "tuple[Asking, Ask]":
        """The first request. A size above the head's is asked about from the start."""
        known = self.known if self.known <= self.head.size else 0
        return self._ask(replace(self, known=known))

    def _ask(self, state: "Asking", *, introduce: bool = False) -> "tuple[Asking, Ask]":
        path = () if not state.known else tuple(state.paths(state.known, state.head.size))
        request = AddCheckpoint(old_size=state.known, path=path, note=state.head.encode())
        after = replace(state, rounds=state.rounds + 1, introduced=state.introduced or introduce)
        return after, Ask(request=request, introduce=introduce)

    def heard(self, answer: Answered) -> "tuple[Asking, Ask] | Ended":
        """Go on from an answer."""
        match answer.status:
            case 200:
                return self._cosigned(answer)
            case 409 if answer.kind == SIZE_TYPE:
                return self._told(answer)
            case 403 | 404 if not self.introduced and self.witness.name.startswith(OUR_KIND):
                return self._ask(self, introduce=True)
            case 422:
                return Ended(outcome=Outcome.DIFFERENT, reason=_said(answer))
            case _:
                text = f"status {answer.status}: {_said(answer)}"
                return Ended(outcome=Outcome.REFUSED, reason=text)

    def not_introduced(self, answer: Answered) -> Ended:
        """It does not take who the log is. Whatever the status, that tells nothing of histories."""
        text = f"it does not take the log: status {answer.status}: {_said(answer)}"
        return Ended(outcome=Outcome.REFUSED, reason=text)

    def _cosigned(self, answer: Answered) -> Ended:
        """Take one line of the witness: with a second one it would count twice under a head."""
        key = (self.witness.name, self.witness.id)
        try:
            lines = parse_lines(answer.body.decode())
            own = next((line for line in lines if (line.name, line.key_id) == key), None)
            if own is None:
                reason = "its own signature is not there"
                return Ended(outcome=Outcome.UNRESPONSIVE, reason=reason)
            cosignatures(self.head.with_lines([own]).note, [self.witness])
        except (InvalidNote, UnicodeDecodeError) as error:
            return Ended(outcome=Outcome.UNRESPONSIVE, reason=f"no cosignature: {error}")
        return Ended(outcome=Outcome.COSIGNED, size=self.head.size, lines=(own,))

    def _told(self, answer: Answered) -> "tuple[Asking, Ask] | Ended":
        match = SIZE.fullmatch(answer.body)
        if match is None:
            return Ended(outcome=Outcome.UNRESPONSIVE, reason="409 without a size")
        size = int(match[1])
        if size > self.head.size:
            reason = f"it saw {size} events of this log, the head is of {self.head.size}"
            return Ended(outcome=Outcome.AHEAD, reason=reason, size=size)
        if self.rounds >= ROUNDS_MAX or size == self.known:
            return Ended(outcome=Outcome.UNRESPONSIVE, reason=f"it goes on asking for size {size}")
        return self._ask(replace(self, known=size))


def _said(answer: Answered) -> str:
    """The first line, as far as it can be shown."""
    text = answer.body[:200].decode(errors="replace").split("\n", 1)[0]
    return "".join(c if c.isprintable() else "?" for c in text)
