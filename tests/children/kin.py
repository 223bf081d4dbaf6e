"""A parent and a child out of fixed seeds, and the child's life as events, for the pure parts."""

from dataclasses import dataclass, field

from genesis.core.children.letters import Kind, write_letter
from genesis.core.children.orders import Standing
from ledger.core import types
from ledger.core.event import Draft, Event
from tests.spec import agent
from tests.spec.make_children import PARENT_NOSTR, certificate, payload

CHILD = certificate().child
START_MS = agent.BORN_MS
HEAD = {"size": 9, "root": b"\x09" * 32}
FACTS = {
    Kind.GRANT: {"gate": "rite", **HEAD},
    Kind.NARROW: {"gate": "rite"},
    Kind.REPORT: {"kind": "morning", "gate": "", **HEAD},
    Kind.ALARM: {"event": 4, "trigger": "disk", "subject": "home"},
    Kind.RELIEF: {"event": 5, "trigger": "disk", "subject": "home"},
    Kind.HEARD: {"told": 3},
    Kind.ALIVE: {"url": "", "gate": "", "orders": 0, "told": 0, "alarms": 0, **HEAD},
}


def letter(kind, *, chain=None, text="", signer=PARENT_NOSTR, to=CHILD, at_ms=START_MS, **facts):
    """The next letter of a chain; the facts are those of its kind unless they are given."""
    return write_letter(
        kind,
        FACTS.get(kind, {}) | facts,
        text,
        chain=chain,
        ledger_id=to,
        at_ms=at_ms,
        nonce=b"n" * 16,
        signer=signer,
    )


@dataclass
class Childhood:
    """A child's ledger that grows; `standing` is what its parent's orders come to."""

    ledger: agent.Ledger = field(default_factory=agent.Ledger)
    standing: Standing = field(default_factory=Standing)
    now_ms: int = START_MS
    steps: int = 0
    certified: dict = field(default_factory=lambda: payload(certificate()))

    def __post_init__(self):
        self.ledger.add(agent.genesis_draft(), ts_ms=self.now_ms)
        self.add(types.PARENT_CERTIFIED, self.certified, stream=types.PARENT_STREAM)

    def add(self, kind, body, content=None, *, stream=bytes(16)):
        draft = Draft(type=kind.name, stream=stream, payload=body, content=content)
        self.now_ms += 1000
        return self.ledger.add(draft, ts_ms=self.now_ms)

    def order(self, kind, text="", **facts):
        chain = self.standing.chain
        opened = letter(kind, chain=chain, text=text, at_ms=self.now_ms, **facts)
        self.standing = self.standing.take(opened)
        content = {"text": text} if text else None
        return self.add(types.PARENT_ORDERED, opened.letter.to_payload(), content)

    def grant(self, *gates):
        for gate in gates:
            self.order(Kind.GRANT, gate=gate, **HEAD)
        return self

    def call(self, name, outcome="done", **more):
        self.steps += 1
        facts = {"turn": b"t" * 16, "step": self.steps, "name": name} | more
        effect = "deny" if outcome == "denied" else "allow"
        self.add(types.TOOL_DECIDED, facts | {"effect": effect})
        return self.add(types.TOOL_RETURNED, facts | {"outcome": outcome})

    def answer(self, outcome="answered"):
        return self.add(types.TURN_FINISHED, {"turn": b"t" * 16, "outcome": outcome})

    def rite(self):
        self.add(types.SOUL_ATTESTED, {"size": 2})
        self.answer()
        return self

    def tools(self):
        for name in ("read_file", "write_file", "shell") * 3:
            self.call(name)
        return self

    def job(self, outcome="done", trigger="schedule", kind="script"):
        number = len(self.ledger.records)
        job, run = number.to_bytes(16, "big"), number.to_bytes(32, "big")
        self.add(types.JOB_ADDED, {"job": job, "spec": {"kind": kind}})
        self.add(types.JOB_STARTED, {"job": job, "run": run, "trigger": trigger})
        self.add(types.JOB_FINISHED, {"job": job, "run": run, "outcome": outcome})

    def beat(self):
        self.now_ms += 900_000
        self.add(types.NODE_BEAT, {})

    def alarm(self, kind=types.NODE_ESCALATED, **more):
        facts = {"trigger": "disk", "subject": "home", "at_s": 0, "why": ""}
        return self.add(kind, facts | more)

    def events(self):
        return [Event.open(record) for record in self.ledger.records]
