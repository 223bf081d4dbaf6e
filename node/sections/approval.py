"""The table of node.toml that is about who may approve what no patch of the agent's may touch."""

from typing import Annotated, Final

import msgspec

PEOPLE_MAX: Final = 16
"""People who answer for one agent's foundations: a board, not a crowd."""
Key = Annotated[str, msgspec.Meta(max_length=100)]


class ApprovalSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """[approval]"""

    people: Annotated[list[Key], msgspec.Meta(max_length=PEOPLE_MAX)]
