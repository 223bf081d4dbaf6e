"""The node's HTTP API: thin handlers over its parts. Loopback by default, a bearer token always.

    GET  /healthz                       200 while the node lives; no token
    GET  /metrics                       Prometheus
    GET  /v1/status  /v1/head
    GET  /v1/log?last=20&type=message   /v1/events/{position or id}   /v1/search?q=words
    POST /v1/say {text, conversation?, author?, key?, wait_s?, stream?, interrupt?}
    POST /v1/chat/completions           the same for clients of the OpenAI API; GET /v1/models
    POST /v1/hooks/{name}               a signed webhook; no token
    GET  /v1/gateways/{name}/answers    see node.api.gateways
    POST /v1/cancel {conversation?, author?}   stop what they wait for there
    GET  /v1/chain                      the models, first choice first
    POST /v1/chain/test   /v1/chain/safety {link}
    POST /v1/retell {message, tree?, models?, anew?, tools?, only_tools?, without_tools?}
                                       a recorded turn, otherwise
    POST /v1/memory {text, author?, key?, project?}
    GET  /v1/memories?last=20&kind=   /v1/memories?q=words   /v1/memories/{position}
    GET  /v1/skills  /v1/skills/{position}   POST to one of either {action}   see node.api.memory
    POST /v1/release {author}           in every conversation; one that is named changes nothing
    POST /v1/redact {positions, reason}
    POST /v1/soul {action, receipts?}   attest; {action, commit, name} tag
    POST /v1/anchor {action}            fund, open, now, bump, status, stamp, upgrade, return, close
    POST /v1/anchor {action, since?}    submit; {action} hand_in; {action, offer} delegate
    POST /v1/aggregate                  a submission (CBOR); no token, if aggregate.enabled
    GET  /v1/aggregate  /v1/aggregate/{ledger}?since=txid     likewise
    GET  /v1/architecture  /v1/patches  /v1/patches/{position}   what it is made of, proposals
    POST /v1/patch/{propose, comment, withdraw, judge}   see node.api.patches
    GET  /v1/lineage  POST /v1/lineage {action, ...}   and /lineage/: see node.api.children
    GET  /v1/patch/status   POST /v1/patch/{apply, rollback, follow}   see node.api.adopting
    POST /v1/fork {document, at?, task?, ...}   a successor tried, and told of: see node.api.forks
    GET  /v1/jobs  /v1/jobs/{name}  /v1/jobs/{name}/history?last=20   /v1/report
    GET  /v1/proxy                      where other agents' calls are recorded, and whose
    POST /v1/jobs {name, when, argv | say, ...}   /v1/jobs/{name} {action}   see node.api.jobs
    GET  /v1/tools  /v1/tools/{name}    DELETE /v1/tools/{name}   POST /v1/tools {name, url, ...}
    POST /v1/tools/{name}/call {arguments, conversation?}   see node.api.tools
    GET  /v1/artifacts   POST /v1/artifacts {type, digest}       what the agent and its peers made
    GET  /v1/tasks       POST /v1/tasks {to | able, text, due_s?}   work for other agents, reports
    GET  /v1/approvals   POST /v1/approvals/{event} {allow}   calls that wait for a yes
    GET  /v1/mcp                        MCP servers whose tools are used, how each is
    GET  /v1/mirrors                    copies of other ledgers, how each is
    GET  /v1/mesh/logs/{ledger}/...     logs for other nodes, signed: see mesh.mirrors.offering
    *    /mcp                           this node as an MCP server, if mcp_server.enabled
    GET  /v1/fleet   POST /v1/fleet {action, ...}   and /fleet/: see node.api.fleet
    GET  /v1/witness   POST /v1/witness {action}   and /witness/: see node.api.witness
    GET  /                              the embedded relay (websocket, NIP-11)
    GET  /.well-known/nostr.json        whose key the name is (NIP-05), where the relay is on

Errors are {"error", "hint"} with a status that fits: 400 a malformed request, 401, 404, 405, 409 a
known key with another message, 413, 422 well formed and refused, 507 disk full, 500 our fault.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ledger.core.checkpoint import SignedCheckpoint
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
from mesh.complaints import Complaints
from mesh.core import nip05
from mesh.core.errors import MissingQuorum, ReplayedManifest
from mesh.core.errors import StoreError as MeshStoreError
from mesh.mirrors import offering
from mesh.places import address_of, place_of
from node import console
from node.anchors.delegating import delegate, submission, take_back
from node.api import (
    aggregate,
    answers,
    bridge,
    children,
    fleet,
    gateways,
    jobs,
    memory,
    skins,
    tasks,
    witness,
)
from node.api.adopting import AdoptingApi
from node.api.aggregate import read_offer
from node.api.chain import ChainApi
from node.api.children import ChildrenApi
from node.api.fleet import FleetApi
from node.api.forks import ForksApi
from node.api.gateways import GatewayApi
from node.api.http import (
    BadRequest,
    hex_bytes,
    json_answer,
    number,
    read_body,
    refuse,
    required,
)
from node.api.mcp import McpEndpoint
from node.api.metrics import registry
from node.api.openai import OpenAiApi, openai_errors
from node.api.patches import PatchesApi
from node.api.rates import Rates
from node.api.talk import TalkApi
from node.api.tools import ToolsApi
from node.api.witness import WitnessApi
from node.assembly import Parts
from node.children.wiring import Kinship
from node.keeping import redacting
from runtime.core.limits import TEXT_BYTES_MAX

_BODY_BYTES_MAX = 4 * TEXT_BYTES_MAX
"""JSON may write one byte of text as six (\\u0000); four covers all but text made to be awkward."""
_WAIT_SECONDS_MAX = 3600
_ROWS_MAX = 1000
_MESH = (witness.PREFIX, fleet.PREFIX, children.PREFIX, f"{offering.PREFIX}/")
"""What other nodes say and ask: signed, and judged by that."""
_log = structlog.get_logger("node.api.app")

_CAUGHT_UP = "Timmy-Search-Caught-Up"
"""Header of an answer that does not know the newest events yet: `N of M`."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """Handlers of one node."""

    def __init__(
        self,
        parts: Parts,
        token: str,
        status: Callable[[], Awaitable[dict[str, Any]]],
        mcp: McpEndpoint,
        kinship: Kinship,
    ) -> None:
        self._mcp = mcp
        self._kinship = kinship
        self._parts = parts
        self._token = token
        self._status = status
        self._registry = registry(self._readings)
        self._refused = {
            known: Complaints(log=_log, what="a peer is refused") for known in (True, False)
        }
        """What is said of members' and peers' addresses, and apart from them of all others."""
        self._rates = Rates(clock=time.monotonic, members=parts.known_addresses)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(
            middlewares=[openai_errors, self._rates.middleware, self._guard],
            client_max_size=_BODY_BYTES_MAX,
        )
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.get("/v1/status", self._get_status),
                web.get("/v1/head", self._head),
                web.get("/v1/proxy", self._proxy),
                web.get("/v1/log", self._log_rows),
                web.get("/v1/events/{reference}", self._event),
                web.get("/v1/search", self._search),
                web.post("/v1/redact", self._redact),
                web.post("/v1/anchor", self._anchor),
                web.post("/v1/soul", self._soul),
            ]
        )
        app.add_routes(TalkApi(self._parts).routes())
        app.add_routes(ChainApi(self._parts).routes())
        mind = self._parts.mind
        app.add_routes(ToolsApi(mind.tooling, mind.registered).routes())
        app.add_routes(OpenAiApi(self._parts).routes())
        app.add_routes(jobs.routes(self._parts.scheduling))
        app.add_routes(memory.routes(self._parts))
        app.add_routes(skins.routes(self._parts))
        parts = self._parts
        adopting = parts.adopting, parts.constitution, parts.stages
        app.add_routes(AdoptingApi(*adopting, parts.config.adoption).routes())
        app.add_routes(PatchesApi(self._parts.patching).routes())
        app.add_routes(
            answers.routes(parts.patching, parts.approval, parts.stages.approval.standing)
        )
        app.add_routes(ForksApi(self._parts).routes())
        app.add_routes(bridge.routes(self._parts))
        app.add_routes(ChildrenApi(self._kinship).routes())
        app.add_routes(tasks.routes(self._parts))
        talks = parts.routing, parts.homing, parts.gossiping, parts.duty.live
        app.add_routes(FleetApi(parts.fleet, *talks, parts.telling.inviting).routes())
        app.add_routes(WitnessApi(self._parts.witnessing, self._parts.witnessed).routes())
        hooks = GatewayApi(parts.hooks, parts.gateway, parts.scheduling.book, parts.post.outbox)
        app.add_routes(hooks.routes())
        app.add_routes([web.get("/v1/mcp", self._mcp_servers), *self._mcp.routes()])
        app.add_routes([web.get("/v1/mirrors", self._mirrors)])
        app.add_routes(parts.mirroring.offering().routes())
        if self._parts.aggregating is not None:
            app.add_routes(aggregate.routes(self._parts.aggregating))
        if self._parts.relay is not None:
            app.router.add_route("*", "/", self._parts.relay.handle)
            app.router.add_get(nip05.PATH, self._parts.relay.handle_name)
        return app

    # ---- around every handler -----------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._open_to_all(request.path) and not self._authorised(request):
            return refuse(401, "a bearer token is needed", "it is in <home>/token")
        if (request.content_length or 0) > _BODY_BYTES_MAX:
            return _too_large(f"{request.content_length} bytes")
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return _too_large(f"more than {_BODY_BYTES_MAX} bytes")
        except web.HTTPException as error:
            return refuse(error.status, error.reason.lower())
        except TimmyError as error:
            self._note_refusal(request, error)
            return refuse(_status_of(error), str(error), error.hint)
        except ConnectionError:  # the client is gone, and aiohttp knows what to do
            raise
        except Exception:  # noqa: BLE001 - our bug must not look like the caller's fault
            _log.exception("request failed", path=request.path)
            return refuse(500, "the node failed to answer", "see <home>/logs/node.log")

    def _note_refusal(self, request: web.Request, error: TimmyError) -> None:
        """Log what another node was refused, each reason once; members and strangers apart."""
        if not request.path.startswith(_MESH):
            return
        address = "" if request.transport is None else address_of(request.transport)
        known, why = address in self._parts.known_addresses(), str(error)
        self._refused[known].of(
            address if known else place_of(address),
            why,
            kind=f"{request.path}: {why}",
            usual=isinstance(error, ReplayedManifest | MissingQuorum),
            path=request.path,
        )

    def _open_to_all(self, path: str) -> bool:
        """What needs no token: a note's signature is what a submission is judged by."""
        offers = self._parts.aggregating is not None and path.startswith("/v1/aggregate")
        prefixes = (gateways.PREFIX, *_MESH)
        return path in {"/", "/healthz", nip05.PATH} or offers or path.startswith(prefixes)

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
            "route_waiting": (
                "Messages that wait for an answer of another member",
                len(parts.routing.forwarding.parked()),
            ),
            "route_duplicates": (
                "Second answers that were made behind a cut link",
                parts.routing.forwarding.duplicates()[0],
            ),
            "holds": ("Authors the crisis screen holds", len(turns.holds)),
            **self._parts.scheduling.readings(),
            "agent_lives": ("Agent processes started", parts.mind.host.lives),
            "relay_connections": (
                "Clients of the embedded relay",
                parts.relay.connections if parts.relay else 0,
            ),
            "requests_refused": (
                "Requests that an address made beyond its number, and was refused",
                self._rates.refused,
            ),
            "search_behind": ("Events that search does not know yet", self._behind()),
            "self_check_failed": (
                "Whether the last reading of the whole ledger found damage",
                float(parts.watch.last is not None and not parts.watch.last.good),
            ),
            "clock_behind_ms": ("How far the clock went back", parts.log.clock_behind_ms),
        }

    def _behind(self) -> int:
        try:
            return self._parts.views.behind
        except StoreError:  # made anew by whoever uses it next
            return self._parts.log.size

    async def _get_status(self, _request: web.Request) -> web.Response:
        return json_answer(await self._status() | {"requests_refused": self._rates.refused})

    async def _proxy(self, _request: web.Request) -> web.Response:
        proxying = self._parts.proxying
        return json_answer(None if proxying is None else proxying.summary())

    async def _mcp_servers(self, _request: web.Request) -> web.Response:
        return json_answer(self._parts.mcp.rows())

    async def _mirrors(self, _request: web.Request) -> web.Response:
        return json_answer(self._parts.mirroring.rows())

    async def _head(self, _request: web.Request) -> web.Response:
        await self._parts.broadcast.step()
        head = self._parts.release.newest
        return json_answer(
            {
                "size": head.size,
                "root": head.root,
                "origin": head.checkpoint.origin,
                "note": self._noted(head).encode().decode(),
                "witnessed": self._parts.witnessed.value(),
            }
        )

    def _noted(self, head: SignedCheckpoint) -> SignedCheckpoint:
        """The head with the lines of its witnesses, if it is the one that they cosigned."""
        newest = self._parts.witnessed.newest
        same = newest is not None and newest.checkpoint == head.checkpoint
        return newest if newest is not None and same else head

    async def _log_rows(self, request: web.Request) -> web.Response:
        last = min(number(request.query.get("last", "20"), "last"), _ROWS_MAX)
        prefix = request.query.get("type", "")
        start = request.query.get("from")
        rows: list[Event] = []
        if start is not None:
            for event in self._parts.log.events(number(start, "from")):
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
        return json_answer([console.row(event) for event in rows])

    async def _event(self, request: web.Request) -> web.Response:
        self._catch_up()
        return json_answer(console.row(self._parts.views.resolve(request.match_info["reference"])))

    async def _search(self, request: web.Request) -> web.Response:
        self._catch_up()
        limit = number(request.query.get("limit", "20"), "limit")
        views = self._parts.views
        hits = views.search(request.query.get("q", ""), limit=limit)
        found = json_answer(
            [
                console.row(self._parts.log.read(hit.position)) | {"snippet": hit.snippet}
                for hit in hits
            ]
        )
        if views.behind:
            found.headers[_CAUGHT_UP] = f"{views.size} of {self._parts.log.size}"
        return found

    # ---- doing ----------------------------------------------------------------------------------

    async def _redact(self, request: web.Request) -> web.Response:
        body = await read_body(request, positions=list, reason=str)
        positions = required(body, "positions")
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
        return json_answer(
            console.row(event)
            | {
                "targets": list(asked.targets),
                "already": {str(at): by for at, by in asked.already.items()},
                "finished": await self._erased(positions),
                "not_reached": redacting.NOT_REACHED,
            }
        )

    async def _erased(self, positions: list[int]) -> bool:
        """Finish what redactions of these began; False if readers are still in the way."""
        log, views = self._parts.log, self._parts.views
        try:
            await redacting.purge(views)  # one that runs holds erasing back
            await asyncio.to_thread(views.erase, positions)
            purged = await redacting.purge(views)
            purged &= await self._parts.post.wraps.settle()
            return await asyncio.to_thread(log.finish_erasing) and purged
        except (StoreError, MeshStoreError):  # erased it is; the rest the node does when it can
            return False

    async def _anchor(self, request: web.Request) -> web.Response:
        body = await read_body(request, action=str, since=int, offer=str)
        anchoring, stamping = self._parts.anchoring, self._parts.stamping
        actions: dict[str, Callable[[], Awaitable[dict[str, Any] | None]]] = {
            "fund": anchoring.fund,
            "status": anchoring.advance,
            "open": anchoring.open,
            "now": anchoring.now,
            "bump": anchoring.bump,
            "stamp": stamping.now,
            "upgrade": stamping.upgrade,
            "return": lambda: take_back(anchoring),
            "submit": lambda: self._submit(body),
            "delegate": lambda: self._delegate(body),
            "close": self._close_round,
            "hand_in": self._hand_in,
        }
        action = actions.get(required(body, "action"))
        if action is None:
            raise BadRequest(f"unknown action {body['action']!r}", hint=", ".join(actions))
        found = await action() or {}
        return json_answer(found | await stamping.show())

    async def _soul(self, request: web.Request) -> web.Response:
        body = await read_body(request, action=str, commit=str, name=str, receipts=list)
        souls = self._parts.souls
        match required(body, "action"):
            case "attest":
                receipts = [hex_bytes(given, "receipts") for given in body.get("receipts", [])]
                return json_answer(await souls.attest(receipts))
            case "tag":
                return json_answer(
                    await souls.tag(required(body, "commit"), required(body, "name"))
                )
        raise BadRequest(f"unknown action {body['action']!r}", hint="attest, tag")

    async def _submit(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"submission": await submission(self._parts.anchoring, body.get("since", 0))}

    async def _delegate(self, body: dict[str, Any]) -> dict[str, Any]:
        offer = read_offer(hex_bytes(required(body, "offer"), "offer"))
        return await delegate(self._parts.anchoring, offer)

    async def _close_round(self) -> dict[str, Any]:
        if self._parts.aggregating is None:
            raise Refused("this node aggregates nothing", hint="set aggregate.enabled in node.toml")
        return await self._parts.aggregating.close()

    async def _hand_in(self) -> dict[str, Any]:
        if self._parts.handing_in is None:
            raise Refused(
                "no aggregator is configured",
                hint="-o FILE writes it down; or name one in node.toml: aggregate.submit_to",
            )
        return await self._parts.handing_in.now()


def _status_of(error: TimmyError) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, IdempotencyConflict):
        return 409
    if isinstance(error, StoreFull):
        return 507
    return 400 if isinstance(error, BadRequest | InvalidData | Refused) else 422


def _too_large(size: str) -> web.Response:
    return refuse(
        413,
        f"request of {size}, at most {_BODY_BYTES_MAX}",
        f"one message has at most {TEXT_BYTES_MAX} bytes: send it in parts",
    )
