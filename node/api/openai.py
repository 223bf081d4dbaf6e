"""The agent for clients of the OpenAI API: POST /v1/chat/completions, GET /v1/models.

The agent answers, not a model: with its memory, screens, holds and budget. The node's token is the
API key and the agent's name is the model. Only the last message counts, and must be a user's: what
was said before is in the ledger, and a client's account of it is not believed. `user` names who
speaks; the conversation is the header Timmy-Conversation, else `user`, else "openai".

Whoever sends an Idempotency-Key may send again and is answered once. Once a message is on record an
error says that it is not to be retried (x-should-retry): these clients retry by themselves.

Passed over: system messages (the agent is who its SOUL says), tools, and all that tunes a model.
Refused: more than one choice. Not covered: images and audio, counts of tokens.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from ledger.core import hashing
from ledger.core.errors import NotFound
from ledger.core.event import Event
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from node.api.http import BadRequest, EventStream, event_stream, read_json
from node.assembly import Parts
from runtime.core.errors import NoAnswer
from runtime.core.wire_replies import DONE, Spoken, error_body

_PATHS: Final = ("/v1/chat/completions", "/v1/models")
_ANSWER_S: Final = 600.0
"""As long as the official clients wait."""
_KEY: Final = "timmy-node 2026-11 openai idempotency key v1"
_DRAFT: Final = "\n\n(that was a draft; the answer is)\n\n"
_ERASED: Final = "(redacted)"
_GATEWAY: Final = "openai"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OpenAiApi:
    """Handlers of one node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        """What the application serves of it."""
        return [
            web.post("/v1/chat/completions", self._complete),
            web.get("/v1/models", self._models),
            web.get("/v1/models/{name}", self._model),
        ]

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._row()]})

    async def _model(self, request: web.Request) -> web.Response:
        self._check_model(request.match_info["name"])
        return web.json_response(self._row())

    def _row(self) -> dict[str, Any]:
        born_s = self._parts.log.read(0).ts_ms // 1000
        name = self._parts.genesis.name
        return {"id": name, "object": "model", "created": born_s, "owned_by": self._parts.npub}

    def _check_model(self, name: object) -> None:
        own = self._parts.genesis.name
        if name != own:
            raise NotFound(f"no model is called {str(name)[:100]!r}", hint=f"there is {own!r}")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        self._check_model(body.get("model"))
        if body.get("n") not in (None, 1):
            raise BadRequest("n is not 1", hint="the agent answers once")
        text = _last_words(body.get("messages"))
        user = body.get("user") or body.get("safety_identifier") or ""
        if type(user) is not str:
            raise BadRequest("user is not a text", hint="a short name in one line")
        given = request.headers.get("Idempotency-Key")
        message = await self._parts.gateway.receive(
            text,
            conversation=request.headers.get("Timmy-Conversation", user or _GATEWAY),
            author=user or "operator",
            gateway=_GATEWAY,
            idempotency_key=None if given is None else _key(given),
        )
        if body.get("stream") is True:
            return await self._stream(request, message)
        reply = await self._answer(message)
        headers = {"Timmy-Event": str(message.position)}
        if reply is None:
            headers["x-should-retry"] = "false"
            told = error_body("openai", 504, "no answer yet", "it will be in the ledger: timmy log")
            return web.json_response(told, status=504, headers=headers)
        whole = self._spoken(message, _text(reply)).whole("chat")
        del whole["usage"]
        return web.json_response(whole, headers=headers)

    async def _stream(self, request: web.Request, message: Event) -> web.StreamResponse:
        """Tell the answer as it comes: in whole sentences, each screened with all around it."""
        spoken = self._spoken(message, "")
        async with event_stream(request) as stream:
            await stream.send(spoken.chunk({"role": "assistant", "content": ""}))
            shown = ""
            with self._parts.mind.service.drafts.watch(message.position) as watcher:

                async def tell() -> None:
                    nonlocal shown
                    async for piece in watcher.pieces():
                        if piece.anew:
                            await stream.send(spoken.chunk({"content": _DRAFT}))
                            shown = ""
                        else:
                            shown += piece.text
                            await stream.send(spoken.chunk({"content": piece.text}))

                async with asyncio.TaskGroup() as group:
                    telling = group.create_task(tell())
                    reply = await self._answer(message)
                    telling.cancel()
            await _finish(stream, spoken, shown, reply)
        return stream.response

    async def _answer(self, message: Event) -> Event | None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._parts.mind.host.answer_to(message.position)
        except (TimeoutError, NoAnswer):
            return None

    def _spoken(self, message: Event, text: str) -> Spoken:
        name, uid = self._parts.genesis.name, message.id.hex()[:24]
        return Spoken(text=text, model=name, uid=uid, now_s=message.ts_ms // 1000)


async def _finish(stream: EventStream, spoken: Spoken, shown: str, reply: Event | None) -> None:
    """Tell the rest of the answer; all of it, if it is not what was shown."""
    if reply is None:
        told = error_body("openai", 504, "no answer yet", "it will be in the ledger: timmy log")
        await stream.send(f"data: {json.dumps(told)}\n\n".encode())
        return
    text = _text(reply)
    rest = text.removeprefix(shown) if text.startswith(shown) else _DRAFT + text
    if rest:
        await stream.send(spoken.chunk({"content": rest}))
    await stream.send(spoken.last_chunk() + DONE)


def _text(reply: Event) -> str:
    return str((reply.content or {}).get("text", _ERASED))


def _key(given: str) -> bytes:
    return hashing.xof(_KEY, IDEMPOTENCY_KEY_BYTES, given.encode(errors="surrogateescape"))


def _last_words(messages: object) -> str:
    """Return what the user says now. Raises BadRequest."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or last.get("role") != "user":
        raise BadRequest("the last message is not a user's", hint="what was said before is known")
    content = last.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts: list[str] = []
    for part in parts if isinstance(parts, list) else [None]:
        if not isinstance(part, dict) or type(part.get("text")) is not str:
            raise BadRequest("the last message is not text", hint="images and sound are not read")
        texts.append(part["text"])
    return "\n".join(texts)


@web.middleware
async def openai_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put refusals of these paths as their clients read them. Goes around the API's own."""
    response = await handler(request)
    ours = request.path.startswith(_PATHS) and response.status >= 400
    if not ours or not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    found = json.loads(response.body)
    if isinstance(found.get("error"), str):
        told = error_body("openai", response.status, found["error"], found.get("hint"))
        return web.json_response(told, status=response.status)
    return response
