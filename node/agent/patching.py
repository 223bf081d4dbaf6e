"""Proposals wired to the ledger: read, weighed against what is there, counted, commented, judged.

    propose    patch.proposed: the document as content; base and new root, attempt, lineage, class,
               and the commitment to the judge's seed. Or patch.refused: the reason and the line
    comment    patch.commented: words about a line of the document, or of a file that it changes
    withdraw   patch.withdrawn: it is open no more
    judge      the successor is forked from the ledger up to a released head, in a sandbox that held
               its own attacks in this boot; patch.judged keeps the signed verdict

The seed is derived from the log key and the proposal's stream: nobody who proposes can know it, and
nothing secret has to be kept between proposing and judging but that key, whoever is in charge then:
keystores of earlier tenures stay here. Whatever a document is, proposing it changes no file.
"""

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genesis.core import limits, patch
from genesis.core.architecture import Architecture
from genesis.core.errors import InvalidPatch, PatchError, Reason
from genesis.core.patch import PatchClass
from genesis.core.proposal import Proposal, Weighed, parse_proposal, weigh
from genesis.core.verdict import seed_commitment
from ledger.core import hashing, types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Cause, Draft, Event
from ledger.core.keys import Signer
from ledger.log import Log
from ledger.release import Release
from ledger.upcasting import UpcastLog
from node.agent.approval import proposed_of
from node.agent.architecture import Present, pinned_manifest, present_software, software_file
from node.agent.on_record import JUDGED_MAX, events_about
from node.agent.snapshot import tail
from node.agent.told_verdicts import facts, facts_of
from node.keeping.folding import INTERPRETED
from node.open import now_ms
from runtime import selftest
from runtime.core.limits import (
    COMMENT_CHARS_MAX,
    NAME_CHARS_MAX,
    PROPOSAL_COMMENTS_MAX,
    PROPOSALS_OPEN_MAX,
)
from runtime.core.proposals import Proposals, Proposed, Standing
from runtime.core.tool import Book
from runtime.core.turns import Turns
from runtime.sandbox import Engine

if TYPE_CHECKING:
    from genesis.judge import Budget, Task

DOCUMENT: Final = "proposal"
"""What a comment names in the place of a file, to speak of the document's own lines."""
_NEEDED: Final = INTERPRETED | {
    kind.name for kind in (types.PATCH_PROPOSED, types.PATCH_COMMENTED, types.PATCH_WITHDRAWN)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patching:
    """Proposals and verdicts of one node."""

    log: Log
    book: Book
    present: Present
    release: Release
    signer: Signer
    past: tuple[Signer, ...] = ()
    """Log keys of earlier tenures, as far as their keystores are here: they committed to seeds."""
    engine: Engine
    trials: Path
    """Where it is kept whether that engine held its attacks."""
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _judging: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time, so that those on record are counted; nothing else waits for it."""

    @property
    def _reading(self) -> UpcastLog:
        return UpcastLog(self.log, needed=_NEEDED)

    @property
    def proposals(self) -> Proposals:
        """As of now, without their words."""
        return Proposals(self.book.state.entries)

    async def propose(
        self,
        document: bytes,
        *,
        author: str,
        causes: tuple[Cause, ...] = (),
        book: Book | None = None,
        taken_up: bool = False,
        constitutional: bool = False,
    ) -> Event:
        """Record a proposal; a refused one is recorded too, and raised.

        `book`: that of a fork, where something is only tried. `taken_up`: from another ledger, so
        what it says that it follows stands there. `constitutional`: whether it may be that; only
        what the operator hands in may. Raises InvalidPatch, Constitutional.
        """
        book = book or self.book
        _check_author(author)
        async with self._deciding:
            base = self.present.read()
            pinned = (await asyncio.to_thread(pinned_manifest)).root
            try:
                proposal = await asyncio.to_thread(parse_proposal, document)
                wanted = constitutional and proposal.front.patch_class is PatchClass.CONSTITUTIONAL
                software = await asyncio.to_thread(present_software) if wanted else None
                weighed = weigh(proposal, base, software)
                known = Proposals(book.state.entries)
                follows = None if taken_up else proposal.front.follows
                self._check_place(proposal, known, follows)
            except PatchError as error:
                await book.append(_refusal(document, author, error, causes))
                raise
            draft = self._draft(proposal, weighed, base, known, follows)
            payload = {**draft.payload, "author": author, "pinned": pinned}
            [event] = await book.append(replace(draft, payload=payload, causes=causes))
        return event

    def _check_place(self, proposal: Proposal, known: Proposals, follows: int | None) -> None:
        same = known.with_document(proposal.digest)
        if same is not None:
            raise InvalidPatch(
                f"this very document is proposed already, as event {same}",
                reason=Reason.REPEATED, hint=f"timmy patch show {same}",
            )  # fmt: skip
        if follows is not None and known.get(follows) is None:
            raise InvalidPatch(
                f"it follows event {follows}, which is no proposal here",
                reason=Reason.FRONT, line=_line_of(proposal.data, "follows"),
                hint="timmy patch list",
            )  # fmt: skip
        if len(known.open) >= PROPOSALS_OPEN_MAX:
            raise InvalidPatch(
                f"{len(known.open)} proposals are open, at most {PROPOSALS_OPEN_MAX}",
                reason=Reason.CROWDED, hint="withdraw one: timmy patch withdraw EVENT",
            )  # fmt: skip

    def _draft(
        self,
        proposal: Proposal,
        weighed: Weighed,
        base: Architecture,
        known: Proposals,
        follows: int | None,
    ) -> Draft:
        stream, front = os.urandom(16), proposal.front
        before = None if follows is None else known.get(follows)
        payload: dict[str, Any] = {
            "class": front.patch_class.value,
            "touches": [kind.value for kind in weighed.classes],
            "document": proposal.digest,
            "sha256": proposal.patch.sha256,
            "base": base.root,
            "root": weighed.result.root,
            "parent_tree": base.tree.digest,
            "result_tree": weighed.result.tree.digest,
            "attempt": 1 if before is None else before.attempt + 1,
            "on_base": known.on_base(base.root) + 1,
            "seed_commitment": seed_commitment(_seed(self.signer, stream)),
        }
        if follows is not None:
            payload["follows"] = follows
        return Draft(
            type=types.PATCH_PROPOSED.name,
            stream=stream,
            payload=payload,
            content={
                "title": front.title,
                "document": proposal.data.decode(),
                "manifest": base.manifest.encode(),
            },
        )

    async def comment(
        self, position: int, *, path: str, line: int, text: str, author: str
    ) -> Event:
        """Record words about a line. Raises NotFound, Refused for a line that is not there."""
        _check_author(author)
        if not text.strip() or len(text) > COMMENT_CHARS_MAX:
            raise Refused(
                f"a comment of {len(text)} characters, 1 to {COMMENT_CHARS_MAX} allowed",
                hint="say the rest in another",
            )
        async with self._deciding:
            proposal, event = self.document(position), self.proposal(position)
            lines = self._lines(proposal, path)
            if not 1 <= line <= lines:
                raise Refused(
                    f"{path} has lines 1 to {lines} there, no line {line}",
                    hint=f"timmy patch show {position}",
                )
            known = self._known(position)
            if known.comments >= PROPOSAL_COMMENTS_MAX:
                raise Refused(
                    f"it has {known.comments} comments, at most {PROPOSAL_COMMENTS_MAX}",
                    hint="talk about it in a conversation: timmy say",
                )
            [made] = await self.book.append(
                Draft(
                    type=types.PATCH_COMMENTED.name,
                    stream=event.stream,
                    payload={"patch": position, "author": author, "path": path, "line": line},
                    content={"text": text},
                    causes=(event.cause,),
                )
            )
        return made

    def _lines(self, proposal: Proposal, path: str) -> int:
        """How many lines a comment may speak of: of the document, or of a file as it would be."""
        if path == DOCUMENT:
            return proposal.data.count(b"\n")
        changed = {change.path: change for change in proposal.patch.changes}
        if path not in changed:
            raise Refused(
                f"it does not touch {path[:160]!r}",
                hint=f"{', '.join([*changed][:5])}, or {DOCUMENT} for its own lines",
            )
        change, before = changed[path], self.present.read().get(path) or software_file(path)
        one = patch.Patch(data=b"", changes=(change,))
        made = patch.apply_to(one, {} if before is None else {path: before})
        return len(patch.split(made.get(path, before or b"")))

    async def withdraw(self, position: int, *, why: str, author: str) -> Event:
        """Record that a proposal is open no more. Raises NotFound, Refused."""
        _check_author(author)
        if len(why) > limits.FIELD_CHARS_MAX:
            most = limits.FIELD_CHARS_MAX
            raise Refused(f"a reason of {len(why)} characters, at most {most}", hint="say less")
        async with self._deciding:
            known = self._known(position)
            if known.state is not Standing.OPEN:
                raise Refused(
                    f"proposal {position} is {known.state.value} already", hint="timmy patch list"
                )
            event = self._reading.read(position)
            [made] = await self.book.append(
                Draft(
                    type=types.PATCH_WITHDRAWN.name,
                    stream=event.stream,
                    payload={"patch": position, "author": author},
                    content={"text": why},
                    causes=(event.cause,),
                )
            )
        return made

    def _known(self, position: int) -> Proposed:
        known = self.proposals.get(position)
        if known is None:
            raise NotFound(f"event {position} is no proposal", hint="timmy patch list")
        return known

    def document(self, position: int) -> Proposal:
        """Return a proposal's document. Raises NotFound, Refused for one without."""
        content = self.proposal(position).content or {}
        if "document" not in content:
            raise Refused(
                f"proposal {position} is a diff without a document, from before there were any",
                hint="propose it anew: timmy patch new",
            )
        return parse_proposal(content["document"].encode())

    def row(self, known: Proposed) -> dict[str, Any]:
        """Return a proposal as the row that scripts rely on."""
        event = self.log.read(known.position)
        content = event.content or {}
        return {
            "position": known.position, "id": event.cause.id, "ts_ms": event.ts_ms,
            "author": known.author, "title": content.get("title"), "state": known.state.value,
            "class": event.payload.get("class"), "touches": event.payload.get("touches", []),
            "base": known.base, "root": known.root, "document": known.document,
            "attempt": known.attempt, "on_base": known.on_base, "follows": known.follows,
            "comments": known.comments, "verdicts": list(known.verdicts),
            "redacted": event.redacted,
        }  # fmt: skip

    def shown(self, position: int) -> dict[str, Any]:
        """Return a proposal whole: its row, document, diff, verdicts, comments. Raises NotFound."""
        known = self._known(position)
        event = self.log.read(position)
        content = event.content or {}
        diff = content.get("diff")
        if "document" in content:
            diff = self.document(position).patch.data.decode()
        stream = [*self.log.stream(event.stream, last=_STREAM_EVENTS_MAX)]
        return self.row(known) | {
            "text": content.get("document"),
            "diff": diff,
            "judged": [
                told
                for one in stream
                if one.type == types.PATCH_JUDGED.name
                if (told := facts_of(one)) is not None
            ],
            "said": [
                {
                    "position": one.position, "ts_ms": one.ts_ms, "author": one.payload["author"],
                    "path": one.payload["path"], "line": one.payload["line"],
                    "text": (one.content or {}).get("text"),
                }
                for one in stream
                if one.type == types.PATCH_COMMENTED.name
            ],
        }  # fmt: skip

    async def judge(self, position: int, *, words: bool = True) -> dict[str, Any]:
        """Judge a proposal against what is adopted now, and record the signed verdict.

        The judge is given what a bundle of the proposal can carry (`node.agent.snapshot`); with
        `words` false, nothing that anybody said. Raises NotFound; Refused for one that is not open,
        was judged JUDGED_MAX times, or whose seed nobody can reveal any more.
        """
        async with self._judging:
            return await self._judge(self._judgeable(position), words=words)

    def _judgeable(self, position: int) -> Event:
        proposal, known = self.proposal(position), self._known(position)
        if known.state is not Standing.OPEN:
            raise Refused(
                f"proposal {position} is {known.state.value}: what is open no more is not judged",
                hint="propose it anew: timmy patch new",
            )
        judged = len(events_about(self.log, proposal, {types.PATCH_JUDGED.name}))
        if judged >= JUDGED_MAX:
            raise Refused(
                f"proposal {position} was judged {judged} times, at most {JUDGED_MAX}",
                hint="propose it anew: timmy patch new",
            )
        return proposal

    async def _judge(self, proposal: Event, *, words: bool) -> dict[str, Any]:
        position, seed = proposal.position, self._committed_seed(proposal)
        document, head = self.document(position), self.release.head()
        withheld = Turns(self.book.state).withheld
        snapshot = tail(self._reading, head.size, withheld, proposal=position, words=words)
        # Heavy, and most never judge.
        from genesis.judge import Head, evaluator_digest, judge
        from genesis.judging.constitution import judge_constitution

        tested = await selftest.trusted(self.engine, evaluator=evaluator_digest(), kept=self.trials)
        asked: dict[str, Any] = {
            "snapshot": snapshot, "head": Head(size=head.size, root=head.root),
            "signer": self.signer, "seed": seed, "engine": tested.holds,
            "clock": now_ms, "distrust": tested.reason, "budget": budget_of(document),
        }  # fmt: skip
        diff, base = document.patch.data, self.present.read()
        task = task_of(document, tries=self._tries(proposal))
        if proposal.payload.get("class") == PatchClass.CONSTITUTIONAL:
            software = await asyncio.to_thread(present_software)
            judgment = await judge_constitution(diff, base, software, task=task, **asked)
        else:
            judgment = await judge(diff, base, task=task, **asked)
        verdict = judgment.verdict
        [event] = await self.log.append(
            Draft(
                type=types.PATCH_JUDGED.name,
                stream=proposal.stream,
                payload={
                    "patch": position,
                    "decision": verdict.decision.value,
                    "digest": verdict.digest,
                    "envelope": judgment.envelope,
                    "first": snapshot[0].position if snapshot else head.size,
                    "words": words,
                },
                causes=(proposal.cause,),
            )
        )
        return {
            "position": event.position,
            "patch": position,
            **facts(verdict, words=words),
            "constitution": verdict.measured.get("constitution"),
            "envelope": judgment.envelope.decode(),
            "notes": list(judgment.notes),
        }

    def _tries(self, proposal: Event) -> int:
        """Which try it is, by its event and counted anew, whichever is the higher."""
        told = proposed_of(self.log.ledger_id, proposal).tries
        known = self.proposals.get(proposal.position)
        return told if known is None else max(told, known.attempt, known.on_base)

    def proposal(self, position: int) -> Event:
        """Return a proposal's event. Raises NotFound, Refused for one that was redacted."""
        event = self._reading.read(position)
        if event.type != types.PATCH_PROPOSED.name:
            raise NotFound(
                f"event {position} is {event.type}, no proposed patch", hint="timmy patch list"
            )
        if event.redacted:
            raise Refused(
                f"the patch of event {position} was redacted",
                hint="propose it anew, without those words",
            )
        return event

    def _committed_seed(self, proposal: Event) -> bytes:
        """Return what the event of a proposal commits to, by the log key that was in charge then.

        Raises Refused if that key is not here: a verdict with another seed would be about nothing.
        """
        committed = proposal.payload.get("seed_commitment")
        for key in (self.signer, *self.past):
            if seed_commitment(seed := _seed(key, proposal.stream)) == committed:
                return seed
        raise Refused(
            f"proposal {proposal.position} commits to a seed by a log key that is not here",
            hint=f"timmy patch withdraw {proposal.position}, and propose it anew",
        )


def _seed(key: Signer, stream: bytes) -> bytes:
    return hashing.digest(hashing.JUDGE_SEED, key.secret, stream)


def task_of(proposal: Proposal, *, tries: int) -> "Task":
    """Return what a document asks its judge for, whoever judges it."""
    from genesis.judge import Task
    from genesis.judging.measuring import measure_of, wanted_of

    front = proposal.front
    return Task(
        measure=measure_of(front.evaluation),
        wanted=wanted_of(front.expected),
        tries=tries,
        migration=front.migration,
    )


def budget_of(proposal: Proposal) -> "Budget":
    """Return how long a judge tries a document, whoever judges it: as it says, or its own bound."""
    from genesis.judge import Budget

    return Budget().within(proposal.front.budget)


_STREAM_EVENTS_MAX: Final = 2 * PROPOSAL_COMMENTS_MAX
"""Of one proposal that are shown: every comment there may be, and as many verdicts."""


def _check_author(author: str) -> None:
    if not author or len(author) > NAME_CHARS_MAX or not author.isprintable():
        raise Refused(
            f"an author of {len(author)} characters, 1 to {NAME_CHARS_MAX} plain ones",
            hint="--author NAME",
        )


def _refusal(document: bytes, author: str, error: PatchError, causes: tuple[Cause, ...]) -> Draft:
    """Return the record of a refused proposal: what it was is named, and not kept."""
    return Draft(
        type=types.PATCH_REFUSED.name,
        stream=types.NODE_STREAM,
        payload={
            "author": author,
            "reason": error.reason.value,
            "line": error.line,
            "at": error.at,
            "document": hashing.digest(hashing.PROPOSAL, document),
            "bytes": len(document),
        },
        content={"why": str(error), "path": error.path},
        causes=causes,
    )


def _line_of(document: bytes, key: str) -> int:
    lines = document.decode().split("\n")
    return next((n for n, line in enumerate(lines, 1) if line.startswith(key)), 1)
