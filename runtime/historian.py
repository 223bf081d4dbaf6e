"""The historian: distils memories from conversations that rest, off every turn's path.

A conversation is taken up when nothing was said in it for REST_S, or when MESSAGES messages came
since the last time. Its new messages are read by a model, whose claims are checked against them
(`runtime.core.claims`), or by rules alone (`runtime.core.distil`). What is kept becomes
`memory.noted`, caused by its message, and screened as every note is; `memory.distilled` says how
far it got. Both are one commit, named by conversation and last message, so a crash repeats nothing
but the question to a model. Only words of people are read: what the agent said is no source.

A fact about the same subject supersedes the older one; the opposite of it contradicts it as well.
What is remembered word for word already is not noted twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger.core import hashing, types
from ledger.core.errors import NotFound, TimmyError
from ledger.core.event import Draft, Event
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from runtime.aside import Aside, ask_aside
from runtime.asking import Completes
from runtime.core import claims
from runtime.core.agenda import SCREEN_CRISIS, SCREEN_PASS
from runtime.core.distil import Fact, distil
from runtime.core.jobs import Job, Run
from runtime.core.jobspec import Words
from runtime.core.memories import Memories, Memory
from runtime.core.privacy import Privacy
from runtime.core.question import fold
from runtime.core.talks import Talks
from runtime.journal import Journal
from runtime.recall import words_of
from runtime.scheduler import Result
from runtime.screening import screen_message

REST_S: Final = 30 * 60
"""A talk that goes on may take back in the next sentence what it said."""
MESSAGES: Final = 20
"""So many are read at least once a run, however lively the talk is."""
READ_MAX: Final = 60
"""Messages read at a time: as many causes as a model's reply can name, and some room."""
CONVERSATIONS_MAX: Final = 50
"""Of one run; the rest waits for the next."""
KNOWN_MAX: Final = 500
"""Memories that a new one is compared with, newest first."""
MESSAGE_CHARS_MAX: Final = 4_000
"""What a model is shown of one message; a longer one is a document, and is recalled by search."""
DISTIL_KEY: Final = "timmy-node 2026-11 distil idempotency key v1"
ABOUT_KEY: Final = "timmy-node 2026-11 memory subject v1"
TASK: Final = "historian"
BY: Final = "historian"
OF_WORK: Final = frozenset({"decision", "pattern", "correction", "architecture"})
"""Kinds that are of the project. Who somebody is, what he likes and when he comes holds in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A fact, its message, and the screen's verdict on it."""

    event: Event
    fact: Fact
    screen: str


@dataclass(slots=True)
class Tally:
    """What a run did."""

    conversations: int = 0
    noted: int = 0
    known: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Historian:
    """`clock` gives Unix milliseconds; `digest_key` is the node's secret for digests of words."""

    journal: Journal
    chain: Completes
    privacy: Privacy
    digest_key: bytes
    clock: Callable[[], int]
    project: bytes | None = None
    """What the tools work on, 16 bytes; None for nothing in particular."""
    _logger: Any = field(default_factory=lambda: structlog.get_logger("runtime.historian"))

    async def __call__(self, _run: Run, _job: Job, _words: Words) -> Result:
        """Carry out a run of the standing job."""
        tally = await self.look()
        told = f"{tally.noted} noted, {tally.known} known already, {tally.dropped} dropped"
        facts = {"noted": tally.noted, "known": tally.known, "dropped": tally.dropped}
        return Result(outcome="done", facts=facts, output=told)

    async def look(self) -> Tally:
        """Distil every conversation that is due."""
        tally = Tally()
        for conversation in self._due()[:CONVERSATIONS_MAX]:
            if await self._distilled(conversation, tally):
                tally.conversations += 1
        return tally

    async def _distilled(self, conversation: str, tally: Tally) -> bool:
        """Distil one, by rules alone if it fails with a model; one never holds up the others."""
        for asking in (True, False):
            try:
                await self.distil(conversation, tally, asking=asking)
            except TimmyError as error:
                self._logger.warning(
                    "a conversation was not distilled",
                    conversation=conversation, asking=asking, error=type(error).__name__,
                )  # fmt: skip
            else:
                return True
        return False

    def _due(self) -> list[str]:
        """Whoever has been silent longest comes first."""
        talks, now_s = Talks(self.journal.state.entries), self.clock() // 1000
        due = []
        for conversation in talks.restless:
            talk = talks.get(conversation)
            if talk is not None and (now_s - talk.last_s >= REST_S or len(talk.fresh) >= MESSAGES):
                due.append((talk.last_s, conversation))
        return [conversation for _, conversation in sorted(due)]

    async def distil(self, conversation: str, tally: Tally, *, asking: bool = True) -> None:
        """Read what is new in a conversation and note what is worth it; nothing is noted twice.

        Without `asking` no model is asked. Raises TimmyError if it cannot be recorded.
        """
        talk = Talks(self.journal.state.entries).get(conversation)
        if talk is None or not talk.fresh:
            return
        span = talk.fresh[:READ_MAX]
        events = self._readable(span)
        facts, dropped, mode = await self._facts(conversation, talk.stream, events, asking)
        found = [
            _Found(event=event, fact=fact, screen=await _screened(fact.text))
            for event, fact in facts
        ]
        async with self.journal.deciding:
            key = _key(self.journal.log.ledger_id, conversation, span[-1])
            if self.journal.log.find(key) is not None:
                return
            still = {event.position for event in self._readable(span)}
            drafts, known = self._drafts(
                conversation, talk.stream, [one for one in found if one.event.position in still]
            )
            payload = {
                "conversation": conversation,
                "from": span[0],
                "to": span[-1],
                "noted": len(drafts),
                "known": known,
                "dropped": dropped,
                "mode": mode,
            }
            done = Draft(
                type=types.MEMORY_DISTILLED.name,
                stream=talk.stream,
                payload=payload,
                idempotency_key=key,
            )
            await self.journal.append(*drafts, done)
        tally.noted += len(drafts)
        tally.known += known
        tally.dropped += dropped

    def _readable(self, positions: Sequence[int]) -> list[Event]:
        """The messages that have words: not erased, not withheld."""
        withheld = self.journal.turns.withheld
        events = [self.journal.log.read(at) for at in positions if at not in withheld]
        return [event for event in events if (words_of(event) or "").strip()]

    async def _facts(
        self,
        conversation: str,
        stream: bytes,
        events: list[Event],
        asking: bool,  # noqa: FBT001 - passed on
    ) -> tuple[list[tuple[Event, Fact]], int, str]:
        """Facts with their messages, how many claims were dropped, and who read."""
        texts = {event.position: (words_of(event) or "")[:MESSAGE_CHARS_MAX] for event in events}
        reply = None
        if texts and asking:
            aside = Aside(
                task=TASK,
                instructions=claims.INSTRUCTIONS,
                words="\n\n".join(f"[message {at}]\n{text}" for at, text in texts.items()),
                reach=min(
                    (self.privacy.of_event(event.payload) for event in events),
                    default=self.privacy.of(conversation),
                ),
                max_tokens=claims.REPLY_TOKENS,
                stream=stream,
                causes=tuple(event.cause for event in events),
            )
            reply = await ask_aside(self.journal, self.chain, aside)
        by_position = {event.position: event for event in events}
        if reply is not None:
            read = claims.read_claims(reply, texts)
            if read.readable:
                return [(by_position[at], fact) for at, fact in read.facts], read.dropped, "model"
            self._logger.warning("a model's list of facts cannot be read; rules do it")
        told = [(event, fact) for event in events for fact in distil(texts[event.position])]
        return told, 0, "rules"

    def _drafts(
        self, conversation: str, stream: bytes, found: list[_Found]
    ) -> tuple[list[Draft], int]:
        """Return the notes, and how many facts are known already. Call inside `deciding`."""
        known = self._known()
        memories = Memories(self.journal.state.entries)
        drafts: list[Draft] = []
        repeated = 0
        last = {_whose(one): one for one in found}
        for one in found:
            if last[_whose(one)] is not one:  # taken back in the same stretch of talk
                repeated += 1
                continue
            plain = fold(" ".join(one.fact.text.split()))
            named = (self._project(one.fact), plain)
            if named in known or (None, plain) in known:
                repeated += 1
                continue
            known.add(named)
            drafts.append(self._draft(conversation, stream, one, memories))
        return drafts, repeated

    def _project(self, fact: Fact) -> bytes | None:
        return self.project if fact.kind in OF_WORK else None

    def _known(self) -> set[tuple[bytes | None, str]]:
        found: set[tuple[bytes | None, str]] = set()
        for number, memory in enumerate(Memories(self.journal.state.entries).newest()):
            if number >= KNOWN_MAX:
                break
            if memory.ended is None:
                found.add((memory.project, fold(" ".join(self._text(memory).split()))))
        return found

    def _text(self, memory: Memory) -> str:
        try:
            return words_of(self.journal.log.read(memory.position)) or ""
        except NotFound:
            return ""

    def _draft(self, conversation: str, stream: bytes, one: _Found, memories: Memories) -> Draft:
        fact, author = one.fact, one.event.payload["author"]
        payload: dict[str, Any] = {
            "kind": fact.kind,
            "by": BY,
            "author": author,
            "conversation": conversation,
            "confidence": fact.confidence,
            "importance": fact.importance,
            "screen": one.screen,
        }
        project = self._project(fact)
        payload |= {} if project is None else {"project": project}
        if fact.subject is not None:
            within = b"" if project is None else project
            subject = _about(self.digest_key + within, author, fact.subject)
            older = memories.about(subject)
            payload["about"] = subject
            payload["against"] = fact.against
            if older is not None:
                before = self.journal.log.read(older.position).payload.get("against", False)
                payload["supersedes"] = [older.position]
                payload["contradicts"] = [older.position] if before != fact.against else []
        return Draft(
            type=types.MEMORY_NOTED.name,
            stream=stream,
            payload=payload,
            content={"text": fact.text, "quote": fact.quote}
            if fact.quote != fact.text
            else {"text": fact.text},
            causes=(one.event.cause,),
        )


def _whose(one: _Found) -> object:
    """What a later fact of the same stretch replaces; a fact without a subject stands alone."""
    return id(one) if one.fact.subject is None else (one.event.payload["author"], one.fact.subject)


async def _screened(text: str) -> str:
    return SCREEN_PASS if await screen_message(text) is None else SCREEN_CRISIS


def _key(ledger: bytes, conversation: str, last: int) -> bytes:
    parts = (ledger, last.to_bytes(8, "big"), conversation.encode())
    return hashing.digest(DISTIL_KEY, *parts)[:IDEMPOTENCY_KEY_BYTES]


def _about(key: bytes, author: str, subject: str) -> bytes:
    """A keyed digest: subjects are words, and a payload cannot be erased."""
    parts = (key, len(author).to_bytes(4, "big"), author.encode(), subject.encode())
    return hashing.digest(ABOUT_KEY, *parts)[:16]
