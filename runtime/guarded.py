"""A model beyond this machine, told no secrets: they are masked in what it is asked.

Masked, not kept at home: a key that somebody pasted an hour ago would otherwise take the whole rest
of that conversation away from every model but a local one, and a page that an agent reads could
plant one to that end. A model on the operator's own hardware is told the words as they are.
"""

from dataclasses import dataclass, replace

from runtime.core.chat import DraftSink, Link, ModelRequest, Price, Reach, Reply
from runtime.core.leaks import Leaks


@dataclass(frozen=True, slots=True)
class Guarded:
    """A link of the chain with the masks before it. Make it by `guard`."""

    link: Link
    leaks: Leaks

    @property
    def name(self) -> str:
        """See `runtime.core.chat.Link`, here and below."""
        return self.link.name

    @property
    def identity(self) -> str | None:
        """Which model it is."""
        return self.link.identity

    @property
    def reach(self) -> Reach:
        """How far it carries what it is told."""
        return self.link.reach

    @property
    def tasks(self) -> frozenset[str]:
        """What it is for."""
        return self.link.tasks

    @property
    def price(self) -> Price | None:
        """What it costs."""
        return self.link.price

    async def reply(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """Ask with every secret masked; `masked` of the reply names the rules that found any."""
        clean, rules = self.leaks.without(request)
        return replace(await self.link.reply(clean, draft), masked=rules)


def guard(link: Link, leaks: Leaks) -> Link:
    """Return the link, guarded if it carries words beyond the operator's own hardware."""
    return link if link.reach is Reach.LOCAL else Guarded(link, leaks)
