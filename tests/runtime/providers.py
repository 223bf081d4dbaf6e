"""Model providers on loopback that stream, in the formats of OpenAI and Anthropic."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class Streamer:
    """Says `words` one by one. `behave`: ok, half, error, broken, overflow, or a status."""

    def __init__(self) -> None:
        self.words = ["One owl ", "sat. ", "Two owls ", "sat."]
        self.behave = "ok"
        self.models = ["owl:1b", "old:7b"]
        """What it has, the newest first, where it is an Ollama; `looks` counts who asked."""
        self.looks = 0
        self.calls: list[tuple[str, str, str]] = []
        """Tools it asks for: id, name, arguments."""
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.retry_after: str | None = None
        self.pause = asyncio.Event()
        self.pause.set()
        self.gone = asyncio.Event()
        self.url = ""

    async def openai(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request)
        if refused is not None:
            return refused
        chunks = [{"choices": [{"delta": {"role": "assistant"}}], "model": "o-1"}]
        chunks += [{"choices": [{"delta": {"content": word}}]} for word in self.words]
        for index, (id_, name, arguments) in enumerate(self.calls):
            begin = {"index": index, "id": id_, "function": {"name": name, "arguments": ""}}
            pieces = [begin, *({"index": index, "function": {"arguments": piece}}
                               for piece in _pieces(arguments))]  # fmt: skip
            chunks += [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
        end = [
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4}},
        ]
        if not self.requests[-1]["stream"]:
            message = {"content": "".join(self.words) or None}
            if self.calls:
                message["tool_calls"] = [
                    {"id": id_, "type": "function",
                     "function": {"name": name, "arguments": arguments}}
                    for id_, name, arguments in self.calls
                ]  # fmt: skip
            usage = end[1]["usage"]
            choice = {"message": message, "finish_reason": "stop"}
            return web.json_response({"model": "o-1", "choices": [choice], "usage": usage})
        error = {"error": {"message": "no", "type": "server_error"}}
        return await self._events(request, chunks, end, error, last="data: [DONE]\r\n\r\n")

    async def anthropic(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request)
        if refused is not None:
            return refused
        text = "".join(self.words)
        if not self.requests[-1]["stream"]:
            usage = {"input_tokens": 7, "output_tokens": 4}
            content = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": text}]
            content += [
                {"type": "tool_use", "id": id_, "name": name, "input": json.loads(arguments)}
                for id_, name, arguments in self.calls
            ]
            whole = {"model": "a-1", "content": content, "stop_reason": "end_turn", "usage": usage}
            return web.json_response(whole)
        begin = {"model": "a-1", "content": [], "usage": {"input_tokens": 7, "output_tokens": 1}}
        chunks = [
            {"type": "message_start", "message": begin},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
            {"type": "ping"},
        ]
        for word in self.words:
            delta = {"type": "text_delta", "text": word}
            chunks.append({"type": "content_block_delta", "index": 0, "delta": delta})
        for index, (id_, name, arguments) in enumerate(self.calls, 1):
            block = {"type": "tool_use", "id": id_, "name": name, "input": {}}
            chunks.append({"type": "content_block_start", "index": index, "content_block": block})
            for piece in _pieces(arguments):
                delta = {"type": "input_json_delta", "partial_json": piece}
                chunks.append({"type": "content_block_delta", "index": index, "delta": delta})
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        end = [
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        ]
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
        return await self._events(request, chunks, end, error)

    async def tags(self, _request: web.Request) -> web.Response:
        """What an Ollama has."""
        self.looks += 1
        return web.json_response({"models": [{"name": name, "size": 1} for name in self.models]})

    async def _refused(self, request: web.Request) -> web.Response | None:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        if self.behave == "toolless" and "tools" in self.requests[-1]:
            return web.json_response({"error": '"owl:1b" does not support tools'}, status=400)
        if self.behave == "overflow":
            said = {"error": {"message": "too long", "code": "context_length_exceeded"}}
            return web.json_response(said, status=400)
        if self.behave.isdigit():
            more = {} if self.retry_after is None else {"Retry-After": self.retry_after}
            return web.Response(status=int(self.behave), text="no", headers=more)
        if not self.requests[-1]["stream"]:
            try:
                await self.pause.wait()
            except asyncio.CancelledError:
                self.gone.set()
                raise
        return None

    async def _events(self, request, chunks, end, error, last="") -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for chunk in chunks:
                await response.write(f": note\nevent: x\ndata: {json.dumps(chunk)}\n\n".encode())
                await self.pause.wait()
            match self.behave:
                case "half":
                    return response
                case "broken":
                    request.transport.abort()
                    return response
                case "error":
                    end, last = [error], ""
            for chunk in end:
                await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await response.write(last.encode())
        except (ConnectionError, asyncio.CancelledError):
            self.gone.set()
            raise
        return response


def _pieces(text: str) -> list[str]:
    return [text[at : at + 5] for at in range(0, len(text), 5)]


@asynccontextmanager
async def streamer(port: int = 0) -> AsyncIterator[Streamer]:
    server = Streamer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.openai)
    app.router.add_post("/v1/messages", server.anthropic)
    app.router.add_get("/api/tags", server.tags)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        server.pause.set()
        await runner.cleanup()
