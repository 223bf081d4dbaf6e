"""The recording proxy's HTTP side: one handler for everything below /v1.

    [/a/NAME][/u/UPSTREAM]/v1/...

In order: where to (`runtime.core.proxy_routes`), a turn among those that are served at once, the
whole request, its record, the crisis screen's verdict, the upstream, its bytes as they come, the
record of the reply, its end. What an upstream answers is passed on as it is, errors included; where
it answers nothing, and where we refuse, the answer is ours, in the shape the wire's clients read,
with a header `Timmy-Proxy` that says so.

Whoever uses it is a program on this machine. Pages in a browser are not: a request that says where
it comes from (Origin, Sec-Fetch-Site), or that was sent to another name than this machine's, is
refused. Not covered: programs of other users of this machine, websockets.
"""

import asyncio
import secrets as entropy
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import structlog
from aiohttp import web

from ledger.core.errors import StoreError, TimmyError
from node.api.http import ClientGone, while_there
from node.proxy.giving import Giving, TooLarge, chunks, cut, event_header, fault, now_s, sent
from node.proxy.passage import Call, Passage, unpack
from runtime.core import limits
from runtime.core.crisis import ANSWER
from runtime.core.errors import ExchangeRefused
from runtime.core.proxied import (
    SCREEN_CRISIS,
    Outcome,
    Reply,
    Request,
    head_of,
    record_body,
    sha256,
)
from runtime.core.proxy_routes import (
    Secrets,
    Target,
    Upstream,
    Wire,
    request_headers,
    route,
)
from runtime.core.proxy_words import Replied, kind_of, read_request
from runtime.core.wire_replies import Spoken, error_body
from runtime.recording import Recorder

_WAIT_S: Final = 60.0
"""For a turn. Who waited longer is told to come again, and clients do that by themselves."""
_CONNECT_S: Final = 15.0
_EXCHANGE_S: Final = 3600.0
"""One exchange, whatever comes: an hour of a model's words is no answer."""
_RETRY_S: Final = "2"
_PATH_CHARS_MAX: Final = 256
_QUERY_NAMES_MAX: Final = 32
_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_FULL_HINT: Final = "nothing is passed on without a record; free some space: timmy status"
_log = structlog.get_logger("node.proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyLimits:
    """`exchanges_max` at once; `idle_s` without a byte, of client or upstream, ends one."""

    exchanges_max: int
    idle_s: float


class ProxyApi:
    """The handler of one node's proxy. `session` gives replies as they came, undecoded."""

    def __init__(
        self,
        upstreams: tuple[Upstream, ...],
        recorder: Recorder,
        session: aiohttp.ClientSession,
        bounds: ProxyLimits,
        *,
        blocks: bool,
    ) -> None:
        self._upstreams = upstreams
        self._recorder = recorder
        self._session = session
        self._bounds = bounds
        self._blocks = blocks
        self._slots = asyncio.Semaphore(bounds.exchanges_max)
        self._waiting = 0
        self._held = 0
        self._owes = False
        self.stopping = False
        """Whether connections are closed from our side: nobody left then."""
        self._via = f"1.1 timmy-{entropy.token_hex(6)}"
        """Random: it tells this proxy from others, and nobody which node it is."""

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, or say why not."""
        wire: Wire = "anthropic" if "anthropic-version" in request.headers else "openai"
        try:
            self._check_caller(request)
            path = request.raw_path.partition("?")[0]
            target = route(path, request.headers.items(), self._upstreams)
            wire = target.upstream.wire
            async with self._turn():
                return await self._exchange(request, target)
        except ExchangeRefused as error:
            return refusal(wire, error.status, str(error), error.hint)
        except StoreError as error:
            return refusal(wire, 503, str(error), error.hint or _FULL_HINT)
        except TimmyError as error:
            return refusal(wire, 503, str(error), error.hint)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - our bug must not look like the upstream's
            # Without the words of the error: they may hold what the client sent.
            _log.error("an exchange failed", kind=type(error).__name__, at=_where(error))
            return refusal(wire, 500, "the proxy failed", "see <home>/logs/node.log")

    def _check_caller(self, request: web.Request) -> None:
        headers = request.headers
        host = headers.get("Host", "").rpartition(":")[0] or headers.get("Host", "")
        if host.lower() not in _HOSTS:
            raise ExchangeRefused("not the name of this machine", status=403, hint="127.0.0.1")
        if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none":
            raise ExchangeRefused("a page in a browser may not use this proxy", status=403)
        if "Upgrade" in headers:
            raise ExchangeRefused("websockets are not passed on", status=501)
        if self._via.split()[1] in headers.get("Via", ""):
            raise ExchangeRefused("an upstream of this proxy is this proxy", status=508)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait until fewer than `exchanges_max` are served. Raises ExchangeRefused."""
        if self._waiting >= limits.PROXY_WAITING_MAX:
            raise ExchangeRefused(f"{self._waiting} requests wait already", status=503)
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._slots.acquire()
        except TimeoutError as error:
            raise ExchangeRefused(f"no turn within {_WAIT_S:g} s", status=503) from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    # ---- one exchange ----------------------------------------------------------------------------

    async def _exchange(self, request: web.Request, target: Target) -> web.StreamResponse:
        if self._owes:
            await self._recorder.settle()
            self._owes = False
        body = bytearray()
        try:
            await self._read(request, body)
            call = await self._begin(request, target, bytes(body))
            return await self._forward(request, call)
        finally:
            self._held -= len(body)

    async def _read(self, request: web.Request, body: bytearray) -> None:
        """Read the whole request into `body`. Raises ExchangeRefused."""
        try:
            while True:
                async with asyncio.timeout(self._bounds.idle_s):
                    chunk = await request.content.readany()
                if not chunk:
                    return
                body += chunk
                self._held += len(chunk)
                self._check_size(len(body))
        except TimeoutError as error:
            raise ExchangeRefused(
                f"no byte of the request in {self._bounds.idle_s:g} s", status=408
            ) from error

    def _check_size(self, size: int) -> None:
        most = limits.PROXY_BODY_BYTES_MAX
        if size > most:
            raise ExchangeRefused(f"a request of more than {most} bytes", status=413)
        self._check_held(0)

    def _check_held(self, more: int) -> None:
        held = self._held + more
        if held > limits.PROXY_BODIES_BYTES_MAX:
            raise ExchangeRefused(f"{held} bytes of requests are held", status=503)

    async def _begin(self, request: web.Request, target: Target, body: bytes) -> Call:
        """Put the request on record."""
        secrets = Secrets(request.headers.items())
        coding = request.headers.get("Content-Encoding", "")
        plain, trouble = unpack(body, coding)
        if coding:  # it is here beside the body, until what is recorded of it was taken
            self._check_held(len(plain))
        kind = kind_of(target.upstream.wire, target.path)
        asked = read_request(kind, secrets.mask(plain)[0]).masked(secrets.masked)
        trouble = trouble or asked.trouble
        if self._blocks and kind != "opaque" and trouble is not None:
            raise ExchangeRefused(
                f"the crisis screen cannot read this request: {trouble}",
                status=415 if coding else 400,
                hint="JSON in UTF-8, plain or in gzip; or timmy proxy on --screen record",
            )
        recorded = record_body(plain, secrets, size=len(body), sha256=sha256(body), note=trouble)
        asked = replace(asked, said=head_of(asked.said))
        del plain  # others wait for the disk too
        facts: dict[str, Any] = {
            "upstream": target.upstream.name,
            "method": request.method,
            "path": secrets.masked(f"/v1{target.path}")[:_PATH_CHARS_MAX],
        }
        if asked.model is not None:
            facts["model"] = asked.model
        if asked.streamed:
            facts["streamed"] = True
        requested = await self._recorder.request(
            Request(
                name=target.name,
                facts=facts,
                said=asked.said,
                query=tuple(secrets.masked(name)[:64] for name in request.query)[:_QUERY_NAMES_MAX],
                body=recorded,
            )
        )
        return Call(
            target=target,
            asked=asked,
            kind=kind,
            secrets=secrets,
            body=body,
            requested=requested,
            passage=Passage(kind, now_s()),
        )

    async def _forward(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Pass the request on; whatever happens, its end is put on record."""
        blocked = self._blocks and call.requested.payload.get("screen") == SCREEN_CRISIS
        response: web.StreamResponse | None = None
        try:
            try:
                async with while_there(request):
                    passing = self._answer if blocked else self._pass
                    response = await self._surely(passing, request, call)
            except* ClientGone:
                await self._end(call, "interrupted" if self.stopping else "client_gone")
        except asyncio.CancelledError:  # the node stops
            with suppress(TimmyError):
                await self._end(call, "interrupted")
            raise
        except BaseExceptionGroup as group:
            raise _first(group) from None
        return response or web.Response(status=499, reason="Client Closed Request")

    async def _surely(
        self,
        passing: Callable[[web.Request, Call], Awaitable[web.StreamResponse]],
        request: web.Request,
        call: Call,
    ) -> web.StreamResponse:
        """Where we fail ourselves there is an end on record, and none in an answer that began."""
        try:
            return await passing(request, call)
        except (ClientGone, ConnectionError, TimmyError):
            raise
        except Exception as error:
            await self._end(call, "interrupted", "the proxy failed")
            if not call.opened:
                raise
            _log.error("an exchange failed", kind=type(error).__name__, at=_where(error))
            raise ClientGone from None
        finally:
            if call.opened and sys.exc_info()[0] is not None:
                cut(request)  # another answer's head would be taken for more of this one

    async def _end(self, call: Call, outcome: Outcome, reason: str | None = None) -> None:
        """Put the end on record, once."""
        if call.ended:
            return
        call.ended = True
        try:
            reply = _reply(call, outcome, reason)
            await self._recorder.reply(call.requested, reply)
        except StoreError:
            self._owes = True
            raise

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Give the crisis screen's fixed answer in the upstream's place."""
        spoken = Spoken(
            text=ANSWER,
            model=call.asked.model or "timmy",
            uid=entropy.token_hex(12),
            now_s=int(call.requested.ts_ms // 1000),
        )
        streams = call.asked.streamed
        kind = "text/event-stream" if streams else "application/json"
        whole = web.json_response(spoken.whole(call.kind)).body
        data = spoken.streamed(call.kind) if streams else bytes(whole or b"")  # type: ignore[arg-type]
        call.passage.begin(200, kind, "", None)
        call.passage.take(data, now_s())
        await self._end(call, "blocked")
        headers = {"Content-Type": kind, "Timmy-Proxy": "blocked"} | event_header(call)
        response = web.Response(body=data, headers=headers)
        await sent(response.prepare(request), self._bounds.idle_s)
        return response

    # ---- the upstream ----------------------------------------------------------------------------

    async def _pass(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Ask the upstream and give out what it says."""
        giving = Giving(request, call, self._bounds.idle_s)
        try:
            async with self._ask(request, call) as upstream:
                giving.begin(upstream)
                async for chunk in chunks(upstream, call.passage):
                    await giving.take(chunk)
        except ClientGone:
            raise
        except TooLarge:
            outcome: Outcome = "too_large"
            reason, status = f"more than {limits.PROXY_REPLY_BYTES_MAX} bytes", 502
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            outcome, reason, status = fault(error, begun=giving.begun)
        else:
            await giving.ending(self._end(call, "whole"))
            return await giving.finish()
        await giving.ending(self._end(call, outcome, reason))
        if giving.begun:
            return await giving.cut()
        upstream_name = call.target.upstream.name
        told = refusal(call.target.upstream.wire, status, f"upstream {upstream_name}: {reason}")
        told.headers.update(event_header(call))
        return told

    @asynccontextmanager
    async def _ask(self, request: web.Request, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = [*request_headers(request.headers.items()), ("Via", self._via)]
        whither = urlsplit(call.target.url)
        async with self._session.request(
            request.method,
            request.url.build(
                scheme=whither.scheme,
                authority=whither.netloc,
                path=whither.path,
                query_string=request.raw_path.partition("?")[2],
                encoded=True,  # as the client wrote it
            ),
            headers=headers,
            data=call.body if call.body or request.can_read_body else None,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=_EXCHANGE_S, sock_connect=_CONNECT_S, sock_read=self._bounds.idle_s
            ),
        ) as upstream:
            yield upstream

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._waiting


def refusal(wire: Wire, status: int, message: str, hint: str | None = None) -> web.Response:
    """Answer in our own name."""
    headers = {"Timmy-Proxy": "refused"} | ({"Retry-After": _RETRY_S} if status == 503 else {})
    return web.json_response(
        error_body(wire, status, f"timmy proxy: {message}", hint), status=status, headers=headers
    )


def _reply(call: Call, outcome: Outcome, reason: str | None) -> Reply:
    """What is recorded of it: where we cannot tell what passed, that it ended."""
    try:
        return call.passage.reply(outcome, call.secrets, now_s(), reason)
    except Exception as error:  # noqa: BLE001 - our bug must not leave it open
        _log.error("a reply was not read", kind=type(error).__name__, at=_where(error))
        return Reply(outcome=outcome, facts={}, read=Replied(), body=None)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _where(error: Exception) -> str:
    trace = error.__traceback__ or sys.exc_info()[2]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
