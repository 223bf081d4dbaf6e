"""Adoptions over HTTP. Refusals as in node.api.app.

GET  /v1/patch/status             what is in force, what is under way, its steps, a handoff due
POST /v1/patch/apply {position, share?, window_s?, turns?}   shares in thousandths; what is
                                  constitutional is ordered instead (node.agent.constitution)
POST /v1/patch/rollback {why?}
"""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from genesis.core.adopting.health import Plan
from node.agent.adopting import Adopting
from node.agent.constitution import Constitution
from node.api.http import BadRequest, json_answer, read_body, required

_BY = "operator"


@dataclass(frozen=True, slots=True)
class AdoptingApi:
    """Handlers for the adoptions of one node."""

    adopting: Adopting
    constitution: Constitution

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/v1/patch/status", self._status),
            web.post("/v1/patch/apply", self._apply),
            web.post("/v1/patch/rollback", self._rollback),
        ]

    async def _status(self, _request: web.Request) -> web.Response:
        return json_answer(await self._told({"ordered": None}))

    async def _apply(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, share=int, window_s=int, turns=int)
        position = required(body, "position")
        if self.constitution.is_about(position):
            if set(body) != {"position"}:
                raise BadRequest("nothing of a constitutional change is tried by a share")
            return json_answer(
                await self._told({"ordered": await self.constitution.order(position, by=_BY)})
            )
        plan = Plan(**{name: body[name] for name in ("share", "window_s", "turns") if name in body})
        await self.adopting.apply(position, plan, by=_BY)
        return json_answer(await self._told({"ordered": None}))

    async def _rollback(self, request: web.Request) -> web.Response:
        body = await read_body(request, why=str)
        await self.adopting.rollback(why=body.get("why", ""), by=_BY)
        return json_answer(await self._told({"ordered": None}))

    async def _told(self, more: dict[str, Any]) -> dict[str, Any]:
        software = await self.constitution.standing()
        return self.adopting.status() | {"software": software} | more
