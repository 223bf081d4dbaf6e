"""What this agent and its peers made, over HTTP. Refusals are as in node.api.app.

GET  /v1/artifacts?last=20       reported, received, receipted: newest last
POST /v1/artifacts {type, digest}   record that this agent made something, and report it
"""

from aiohttp import web

from node import console
from node.api.http import json_answer, number, read_body, required
from node.assembly import Parts

_ROWS_MAX = 1000


def routes(parts: Parts) -> list[web.RouteDef]:
    """The routes of a node's bridge."""

    async def listed(request: web.Request) -> web.Response:
        last = min(number(request.query.get("last", "20"), "last"), _ROWS_MAX)
        return json_answer([console.row(event) for event in parts.post.bridge.artifacts(last)])

    async def report(request: web.Request) -> web.Response:
        body = await read_body(request, type=str, digest=str)
        event = await parts.post.bridge.report(required(body, "type"), required(body, "digest"))
        return json_answer(console.row(event))

    return [web.get("/v1/artifacts", listed), web.post("/v1/artifacts", report)]
