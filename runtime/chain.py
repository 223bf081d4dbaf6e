"""The model chain: each link is asked in turn until one replies; the last one always does.

A link is passed over if its reach is beyond the words' (`runtime.core.chat.Reach`), if it is for
other tasks, if its safety test forbids it to speak (`runtime.gate`), if it costs money and the
day's is spent (`runtime.budget`) or the request has none (`free`), or while it rests after failures
(`runtime.core.breaker`); it fails by any reason of `runtime.core.wire` and `runtime.endpoint`.
Nothing is retried: the next link is the retry, and who was passed over or failed, and why, is part
of the reply, so that a switch is visible. Before the last link, which has no model, is asked, the
chain looks for one that came meanwhile (`find`).
"""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from runtime.core.breaker import Breaker
from runtime.core.chat import DraftSink, Link, ModelRequest, Reply, Tried, counted
from runtime.core.errors import AgentError, ModelFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a link is, for people."""

    name: str
    reach: str
    tasks: tuple[str, ...]
    failures: int
    rests_s: float
    silent: str | None
    """Why it may not speak, if it may not."""


@dataclass(frozen=True, slots=True)
class _Member:
    link: Link
    breaker: Breaker = field(default_factory=Breaker)


class Chain:
    """Links in order of preference. The last one must not fail."""

    def __init__(
        self,
        links: Sequence[Link],
        *,
        refuses: Callable[[Link], str | None] = lambda _: None,
        find: Callable[[], Awaitable[Link | None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`refuses` says why a link may not speak now, or None (`runtime.gate`).

        `find` gives a link that is there now and was not, or None; it is asked whenever a request
        comes as far as the last link, and says itself how often it looks.
        """
        if not links:
            raise AgentError("the model chain is empty", hint="end it with the responder")
        self._members = tuple(_Member(link) for link in links)
        self._refuses = refuses
        self._find = find
        self._clock = clock

    @property
    def links(self) -> list[Link]:
        """The links, first choice first."""
        return [member.link for member in self._members]

    @property
    def names(self) -> list[str]:
        """Names of the links, first choice first."""
        return [member.link.name for member in self._members]

    @property
    def standings(self) -> list[Standing]:
        """How each link is now, first choice first."""
        now = self._clock()
        return [
            Standing(
                name=member.link.name,
                reach=member.link.reach.word,
                tasks=tuple(sorted(member.link.tasks)),
                failures=member.breaker.failures,
                rests_s=member.breaker.rests_s(now),
                silent=self._refuses(member.link),
            )
            for member in self._members
        ]

    async def complete(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """Return the first reply. Raises ModelFailed if even the last link gave none."""
        tried: list[Tried] = []
        async for member in self._in_turn():
            reason, failed = self._passed_over(member, request), False
            if reason is None:
                try:
                    reply = await member.link.reply(request, draft)
                except ModelFailed as error:
                    reason, failed = str(error), error.counts
                    if error.counts:
                        member.breaker.failed(self._clock(), error.wait_s)
                    if draft is not None:
                        draft.reset()
                else:
                    member.breaker.succeeded()
                    whole = _accounted(member.link, request, reply)
                    return replace(whole, tried=tuple(tried))
            tried.append(Tried(member.link.name, reason, failed))
        raise ModelFailed("; ".join(f"{one.name}: {one.reason}" for one in tried))

    async def _in_turn(self) -> AsyncIterator[_Member]:
        """Every member; one that was found on the way stays, before the last."""
        *others, last = self._members
        for member in others:
            yield member
        if self._find is not None and (link := await self._find()) is not None:
            found = _Member(link)
            kept = [member for member in self._members[:-1] if member.link.name != link.name]
            self._members = (*kept, found, last)
            yield found
        yield last

    def _passed_over(self, member: _Member, request: ModelRequest) -> str | None:
        link = member.link
        if link.reach > request.reach:
            return f"{link.reach.word}, and these words are {request.reach.word}"
        if link.tasks and request.task not in link.tasks:
            return f"not for {request.task}"
        if request.free and link.price is not None:
            return "costs money, and no more may be spent"
        if (reason := self._refuses(link)) is not None:
            return reason
        rests_s = member.breaker.rests_s(self._clock())
        return f"resting for {math.ceil(rests_s)} s after failures" if rests_s else None


def _accounted(link: Link, request: ModelRequest, reply: Reply) -> Reply:
    """Name the link, and say what a model's reply cost."""
    if link.identity is None:
        return replace(reply, link=link.name)
    known = counted(request, reply)
    price, into, out = link.price, known.tokens_in or 0, known.tokens_out or 0
    return replace(known, link=link.name, microusd=0 if price is None else price.of(into, out))
