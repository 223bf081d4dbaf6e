"""The link without a model, last in every chain: what the node knows of itself, and quotations.

It says that no model answers, answers what the node knows of itself, and quotes what it finds in
the ledger. It invents nothing, and it never fails.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from ledger.core.errors import TimmyError
from runtime.core.chat import DraftSink, ModelRequest, Reach, Reply
from runtime.core.passages import passage
from runtime.recall import Hit, Recall

_QUOTED: Final = 5
_QUOTE_CHARS: Final = 280
_QUERY_CHARS: Final = 300
"""As the agent asks: what it found need not be looked for again (`runtime.recall`)."""
_STATUS_QUESTION: Final = re.compile(
    r"\b(your status|how are you|are you (?:there|alive|ok|up)|uptime|who are you|your name"
    r"|what(?:'s| is) your name|which model|what model|how many events)\b"
    r"|^\W*status\W*$",
    re.IGNORECASE,
)


class Responder:
    """The link without a model: what the node knows of itself, and quotations of the ledger."""

    name = "responder"
    identity = None
    reach = Reach.LOCAL
    tasks: frozenset[str] = frozenset()
    price = None

    def __init__(self, recall: Recall, status: Callable[[], dict[str, Any]]) -> None:
        self._recall = recall
        self._status = status

    async def reply(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """Answer the newest user message of the prompt. Never raises ModelFailed."""
        asked = next((text for role, text in reversed(request.messages) if role == "user"), "")
        if _STATUS_QUESTION.search(asked[:_QUOTE_CHARS]):
            text, hits = self._about(), []
        else:
            hits = await self._found(asked, request.before)
            text = self._quotations(hits, asked)
        if draft is not None:
            draft.add(text)
        quoted = tuple(hit.position for hit in hits)
        return Reply(text=text, model=self.name, finish="stop", quoted=quoted)

    async def _found(self, asked: str, before: int) -> list[Hit]:
        if not asked.strip():
            return []
        try:
            return await self._recall.find(asked[:_QUERY_CHARS], _QUOTED, before=before)
        except TimmyError:  # no index is no reason to leave the user without any answer
            return []

    def _about(self) -> str:
        status = self._status()
        return (
            f"I am {status['name']}. My ledger holds {status['events']} events and I have been "
            f"running for {status['uptime_s']} seconds. No language model is answering at the "
            "moment, so this comes from the node itself."
        )

    def _quotations(self, hits: list[Hit], asked: str) -> str:
        start = "No language model is answering at the moment, so I can only look things up. "
        if not hits:
            return start + "I found nothing about this in my ledger. Your message is kept."
        lines = []
        for hit in hits:
            words = self._recall.words(hit.position) or hit.text
            lines.append(f"- [{hit.position}] {passage(words, asked, chars=_QUOTE_CHARS)}")
        return f"{start}This is what my ledger holds, word for word:\n" + "\n".join(lines)
