"""The anchorer's records behind a `StateStore`, cached in memory: one writer, no surprises."""

from typing import Final

from attest.records import LinkRecord, OpeningRecord
from attest.state import StateStore

_OPENING_KEY: Final = "opening"
_WISH_KEY: Final = "wish"


class Book:
    """The opening, the links in order, and the digest that waits. Each write is one record."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._links: list[LinkRecord] | None = None

    async def links(self) -> list[LinkRecord]:
        """All links, the opening's first. The list is live: look, do not change."""
        if self._links is None:
            links: list[LinkRecord] = []
            while (value := await self._state.get(_link_key(len(links)))) is not None:
                links.append(LinkRecord.from_value(value))
            self._links = links
        return self._links

    async def save(self, index: int, record: LinkRecord) -> None:
        """Replace link `index`, or append it; durable when this returns."""
        links = await self.links()
        assert 0 <= index <= len(links)
        self._links = None  # if `put` fails midway, only the disk knows which record holds
        await self._state.put(_link_key(index), record.to_value())
        links[index : index + 1] = [record]
        self._links = links

    async def opening(self) -> OpeningRecord | None:
        """The proposed opening, if there is one."""
        value = await self._state.get(_OPENING_KEY)
        return None if value is None else OpeningRecord.from_value(value)

    async def save_opening(self, record: OpeningRecord) -> None:
        """Write the opening; durable when this returns."""
        await self._state.put(_OPENING_KEY, record.to_value())

    async def want(self, digest: bytes) -> None:
        """Write down the digest to anchor next; durable when this returns."""
        await self._state.put(_WISH_KEY, {"digest": digest})

    async def wanted(self) -> bytes | None:
        """The digest to anchor next, None when some link carries it already.

        That comparison, not an erased wish, is what keeps a crash between signing and anything
        later from anchoring a digest twice. A pending link carries what any of its variants does,
        a mined one only what was mined: a fresher digest that lost the race still waits.
        """
        value = await self._state.get(_WISH_KEY)
        digest: bytes | None = None if value is None else value.get("digest")
        for link in await self.links():
            variants = link.variants if link.mined is None else (link.current,)
            if any(variant.digest == digest for variant in variants):
                return None
        return digest


def _link_key(index: int) -> str:
    return f"link-{index:06d}"
