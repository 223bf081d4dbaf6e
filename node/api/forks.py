"""A fork of the running node, tried and told over HTTP. Refusals as in node.api.app.

POST /v1/fork {document, name?, at?, task?, turns?, live_tokens?, live_calls?}

answers when the fork has ended, with its verdict and what differed; nothing of it is in the ledger.
A client that goes away ends the fork. One runs at a time: each is a judgment's worth of processes.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from attest.verify.plain import jsonable
from genesis.core.limits import FORK_TURNS_MAX as TURNS_MAX
from genesis.forking.fork import Document, ForkBudget, LiveBudget, Successor, fork_successor
from ledger.core.errors import Refused, TimmyError
from node.agent import sessions
from node.api.http import BadRequest, ClientGone, json_answer, read_body, required, while_there
from node.assembly import Parts
from runtime.core.limits import NAME_CHARS_MAX

_UNNAMED: Final = "patch"


@dataclass(slots=True)
class ForksApi:
    """Handlers of one node."""

    parts: Parts
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [web.post("/v1/fork", self._fork)]

    async def _fork(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(
            request, document=str, name=str, at=int, task=str, turns=int, live_tokens=int,
            live_calls=int,
        )  # fmt: skip
        if self._one.locked():
            raise Refused("a fork runs already", hint="wait until it has ended")
        async with self._one:
            successor = await self._successor(body)
            return await _ran(successor, request)

    async def _successor(self, body: dict[str, Any]) -> Successor:
        session = sessions.of_node(self.parts.patching.present, self.parts.mind)
        at = body.get("at")
        here = session.export() if at is None else await asyncio.to_thread(session.export, at)
        named = body.get("name", _UNNAMED)[:NAME_CHARS_MAX]
        document = required(body, "document").encode(errors="surrogatepass")
        return await asyncio.to_thread(
            fork_successor,
            current_state=here,
            architecture_patch=Document(name=named, data=document),
            evaluation_task=body.get("task", ""),
            budget=budget_of(body),
            engine=self.parts.sandbox.engine,
        )


async def _ran(successor: Successor, request: web.Request) -> web.StreamResponse:
    """Run it while whoever asked is there; a refusal is raised as itself."""
    refusal: TimmyError | None = None
    answer: web.StreamResponse = web.Response(status=499)
    try:
        async with while_there(request):
            try:
                answer = json_answer(jsonable(sessions.row(await successor.run())))
            except TimmyError as error:
                refusal = error
    except* ClientGone:
        pass  # nobody is there to be told
    if refusal is not None:
        raise refusal
    return answer


def budget_of(given: dict[str, Any]) -> ForkBudget:
    """Return the budget that was asked for. Raises BadRequest for one out of bounds."""
    default = ForkBudget()
    tokens, calls = given.get("live_tokens"), given.get("live_calls")
    turns = given.get("turns", default.turns)
    if not 0 <= turns <= TURNS_MAX:
        raise BadRequest(
            f"turns is {turns}, 0 to {TURNS_MAX}", hint="6 show well what a patch changes"
        )
    if tokens is None:
        if calls is not None:
            raise BadRequest("live_calls without live_tokens", hint="say how many tokens")
        return ForkBudget(turns=turns)
    more = {} if calls is None else {"calls": calls}
    try:
        return ForkBudget(turns=turns, live=LiveBudget(tokens=tokens, **more))
    except ValueError as error:
        raise BadRequest(
            f"the live model's budget: {error}", hint="a reply takes some thousand tokens"
        ) from error
