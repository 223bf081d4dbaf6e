"""What a row of the scorecard is, and the places that attacks are done to."""

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attest.verify.bundle import verify_bundle
from attest.verify.report import DOES_NOT_HOLD, NOT_REACHED, QUESTIONS, Report
from ledger.core.errors import TimmyError
from ledger.core.event import Draft, Envelope, Event, Record
from ledger.core.merkle import leaf_hash
from ledger.core.tiles import Tree
from ledger.log import Log
from ledger.release import GuardFile, Release
from ledger.sqlite import SqliteStore
from ledger.store import Batch
from node.assembly import open_ledger, take_up
from node.home import Home
from node.keeping.selfcheck import check_home
from tests.ledger.makers import ticking
from tests.spec import agent

FACTS = 270
"""More than a tile of 256: full tiles are stored, and an attacker has to mend them."""
LEDGER, GUARD, EXPORT, BITCOIN, WITNESS, NOBODY = (
    "the ledger alone", "the guard", "whoever holds an older head", "Bitcoin",
    "a witness that is asked", "nobody",
)  # fmt: skip
NODE = "a Bitcoin node that is asked"
COMPARED = "nodes that compare heads"
NO_KEY, LOG_KEY, SEAL_KEY = "no key", "the log key", "log and seal key"
ROUNDS = "the aggregator's seal key"
KIT = "the log key and the recovery kit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack. `make` does it, and returns the file that is then verified, or None for a home.

    `question` is the line that does not hold (two in alphabetic order); `says` a phrase of the failing link, or, where
    nobody notices, of what the report says it does not show. `start` is the error that refuses
    a start of the node, or "" if it starts. `witnessed` is what comes of it where a witness is asked.
    """

    attack: str
    to: str
    means: str
    by: str
    verdict: str
    says: str
    question: str = ""
    start: str = ""
    witnessed: str = ""
    make: Callable[..., Any]

    @property
    def test(self) -> str:
        return self.make.__name__

    @property
    def line(self) -> str:
        """This row in docs/THREATS.md."""
        verdict = self.verdict
        if self.question:
            verdict += f": {self.question}"
        if self.to in {"home", "guard"}:
            verdict += f"; start refused: {self.start}" if self.start else "; the node starts"
        if self.witnessed:
            verdict += f"; with a witness: {self.witnessed}"
        cells = (self.attack, self.to, self.means, self.by, verdict, f"`{self.test}`")
        return "| " + " | ".join(cells) + " |"


def answers(report: Report) -> dict[str, str]:
    """The four lines of a report, each there exactly once."""
    names = [name for name, _ in report.lines]
    assert sorted(name for name in names if name in QUESTIONS) == sorted(QUESTIONS), report.lines
    return {name: text for name, text in report.lines if name in QUESTIONS}


def check(row: Row, report: Report) -> None:
    """The row's verdict, the question that fails, and what is said about it."""
    told = answers(report)
    failing = [name for name, text in told.items() if text.startswith(DOES_NOT_HOLD)]
    assert report.verdict == row.verdict, (report.verdict, report.lines)
    assert ", ".join(sorted(failing)) == row.question, report.lines
    if row.question:
        assert not report.good
        assert report.lines[-1][0] == "failing link"
        assert row.says in report.lines[-1][1], report.lines[-1]
    else:
        assert report.good
        assert NOT_REACHED not in told.values()
        assert row.says in " / ".join([*report.not_shown, *told.values()]), report.to_value()


# ---- a life, told again --------------------------------------------------------------------------


def noted(text, **more):
    return agent.words(text, kind="memory.noted", **more)


@dataclass(frozen=True, slots=True)
class Told:
    """An event as its author knew it, before it was sealed."""

    draft: Draft
    ts_ms: int
    erased: bool = False


def told_of(record: Record) -> Told:
    event = Event.open(record)
    content = {"text": "gone"} if event.redacted else event.content if event.has_content else None
    payload = {key: value for key, value in event.payload.items() if key != "content"}
    draft = Draft(type=event.type, stream=event.stream, payload=payload, content=content)
    return Told(draft, event.ts_ms, event.redacted)


def resealed(records: list[Record], change: Callable[[list[Told]], Any]) -> agent.Ledger:
    """The log after `change` had its way with what was told, every rule of a log kept.

    Events before the first change stay as they are; from there on each is sealed anew.
    """
    before = [told_of(record) for record in records]
    told = list(before)
    change(told)
    ledger, same = agent.Ledger(), True
    for position, one in enumerate(told):
        same = same and position < len(before) and one == before[position]
        if same:
            ledger.keep(records[position])
            ledger.lengths[one.draft.stream] = ledger.lengths.get(one.draft.stream, 0) + 1
        else:
            ledger.add(one.draft, ts_ms=one.ts_ms)
            if one.erased:
                ledger.erase(position)
    return ledger


def as_ledger(records: list[Record]) -> agent.Ledger:
    ledger = agent.Ledger()
    for record in records:
        ledger.keep(record)
    return ledger


# ---- a home --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """A home on which the node was stopped, and its state directory outside it."""

    home: Home

    @classmethod
    def at(cls, root: Path) -> "Scene":
        return cls(Home(path=root / "home", state=root / "state"))

    @classmethod
    def born(cls, root: Path) -> "Scene":
        """Genesis, facts, four memories, the third of them redacted; all of it released."""
        scene = cls.at(root)
        scene.home.make()
        scene.home.soul.write_bytes(agent.SOUL)
        with Log(
            SqliteStore.create(scene.home.ledger), clock=ticking(agent.BORN_MS), entropy=os.urandom
        ) as log:
            log.append_now(agent.genesis_draft())
            log.append_now(*(agent.fact(n) for n in range(FACTS)))
            for text in ("the roof leaks", "the kettle is blue", "a secret"):
                log.append_now(noted(text))
            log.append_now(log.redaction([FACTS + 3], reason="asked", actor="operator"))
            log.append_now(noted("buy marmalade"))
            Release.begin(log, scene.home.state, agent.LOG)
        return scene

    @property
    def log_size(self) -> int:
        return len(self.records())

    @property
    def guard(self) -> Path:
        [found] = self.home.state.glob("*/head")
        return found

    def copy(self, root: Path) -> "Scene":
        shutil.copytree(self.home.path.parent, root)
        return Scene.at(root)

    def verify(self) -> Report:
        return check_home(self.home)

    def start(self) -> str:
        """Do what a start of the node does with its ledger; return the error's name, or ""."""
        try:
            log, lineage = open_ledger(self.home)
        except TimmyError as error:
            return type(error).__name__
        with log:
            try:
                take_up(self.home, log, lineage, agent.LOG)
            except TimmyError as error:
                return type(error).__name__
        return ""

    def live(self, *texts: str, release: bool = True) -> None:
        """Run on for a while: more memories, and a head over them."""
        log, lineage = open_ledger(self.home)
        with log:
            released = take_up(self.home, log, lineage, agent.LOG).release
            for text in texts:
                log.append_now(noted(text))
            if release:
                released.head()

    def records(self) -> list[Record]:
        store = SqliteStore.open_read_only(self.home.ledger)
        try:
            return list(store.records(0, store.size))
        finally:
            store.close()

    def rewrite(self, records: list[Record]) -> None:
        """Put other events into ledger.db as the store itself would: streams, keys and tiles too.

        What an attacker does who has this program's source, and none of its keys.
        """
        for left in self.home.path.glob("ledger.db*"):
            left.unlink()
        tree = Tree(lambda *_: b"")
        batch = Batch()
        for record in records:
            batch.events.append((record, Envelope.parse(record.envelope)))
            tree.append(leaf_hash(record.envelope))
        batch.tiles = tree.take_tiles()
        store = SqliteStore.create(self.home.ledger)
        try:
            store.append(batch)
        finally:
            store.close()

    def retell(self, change: Callable[[list[Told]], Any]) -> None:
        """Rewrite the whole log after `change` had its way with the list of what was told."""
        self.rewrite(resealed(self.records(), change).records)

    def sign_guard(self, *, epoch: int = 0) -> None:
        """Sign what is there now and put it into the guard: takes the log key."""
        ledger = as_ledger(self.records())
        for old in self.home.state.glob("*/head"):
            shutil.rmtree(old.parent)
        GuardFile(self.home.state, ledger.id).write(ledger.head(epoch=epoch).encode())


# ---- a file --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Beside:
    """A file, and what its reader was shown before: a note or a bundle."""

    file: bytes | list
    held: bytes | list


def verified(shown: bytes | list | Beside, soul: bytes | None = agent.SOUL) -> Report:
    """What `timmy verify FILE --soul SOUL.md` reports, with `--held OLD` for one who holds it."""
    if not isinstance(shown, Beside):
        return verify_bundle(io.BytesIO(as_bytes(shown)), soul)
    held = io.BufferedReader(io.BytesIO(as_bytes(shown.held)))
    return verify_bundle(io.BytesIO(as_bytes(shown.file)), soul, held=held)


def as_bytes(data: bytes | list) -> bytes:
    return data if isinstance(data, bytes) else agent.bundle(data)
