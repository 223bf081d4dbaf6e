"""Breaking the chain on purpose: each link is asked alone, then each is broken in turn.

The prompt is the same harmless line for all, so every link may hear it, whatever its reach. A link
that may not speak in a turn, for its safety test or for money, is not asked here either, and named.
Nothing is recorded: it is no part of the agent's life. What a link says is thrown away.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.chain import Chain
from runtime.core.chat import CHAT, DraftSink, Link, ModelRequest, Reach, Reply
from runtime.core.errors import ModelFailed

_PROMPT: Final = "This is a test of the connection. Please answer with the one word: yes"
_TOKENS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """How one link answered by itself: `model` and `ms`, or the reason why it did not."""

    link: str
    model: str | None = None
    ms: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """Who answered while these links were broken."""

    broken: tuple[str, ...]
    answered_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Good if each link answers and the chain falls from each to the next."""

    alone: tuple[Alone, ...]
    falls: tuple[Fall, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with any link."""
        expected = [alone.link for alone in self.alone]
        whole = all(alone.reason is None for alone in self.alone)
        return whole and [fall.answered_by for fall in self.falls] == expected


async def try_chain(
    links: Sequence[Link],
    *,
    refuses: Callable[[Link], str | None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Try every link, and every fall from one to the next. `refuses`: as in `runtime.chain`."""
    alone = [await _alone(link, refuses, clock) for link in links]
    falls = [await _fall(links, count, refuses) for count in range(len(links))]
    return Trial(alone=tuple(alone), falls=tuple(falls))


def _request(task: str) -> ModelRequest:
    return ModelRequest(
        messages=(("user", _PROMPT),), max_tokens=_TOKENS, before=0, reach=Reach.PUBLIC, task=task
    )


async def _alone(
    link: Link, refuses: Callable[[Link], str | None], clock: Callable[[], float]
) -> Alone:
    if (silent := refuses(link)) is not None:
        return Alone(link=link.name, reason=f"does not speak: {silent}")
    started = clock()
    try:
        reply = await link.reply(_request(_task(link)))
    except ModelFailed as error:
        return Alone(link=link.name, reason=str(error))
    return Alone(link=link.name, model=reply.model, ms=round((clock() - started) * 1000))


async def _fall(links: Sequence[Link], count: int, refuses: Callable[[Link], str | None]) -> Fall:
    broken = [_Broken(link) for link in links[:count]]
    try:
        chain = Chain([*broken, *links[count:]], refuses=refuses)
        reply = await chain.complete(_request(_task(links[count])))
    except ModelFailed:
        return Fall(broken=tuple(link.name for link in broken), answered_by=None)
    return Fall(broken=tuple(link.name for link in broken), answered_by=reply.link)


def _task(link: Link) -> str:
    return min(link.tasks, default=CHAT)


class _Broken:
    """A link as it is when its provider is down."""

    def __init__(self, link: Link) -> None:
        self.name, self.identity = link.name, link.identity
        self.reach, self.tasks, self.price = link.reach, link.tasks, link.price

    async def reply(self, _request: ModelRequest, _draft: DraftSink | None = None) -> Reply:
        raise ModelFailed("broken for the test")
