"""Adoptions over HTTP. Refusals as in node.api.app.

GET  /v1/patch/status             what is in force, what is under way, its steps, a handoff due;
                                  software: which is here; fleet: how far the other members are
POST /v1/patch/apply {position, share?, window_s?, turns?}   shares in thousandths; no trial is
                                  easier than [adoption] of node.toml says. What is constitutional
                                  is ordered instead (node.agent.constitution)
POST /v1/patch/rollback {why?}
POST /v1/patch/follow {rollout}   takes up what the fleet adopted now, before this member's turn
"""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from node.agent.adopting import Adopting
from node.agent.constitution import Constitution
from node.api.http import BadRequest, json_answer, read_body, required
from node.fleet.stages import Stages
from node.sections.adoption import AdoptionSection

_BY = "operator"


@dataclass(frozen=True, slots=True)
class AdoptingApi:
    """Handlers for the adoptions of one node."""

    adopting: Adopting
    constitution: Constitution
    stages: Stages
    section: AdoptionSection

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/v1/patch/status", self._status),
            web.post("/v1/patch/apply", self._apply),
            web.post("/v1/patch/rollback", self._rollback),
            web.post("/v1/patch/follow", self._follow),
        ]

    async def _status(self, _request: web.Request) -> web.Response:
        return json_answer(await self._told())

    async def _apply(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, share=int, window_s=int, turns=int)
        position = required(body, "position")
        if self.constitution.is_about(position):
            if set(body) != {"position"}:
                raise BadRequest("nothing of a constitutional change is tried by a share")
            return json_answer(await self._told(await self.constitution.order(position, by=_BY)))
        asked = {name: value for name, value in body.items() if name != "position"}
        plan = self.section.trial(asked)
        await self.adopting.apply(position, plan, by=_BY)
        return json_answer(await self._told())

    async def _rollback(self, request: web.Request) -> web.Response:
        body = await read_body(request, why=str)
        await self.adopting.rollback(why=body.get("why", ""), by=_BY)
        return json_answer(await self._told())

    async def _follow(self, request: web.Request) -> web.Response:
        body = await read_body(request, rollout=str)
        self.stages.force(required(body, "rollout"))
        return json_answer(await self._told())

    async def _told(self, ordered: dict[str, Any] | None = None) -> dict[str, Any]:
        more = {"software": await self.constitution.standing(), "fleet": self.stages.value()}
        return self.adopting.status() | more | {"ordered": ordered}
