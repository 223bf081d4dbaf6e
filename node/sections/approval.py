"""The table of node.toml that is about who may approve what no patch of the agent's may touch."""

from typing import Annotated, Final

import msgspec

from node.sections.base import Key, Section

PEOPLE_MAX: Final = 16
"""People who answer for one agent's foundations: a board, not a crowd."""
WAIT_HOURS_MAX: Final = 720
"""A yes is good for thirty days: who waited longer would have to say it again."""


class ApprovalSection(Section, frozen=True):
    """[approval]"""

    people: Annotated[list[Key], msgspec.Meta(max_length=PEOPLE_MAX)]
    people_needed: Annotated[int, msgspec.Meta(ge=0, le=PEOPLE_MAX)]
    """0: a majority of them."""
    wait_hours: Annotated[int, msgspec.Meta(ge=1, le=WAIT_HOURS_MAX)]

    def fault(self, named: int) -> str:
        """Say why so many people, each counted once, cannot decide; or nothing."""
        if self.people_needed <= named:
            return ""
        return f"approval.people_needed is {self.people_needed}, and approval.people names {named}"
