"""What the node's HTTP handlers share: bodies read strictly, answers in JSON or as they come.

Not covered: who may ask, and what an error looks like; `node.api.app` is around every handler.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from attest.verify.plain import jsonable
from ledger.core.errors import TimmyError

_JSON_HINT: Final = "send one JSON object, in UTF-8"
_GONE_SECONDS: Final = 0.5
"""How soon it is noticed that a client went away while there is nothing to tell it."""


class BadRequest(TimmyError):
    """A request that does not have the shape its path wants."""


class ClientGone(ConnectionError):
    """Whoever asked is not there any more: what was done for him alone ends."""


class EventStream:
    """Server-sent events to one client (WHATWG HTML, section 9.2). Made by `event_stream`."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    async def tell(self, name: str, value: Any) -> None:
        """Send one event. Raises ClientGone."""
        await self.send(f"event: {name}\ndata: {json.dumps(jsonable(value))}\n\n".encode())

    async def send(self, data: bytes) -> None:
        """Send bytes as they are. Raises ClientGone."""
        try:
            await self.response.write(data)
        except ConnectionError as error:
            raise ClientGone from error


@asynccontextmanager
async def event_stream(request: web.Request) -> AsyncIterator[EventStream]:
    """Answer with events for the time of a block; return `.response` behind it.

    A client that goes away is nothing unusual: the block is cancelled, and nothing is raised.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    try:
        async with while_there(request):
            yield EventStream(response)
    except* ClientGone:
        pass


@asynccontextmanager
async def while_there(request: web.Request) -> AsyncIterator[None]:
    """Cancel the block when the client goes away. Raises a group with ClientGone in it then."""
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(request))
        yield
        watching.cancel()


async def _watch(request: web.Request) -> None:
    while _there(request):  # noqa: ASYNC110 - aiohttp has no event for it
        await asyncio.sleep(_GONE_SECONDS)
    raise ClientGone


def _there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def json_answer(value: Any) -> web.Response:
    """Answer with a JSON document."""
    return web.json_response(jsonable(value))


async def read_json(request: web.Request) -> dict[str, Any]:
    """Parse a JSON object. Raises BadRequest."""
    try:
        # UTF-8 whatever is claimed (RFC 8259 section 8.1): some of Python's codecs are quadratic.
        body = json.loads((await request.read()).decode())
    except UnicodeDecodeError as error:
        raise BadRequest("the request is not UTF-8", hint=_JSON_HINT) from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("the request is not JSON", hint=_JSON_HINT) from error
    if not isinstance(body, dict):
        raise BadRequest("the request is not a JSON object", hint=_JSON_HINT)
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadRequest("the request holds half a surrogate pair", hint=_JSON_HINT) from error
    return body


async def read_body(request: web.Request, **kinds: type) -> dict[str, Any]:
    """Parse a JSON object with known fields of known types. Raises BadRequest."""
    body = await read_json(request)
    for name, value in body.items():
        if name not in kinds:
            raise BadRequest(f"unknown field {name!r}", hint=f"known: {', '.join(kinds)}")
        if type(value) is not kinds[name]:
            raise BadRequest(
                f"field {name!r} is not of type {kinds[name].__name__}", hint=_fields(kinds)
            )
    return body


def _fields(kinds: dict[str, type]) -> str:
    return ", ".join(f"{name}: {kind.__name__}" for name, kind in kinds.items())


def required(body: dict[str, Any], name: str) -> Any:
    """Return a field that must be there. Raises BadRequest."""
    if name not in body:
        raise BadRequest(f"field {name!r} is missing", hint="send a JSON object with it")
    return body[name]


def number(text: str, name: str) -> int:
    """Return a number of a query. Raises BadRequest."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f"{name} is not a number: {text!r}", hint="0 or more, in decimal digits")
    return int(text)


def hex_bytes(text: Any, name: str) -> bytes:
    """Return bytes written as hex. Raises BadRequest."""
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError) as error:
        raise BadRequest(f"{name} is not hex", hint="two hex digits a byte") from error


def refuse(status: int, message: str, hint: str | None = None) -> web.Response:
    """A refusal in our shape."""
    return web.json_response({"error": message, "hint": hint}, status=status)
