"""HTTP handlers for those who talk to the agent: say, watch the answer come, stop it, remember."""

import asyncio
from typing import Any, Final

from aiohttp import web

from ledger.core import types
from ledger.core.event import Event
from node import console
from node.api.http import EventStream, event_stream, hex_bytes, json_answer, read_body, required
from node.api.tools import asked_row
from node.assembly import Parts
from runtime.answering import who_answered
from runtime.core.errors import NoAnswer

_WAIT_SECONDS_MAX: Final = 3600


class TalkApi:
    """Handlers of one node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        """What the application serves of it."""
        return [
            web.post("/v1/say", self._say),
            web.post("/v1/cancel", self._cancel),
            web.post("/v1/memory", self._memory),
            web.post("/v1/release", self._release),
        ]

    async def _say(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(
            request, text=str, conversation=str, author=str, key=str, wait_s=int, gateway=str,
            stream=bool, interrupt=bool,
        )  # fmt: skip
        text, who = required(body, "text"), _who(body)
        key = hex_bytes(body["key"], "key") if "key" in body else None
        if body.get("interrupt", False):
            await self._stop(who, "interrupted")
        message = await self._parts.gateway.receive(
            text,
            conversation=who["conversation"],
            author=who["author"],
            gateway=body.get("gateway", "api"),
            idempotency_key=key,
        )
        wait_s = body.get("wait_s", _WAIT_SECONDS_MAX)
        if body.get("stream", False):
            return await self._stream(request, message, wait_s)
        return json_answer(self._said(message, await self._answer(message, wait_s)))

    async def _stream(
        self, request: web.Request, message: Event, wait_s: int
    ) -> web.StreamResponse:
        """Tell the words of the answer as they come, then all of it (server-sent events)."""
        async with event_stream(request) as stream:
            with self._parts.mind.service.drafts.watch(message.position) as watcher:

                async def tell() -> None:
                    async for piece in watcher.pieces():
                        await stream.tell("draft", {"text": piece.text, "anew": piece.anew})

                async with asyncio.TaskGroup() as group:
                    telling = [
                        group.create_task(tell()),
                        group.create_task(self._ask(stream, message)),
                    ]
                    reply = await self._answer(message, wait_s)
                    for task in telling:
                        task.cancel()
            await stream.tell("said", self._said(message, reply))
        return stream.response

    async def _ask(self, stream: EventStream, message: Event) -> None:
        """Tell of each call that waits for a yes, as it comes."""
        async for event in self._parts.journal.log.follow(message.position):
            payload = event.payload
            if event.type == types.APPROVAL_ASKED.name and payload["message"] == message.position:
                row = asked_row(event.position, payload["name"], event.content or {})
                await stream.tell("approval", row | {"deadline_ms": payload["deadline_ms"]})

    async def _cancel(self, request: web.Request) -> web.Response:
        body = await read_body(request, conversation=str, author=str)
        return json_answer({"stopped": await self._stop(_who(body), "cancelled")})

    async def _stop(self, who: dict[str, str], outcome: str) -> list[int]:
        """End what somebody waits for, here and at other members of the fleet."""
        here = await self._parts.mind.service.stop(**who, outcome=outcome)
        elsewhere = await self._parts.routing.forwarding.stop(**who, outcome=outcome)
        return sorted([*here, *elsewhere])

    async def _answer(self, message: Event, wait_s: int) -> Event | None:
        """The answer; None if there is none in time, or the fleet keeps the message for later."""
        try:
            async with (
                asyncio.timeout(max(0, min(wait_s, _WAIT_SECONDS_MAX))) as limit,
                asyncio.TaskGroup() as group,
            ):
                kept = group.create_task(self._give_up(message, limit))
                try:
                    return await self._parts.mind.host.answer_to(message.position)
                except NoAnswer:
                    return None
                finally:
                    kept.cancel()
        except TimeoutError:
            return None

    async def _give_up(self, message: Event, limit: asyncio.Timeout) -> None:
        """End the wait once the message is kept for want of a majority: nobody knows how long."""
        await self._parts.routing.kept(message.position)
        limit.reschedule(asyncio.get_running_loop().time())

    def _said(self, message: Event, reply: Event | None) -> dict[str, Any]:
        said: dict[str, Any] = {
            "message": console.row(message),
            "answer": console.row(reply) if reply else None,
            **who_answered(self._parts.log, message, reply),
        }
        routing = self._parts.routing
        if reply is None and routing.forwarding.message(message.position) is not None:
            said["kept"] = routing.why_kept()
        return said

    async def _memory(self, request: web.Request) -> web.Response:
        body = await read_body(request, text=str, author=str, key=str, gateway=str, project=str)
        event = await self._parts.gateway.note(
            required(body, "text"),
            author=body.get("author", "operator"),
            gateway=body.get("gateway", "api"),
            idempotency_key=hex_bytes(body["key"], "key") if "key" in body else None,
            project=hex_bytes(body["project"], "project") if "project" in body else None,
        )
        withheld = event.position in self._parts.journal.turns.withheld
        return json_answer(console.row(event) | {"withheld": withheld})

    async def _release(self, request: web.Request) -> web.Response:
        body = await read_body(request, conversation=str, author=str)
        author = required(body, "author")
        begun = list(self._parts.journal.turns.holds.get(author, ()))
        event = await self._parts.gateway.release(author=author, by="operator")
        return json_answer(console.row(event) | {"conversations": begun})


def _who(body: dict[str, Any]) -> dict[str, str]:
    return {
        "conversation": body.get("conversation", "main"),
        "author": body.get("author", "operator"),
    }
