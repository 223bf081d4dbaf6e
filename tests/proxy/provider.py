"""A provider on loopback that speaks OpenAI and Anthropic as their official clients read them.

The name of the model says how it behaves: `status-429`, `half`, `hang`, `slow`, `big`, `odd`,
`echo-key`, `no-done`, `gzip`, or anything else for well. Every request is kept as it came, and every
body as it was sent.
"""

import asyncio
import gzip
import json
import threading
from contextlib import contextmanager

from aiohttp import web

WORDS = ["An owl ", "sat on ", "the gable ", "äöü ☂."]
TEXT = "".join(WORDS)
CALL = {"name": "weather", "arguments": '{"place": "Leipzig"}'}


class Provider:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict] = []
        self.sent: list[bytes] = []
        self.at_once = 0
        self.at_most = 0
        self.go = asyncio.Event()
        self.go.set()
        self.gone = threading.Event()

    # ---- every path -------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(
            {
                "method": request.method,
                "path": request.raw_path,
                "headers": list(request.headers.items()),
                "body": body,
            }
        )
        self.at_once += 1
        self.at_most = max(self.at_most, self.at_once)
        try:
            return await self._answer(request, body)
        except asyncio.CancelledError:
            self.gone.set()
            raise
        finally:
            self.at_once -= 1

    async def _answer(self, request, body):
        try:
            asked = json.loads(body) if body else {}
        except ValueError:
            return await self._plain(request, {"got": len(body)})
        model = asked.get("model", "")
        if model.startswith("status-"):
            status = int(model.removeprefix("status-"))
            error = {"error": {"message": f"no: {status}", "type": "busy", "code": None}}
            headers = {"Retry-After": "0", "x-request-id": "req_7", "Retry-After-Ms": "1"}
            return await self._plain(request, error, status=status, headers=headers)
        if model == "echo-key":
            said = {"error": {"message": f"bad key {request.headers.get('Authorization')}"}}
            return await self._plain(request, said, status=401)
        if model == "hang":
            await asyncio.sleep(3600)
        if model == "slow":
            await self.go.wait()
        match request.path.removeprefix("/v1"):
            case "/chat/completions":
                return await self._chat(request, asked)
            case "/messages":
                return await self._messages(request, asked)
            case "/messages/count_tokens":
                return await self._plain(request, {"input_tokens": 11})
            case "/responses":
                return await self._responses(request, asked)
            case "/embeddings":
                row = {"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}
                usage = {"prompt_tokens": 2, "total_tokens": 2}
                found = {"object": "list", "data": [row], "model": "e-1", "usage": usage}
                return await self._plain(request, found)
            case "/models":
                row = {"id": "m-1", "object": "model", "created": 1, "owned_by": "us"}
                return await self._plain(request, {"object": "list", "data": [row]})
            case "/moved":
                raise web.HTTPFound("https://elsewhere.example/v1/moved")
        return await self._plain(request, {"path": request.path, "query": request.query_string})

    async def _plain(self, request, value, *, status=200, headers=None):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        more = dict(headers or {})
        if (
            "gzip" in request.headers.get("Accept-Encoding", "")
            and b"gzip" in request.url.raw_path.encode() + request._read_bytes
        ):
            data = gzip.compress(data)
            more["Content-Encoding"] = "gzip"
        self.sent.append(data)
        return web.Response(
            body=data, status=status, headers={"Content-Type": "application/json"} | more
        )

    # ---- chat completions -------------------------------------------------------------------------

    async def _chat(self, request, asked):
        model, tools = asked["model"], "tools" in asked
        usage = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
        base = {"id": "c-1", "created": 1, "model": f"{model}-2026"}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": None if tools else TEXT}
            if tools:
                message["tool_calls"] = [{"id": "t-1", "type": "function", "function": CALL}]
            if model == "big":
                message["content"] = "owl " * 400_000
            finish = "tool_calls" if tools else "stop"
            choice = {"index": 0, "message": message, "finish_reason": finish}
            whole = base | {"object": "chat.completion", "choices": [choice], "usage": usage}
            if model == "half":
                return await self._broken(request, json.dumps(whole).encode())
            return await self._plain(request, whole)

        def chunk(delta, finish=None, **more):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return base | {"object": "chat.completion.chunk", "choices": [choice]} | more

        chunks = [chunk({"role": "assistant", "content": ""})]
        if tools:
            first = {"index": 0, "id": "t-1", "type": "function"}
            first["function"] = {"name": CALL["name"], "arguments": ""}
            chunks.append(chunk({"tool_calls": [first]}))
            halves = (CALL["arguments"][:5], CALL["arguments"][5:])
            pieces = [{"index": 0, "function": {"arguments": half}} for half in halves]
            chunks += [chunk({"tool_calls": [piece]}) for piece in pieces]
        else:
            chunks += [chunk({"content": word}) for word in WORDS]
        end = [
            chunk({}, "tool_calls" if tools else "stop"),
            base | {"object": "chat.completion.chunk", "choices": [], "usage": usage},
        ]
        tail = b"" if model == "no-done" else b"data: [DONE]\n\n"
        return await self._events(
            request, model, [(None, c) for c in chunks], [(None, c) for c in end], tail
        )

    # ---- messages ---------------------------------------------------------------------------------

    async def _messages(self, request, asked):
        model, tools = asked["model"], "tools" in asked
        base = {"id": "msg_1", "type": "message", "role": "assistant", "model": f"{model}-2026"}
        block = {
            "type": "tool_use",
            "id": "tu_1",
            "name": CALL["name"],
            "input": json.loads(CALL["arguments"]),
        }
        content = [block if tools else {"type": "text", "text": TEXT}]
        stop = "tool_use" if tools else "end_turn"
        usage = {"input_tokens": 7, "output_tokens": 4}
        if not asked.get("stream"):
            return await self._plain(
                request, base | {"content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}
            )  # fmt: skip
        begin = base | {
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage | {"output_tokens": 1},
        }
        opened = block | {"input": {}} if tools else {"type": "text", "text": ""}
        chunks = [
            {"type": "message_start", "message": begin},
            {"type": "content_block_start", "index": 0, "content_block": opened},
        ]
        if tools:
            deltas = [
                {"type": "input_json_delta", "partial_json": p}
                for p in (CALL["arguments"][:5], CALL["arguments"][5:])
            ]
        else:
            deltas = [{"type": "text_delta", "text": word} for word in WORDS]
        chunks += [{"type": "content_block_delta", "index": 0, "delta": d} for d in deltas]
        end = [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop, "stop_sequence": None},
                "usage": {"output_tokens": 4},
            },
            {"type": "message_stop"},
        ]
        named = [(c["type"], c) for c in chunks]
        return await self._events(request, model, named, [(c["type"], c) for c in end], b"")

    # ---- responses --------------------------------------------------------------------------------

    async def _responses(self, request, asked):
        part = {"type": "output_text", "text": TEXT, "annotations": []}
        item = {
            "id": "m_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        response = {
            "id": "r_1", "object": "response", "created_at": 1, "status": "completed", "model": asked["model"],
            "output": [item], "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
            "temperature": 1.0, "top_p": 1.0,
            "usage": {"input_tokens": 7, "output_tokens": 4, "total_tokens": 11,
                      "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
        }  # fmt: skip
        if not asked.get("stream"):
            return await self._plain(request, response)
        events = [
            ("response.created", {"response": response | {"status": "in_progress", "output": []}})
        ]
        for word in WORDS:
            delta = {
                "output_index": 0,
                "content_index": 0,
                "item_id": "m_1",
                "delta": word,
                "logprobs": [],
            }
            events.append(("response.output_text.delta", delta))
        last = [("response.completed", {"response": response})]
        numbered = [
            (n, {"type": n, "sequence_number": i} | v) for i, (n, v) in enumerate(events + last)
        ]
        return await self._events(request, asked["model"], numbered[:-1], numbered[-1:], b"")

    # ---- how it is sent ---------------------------------------------------------------------------

    async def _events(self, request, model, chunks, end, tail):
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "x-request-id": "req_7"}
        squeeze = model == "gzip" and "gzip" in request.headers.get("Accept-Encoding", "")
        response = web.StreamResponse(
            headers=headers | ({"Content-Encoding": "gzip"} if squeeze else {})
        )
        await response.prepare(request)
        sent, packer = bytearray(), gzip_stream() if squeeze else None

        async def send(data, *, last=False):
            out = data if packer is None else packer(data, last)
            sent.extend(out)
            if out:
                await response.write(out)

        for number, (name, value) in enumerate(chunks):
            head = f"event: {name}\n" if name else ""
            await send(f"{head}data: {json.dumps(value, ensure_ascii=False)}\n\n".encode())
            if number == 2:
                await self.go.wait()
                await asyncio.sleep(0)
        if model == "odd":
            for value in ({"type": []}, {"choices": [{"delta": {"tool_calls": [{"index": []}]}}]}):
                await send(f"data: {json.dumps(value)}\n\n".encode())
        if model == "half":
            self.sent.append(bytes(sent))
            request.transport.close()
            return response
        if model == "stall":
            await asyncio.sleep(3600)
        for name, value in end:
            head = f"event: {name}\n" if name else ""
            await send(f"{head}data: {json.dumps(value)}\n\n".encode())
        await send(tail, last=True)
        self.sent.append(bytes(sent))
        await response.write_eof()
        return response

    async def _broken(self, request, data):
        """A whole body announced, half of it sent."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Content-Length": str(len(data))}
        )
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        self.sent.append(data[: len(data) // 2])
        request.transport.close()
        return response


def gzip_stream():
    import zlib

    packer = zlib.compressobj(wbits=31)

    def pack(data, last):
        return packer.compress(data) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)

    return pack


@contextmanager
def serving():
    """A provider in a thread of its own: (provider, call), `call` runs a function in its loop."""
    ready, found = threading.Event(), []

    async def main():
        provider, stop = Provider(), asyncio.Event()
        app = web.Application(client_max_size=2**28)
        app.router.add_route("*", "/v1/{rest:.*}", provider.handle)
        runner = web.AppRunner(
            app, shutdown_timeout=0.1, handler_cancellation=True, keepalive_timeout=60
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        found.extend([provider, asyncio.get_running_loop(), stop])
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(30)
    provider, loop, stop = found
    try:
        yield provider, loop.call_soon_threadsafe
    finally:
        loop.call_soon_threadsafe(provider.go.set)
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
