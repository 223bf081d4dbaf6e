"""The table of node.toml about an adoption that another member of the fleet has settled."""

from typing import Annotated, Final, Literal

import msgspec

from genesis.core.adopting.health import TURNS_MAX, WINDOW_S_MAX, Plan
from genesis.core.adopting.stages import Pace
from mesh.core.fleet.manifest import MEMBERS_MAX
from node.sections.base import Section
from runtime.core.adoptions import SHARE_OF

OFF: Final = "off"
_HOUR_MS: Final = 3_600_000


class AdoptionSection(Section, frozen=True):
    """[adoption]"""

    follow: Literal["off", "stages"]
    first: Annotated[int, msgspec.Meta(ge=1, le=MEMBERS_MAX)]
    percent: Annotated[int, msgspec.Meta(ge=1, le=100)]
    patience_hours: Annotated[int, msgspec.Meta(ge=1, le=8_760)]
    share_percent: Annotated[int, msgspec.Meta(ge=1, le=100)]
    window_s: Annotated[int, msgspec.Meta(ge=1, le=WINDOW_S_MAX)]
    turns: Annotated[int, msgspec.Meta(ge=1, le=TURNS_MAX)]

    @property
    def pace(self) -> Pace:
        """How fast the fleet follows."""
        patience_ms = self.patience_hours * _HOUR_MS
        return Pace(first=self.first, percent=self.percent, patience_ms=patience_ms)

    @property
    def plan(self) -> Plan:
        """How this member tries what it takes up: nobody else's word shortens its trial."""
        share = self.share_percent * SHARE_OF // 100
        return Plan(share=share, window_s=self.window_s, turns=self.turns)
