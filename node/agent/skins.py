"""Skins of a running node: verified when they come, worn by conversations, all on record.

A document is a Nostr event of its author (`runtime.core.skins`): so a skin has one author, can be
passed on over any relay, and cannot be changed on the way. A newer version must be by the same
author. A voice is words that every prompt begins with, so the judge's own rules read it, with
greeting and label (`genesis.core.judging.reading`): one that hushes help up, or meets the crisis
screen, is worn by nobody. The operator may accept what reads like commands in disguise, for a
persona often begins with "from now on, you".
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from genesis.core.judging.reading import skin_fault, words_of
from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Draft, Event
from ledger.core.keys import Signer as LedgerSigner
from mesh.core import nip01, nip19
from mesh.core.errors import MeshError
from mesh.core.relay.kinds import first_value
from runtime.core.errors import SkinRefused
from runtime.core.injection import Finding, findings
from runtime.core.skins import (
    NOSTR_KIND,
    SKINS_MAX,
    TAG_PREFIX,
    Installed,
    Skin,
    installed,
    parse_skin,
    worn,
)
from runtime.journal import Journal

_AUTHOR_HINT: Final = "timmy skins remove it first, if you trust this author more"


def sign_skin(document: str, key: LedgerSigner, *, now_s: int) -> str:
    """Return the signed form of a document. Raises SkinRefused, MeshError."""
    skin = parse_skin(document)
    signer = nip01.NostrSigner(secret=key.secret)
    unsigned = nip01.UnsignedEvent(
        pubkey=signer.pubkey,
        created_at=now_s,
        kind=NOSTR_KIND,
        tags=(("d", f"{TAG_PREFIX}{skin.name}"), ("version", str(skin.version))),
        content=document,
    )
    return signer.sign(unsigned).to_json()


def verified(data: str) -> tuple[Skin, nip01.VerifiedEvent]:
    """Return what a signed skin says, and its event. Raises SkinRefused."""
    try:
        event = nip01.verify(nip01.Event.from_json(data))
    except MeshError as error:
        raise SkinRefused(
            f"not a signed skin: {error}", hint="an author signs one: timmy skins sign FILE"
        ) from error
    skin = parse_skin(event.content)
    named = (first_value(event, "d"), first_value(event, "version"))
    if event.kind != NOSTR_KIND or named != (f"{TAG_PREFIX}{skin.name}", str(skin.version)):
        raise SkinRefused("the event's kind and tags do not name this skin and version")
    return skin, event


class Wardrobe:
    """The skins of one ledger."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def add(self, data: str, *, accept: bool, by: str) -> Event:
        """Record a signed skin. `accept`: although it reads like commands in disguise.

        Raises SkinRefused.
        """
        skin, signed = verified(data)
        if (fault := await asyncio.to_thread(skin_fault, skin)) is not None:
            raise SkinRefused(f"{skin.name}: {fault}", hint="it cannot be worn")
        suspect = findings(words_of(skin))
        if suspect and not accept:
            raise SkinRefused(
                f"{skin.name} reads like commands in disguise: {_told(suspect)}",
                hint="read it, and then: timmy skins add FILE --accept-findings",
            )
        author = bytes.fromhex(signed.pubkey)
        async with self._journal.deciding:
            self._check_place(skin, author)
            [event] = await self._journal.append(
                Draft(
                    type=types.SKIN_ADDED.name,
                    stream=types.NODE_STREAM,
                    payload={
                        "name": skin.name,
                        "version": skin.version,
                        "author": author,
                        "event": bytes.fromhex(signed.id),
                        "findings": [[one.rule, one.line] for one in suspect],
                        "by": by,
                    },
                    content={"text": skin.voice, "document": signed.to_json()},
                )
            )
        return event

    def _check_place(self, skin: Skin, author: bytes) -> None:
        known = {one.name: one for one in self.installed()}
        before = known.get(skin.name)
        if before is None and len(known) >= SKINS_MAX:
            raise SkinRefused(f"{len(known)} skins, at most {SKINS_MAX}", hint="timmy skins remove")
        if before is not None and before.author != author:
            raise SkinRefused(f"{skin.name} is by another author here", hint=_AUTHOR_HINT)
        if before is not None and before.version >= skin.version:
            raise SkinRefused(
                f"version {skin.version} of {skin.name}, version {before.version} is here",
                hint="a change of a skin is a higher version",
            )

    async def remove(self, name: str, *, by: str) -> Event:
        """Forget a skin; conversations that wear it wear none. Raises NotFound."""
        async with self._journal.deciding:
            self.find(name)
            return await self._append(types.SKIN_REMOVED.name, {"name": name, "by": by})

    async def choose(self, name: str, *, conversation: str | None, by: str) -> Event:
        """Have a conversation wear a skin, or none (""); without one, all that chose nothing.

        Raises NotFound.
        """
        async with self._journal.deciding:
            if name:
                self.find(name)
            place = {} if conversation is None else {"conversation": conversation}
            return await self._append(types.SKIN_CHOSEN.name, {**place, "name": name, "by": by})

    async def _append(self, kind: str, payload: dict[str, Any]) -> Event:
        draft = Draft(type=kind, stream=types.NODE_STREAM, payload=payload)
        [event] = await self._journal.append(draft)
        return event

    def installed(self) -> list[Installed]:
        """Every skin, by name."""
        return installed(self._journal.state.entries)

    def find(self, name: str) -> Installed:
        """Return a skin by its name. Raises NotFound."""
        for one in self.installed():
            if one.name == name:
                return one
        raise NotFound(f"there is no skin {name[:60]!r}", hint="timmy skins list")

    def document(self, one: Installed) -> str | None:
        """Return a skin as its author signed it; None if it was erased."""
        content = self._journal.log.read(one.position).content
        return None if content is None else content.get("document")

    def rows(self) -> list[dict[str, Any]]:
        """Every skin as the row that scripts rely on."""
        entries = self._journal.state.entries
        everywhere = entries.get("worn")
        return [self._row(one, everywhere) for one in self.installed()]

    def _row(self, one: Installed, everywhere: str | None) -> dict[str, Any]:
        document = self.document(one)
        skin = None if document is None else verified(document)[0]
        return {
            "name": one.name,
            "version": one.version,
            "author": nip19.npub(one.author.hex()),
            "label": "" if skin is None else skin.label,
            "greeting": "" if skin is None else skin.greeting,
            "colour": "" if skin is None else skin.colour,
            "voice": None if skin is None else skin.voice,
            "default": one.name == everywhere,
            "event": one.position,
        }

    def worn(self, conversation: str) -> dict[str, Any] | None:
        """What a conversation wears, as a row; None for nothing."""
        entries = self._journal.state.entries
        one = worn(entries, conversation)
        return None if one is None else self._row(one, entries.get("worn"))


def _told(suspect: Sequence[Finding]) -> str:
    return ", ".join(f"{one.rule} in line {one.line}" for one in suspect[:5])
