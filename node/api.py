"""The node's HTTP API: thin handlers over its parts. Loopback by default, a bearer token always.

    GET  /healthz                       200 while the node lives; no token
    GET  /metrics                       Prometheus
    GET  /v1/status  /v1/head
    GET  /v1/log?last=20&type=message   /v1/events/{position or id}   /v1/search?q=words
    POST /v1/say {text, conversation?, author?, key?, wait_s?}
    POST /v1/memory {text, author?}
    POST /v1/release {author}           in every conversation; one that is named changes nothing
    POST /v1/redact {positions, reason}
    POST /v1/anchor {action}            fund, open, now, status
    POST /v1/patch/propose {diff, author?}   /v1/patch/judge {position}
    GET  /                              the embedded relay (websocket, NIP-11)

Errors are {"error", "hint"} with a status that fits: 400 a malformed request, 401, 404, 405, 409 a
known key with another message, 413, 422 well formed and refused, 507 disk full, 500 our fault.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ledger.core.errors import (
    IdempotencyConflict,
    InvalidData,
    NotFound,
    Refused,
    StoreError,
    StoreFull,
    TimmyError,
)
from ledger.core.event import Event
from node import console, redacting
from node.assembly import Parts
from node.metrics import registry
from runtime.core.errors import NoAnswer
from runtime.core.limits import TEXT_BYTES_MAX

_BODY_BYTES_MAX = 4 * TEXT_BYTES_MAX
"""JSON may write one byte of text as six (\\u0000); four covers all but text made to be awkward."""
_WAIT_SECONDS_MAX = 3600
_ROWS_MAX = 1000
_log = structlog.get_logger("node.api")

_JSON_HINT = "send one JSON object, in UTF-8"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(TimmyError):
    """A request that does not have the shape its path wants."""


class Api:
    """Handlers of one node."""

    def __init__(
        self, parts: Parts, token: str, status: Callable[[], Awaitable[dict[str, Any]]]
    ) -> None:
        self._parts = parts
        self._token = token
        self._status = status
        self._registry = registry(self._readings)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=_BODY_BYTES_MAX)
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.get("/v1/status", self._get_status),
                web.get("/v1/head", self._head),
                web.get("/v1/log", self._log_rows),
                web.get("/v1/events/{reference}", self._event),
                web.get("/v1/search", self._search),
                web.post("/v1/say", self._say),
                web.post("/v1/memory", self._memory),
                web.post("/v1/release", self._release),
                web.post("/v1/redact", self._redact),
                web.post("/v1/anchor", self._anchor),
                web.post("/v1/patch/propose", self._propose),
                web.post("/v1/patch/judge", self._judge),
            ]
        )
        if self._parts.relay is not None:
            app.router.add_route("*", "/", self._parts.relay.handle)
        return app

    # ---- around every handler -----------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in {"/", "/healthz"} and not self._authorised(request):
            return _refuse(401, "a bearer token is needed", "it is in <home>/token")
        if (request.content_length or 0) > _BODY_BYTES_MAX:
            return _too_large(f"{request.content_length} bytes")
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return _too_large(f"more than {_BODY_BYTES_MAX} bytes")
        except web.HTTPException as error:
            return _refuse(error.status, error.reason.lower())
        except TimmyError as error:
            return _refuse(_status_of(error), str(error), error.hint)
        except ConnectionError:  # the client is gone, and aiohttp knows what to do
            raise
        except Exception:  # noqa: BLE001 - our bug must not look like the caller's fault
            _log.exception("request failed", path=request.path)
            return _refuse(500, "the node failed to answer", "see <home>/logs/node.log")

    def _authorised(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        sent = given.encode(errors="surrogateescape")
        return hmac.compare_digest(sent, f"Bearer {self._token}".encode())

    def _catch_up(self) -> None:
        """Bring search up to date; on a full disk it answers from what it has."""
        with suppress(StoreFull):
            self._parts.views.catch_up()

    # ---- looking --------------------------------------------------------------------------------

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _readings(self) -> dict[str, tuple[str, float]]:
        parts = self._parts
        turns = parts.journal.turns
        return {
            "events": ("Events in the ledger", parts.log.size),
            "released_size": ("Size of the newest released head", parts.release.newest.size),
            "turns_pending": ("Messages without an answer yet", len(turns.pending)),
            "holds": ("Authors the crisis screen holds", len(turns.holds)),
            "agent_lives": ("Agent processes started", parts.host.lives),
            "relay_connections": (
                "Clients of the embedded relay",
                parts.relay.connections if parts.relay else 0,
            ),
            "clock_behind_ms": ("How far the clock went back", parts.log.clock_behind_ms),
        }

    async def _get_status(self, _request: web.Request) -> web.Response:
        return _json(await self._status())

    async def _head(self, _request: web.Request) -> web.Response:
        await self._parts.broadcast.step()
        head = self._parts.release.newest
        return _json(
            {
                "size": head.size,
                "root": head.root,
                "origin": head.checkpoint.origin,
                "note": head.encode().decode(),
            }
        )

    async def _log_rows(self, request: web.Request) -> web.Response:
        last = min(_number(request.query.get("last", "20"), "last"), _ROWS_MAX)
        prefix = request.query.get("type", "")
        start = request.query.get("from")
        rows: list[Event] = []
        if start is not None:
            for event in self._parts.log.events(_number(start, "from")):
                rows += [event] if event.type.startswith(prefix) else []
                if len(rows) >= last:
                    break
        else:
            for position in range(self._parts.log.size - 1, -1, -1):
                event = self._parts.log.read(position)
                rows += [event] if event.type.startswith(prefix) else []
                if len(rows) >= last:
                    break
            rows.reverse()
        return _json([console.row(event) for event in rows])

    async def _event(self, request: web.Request) -> web.Response:
        self._catch_up()
        return _json(console.row(self._parts.views.resolve(request.match_info["reference"])))

    async def _search(self, request: web.Request) -> web.Response:
        self._catch_up()
        limit = _number(request.query.get("limit", "20"), "limit")
        hits = self._parts.views.search(request.query.get("q", ""), limit=limit)
        return _json(
            [
                console.row(self._parts.log.read(hit.position)) | {"snippet": hit.snippet}
                for hit in hits
            ]
        )

    # ---- doing ----------------------------------------------------------------------------------

    async def _say(self, request: web.Request) -> web.Response:
        body = await _body(
            request, text=str, conversation=str, author=str, key=str, wait_s=int, gateway=str
        )
        message = await self._parts.gateway.receive(
            _required(body, "text"),
            conversation=body.get("conversation", "main"),
            author=body.get("author", "operator"),
            gateway=body.get("gateway", "api"),
            idempotency_key=_hex(body["key"], "key") if "key" in body else None,
        )
        answer = await self._answer(message, body.get("wait_s", _WAIT_SECONDS_MAX))
        return _json(
            {"message": console.row(message), "answer": console.row(answer) if answer else None}
        )

    async def _answer(self, message: Event, wait_s: int) -> Event | None:
        try:
            async with asyncio.timeout(max(0, min(wait_s, _WAIT_SECONDS_MAX))):
                return await self._parts.host.answer_to(message.position)
        except (TimeoutError, NoAnswer):
            return None

    async def _memory(self, request: web.Request) -> web.Response:
        body = await _body(request, text=str, author=str, gateway=str)
        event = await self._parts.gateway.note(
            _required(body, "text"),
            author=body.get("author", "operator"),
            gateway=body.get("gateway", "api"),
        )
        withheld = event.position in self._parts.journal.turns.withheld
        return _json(console.row(event) | {"withheld": withheld})

    async def _release(self, request: web.Request) -> web.Response:
        body = await _body(request, conversation=str, author=str)
        author = _required(body, "author")
        begun = list(self._parts.journal.turns.holds.get(author, ()))
        event = await self._parts.gateway.release(author=author, by="operator")
        return _json(console.row(event) | {"conversations": begun})

    async def _redact(self, request: web.Request) -> web.Response:
        body = await _body(request, positions=list, reason=str)
        positions = _required(body, "positions")
        if not positions or not all(type(item) is int for item in positions):
            raise BadRequest(
                "positions is not a list of event positions", hint="at least one, each a number"
            )
        log = self._parts.log
        asked = redacting.ask(
            log, positions, reason=body.get("reason", "asked for"), actor="operator"
        )
        events = await log.append(*asked.drafts)
        event = events[0] if events else log.read(min(asked.already.values()))
        return _json(
            console.row(event)
            | {
                "targets": list(asked.targets),
                "already": {str(at): by for at, by in asked.already.items()},
                "finished": await self._erased(log.size),
                "not_reached": redacting.NOT_REACHED,
            }
        )

    async def _erased(self, size: int) -> bool:
        """Finish what redactions below `size` began; False if readers are still in the way."""
        log, views = self._parts.log, self._parts.views
        try:
            await redacting.purge(views)  # one that runs holds catching up back
            views.catch_up()
            purged = await redacting.purge(views)
            return await asyncio.to_thread(log.finish_erasing) and purged and views.size >= size
        except StoreError:  # erased it is; what is left to do the node does when it can
            return False

    async def _anchor(self, request: web.Request) -> web.Response:
        body = await _body(request, action=str)
        anchoring = self._parts.anchoring
        actions = {
            "fund": anchoring.advance,
            "status": anchoring.advance,
            "open": anchoring.open,
            "now": anchoring.now,
        }
        action = actions.get(_required(body, "action"))
        if action is None:
            raise BadRequest(f"unknown action {body['action']!r}", hint=", ".join(actions))
        return _json(await action())

    async def _propose(self, request: web.Request) -> web.Response:
        body = await _body(request, diff=str, author=str)
        event = await self._parts.patching.propose(
            _required(body, "diff"), author=body.get("author", "operator")
        )
        return _json(console.row(event))

    async def _judge(self, request: web.Request) -> web.Response:
        body = await _body(request, position=int)
        return _json(await self._parts.patching.judge(_required(body, "position")))


def _status_of(error: TimmyError) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, IdempotencyConflict):
        return 409
    if isinstance(error, StoreFull):
        return 507
    return 400 if isinstance(error, BadRequest | InvalidData | Refused) else 422


def _too_large(size: str) -> web.Response:
    return _refuse(
        413,
        f"request of {size}, at most {_BODY_BYTES_MAX}",
        f"one message has at most {TEXT_BYTES_MAX} bytes: send it in parts",
    )


def _refuse(status: int, message: str, hint: str | None = None) -> web.Response:
    return web.json_response({"error": message, "hint": hint}, status=status)


def _json(value: Any) -> web.Response:
    return web.json_response(console.jsonable(value))


async def _body(request: web.Request, **kinds: type) -> dict[str, Any]:
    """Parse a JSON object with known fields of known types."""
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


def _required(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise BadRequest(f"field {name!r} is missing", hint="send a JSON object with it")
    return body[name]


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f"{name} is not a number: {text!r}", hint="0 or more, in decimal digits")
    return int(text)


def _hex(text: str, name: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadRequest(f"{name} is not hex", hint="two hex digits a byte") from error
