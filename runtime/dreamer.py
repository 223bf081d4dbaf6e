"""The dreamer: drafts skills from patterns, and notes for a while which tools do not work.

What it makes is an event, `skill.drafted`, and stays a draft until the operator has judged it: no
prompt ever has it (`runtime.recall` finds messages and notes only), no tool reads it. An adopted
one is a file in `<home>/skills`, put there by the operator's own command. A pattern is drafted
once, whatever became of the draft.

That a tool failed again and again is a note with an expiry: what did not work in spring may work in
summer, and one that works again is forgotten at once. Runs once a day, as a job of the scheduler.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.core import hashing, types
from ledger.core.codec import encode
from ledger.core.errors import NotFound
from ledger.core.event import Cause, Draft
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from ledger.core.types import MEMORY_STREAM
from runtime.aside import CAUSES_MAX, Aside, ask_aside
from runtime.asking import Completes
from runtime.core.agenda import SCREEN_PASS
from runtime.core.chat import Reach
from runtime.core.dreaming import (
    INSTRUCTIONS,
    Pattern,
    checked,
    failing,
    of_deeds,
    of_notes,
    skill_text,
)
from runtime.core.errors import MessageRefused
from runtime.core.jobs import Job, Run
from runtime.core.jobspec import Words
from runtime.core.memories import DAY_S, Memories
from runtime.core.privacy import Privacy
from runtime.core.skills import ADOPTED, REJECTED, Skills
from runtime.journal import Journal
from runtime.recall import words_of
from runtime.scheduler import Result
from runtime.screening import screen_answer

DRAFTS_MAX: Final = 5
"""Of one run: a morning's reading."""
NOTES_MAX: Final = 200
"""Memories that are looked at, newest first: comparing them is quadratic."""
LESSON_DAYS: Final = 14
"""How long it is remembered that a tool does not work."""
REPLY_TOKENS: Final = 1_500
SKILL_KEY: Final = "timmy-node 2026-11 skill pattern v1"
LESSON_KEY: Final = "timmy-node 2026-11 lesson subject v1"
TASK: Final = "dreamer"
BY: Final = "dreamer"
_NOTES: Final = frozenset({"pattern", "decision", "correction", "architecture"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dreamer:
    """`clock` gives Unix milliseconds."""

    journal: Journal
    chain: Completes
    privacy: Privacy
    clock: Callable[[], int]

    async def __call__(self, _run: Run, _job: Job, _words: Words) -> Result:
        """Carry out a run of the standing job."""
        drafted, lessons = await self.dream(), await self.learn()
        facts = {"drafted": drafted, "lessons": lessons}
        told = f"{drafted} skills drafted, {lessons} lessons noted"
        return Result(outcome="done", facts=facts, output=told)

    async def dream(self) -> int:
        """Draft a skill of each new pattern; return how many."""
        count = 0
        tried: set[bytes] = set()
        while count < DRAFTS_MAX:
            # afresh each time: while a model worked on one, words of the next may have been erased
            new = [pattern for pattern in self._patterns() if _key(pattern) not in tried]
            if not new:
                break
            tried.add(_key(new[0]))
            count += await self._draft(new[0])
        return count

    def _patterns(self) -> list[Pattern]:
        skills = Skills(self.journal.state.entries)
        found = [*of_deeds(skills.deeds), *of_notes(self._notes())]
        return [pattern for pattern in found if not skills.drafted(_key(pattern))]

    def _notes(self) -> dict[int, str]:
        notes: dict[int, str] = {}
        for looked, memory in enumerate(Memories(self.journal.state.entries).newest()):
            if looked >= NOTES_MAX:
                break
            if memory.kind in _NOTES and memory.ended is None:
                text = self._words(memory.position)
                notes |= {memory.position: text} if text else {}
        return notes

    async def _draft(self, pattern: Pattern) -> bool:
        words = {at: text for at in pattern.sources if (text := self._words(at))}
        if not words:
            return False  # whatever was asked is erased: so is the reason for a skill
        texts = list(words.values())
        causes = tuple(self.journal.log.read(at).cause for at in words)
        assert len(causes) <= CAUSES_MAX
        plain = skill_text(pattern, texts)
        text = await self._asked(pattern, plain, causes) or plain
        if await screen_answer(text) is not None:
            return False
        key = _key(pattern)
        async with self.journal.deciding:
            erased = any(self._words(at) != text for at, text in words.items())
            if erased or Skills(self.journal.state.entries).drafted(key):
                return False
            await self.journal.append(
                Draft(
                    type=types.SKILL_DRAFTED.name,
                    stream=MEMORY_STREAM,
                    payload={"name": pattern.name, "by": BY, "seen": pattern.seen, "key": key},
                    content={"text": text},
                    causes=causes,
                    idempotency_key=key,
                )
            )
        return True

    async def _asked(self, pattern: Pattern, plain: str, causes: Sequence[Cause]) -> str | None:
        aside = Aside(
            task=TASK,
            instructions=INSTRUCTIONS,
            words=plain,
            reach=self._reach(causes),
            max_tokens=REPLY_TOKENS,
            stream=MEMORY_STREAM,
            causes=tuple(causes),
        )
        reply = await ask_aside(self.journal, self.chain, aside)
        return None if reply is None else checked(reply, pattern.name)

    def _reach(self, causes: Sequence[Cause]) -> Reach:
        events = [self.journal.log.read(cause.position) for cause in causes]
        return min(self.privacy.of_event(event.payload) for event in events)

    def _words(self, position: int) -> str:
        """The words of an event; none if they were erased or withheld."""
        if position in self.journal.turns.withheld:
            return ""
        try:
            return (words_of(self.journal.log.read(position)) or "").strip()
        except NotFound:
            return ""

    async def learn(self) -> int:
        """Note which tools do not work, and forget it of those that do again."""
        async with self.journal.deciding:
            entries = self.journal.state.entries
            now = failing(Skills(entries).deeds)
            drafts = [
                self._lesson(name, count, outcome)
                for name, (count, outcome) in sorted(now.items())
                if not self._known(_about(name))
            ]
            gone = [
                _forgotten(memory.position)
                for memory in Memories(entries)
                if memory.by == BY and memory.ended is None
                and memory.about not in {_about(name) for name in now}
            ]  # fmt: skip
            if drafts or gone:
                await self.journal.append(*drafts, *gone)
        return len(drafts)

    def _known(self, subject: bytes) -> bool:
        memory = Memories(self.journal.state.entries).about(subject)
        return memory is not None and memory.relevance_ppm(self.clock() // 1000) > 0

    def _lesson(self, name: str, count: int, outcome: str) -> Draft:
        return Draft(
            type=types.MEMORY_NOTED.name,
            stream=MEMORY_STREAM,
            payload={
                "kind": "lesson",
                "by": BY,
                "confidence": 700,
                "importance": 600,
                "expires_s": self.clock() // 1000 + LESSON_DAYS * DAY_S,
                "about": _about(name),
                "screen": SCREEN_PASS,
            },
            content={"text": f"The tool {name} failed the last {count} times: {outcome}."},
        )


async def judge(journal: Journal, position: int, verdict: str, *, by: str) -> str:
    """Record what the operator says of a draft, and return its words.

    `verdict` is ADOPTED or REJECTED. Raises NotFound, and MessageRefused for one that is judged.
    """
    assert verdict in (ADOPTED, REJECTED)
    async with journal.deciding:
        skill = Skills(journal.state.entries).get(position)
        if skill is None:
            raise NotFound(f"event {position} is no draft of a skill", hint="timmy skills list")
        if skill.verdict is not None:
            raise MessageRefused(
                f"the draft {position} was {skill.verdict} before", hint="timmy skills list"
            )
        event = journal.log.read(position)
        text = words_of(event)
        withheld = position in journal.turns.withheld
        if verdict == ADOPTED and (text is None or withheld):
            whose = "what it was made of was" if withheld else "its words were"
            raise MessageRefused(f"draft {position}: {whose} erased", hint="reject it")
        text = None if withheld else text
        payload = {"skill": position, "verdict": verdict, "by": by}
        await journal.append(
            Draft(
                type=types.SKILL_JUDGED.name,
                stream=MEMORY_STREAM,
                payload=payload,
                causes=(event.cause,),
            )
        )
    return text or ""


def _forgotten(position: int) -> Draft:
    payload = {"memory": position, "by": BY, "why": "it works again"}
    return Draft(type=types.MEMORY_FORGOTTEN.name, stream=MEMORY_STREAM, payload=payload)


def _key(pattern: Pattern) -> bytes:
    return hashing.digest(SKILL_KEY, encode(list(pattern.seed)))[:IDEMPOTENCY_KEY_BYTES]


def _about(name: str) -> bytes:
    return hashing.digest(LESSON_KEY, name.encode())[:16]
