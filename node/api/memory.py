"""What is remembered, and drafts of skills, over HTTP. Refusals are as in node.api.app.

GET  /v1/memories?last=20&kind=&project=hex&all=1    the newest that count; all: ended ones as well
GET  /v1/memories?q=words&limit=20                   those that bear on the words, best first
GET  /v1/memories/{position}
POST /v1/memories/{position} {action, reason?}       forget
GET  /v1/skills        drafts of skills
GET  /v1/skills/{position}
POST /v1/skills/{position} {action}                  adopt, reject
"""

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import web

from ledger.core.errors import StoreFull
from node import console
from node.agent.remembering import Remembered, forgetting
from node.agent.skill_files import put
from node.api.http import BadRequest, hex_bytes, json_answer, number, read_body, required
from node.assembly import Parts
from node.open import now_ms
from runtime.core.skills import ADOPTED, REJECTED
from runtime.dreamer import judge

_BY = "operator"


def routes(parts: Parts) -> list[web.RouteDef]:
    """The routes of a node's memories and skills."""

    def view() -> Remembered:
        journal = parts.journal
        return Remembered(log=parts.log, entries=journal.state.entries, now_s=now_ms() // 1000)

    async def listed(request: web.Request) -> web.Response:
        query = request.query
        if "q" in query:
            with suppress(StoreFull):
                parts.views.catch_up()
            limit = number(query.get("limit", "20"), "limit")
            seen, path = view(), parts.home.views
            return json_answer(await asyncio.to_thread(seen.search, path, query["q"], limit=limit))
        rows = view().rows(
            last=number(query.get("last", "20"), "last"),
            kind=query.get("kind"),
            project=hex_bytes(query["project"], "project") if "project" in query else None,
            ended=query.get("all", "0") != "0",
        )
        return json_answer(rows)

    async def shown(request: web.Request) -> web.Response:
        return json_answer(view().get(_position(request)))

    async def act(request: web.Request) -> web.Response:
        body = await read_body(request, action=str, reason=str)
        _known(required(body, "action"), "forget")
        async with parts.journal.deciding:
            draft = forgetting(
                parts.journal.state.entries,
                _position(request),
                by=_BY,
                why=body.get("reason", "asked for"),
            )
            [event] = await parts.journal.append(draft)
        return json_answer(console.row(event))

    async def skills(_request: web.Request) -> web.Response:
        return json_answer(view().skills())

    async def skill(request: web.Request) -> web.Response:
        return json_answer(view().skill(_position(request)))

    async def judged(request: web.Request) -> web.Response:
        body = await read_body(request, action=str)
        action, position = required(body, "action"), _position(request)
        _known(action, "adopt", "reject")
        verdict = ADOPTED if action == "adopt" else REJECTED
        path: Any = None
        if verdict == ADOPTED:
            row = view().skill(position)
            in_force = parts.stages.adopting.layers.skills
            path = await asyncio.to_thread(put, parts.home, row, in_force)
        await judge(parts.journal, position, verdict, by=_BY)
        return json_answer(view().skill(position) | {"file": path and str(path)})

    return [
        web.get("/v1/memories", listed),
        web.get("/v1/memories/{position}", shown),
        web.post("/v1/memories/{position}", act),
        web.get("/v1/skills", skills),
        web.get("/v1/skills/{position}", skill),
        web.post("/v1/skills/{position}", judged),
    ]


def _position(request: web.Request) -> int:
    return number(request.match_info["position"], "position")


def _known(action: str, *actions: str) -> None:
    if action not in actions:
        raise BadRequest(f"unknown action {action!r}", hint=", ".join(actions))
