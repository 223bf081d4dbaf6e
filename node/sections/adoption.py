"""The table of node.toml about trials, and adoptions that another member of the fleet has settled.

Whoever asks for a trial may ask for a longer one, of fewer people, and for no other: who may talk
to the node decides nothing about how little of a trial is enough.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal

import msgspec

from genesis.core.adopting.health import TURNS_MAX, WINDOW_S_MAX, Plan
from genesis.core.adopting.stages import Pace
from ledger.core.errors import Refused
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
        """How this node tries what it adopts, if nobody asks for a trial that finds more."""
        share = self.share_percent * SHARE_OF // 100
        return Plan(share=share, window_s=self.window_s, turns=self.turns)

    def trial(self, asked: Mapping[str, int]) -> Plan:
        """Return the plan with what is asked for in the place of its own.

        Raises InvalidPlan, Refused for a larger share, a shorter window or fewer answers.
        """
        own = self.plan
        made = replace(own, **asked)
        for name, less in (
            ("share", made.share > own.share),
            ("window_s", made.window_s < own.window_s),
            ("turns", made.turns < own.turns),
        ):
            if less:
                most = "most" if name == "share" else "least"
                raise Refused(
                    f"a trial with {name} = {getattr(made, name)}, at {most} {getattr(own, name)} "
                    "by node.toml",
                    hint="[adoption] share_percent, window_s, turns, in node.toml",
                )
        return made
