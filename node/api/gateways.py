"""HTTP handlers for gateways: webhooks, and the answers that wait for a gateway.

POST /v1/hooks/{name}                             a signed delivery; no token
GET  /v1/gateways/{name}/answers?wait_s=&limit=   what it has not delivered, oldest first
POST /v1/gateways/{name}/delivered {position}     it delivered that one, and all before it
"""

from typing import Any, Final

from aiohttp import web

from ledger.core.event import Event
from node import console
from node.agent.hooks import Hooks
from node.api.http import json_answer, number, read_body, required
from node.open import now_ms
from runtime.core.hooks import open_delivery
from runtime.core.limits import HOOK_BODY_BYTES_MAX
from runtime.gateway import Gateway
from runtime.jobs import JobBook
from runtime.outbox import Outbox

PREFIX: Final = "/v1/hooks/"
_ANSWERS_MAX: Final = 100
_WAIT_S_MAX: Final = 300


class GatewayApi:
    """Handlers of one node."""

    def __init__(self, hooks: Hooks, gateway: Gateway, book: JobBook, outbox: Outbox) -> None:
        self._hooks = hooks
        self._gateway = gateway
        self._book = book
        self._outbox = outbox

    def routes(self) -> list[web.RouteDef]:
        """What the application serves of it."""
        return [
            web.post(PREFIX + "{name}", self._hook),
            web.get("/v1/gateways/{name}/answers", self._answers),
            web.post("/v1/gateways/{name}/delivered", self._delivered),
        ]

    async def _hook(self, request: web.Request) -> web.Response:
        """Take a delivery. Whoever cannot sign is not told whether there is such a hook."""
        hook = self._hooks.find(request.match_info["name"])
        body = await _bounded(request)
        delivery = open_delivery(hook, request.headers, body, now_ms() // 1000)
        if delivery is None or not self._hooks.known(hook):
            return web.json_response({"error": "not accepted", "hint": None}, status=401)
        if hook.job:
            event = await self._book.run_now(hook.job, key=delivery.key)
        else:
            name = f"hook/{hook.name}"
            event = await self._gateway.receive(
                delivery.text,
                conversation=hook.conversation,
                author=name,
                gateway=name,
                idempotency_key=delivery.key,
            )
        return json_answer({"event": event.position})

    async def _answers(self, request: web.Request) -> web.Response:
        wait_s = min(number(request.query.get("wait_s", "0"), "wait_s"), _WAIT_S_MAX)
        limit = min(number(request.query.get("limit", "20"), "limit"), _ANSWERS_MAX)
        name = request.match_info["name"]
        found = await self._outbox.answers(name, limit=max(1, limit), wait_s=wait_s)
        return json_answer([_row(message, answer) for message, answer in found])

    async def _delivered(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int)
        name = request.match_info["name"]
        event = await self._outbox.deliver(name, required(body, "position"))
        return json_answer(None if event is None else console.row(event))


async def _bounded(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > HOOK_BODY_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(HOOK_BODY_BYTES_MAX, len(body))
    return bytes(body)


def _row(message: Event, answer: Event) -> dict[str, Any]:
    """What a gateway needs to send it: words are None if they were erased meanwhile."""
    return {
        "position": answer.position,
        "text": None if answer.content is None else answer.content.get("text"),
        "message": message.position,
        "conversation": message.payload.get("conversation"),
        "author": message.payload.get("author"),
    }
