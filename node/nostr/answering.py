"""Yes and no to proposals by sealed message, from the operator's own Nostr client.

    approve 5d1c...     a word and the digest of the question: ledger, proposal, result, verdict
    disapprove 5d1c...

The digest is told to the operator when the judge accepts a proposal. His NIP-59 seal is put on
record with the keys of that one message, so that a stranger reads what he sealed
(`genesis.core.sealed_word`); nothing else of the conversation can be opened with them.

Not covered: a message of the older kind (NIP-04), which no seal signs.
"""

import re
from dataclasses import dataclass
from typing import Final

from genesis.core.errors import InvalidSealedWord
from genesis.core.sealed_word import SealedWord
from genesis.core.verdict import Decision
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Event
from mesh.core.nip01 import NostrSigner
from mesh.core.nip59 import shown_keys
from mesh.sealed.mailbox import Letter
from node.agent.approval import PatchApproval
from node.agent.told_verdicts import facts, lines_of
from node.nostr.letters import author_of

_ANSWER: Final = re.compile(r"\s*(?:dis)?approve\s+([0-9a-f]{64})\s*[.]?\s*", re.IGNORECASE)
_TITLE_CHARS_MAX: Final = 120


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
        position = self.approval.asked(bytes.fromhex(found[1]))
        if position is None:
            return "Nobody asks this now: it was judged again, or is open no more."
        if letter.sealed is None:
            return "Only a sealed message (NIP-17) is an answer that others can check."
        try:
            sealed = evidence(letter, self.signer)
            _, made = await self.approval.by_message(
                position, sealed, author=author_of(letter.author)
            )
        except (Refused, NotFound, InvalidSealedWord) as error:
            return f"Not taken: {error}."
        said = self.approval.standing(position)
        return f"On record: {made.answer.word.value} {position}. Now: {said['text']}."

    def asking(self, event: Event) -> str | None:
        """Return how the operator is asked, once this node's judge accepts a proposal.

        Of a judge that was shown nobody's words there is nothing to ask.
        """
        payload = event.payload
        position = payload.get("patch")
        if type(position) is not int or payload.get("decision") != Decision.ACCEPT.value:
            return None
        if payload.get("words") is not True:
            return None
        try:
            verdict = self.approval.spoken(position)
            question = self.approval.question(position)
        except (NotFound, Refused):
            return None
        content = self.approval.log.read(position).content or {}
        title = " ".join(str(content.get("title") or "").split())[:_TITLE_CHARS_MAX]
        digest = question.digest.hex()
        told = "\n".join(f"{name}: {text}" for name, text in lines_of(facts(verdict, words=True)))
        return (
            f"My judge accepts proposal {position}:\n> {title}\n\n{told}\n\n"
            f"Read it first: timmy patch show {position}\n\n"
            f"Answer: approve {digest}\nor: disapprove {digest}"
        )


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
