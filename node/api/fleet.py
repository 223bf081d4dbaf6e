"""The fleet over HTTP: what members and newcomers say, and what the operator asks.

    POST /fleet/join?after=N    a newcomer's request, signed; answers with manifests from N on
    POST /fleet/presence    a member's word about itself; answers with the number known here, and
                            one that was taken out with the manifests that say so
    POST /fleet/manifest    the next manifest; it proves itself
    POST /fleet/words?hops=N   a message of a gateway, and what became of it; answers with an
                            envelope. N: how often it was brought on by members it is not for
    POST /fleet/gossip      heads and proofs, to and fro, with members (NIP-98)
    POST /fleet/bus         a live word of a member, unless the fleet talks over a server
    GET  /v1/fleet?conversation=NAME   members, who is there, who waits; who answers there
    POST /v1/fleet {action, ...}   draft {url} of a first one; of the next one
                                   draft {add?, remove?, lead_s?, quorum?, needed?}
                                   take {manifest}
                                   approve {manifest: digest}
                                   invite {url?, relays?, roles, hours?}
                                   refuse {npub}

Those below /fleet need no token: each is signed, and refused if it is not. `take` adds this node's
own approval, because whoever has the token of its API speaks for it. What `take` and `approve`
answer has a `proposal` while other voters have to say yes, and null once the manifest holds.
"""

from collections.abc import Awaitable
from typing import Any, Final

from aiohttp import web

from ledger.core.errors import NotFound
from mesh.core.errors import MissingQuorum, Refused, RemovedMember
from mesh.core.fleet import gossip_wire, passing
from mesh.core.fleet.joining import REQUEST_BYTES_MAX
from mesh.core.fleet.manifest import MANIFEST_BYTES_MAX, ROLES, Fleet
from mesh.core.fleet.presence import BYTES_MAX
from mesh.fleet.bus import Live
from mesh.fleet.direct_bus import PLACE, DirectBus
from node.api.http import BadRequest, hex_bytes, json_answer, number, read_body, required
from node.api.witness import bounded
from node.config import public_key
from node.fleet import gossiping
from node.fleet.gossiping import Gossiping
from node.fleet.homing import Homing
from node.fleet.inviting import Inviting
from node.fleet.members import FleetNode
from node.fleet.members_shown import members_value
from node.fleet.parting import parting
from node.fleet.proposals import next_manifest, shown
from node.fleet.routing import Routing

PREFIX: Final = "/fleet/"
_LEAD_S_MAX: Final = 7 * 24 * 3600
"""Beyond a week an operator has mistyped."""


class FleetApi:
    """Handlers of one node."""

    def __init__(
        self,
        fleet: FleetNode,
        routing: Routing,
        homing: Homing,
        gossiping: Gossiping,
        live: Live,
        inviting: Inviting | None,
    ) -> None:
        self._fleet = fleet
        self._routing = routing
        self._homing = homing
        self._gossiping = gossiping
        self._live = live
        self._inviting = inviting

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.post(PREFIX + "join", self._join),
            web.post(PREFIX + "presence", self._presence),
            web.post(PREFIX + "manifest", self._manifest),
            web.post(PREFIX + "words", self._words),
            web.post(gossiping.PATH, self._gossip),
            web.post(PLACE, self._bus),
            web.get("/v1/fleet", self._show),
            web.post("/v1/fleet", self._act),
        ]

    async def _join(self, request: web.Request) -> web.Response:
        after = number(request.query.get("after", "0"), "after")
        chain = self._fleet.asked(await bounded(request, REQUEST_BYTES_MAX), after=after)
        return json_answer({"manifests": chain})

    async def _presence(self, request: web.Request) -> web.Response:
        data = await bounded(request, BYTES_MAX)
        try:
            return json_answer({"number": self._fleet.present(data)})
        except RemovedMember as error:
            parts = parting(self._fleet, data, error)
            return json_answer({"number": 0, "manifests": parts})

    async def _manifest(self, request: web.Request) -> web.Response:
        if self._fleet.fleet is None:
            raise NotFound("this node is of no fleet")
        fleet = await self._fleet.take(await bounded(request, MANIFEST_BYTES_MAX))
        return json_answer({"number": fleet.manifest.number})

    async def _words(self, request: web.Request) -> web.Response:
        hops = number(request.query.get("hops", "0"), "hops")
        data = await bounded(request, passing.BYTES_MAX)
        reply = await self._homing.asked(data, hops=hops)
        return web.Response(body=reply, content_type="application/json")

    async def _gossip(self, request: web.Request) -> web.Response:
        header = request.headers.get("Authorization", "")
        data = await bounded(request, gossip_wire.BYTES_MAX)
        return web.Response(
            body=await self._gossiping.answer(header, data),
            content_type="application/octet-stream",
        )

    async def _bus(self, request: web.Request) -> web.Response:
        if self._fleet.fleet is None or not isinstance(self._live, DirectBus):
            raise NotFound("nobody talks to this node directly", hint="mesh.bus.engine")
        return await self._live.handle(request)

    async def _show(self, request: web.Request) -> web.Response:
        found = members_value(self._fleet, request.query.get("conversation", ""))
        return json_answer(found | {"route": self._routing.value()})

    async def _act(self, request: web.Request) -> web.Response:
        body = await read_body(
            request, action=str, url=str, add=list, remove=list, manifest=str, roles=list,
            hours=int, npub=str, lead_s=int, relays=list, quorum=int, needed=int,
        )  # fmt: skip
        match required(body, "action"):
            case "draft":
                return json_answer({"manifest": await self._draft(body)})
            case "take":
                data = hex_bytes(required(body, "manifest"), "manifest")
                return await self._changed(self._fleet.take(data, approve=True))
            case "approve":
                digest = hex_bytes(required(body, "manifest"), "manifest")
                return await self._changed(self._fleet.approve(digest))
            case "invite":
                return json_answer({"token": await self._invite(body)})
            case "refuse":
                return json_answer(
                    {"refused": self._fleet.refuse(public_key(required(body, "npub"), "npub"))}
                )
            case action:
                raise BadRequest(
                    f"unknown action {action!r}", hint="draft, take, approve, invite or refuse"
                )

    async def _changed(self, change: Awaitable[Fleet]) -> web.Response:
        """The manifest that holds; or, if voters still have to say yes, the one that waits."""
        try:
            fleet = await change
        except MissingQuorum:
            known, waits = self._fleet.fleet, self._fleet.proposal
            if known is None or waits is None:  # another came to hold meanwhile
                raise
            found = shown(waits, known.manifest)
            return json_answer({"number": found["number"], "proposal": found})
        return json_answer({"number": fleet.manifest.number, "proposal": None})

    async def _draft(self, body: dict[str, Any]) -> bytes:
        fleet = self._fleet.fleet
        if fleet is None:
            if body.keys() & {"add", "remove", "quorum", "needed"}:
                raise Refused("this node is of no fleet", hint="timmy mesh found begins one")
            return self._fleet.draft(self._url(body)).encode()
        waiting = {one.ledger: one for one in self._fleet.waiting()}
        add = [
            _known(waiting, hex_bytes(one, "add"), "asks to join") for one in body.get("add", [])
        ]
        members = {one.ledger: one for one in fleet.manifest.members}
        gone = [hex_bytes(one, "remove") for one in body.get("remove", [])]
        remove = {_known(members, one, "is a member").ledger for one in gone}
        lead_s = body.get("lead_s")
        if lead_s is not None and not 0 <= lead_s <= _LEAD_S_MAX:
            raise BadRequest(f"lead_s is {lead_s}", hint=f"0 to {_LEAD_S_MAX}")
        wanted: dict[str, Any] = {
            "add": add, "remove": remove,
            "quorum": body.get("quorum"), "needed": body.get("needed"),
        }  # fmt: skip
        made = next_manifest(fleet.manifest, **wanted)
        if made == fleet.manifest.following():
            raise Refused("that is how it is", hint="timmy mesh members shows what holds")
        if made.electorate != fleet.manifest.electorate and self._fleet.vote is not None:
            mine = any(one.ledger == self._fleet.own.ledger for one in fleet.manifest.voters)
            alone = fleet.manifest.quorum <= mine
            since = await self._fleet.vote.since(lead_s, alone=alone)
            made = next_manifest(fleet.manifest, **wanted, since=since)
        return made.encode()

    async def _invite(self, body: dict[str, Any]) -> str:
        wanted = required(body, "roles")
        roles = tuple(role for role in ROLES if role in wanted)
        if len(roles) != len(wanted):
            raise BadRequest(f"unknown role among {wanted}", hint=f"known: {', '.join(ROLES)}")
        hours = body.get("hours", 24)
        if not 0 < hours <= 24 * 365:
            raise BadRequest(f"{hours} hours", hint="1 to 8760")
        if not (relays := body.get("relays")):
            return self._fleet.invite(self._url(body), roles, hours=hours).encode()
        if not all(isinstance(one, str) for one in relays) or self._inviting is None:
            raise BadRequest("relays are texts", hint='["wss://relay.example"]')
        url, named = str(body.get("url", "")), tuple(relays)
        return (await self._inviting.invite(url, roles, hours=hours, relays=named)).encode()

    def _url(self, body: dict[str, Any]) -> str:
        found = body.get("url") or (self._fleet.own.urls or ("",))[0]
        if not found:
            raise Refused("nobody knows how others reach this node", hint="--url http://HOST:PORT")
        return str(found)


def _known(table: dict[bytes, Any], ledger: bytes, what: str) -> Any:
    if ledger not in table:
        raise NotFound(f"no {ledger.hex()} {what}")
    return table[ledger]
