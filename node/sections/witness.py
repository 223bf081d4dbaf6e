"""The table of node.toml that is about witnesses: of others, and those that are asked."""

from typing import Annotated, Final

import msgspec

from ledger.core.cosignature import Witness
from ledger.core.errors import InvalidNote
from mesh.witnesses.witness import LOGS_MAX
from node.sections.base import Section

WITNESSES_MAX: Final = 16
"""What C2SP asks verifiers to take under one note."""
LedgerId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class AskedSection(Section, frozen=True):
    """One of [[witness.ask]]"""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#]+(/[^?#]*)?$", max_length=2048)]
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class WitnessSection(Section, frozen=True):
    """[witness]"""

    enabled: bool
    logs: Annotated[list[LedgerId], msgspec.Meta(max_length=LOGS_MAX)]
    ask: Annotated[list[AskedSection], msgspec.Meta(max_length=WITNESSES_MAX)]
    needed: Annotated[int, msgspec.Meta(ge=0, le=WITNESSES_MAX)]
    interval_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]


def check_witnesses(section: WitnessSection) -> list[Witness]:
    """Return the keys of the witnesses that are asked, in their order. Raises InvalidNote.

    More may be needed than are named here: the witnesses of its fleet count, too.
    """
    found = []
    for one in section.ask:
        if one.url.endswith("/"):
            raise InvalidNote(f"{one.url!r} ends in a slash", hint="up to it, no more")
        try:
            found.append(Witness.parse(one.key))
        except InvalidNote as error:
            hint = "as timmy mesh witness shows it there, or as a public witness publishes it"
            raise InvalidNote(str(error), hint=hint) from error
    if len({one.public for one in found}) != len(found):
        raise InvalidNote("one key stands twice", hint="name each witness once")
    return found
