"""What a prompt is told beside the talk: how the agent speaks, and about the folder it works in.

With them, if there are any: the names of adopted skills, and what each is for; and the name of the
project that the tools work on, since notes of another one stay out of its prompts.

Said to the agent when it is given a turn, as positions in the ledger, and on record with that: a
turn that is given again is given the same, less what was erased since. A conversation wears its
skin (`runtime.core.skins`), context files are for all of them (`runtime.core.contexts`).
"""

from typing import Any, Final

from runtime.contexts import SKILLS as LISTED
from runtime.contexts import Contexts
from runtime.core import calls
from runtime.core.contexts import known
from runtime.core.skins import worn
from runtime.core.turns import Message
from runtime.journal import Journal
from runtime.recall import Recall

SKIN: Final = "skin"
FILES: Final = "files"
SKILLS: Final = "skills"
PROJECT: Final = "project"


class Giving:
    """Finds it for one turn. `contexts`: None where files are not looked at, as in a replay.

    `project`: 16 bytes, None where the tools work on none.
    """

    def __init__(
        self,
        journal: Journal,
        recall: Recall,
        contexts: Contexts | None,
        project: bytes | None = None,
    ) -> None:
        self._project = project
        self._journal = journal
        self._recall = recall
        self._contexts = contexts

    async def to(self, message: Message, turn: bytes) -> dict[str, Any]:
        """Return what the turn that answers `message` is given: of `skin`, `files`, `skills`."""
        first = self._journal.log.find(calls.step_key(turn, 1, "started"))
        if first is not None:
            return self._readable(first.payload.get("given") or {})
        if self._contexts is not None:
            await self._contexts.refresh()
        entries = self._journal.state.entries
        skin = worn(entries, message.conversation)
        shown = {one.name: one.position for one in known(entries) if one.shown}
        skills = shown.pop(LISTED, None)
        files = list(shown.values())
        given: dict[str, Any] = {} if skin is None else {SKIN: skin.position}
        given |= {} if skills is None else {SKILLS: skills}
        given |= {} if self._project is None else {PROJECT: self._project}
        return self._readable(given | ({FILES: files} if files else {}))

    def _readable(self, given: dict[str, Any]) -> dict[str, Any]:
        """Leave out what has no words any more: a prompt that refers to it would be refused."""
        kept: dict[str, Any] = {PROJECT: given[PROJECT]} if PROJECT in given else {}
        for one in (SKIN, SKILLS):
            if one in given and self._recall.words(given[one]) is not None:
                kept[one] = given[one]
        files = [at for at in given.get(FILES, ()) if self._recall.words(at) is not None]
        return kept | ({FILES: files} if files else {})
