"""A ledger with conversations, a chain that replies what a test says, and the services beside it."""

import json
from dataclasses import dataclass, field

from ledger.core import types
from ledger.core.event import Event
from runtime import answers
from runtime.compaction import Compactor
from runtime.core.chat import ModelRequest, Reply
from runtime.core.privacy import Privacy
from runtime.gateway import Gateway
from runtime.historian import Historian
from runtime.journal import Journal
from tests.runtime.world import DIGEST_KEY, new_log

T0_S = 1_790_000_000


class Model:
    """Stands where a chain stands. Without `text` only the responder is there."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.asked: list[ModelRequest] = []
        self.meanwhile = None

    async def complete(self, request: ModelRequest, draft=None) -> Reply:
        self.asked.append(request)
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.text is None:
            return Reply(text="word for word", model="responder", finish="stop", link="responder")
        return Reply(
            text=self.text, model="tiny-1", finish="stop", link="tiny", tokens_in=7, tokens_out=5
        )

    def says(self, *claims: dict) -> None:
        self.text = json.dumps({"facts": list(claims)})


@dataclass
class World:
    seconds: list[int] = field(default_factory=lambda: [T0_S])
    log: object = None
    model: Model = field(default_factory=Model)

    def __post_init__(self) -> None:
        self.log = self.log or new_log(clock=self.clock)
        self.journal = Journal(self.log)
        self.gateway = Gateway(self.journal)
        common = {"journal": self.journal, "chain": self.model, "privacy": Privacy()}
        self.historian = Historian(**common, digest_key=DIGEST_KEY, clock=self.clock)
        self.compactor = Compactor(**common)

    def clock(self) -> int:
        return self.seconds[0] * 1000

    def rest(self, seconds: int = 3600) -> None:
        self.seconds[0] += seconds

    async def say(self, text: str, conversation: str = "main", author: str = "ann") -> Event:
        return await self.gateway.receive(
            text, conversation=conversation, author=author, gateway="test"
        )

    async def exchange(
        self, text: str, answer: str = "Noted.", conversation: str = "main"
    ) -> Event:
        """A message and its answer, as a turn leaves them."""
        event = await self.say(text, conversation)
        message = self.journal.turns.pending[event.position]
        turn = bytes(8) + event.position.to_bytes(8, "big")
        await self.journal.append(
            answers.sent(message, turn, answer, {}),
            answers.finished(message, turn, "answered", None),
        )
        return event

    async def redact(self, *positions: int) -> None:
        draft = self.log.redaction(list(positions), reason="asked for", actor="test")
        await self.journal.append(draft)

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.log.events() if event.type == kind]

    @property
    def notes(self) -> list[Event]:
        return self.of(types.MEMORY_NOTED.name)
