"""Adoptions over HTTP. Refusals as in node.api.app.

GET  /v1/patch/status             what is in force, what is under way, its steps, a handoff due;
                                  fleet: how far the other members are
POST /v1/patch/apply {position, share?, window_s?, turns?}   shares in thousandths
POST /v1/patch/rollback {why?}
POST /v1/patch/follow {rollout}   takes up what the fleet adopted now, before this member's turn
"""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from genesis.core.adopting.health import Plan
from node.agent.adopting import Adopting
from node.api.http import json_answer, read_body, required
from node.fleet.stages import Stages

_BY = "operator"


@dataclass(frozen=True, slots=True)
class AdoptingApi:
    """Handlers for the adoptions of one node."""

    adopting: Adopting
    stages: Stages

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/v1/patch/status", self._status),
            web.post("/v1/patch/apply", self._apply),
            web.post("/v1/patch/rollback", self._rollback),
            web.post("/v1/patch/follow", self._follow),
        ]

    async def _status(self, _request: web.Request) -> web.Response:
        return json_answer(self._told(self.adopting.status()))

    async def _apply(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, share=int, window_s=int, turns=int)
        position = required(body, "position")
        plan = Plan(**{name: body[name] for name in ("share", "window_s", "turns") if name in body})
        return json_answer(self._told(await self.adopting.apply(position, plan, by=_BY)))

    async def _rollback(self, request: web.Request) -> web.Response:
        body = await read_body(request, why=str)
        found = await self.adopting.rollback(why=body.get("why", ""), by=_BY)
        return json_answer(self._told(found))

    async def _follow(self, request: web.Request) -> web.Response:
        body = await read_body(request, rollout=str)
        self.stages.force(required(body, "rollout"))
        return json_answer(self._told(self.adopting.status()))

    def _told(self, found: dict[str, Any]) -> dict[str, Any]:
        return found | {"fleet": self.stages.value()}
