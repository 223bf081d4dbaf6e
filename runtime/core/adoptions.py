"""Consensus-critical: the reducer of adoptions: which architecture is in force, and on what trial.

    patch.staged       nothing -> staged      it lies on disk, verified; nothing is different yet
    patch.canary       staged -> canary       a share of the conversations is answered by it
    patch.adopted      staged, canary -> node it is in force, for everybody
    patch.settled      node -> nothing        it stood its time
    patch.rolledback   any of them -> nothing; or what settled is undone: that before is in force

At most one is under way. An event that does not follow from the state is passed over, as is one of
a shape that this version does not write. What is in force is a stack: an adoption is put on it, a
rollback takes it off. At the bottom lies what ran when the first one was staged. Nothing else says
what runs: a file that says otherwise is wrong.

Turns are measured while a trial lasts: by the tree that `turn.started` names, ends, crashes, times,
refused calls. A turn belongs to the tree that began it. `turn.moved` takes it from there: it is
begun anew under another name, for what another tree would ask at the same step is another thing.

Entries:

    adoption            the one under way, see `_staged`
    architectures       [[adoption, patch, tree, version, root], ...], in force last
    settled             [position, adoption, patch, tree, root] of the newest that settled
    taken/<message>     [times moved, tree that began it, when in ms, attempt]

Not covered: what lies on disk; who approved, which is checked before anything is staged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from ledger.core import hashing, types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.agenda import HELD, HOLD, pending_key, turn_key

Entries: TypeAlias = Mapping[str, Any]
SHARE: Final = "timmy-node 2026-11 canary share v1"
SHARE_OF: Final = 1000
"""A share is so many of a thousand conversations."""
STACK_MAX: Final = 32
"""Architectures that a rollback can go back through: the trees of all of them are kept."""
TIMES_MAX: Final = 256
"""Newest times of turns that are compared: a median of more says nothing else."""
_DIGEST_BYTES: Final = 32
_UNDER_WAY: Final = "adoption"
_STACK: Final = "architectures"
_SETTLED: Final = "settled"


class Stage(StrEnum):
    """How far an adoption is."""

    STAGED = "staged"
    CANARY = "canary"
    NODE = "node"


class Moved(StrEnum):
    """Why a turn goes to another architecture."""

    DIED = "died"
    ROLLED_BACK = "rolled back"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An architecture that is or was in force. `version` names its files beside the tree's."""

    adoption: int | None
    patch: int | None
    tree: bytes
    version: bytes | None
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is known of the turns of one architecture. Times in ms, newest last."""

    answered: int = 0
    errors: int = 0
    crashes: int = 0
    crisis: int = 0
    denied: int = 0
    times: tuple[int, ...] = ()

    @property
    def ended(self) -> int:
        """Turns that came to an end, good or bad."""
        return self.answered + self.errors + self.crisis


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The adoption under way. `since`: when its stage began, in ms of the ledger's clock."""

    staged: int
    patch: int
    stage: Stage
    base: bytes
    root: bytes
    tree: bytes
    version: bytes | None
    before: Version
    share: int
    window_s: int
    turns: int
    reducers: bytes
    since: int
    candidate: Arm
    present: Arm

    @property
    def result(self) -> Version:
        """What is in force if it goes well."""
        return Version(
            adoption=self.staged,
            patch=self.patch,
            tree=self.tree,
            version=self.version,
            root=self.root,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The newest adoption that stood its time. `position`: of the event that says so."""

    position: int
    adoption: int
    patch: int
    tree: bytes
    root: bytes


class Adoptions:
    """A view of a state that has `reduce_adoptions` among its reducers."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    @property
    def under_way(self) -> Adoption | None:
        """The adoption that is neither settled nor rolled back."""
        entry = self._entries.get(_UNDER_WAY)
        return None if entry is None else _adoption(entry)

    @property
    def stack(self) -> list[Version]:
        """Architectures, that in force last; empty if none was ever adopted."""
        return [_version(row) for row in self._entries.get(_STACK, ())]

    @property
    def in_force(self) -> Version | None:
        """The architecture in force; None if it is that of the birth."""
        rows = self._entries.get(_STACK, ())
        return _version(rows[-1]) if rows else None

    @property
    def before(self) -> Version | None:
        """What a rollback of the architecture in force goes back to."""
        rows = self._entries.get(_STACK, ())
        return _version(rows[-2]) if len(rows) > 1 else None

    @property
    def settled(self) -> Settled | None:
        """The newest adoption that settled."""
        entry = self._entries.get(_SETTLED)
        if entry is None:
            return None
        position, adoption, patch, tree, root = entry
        return Settled(position=position, adoption=adoption, patch=patch, tree=tree, root=root)

    def moved(self, message: int) -> int:
        """How often the turn of a message was given to another architecture."""
        entry = self._entries.get(_taken_key(message))
        return 0 if entry is None else int(entry[0])

    def begun_by(self, message: int) -> bytes | None:
        """The tree that began the turn of a message, if one did since it was moved."""
        entry = self._entries.get(_taken_key(message))
        tree: bytes | None = None if entry is None else entry[1]
        return tree

    def tree_for(self, conversation: str, message: int, otherwise: bytes) -> bytes:
        """Return the tree that is to answer a message. `otherwise`: that of the birth.

        A turn that was begun stays where it was begun; one that was moved goes to what is in force.
        """
        begun = self.begun_by(message)
        if begun is not None:
            return begun
        now = self.in_force
        present = otherwise if now is None else now.tree
        trial = self._entries.get(_UNDER_WAY)
        if trial is None or trial["stage"] != Stage.CANARY or self.moved(message):
            return present
        pending = self._entries.get(pending_key(message))
        if pending is not None and pending[5]:  # begun by a version that did not say by which tree
            return present
        inside = in_share(trial["root"], conversation, trial["share"])
        return bytes(trial["tree"]) if inside else present


def of_steps(events: Iterable[Event]) -> Adoptions:
    """Return what the events of ADOPTION_STREAM alone say: everything but how turns went."""
    entries: dict[str, Any] = {}
    for event in events:
        for key, value in [*reduce_adoptions(entries, event)]:
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
    return Adoptions(entries)


def in_share(root: bytes, conversation: str, share: int) -> bool:
    """Whether a conversation is among the `share` of SHARE_OF that try an architecture.

    Each architecture is tried by others: its root is hashed with the name.
    """
    drawn = int.from_bytes(hashing.xof(SHARE, 8, root, conversation.encode()), "big")
    return drawn % SHARE_OF < share


def _taken_key(message: int) -> str:
    return f"taken/{message}"


def _version(row: list[Any]) -> Version:
    adoption, patch, tree, version, root = row
    return Version(adoption=adoption, patch=patch, tree=tree, version=version, root=root)


def _arm(row: list[Any]) -> Arm:
    answered, errors, crashes, crisis, denied, times = row
    return Arm(
        answered=answered,
        errors=errors,
        crashes=crashes,
        crisis=crisis,
        denied=denied,
        times=tuple(times),
    )


def _adoption(entry: Mapping[str, Any]) -> Adoption:
    return Adoption(
        staged=entry["staged"],
        patch=entry["patch"],
        stage=Stage(entry["stage"]),
        base=entry["before"][4],
        root=entry["root"],
        tree=entry["tree"],
        version=entry["version"],
        before=_version(entry["before"]),
        share=entry["share"],
        window_s=entry["window_s"],
        turns=entry["turns"],
        reducers=entry["reducers"],
        since=entry["since"],
        candidate=_arm(entry["candidate"]),
        present=_arm(entry["present"]),
    )


_EMPTY: Final[list[Any]] = [0, 0, 0, 0, 0, []]
_ANSWERED, _ERRORS, _CRASHES, _CRISIS, _DENIED, _TIMES = range(6)


def reduce_adoptions(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


# ---- the steps of an adoption --------------------------------------------------------------------


def _staged(entries: Entries, event: Event) -> Iterator[Change]:
    if _UNDER_WAY in entries:
        return
    match event.payload:
        case {
            "patch": int(patch),
            "root": bytes(root),
            "tree": bytes(tree),
            "version": bytes() | None as version,
            "before": {
                "tree": bytes(tree_before),
                "version": bytes() | None as version_before,
                "root": bytes(base),
            },
            "share": int(share),
            "window_s": int(window_s),
            "turns": int(turns),
            "reducers": bytes(reducers),
        }:
            stack = entries.get(_STACK)
            before = [None, None, tree_before, version_before, base]
            if stack and stack[-1][2:4] != before[2:4]:
                return
            if stack:
                before = [*stack[-1][:4], base]
            if not _digests(root, tree, tree_before, base):
                return
            if not stack:
                yield _STACK, [before]
            yield (
                _UNDER_WAY,
                {
                    "staged": event.position,
                    "patch": patch,
                    "stage": Stage.STAGED.value,
                    "root": root,
                    "tree": tree,
                    "version": version,
                    "before": before,
                    "share": share,
                    "window_s": window_s,
                    "turns": turns,
                    "reducers": reducers,
                    "since": event.ts_ms,
                    "candidate": _EMPTY,
                    "present": _EMPTY,
                },
            )


def _digests(*values: bytes) -> bool:
    return all(len(value) == _DIGEST_BYTES for value in values)


def _canary(entries: Entries, event: Event) -> Iterator[Change]:
    for trial in _named(entries, event):
        if trial["stage"] == Stage.STAGED:
            yield _UNDER_WAY, {**trial, "stage": Stage.CANARY.value, "since": event.ts_ms}


def _adopted(entries: Entries, event: Event) -> Iterator[Change]:
    for trial in _named(entries, event):
        if trial["stage"] == Stage.NODE:
            continue
        stack = entries.get(_STACK, ())
        row = [trial["staged"], trial["patch"], trial["tree"], trial["version"], trial["root"]]
        yield _STACK, [*stack, row][-STACK_MAX:]
        node = {"stage": Stage.NODE.value, "since": event.ts_ms, "candidate": _EMPTY}
        yield _UNDER_WAY, trial | node


def _settle(entries: Entries, event: Event) -> Iterator[Change]:
    for trial in _named(entries, event):
        if trial["stage"] == Stage.NODE:
            row = [event.position, *(trial[name] for name in ("staged", "patch", "tree", "root"))]
            yield _SETTLED, row
            yield _UNDER_WAY, None


def _rolled_back(entries: Entries, event: Event) -> Iterator[Change]:
    stack = entries.get(_STACK, [])
    adoption = _get(event, "adoption", int)
    on_top = len(stack) > 1 and adoption is not None and stack[-1][0] == adoption
    trial = entries.get(_UNDER_WAY)
    if trial is not None:
        if trial["staged"] != adoption:
            return
        yield _UNDER_WAY, None
    if on_top:
        yield _STACK, stack[:-1]


def _named(entries: Entries, event: Event) -> Iterator[dict[str, Any]]:
    """Yield the adoption under way, if it is the one that an event is about."""
    trial = entries.get(_UNDER_WAY)
    if trial is not None and _get(event, "adoption", int) == trial["staged"]:
        yield dict(trial)


# ---- turns, measured -----------------------------------------------------------------------------


def _started(entries: Entries, event: Event) -> Iterator[Change]:
    match event.payload:
        case {"message": int(message), "tree": bytes(tree), "attempt": int(attempt)}:
            key = _taken_key(message)
            moved, by, _when, before = entries.get(key) or [0, None, None, 0]
            yield key, [moved, tree, event.ts_ms, attempt]
            if by == tree and attempt > before:
                yield from _count(entries, tree, _CRASHES)


def _moved(entries: Entries, event: Event) -> Iterator[Change]:
    match event.payload:
        case {"message": int(message), "reason": str(reason)}:
            entry = entries.get(_taken_key(message))
            if entry is None:
                return
            yield _taken_key(message), [entry[0] + 1, None, None, 0]
            if reason == Moved.DIED and entry[1] is not None:
                yield from _count(entries, entry[1], _CRASHES)


def _finished(entries: Entries, event: Event) -> Iterator[Change]:
    message = _get(event, "message", int)
    entry = None if message is None else entries.get(_taken_key(message))
    if message is None or entry is None:
        return
    yield _taken_key(message), None
    _, tree, when, _ = entry
    what = _ENDS.get(str(event.payload.get("outcome")))
    if tree is not None and what is not None:
        time = max(0, event.ts_ms - when) if what == _ANSWERED else None
        yield from _count(entries, tree, what, time)


def _decided(entries: Entries, event: Event) -> Iterator[Change]:
    """A message whose author came to be held has its answer, and no end of a turn."""
    message = _get(event, "message", int)
    if event.payload.get("action") in (HOLD, HELD) and _taken_key(message or 0) in entries:
        screen = event.payload.get("screen")
        if screen == "output":  # `turn.finished` follows, and counts it
            return
        yield _taken_key(message or 0), None


def _tool_decided(entries: Entries, event: Event) -> Iterator[Change]:
    turn = _get(event, "turn", bytes)
    opened = None if turn is None else entries.get(turn_key(turn))
    entry = None if opened is None else entries.get(_taken_key(opened[0]))
    if event.payload.get("effect") == "deny" and entry is not None and entry[1] is not None:
        yield from _count(entries, entry[1], _DENIED)


_ENDS: Final = {
    "answered": _ANSWERED, "failed": _ERRORS, "diverged": _ERRORS, "replaced": _CRISIS,
}  # fmt: skip


def _count(entries: Entries, tree: bytes, what: int, time: int | None = None) -> Iterator[Change]:
    """Count one more of something for the architecture whose tree it is, while a trial lasts."""
    trial = entries.get(_UNDER_WAY)
    if trial is None:
        return
    arm = "candidate" if tree == trial["tree"] else "present"
    row = [*trial[arm]]
    row[what] += 1
    if time is not None:
        row[_TIMES] = [*row[_TIMES], time][-TIMES_MAX:]
    yield _UNDER_WAY, {**trial, arm: row}


def _get(event: Event, name: str, kind: type) -> Any:
    value = event.payload.get(name)
    return value if type(value) is kind else None


_HANDLERS: Final[Mapping[str, Callable[[Entries, Event], Iterable[Change]]]] = {
    types.PATCH_STAGED.name: _staged,
    types.PATCH_CANARY.name: _canary,
    types.PATCH_ADOPTED.name: _adopted,
    types.PATCH_SETTLED.name: _settle,
    types.PATCH_ROLLED_BACK.name: _rolled_back,
    types.TURN_STARTED.name: _started,
    types.TURN_MOVED.name: _moved,
    types.TURN_FINISHED.name: _finished,
    types.POLICY_DECIDED.name: _decided,
    types.TOOL_DECIDED.name: _tool_decided,
}
INTERPRETED: Final = frozenset(
    {
        types.PATCH_STAGED.name, types.PATCH_CANARY.name, types.PATCH_ADOPTED.name,
        types.PATCH_SETTLED.name, types.PATCH_ROLLED_BACK.name, types.TURN_MOVED.name,
    }
)  # fmt: skip
"""Types that must be understood before anything runs: they say what."""
