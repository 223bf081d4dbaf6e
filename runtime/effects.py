"""Tools whose calls are written down and not made: what a fork would have done to the world.

A fork's agent asks for tools as ever. What its record does not hold is not looked up, not decided
and not called: name and arguments are kept, and the agent is told that it was not done. Reading is
no exception, for what is read is the parent's. Messages need no such door: a fork's log tells
nobody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from runtime.core import calls
from runtime.core.chat import Reach, ToolOffer
from runtime.core.errors import StepRefused
from runtime.core.privacy import Privacy
from runtime.core.tool import failed
from runtime.journal import Journal
from runtime.permitting import Gate
from runtime.steps import Asked, Outcome
from runtime.toolbox import Choice, Toolbox
from runtime.tooling import Tooling

RECORDED: Final = "recorded"
"""The outcome of such a call."""
_TEXT: Final = "this is a fork: the call was recorded, and nothing was done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A call that was not made: `arguments` as the agent wrote them."""

    step: int
    tool: str
    arguments: str


def _no_rules() -> Gate:
    raise StepRefused("a fork decides about no tool")


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectLog(Tooling):
    """Stands where a node has its tools. `offered`: what models are told of."""

    offered: Sequence[ToolOffer] = ()
    made: list[Effect] = field(default_factory=list)
    effects_max: int

    def elsewhere(self, journal: Journal, *, writes: bool, choice: Choice) -> "EffectLog":
        """Return the same beside another log. Nothing is done here, so the rest is of no effect."""
        del writes, choice
        return replace(self, journal=journal)

    def offers(self, names: Iterable[str], reach: Reach) -> tuple[ToolOffer, ...]:
        """Return the tools of these names (`*`: all). None of them does anything."""
        del reach
        wanted = set(names)
        return tuple(one for one in self.offered if "*" in wanted or one.name in wanted)

    async def call(self, asked: Asked, args: calls.ToolArgs) -> Outcome:
        """Write the call down. Raises StepRefused when too many were."""
        if len(self.made) >= self.effects_max:
            raise StepRefused(f"{len(self.made)} calls of tools were recorded, no more are")
        self.made.append(Effect(step=asked.step, tool=args.name, arguments=args.arguments))
        requested = await self.request(asked, args)
        return await self.returned(asked, args, RECORDED, failed(_TEXT), requested)


def effect_log(
    journal: Journal, *, offered: Sequence[ToolOffer] = (), effects_max: int
) -> EffectLog:
    """Return an empty one beside a log."""
    return EffectLog(
        journal=journal,
        toolbox=Toolbox(),
        rules=_no_rules,
        folder="/",
        approvals=None,
        privacy=Privacy(),
        writes=False,
        offered=offered,
        effects_max=effects_max,
    )
