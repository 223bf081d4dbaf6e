"""Yes and no to proposals by sealed message, from the operator's own Nostr client.

    approve 5d1c...     a word and the digest of the question: ledger, proposal, result, verdict
    disapprove 5d1c...

The digest is told to the operator (`node.nostr.notices`) when the judge accepts a proposal, or
leaves it to people. His NIP-59 seal is put on record with the keys of that one message, so that a
stranger reads what he sealed (`genesis.core.sealed_word`); nothing else of the conversation can be
opened with them.

Not covered: a message of the older kind (NIP-04), which no seal signs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from genesis.core.approval import Word
from genesis.core.errors import InvalidSealedWord
from genesis.core.granting import HOUR_MS, Rules
from genesis.core.patch import PatchClass
from genesis.core.sealed_word import SealedWord
from ledger.core import types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Cause, Event
from mesh.core.nip01 import NostrSigner
from mesh.core.nip59 import shown_keys
from mesh.sealed.mailbox import Letter
from node.agent.approval import PatchApproval
from node.agent.on_record import events_about
from node.agent.told_verdicts import facts, lines_of
from node.nostr.letters import author_of

_ANSWER: Final = re.compile(
    r"\s*((?:dis)?approve)\s+([0-9a-f]{64})\s*[.]?\s*", re.IGNORECASE | re.ASCII
)
"""ASCII: without regard to case an i is also a dotless one, which no word of ours has."""
_TITLE_CHARS_MAX: Final = 120
_JUDGED: Final = frozenset({types.PATCH_JUDGED.name})
_SPEAKS: Final = {
    PatchClass.ROUTINE: "My judge accepts proposal {at}:",
    PatchClass.CONSTITUTIONAL: "My judge leaves proposal {at} to people. It changes this software:",
}
_EITHER: Final = "Answer: approve {digest}\nor: disapprove {digest}"
_STOP: Final = "To stop it: disapprove {digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchWords:
    """What is asked and answered about proposals by letter."""

    approval: PatchApproval
    signer: NostrSigner

    async def hear(self, letter: Letter) -> str | None:
        """Take a letter that answers a question, and return the reply; None for any other."""
        found = _ANSWER.fullmatch(letter.text)
        if found is None:
            return None
        asked = self.approval.asked(bytes.fromhex(found[2]), Word(found[1].lower()))
        if asked is None:
            return "Nobody asks this now: it was judged again, or is open no more."
        position, question = asked
        if letter.sealed is None:
            return "Only a sealed message (NIP-17) is an answer that others can check."
        try:
            sealed = evidence(letter, self.signer)
            _, made = await self.approval.by_message(
                position, question, sealed, author=author_of(letter.author)
            )
        except (Refused, NotFound, InvalidSealedWord) as error:
            return f"Not taken: {error}."
        said = self.approval.standing(position)
        return f"On record: {made.answer.word.value} {position}. Now: {said['text']}."

    def asking(self, judged: Event) -> tuple[str, Cause] | None:
        """Return how the operator is asked after an event `patch.judged`, and whose words that has.

        None unless it is the verdict that people are asked about: it speaks for an open proposal,
        and nobody's words were kept from its judge.
        """
        position = judged.payload.get("patch")
        if type(position) is not int or judged.payload.get("words") is not True:
            return None
        try:
            case = self.approval.case(position)
            verdict = self.approval.spoken(position, case=case)
        except (NotFound, Refused):
            return None
        if not case.is_open or judged.payload.get("digest") != verdict.digest:
            return None
        proposal, proposed = self.approval.log.read(position), case.proposed
        title = " ".join(str((proposal.content or {}).get("title") or "").split())
        told = "\n".join(f"{name}: {text}" for name, text in lines_of(facts(verdict, words=True)))
        ask = _asked(proposed.patch_class, self.approval.deciders.rules())
        words = (
            f"{_SPEAKS[proposed.patch_class].format(at=position)}\n> {title[:_TITLE_CHARS_MAX]}\n\n"
            f"{told}\n\nRead it first: timmy patch show {position}\n\n"
            f"{ask.format(digest=proposed.question(verdict.digest).digest.hex())}"
        )
        return words, proposal.cause

    def standing(self) -> Iterator[Event]:
        """Yield the verdicts, of open proposals, about which no operator has said a word yet."""
        for one in self.approval.open:
            try:
                case = self.approval.case(one)
                question = self.approval.question(one, case=case)
                judged = events_about(self.approval.log, self.approval.log.read(one), _JUDGED)
            except (NotFound, Refused):
                continue
            operators = self.approval.deciders.rules().operators
            said = (it.answer.question for it in case.answers if it.key in operators)
            about = [
                it
                for it in judged
                if it.payload.get("words") is True and it.payload.get("digest") == question.verdict
            ]
            if about and question not in said:
                yield about[-1]


def _asked(patch_class: PatchClass, rules: Rules) -> str:
    """What an operator may say: to what is constitutional yes only if he is one of the people."""
    if patch_class is PatchClass.ROUTINE:
        return _EITHER
    hours = f"People decide about it, {rules.wait_ms // HOUR_MS} hours after this verdict."
    return f"{hours} {_EITHER if rules.operators & rules.people else _STOP}"


def evidence(letter: Letter, reader: NostrSigner) -> SealedWord:
    """Return the seal of a letter with the keys that open it. Raises InvalidSealedWord."""
    sealed = letter.sealed
    if sealed is None or sealed.tags:
        raise InvalidSealedWord("the message came in no NIP-59 seal without tags")
    return SealedWord(
        author=bytes.fromhex(sealed.pubkey),
        sealed_at=sealed.created_at,
        content=sealed.content,
        signature=bytes.fromhex(sealed.sig),
        keys=shown_keys(sealed, reader),
    )
