"""Tasks for other agents, over HTTP. Refusals are as in node.api.app.

GET  /v1/tasks?last=20                   given and reported: newest last
POST /v1/tasks {to: [npub, ...], text, due_s?}   give one; `due_s`: of no use so many seconds on
               {able: word, wait?: true, ...}    to a member of the fleet that can do that, "any";
                                                 with `wait` to the first that has time, in a day
"""

from aiohttp import web

from ledger.core.event import Event
from mesh.core.errors import Refused
from node import console
from node.api.http import BadRequest, json_answer, number, read_body, required
from node.assembly import Parts
from node.config import public_key
from node.nostr.tasking import Tasking
from node.open import now_ms

_ROWS_MAX = 1000


def routes(parts: Parts) -> list[web.RouteDef]:
    """The routes of a node's tasks."""

    def tasking() -> Tasking:
        if parts.post.tasking is None:
            raise Refused("this node has no sealed messages", hint="gateways.nostr.enabled = true")
        return parts.post.tasking

    async def listed(request: web.Request) -> web.Response:
        last = min(number(request.query.get("last", "20"), "last"), _ROWS_MAX)
        return json_answer([console.row(event) for event in tasking().tasks(last)])

    async def give(request: web.Request) -> web.Response:
        body = await read_body(request, to=list, able=str, text=str, due_s=int, wait=bool)
        text = required(body, "text")
        if ("to" in body) == ("able" in body):
            raise Refused("a task is for agents that are named, or for any that is able")
        due_s = body.get("due_s")
        if due_s is not None and due_s < 1:
            raise BadRequest(f"due_s is {due_s}", hint="seconds from now, 1 or more; or left out")
        due_at = 0 if due_s is None else now_ms() // 1000 + due_s
        if "able" in body:
            event = await to_any(body["able"], text, due_at, wait=body.get("wait", False))
        else:
            keys = [public_key(str(one), "to") for one in body["to"]]
            event = await tasking().give(keys, text, due_at=due_at)
        return json_answer(console.row(event))

    async def to_any(word: str, text: str, due_at: int, *, wait: bool) -> Event:
        giver, kept = tasking(), parts.taking.kept
        try:
            keys = [await parts.taking.find(word)]
        except Refused:
            if not wait or kept is None:
                raise
            return await kept.keep(word, text, due_at=due_at)
        return await giver.give(keys, text, due_at=due_at)

    return [web.get("/v1/tasks", listed), web.post("/v1/tasks", give)]
