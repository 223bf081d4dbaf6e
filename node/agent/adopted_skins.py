"""Skins that an adoption changes: signed by the agent, since its author did not write the change.

A skin is a signed document in the ledger, and what is changed in it has no author but the agent. So
the new text is a document of the agent's own key, with a higher version; the payload names the
author and the event it was made from. It comes in one commit with `patch.adopted`. A rollback puts
the document of before back, with its author's signature, unless the operator has put on another
since, or taken it away.

Not covered: skins that a canary's conversations wear: they change when the node's stage begins.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from genesis.core.adopting.layers import Version
from genesis.core.architecture import Architecture, PathClass
from ledger.core import types
from ledger.core.errors import Refused
from ledger.core.event import CONTENT_KEY, Draft, Event
from ledger.core.keys import Signer
from ledger.log import Log
from mesh.core.errors import MeshError
from node.agent.skins import sign_skin, verified
from runtime.core.injection import findings
from runtime.core.skins import Installed, installed, parse_skin
from runtime.journal import Journal
from runtime.screening import screen_message

_PREFIX: Final = "skins/"
_ADOPTION: Final = "adoption"
"""By whom, where an adoption or its rollback changed a skin."""
_STEPS_MAX: Final = 4_096
"""Newest steps of adoptions among which the one that is taken back is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worn:
    """A skin that an adoption puts on or takes away, and the event of the one before."""

    name: str
    before: int | None
    draft: Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedSkins:
    """Those of one node. `key` is the agent's Nostr key."""

    log: Log
    journal: Journal
    key: Signer

    async def check(self, base: Architecture, result: Architecture, *, now_s: int) -> None:
        """Raise Refused for a changed skin that could not be worn, or not be signed.

        A signed document is JSON: what is escaped there is longer than it was as TOML.
        """
        known = self._known()
        for path, data in result.items():
            if result.class_of(path) is not PathClass.SKIN or base.get(path) == data:
                continue
            skin = parse_skin(data.decode())
            try:
                verified(sign_skin(data.decode(), self.key, now_s=now_s))
            except MeshError as error:
                raise Refused(f"{path} cannot be signed: {error}", hint="a shorter skin") from error
            if await screen_message(skin.voice) is not None:
                raise Refused(f"{path}: the crisis screen stops this voice", hint="another voice")
            before = known.get(skin.name)
            if before is not None and before.version >= skin.version:
                raise Refused(
                    f"{path} is of version {skin.version}, version {before.version} is here",
                    hint="a change of a skin is a higher version",
                )

    def put_on(self, version: Version | None, *, adoption: int, now_s: int) -> list[Worn]:
        """Return what is to be recorded so that the skins of a version are those in force."""
        known, found = self._known(), []
        named = {} if version is None else {**version.own, **version.files}
        for path in sorted(path for path in named if path.startswith(_PREFIX)):
            assert version is not None
            name = path.removeprefix(_PREFIX).removesuffix(".toml")
            mine = self.document(known.get(name))
            held = version.holds(path, mine)
            if held != mine:
                before = known.get(name)
                draft = self._draft(name, held, before, adoption, now_s)
                position = None if before is None else before.position
                found.append(Worn(name=name, before=position, draft=draft))
        return found

    def _draft(
        self, name: str, held: bytes | None, before: Installed | None, adoption: int, now_s: int
    ) -> Draft:
        if held is None:
            return _removed(name, adoption)
        signed = sign_skin(held.decode(), self.key, now_s=now_s)
        skin, event = verified(signed)
        made_from = {} if before is None else {"from": [before.author, before.position]}
        return Draft(
            type=types.SKIN_ADDED.name,
            stream=types.NODE_STREAM,
            payload={
                "name": name,
                "version": skin.version,
                "author": bytes.fromhex(event.pubkey),
                "event": bytes.fromhex(event.id),
                "findings": [[one.rule, one.line] for one in findings(skin.voice)],
                "by": _ADOPTION,
                "adoption": adoption,
                **made_from,
            },
            content={"text": skin.voice, "document": signed},
        )

    def take_off(self, adoption: int | None) -> list[Draft]:
        """Return what is to be recorded so that the skins from before an adoption are back."""
        steps = self.log.stream(types.ADOPTION_STREAM, last=_STEPS_MAX)
        named: list[Any] = next(
            (
                step.payload.get("skins", [])
                for step in reversed(steps)
                if step.type == types.PATCH_ADOPTED.name and step.payload["adoption"] == adoption
            ),
            [],
        )
        return [
            draft
            for name, before in named
            if self._is_ours(name, adoption) and (draft := self._restored(name, before)) is not None
        ]

    def _is_ours(self, name: str, adoption: int | None) -> bool:
        """Whether what is worn, or is not, is what the adoption left."""
        one = self._known().get(name)
        if one is None:
            return self._removed_by(name) == _ADOPTION
        return self.log.read(one.position).payload.get("adoption") == adoption

    def _removed_by(self, name: str) -> str:
        """Return who removed a skin that was there, and is no more."""
        events = map(self.log.read, reversed(self.log.positions(types.NODE_STREAM, 0)))
        return next(
            str(event.payload.get("by"))
            for event in events
            if event.type == types.SKIN_REMOVED.name and event.payload.get("name") == name
        )

    def _restored(self, name: str, before: int | None) -> Draft | None:
        event: Event | None = None if before is None else self.log.read(before)
        if event is None or event.content is None:
            return _removed(name, None) if name in self._known() else None
        kept = {key: value for key, value in event.payload.items() if key != CONTENT_KEY}
        return Draft(
            type=types.SKIN_ADDED.name,
            stream=types.NODE_STREAM,
            payload={**kept, "by": "rollback"},
            content=event.content,
        )

    def documents(self) -> dict[str, bytes]:
        """Return the skins in force, by their paths in an architecture."""
        found = {f"{_PREFIX}{n}.toml": self.document(one) for n, one in self._known().items()}
        return {path: data for path, data in found.items() if data is not None}

    def document(self, one: Installed | None) -> bytes | None:
        """Return a skin as its author wrote it; None of none, and of one that was erased."""
        content = None if one is None else self.log.read(one.position).content
        if content is None or not isinstance(content.get("document"), str):
            return None
        text: str = json.loads(content["document"])["content"]
        return text.encode()

    def _known(self) -> dict[str, Installed]:
        return {one.name: one for one in installed(self.journal.state.entries)}


def _removed(name: str, adoption: int | None) -> Draft:
    named = {} if adoption is None else {"adoption": adoption}
    return Draft(
        type=types.SKIN_REMOVED.name,
        stream=types.NODE_STREAM,
        payload={"name": name, "by": _ADOPTION, **named},
    )
