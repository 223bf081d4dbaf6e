"""The skins' part of the HTTP API. Refusals are as in node.api.app.

GET  /v1/skins                             every skin, with its words
POST /v1/skins {document, accept}          add one, as its author signed it
POST /v1/skins/{name} {action, ...}        remove; use, in a conversation or (without one) in all
                                           that chose nothing
POST /v1/worn {conversation}               wear nothing, there or by default
GET  /v1/worn?conversation=main            what a conversation wears, or null
GET  /v1/contexts                          context files: shown, suspect, or not readable
POST /v1/contexts/allow {event}            show what this event read, although it is suspect
"""

from typing import Any, Final

from aiohttp import web

from node import console
from node.agent.skins import Wardrobe
from node.api.http import BadRequest, json_answer, read_body, required
from node.assembly import Parts
from runtime.core.contexts import Known, known
from runtime.core.limits import NAME_CHARS_MAX

_BY: Final = "operator"


def routes(parts: Parts) -> list[web.RouteDef]:
    """The routes of a node's skins and context files."""
    wardrobe = Wardrobe(parts.journal)

    async def listed(_request: web.Request) -> web.Response:
        return json_answer(wardrobe.rows())

    async def add(request: web.Request) -> web.Response:
        body = await read_body(request, document=str, accept=bool)
        document = required(body, "document")
        event = await wardrobe.add(document, accept=body.get("accept", False), by=_BY)
        return json_answer(console.row(event))

    async def act(request: web.Request) -> web.Response:
        body = await read_body(request, action=str, conversation=str)
        name, action = request.match_info["name"], required(body, "action")
        if action not in ("use", "remove"):
            raise BadRequest(f"unknown action {action!r}", hint="use, remove")
        if action == "remove":
            return json_answer(console.row(await wardrobe.remove(name, by=_BY)))
        event = await wardrobe.choose(name, conversation=_conversation(body), by=_BY)
        return json_answer(console.row(event))

    async def wear_nothing(request: web.Request) -> web.Response:
        body = await read_body(request, conversation=str)
        event = await wardrobe.choose("", conversation=_conversation(body), by=_BY)
        return json_answer(console.row(event))

    async def worn(request: web.Request) -> web.Response:
        return json_answer(wardrobe.worn(request.query.get("conversation", "main")))

    return [
        web.get("/v1/skins", listed),
        web.post("/v1/skins", add),
        web.post("/v1/skins/{name}", act),
        web.get("/v1/worn", worn),
        web.post("/v1/worn", wear_nothing),
        *_context_routes(parts),
    ]


def _context_routes(parts: Parts) -> list[web.RouteDef]:
    contexts = parts.mind.contexts

    async def listed(_request: web.Request) -> web.Response:
        await contexts.refresh()
        rows = [_row(parts, one) for one in known(parts.journal.state.entries)]
        broken = [
            {"name": name, "shown": False, "why": why} for name, why in contexts.problems.items()
        ]
        return json_answer(rows + broken)

    async def allow(request: web.Request) -> web.Response:
        position = required(await read_body(request, event=int), "event")
        return json_answer(console.row(await contexts.allow(position, by=_BY)))

    return [web.get("/v1/contexts", listed), web.post("/v1/contexts/allow", allow)]


def _row(parts: Parts, one: Known) -> dict[str, Any]:
    facts = parts.log.read(one.position).payload
    return {
        "name": one.name,
        "shown": one.shown,
        "findings": [{"rule": rule, "line": line} for rule, line in facts["findings"]],
        "bytes": facts["bytes"],
        "left_out": facts["left_out"],
        "event": one.position,
    }


def _conversation(body: dict[str, Any]) -> str | None:
    conversation = body.get("conversation")
    if conversation is not None and not 1 <= len(conversation) <= NAME_CHARS_MAX:
        raise BadRequest(
            f"a conversation of {len(conversation)} characters, 1 to {NAME_CHARS_MAX}",
            hint="leave it out for all that chose nothing",
        )
    return conversation
