"""Witnesses over HTTP: what C2SP defines, open to all and bounded; and the operator's questions.

    POST /witness/add-checkpoint              a head, as c2sp.org/tlog-witness has it
    POST /witness/introduction/{ledger}       a file that shows who a log is (docs/spec/witness.md)
    POST /witness/equivocation                a proof that a log signed two histories
    GET  /witness/equivocation/{ledger}/{epoch}   such a proof, if one is known
    GET  /witness/head/{ledger}               the newest head it cosigned, cosigned now
    GET  /witness/key                         this witness' verifier key
    GET  /v1/witness                          who is asked, who asks, what is frozen
    POST /v1/witness {action}                 ask now; vouch in the place of a witness

Those below /witness need no token: what a head is worth, its signature says. They are there only
while this node is a witness (witness.enabled, or the role in its fleet); but proofs are taken and
given by every node, of the logs that it follows.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from ledger.core.cosignature import log_key
from ledger.core.errors import NotFound, Refused
from mesh.core.errors import InvalidIntroduction, InvalidRequest
from mesh.core.witnesses.add_checkpoint import PATH, REQUEST_BYTES_MAX, SIZE_TYPE
from mesh.core.witnesses.witness import Answer
from mesh.witnesses.witness import INTRODUCTION_BYTES_MAX
from node.api.http import BadRequest, json_answer, number, read_body, required
from node.fleet.witnessed import Witnessed, log_ed25519
from node.fleet.witnessing import PROOF_BYTES_MAX, Witnessing

PREFIX: Final = "/witness/"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ID: Final = re.compile(r"[0-9a-f]{64}")


class WitnessApi:
    """Handlers of one node; either part may be missing."""

    def __init__(self, witnessing: Witnessing, witnessed: Witnessed) -> None:
        self._witnessing = witnessing
        self._witnessed = witnessed

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/v1/witness", self._show),
            web.post("/v1/witness", self._act),
            web.post(f"{PREFIX}{PATH}", self._if_on(self._add_checkpoint)),
            web.post(PREFIX + "introduction/{ledger}", self._if_on(self._introduction)),
            web.post(PREFIX + "equivocation", self._hear),
            web.get(PREFIX + "equivocation/{ledger}/{epoch}", self._proof),
            web.get(PREFIX + "head/{ledger}", self._if_on(self._newest)),
            web.get(PREFIX + "key", self._if_on(self._key)),
        ]

    def _if_on(self, handler: Handler) -> Handler:
        """What is there only while this node is a witness."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self._witnessing.on():
                raise web.HTTPNotFound
            return await handler(request)

        return guarded

    async def _add_checkpoint(self, request: web.Request) -> web.Response:
        data = await bounded(request, REQUEST_BYTES_MAX)
        reply = await self._witnessing.add_checkpoint(data)
        stale = reply.verdict.answer is Answer.STALE
        return web.Response(
            status=reply.verdict.answer.status,
            body=reply.body.encode(),
            content_type=SIZE_TYPE if stale else "text/plain",
        )

    async def _introduction(self, request: web.Request) -> web.Response:
        data = await bounded(request, INTRODUCTION_BYTES_MAX)
        lineage = await self._witnessing.introduction(_ledger(request), data)
        return json_answer({"epoch": lineage.epoch, "tenures": len(lineage.tenures)})

    async def _hear(self, request: web.Request) -> web.Response:
        frozen = await self._witnessing.hear_stranger(await bounded(request, PROOF_BYTES_MAX))
        return json_answer(
            {"ledger": frozen.ledger_id, "epoch": frozen.epoch, "sha256": frozen.digest}
        )

    async def _proof(self, request: web.Request) -> web.Response:
        place = (_ledger(request), number(request.match_info["epoch"], "epoch"))
        for one in self._witnessing.file.frozen():
            if (one.ledger_id, one.epoch) == place:
                return web.Response(body=one.proof, content_type="application/octet-stream")
        raise NotFound("no two histories of that log and epoch are known here")

    async def _newest(self, request: web.Request) -> web.Response:
        found = self._witnessing.cosigner.newest(_ledger(request))
        if found is None:
            raise NotFound("no head of that log is cosigned here, or it signed two histories")
        return web.Response(body=found, content_type="text/plain")

    async def _key(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._witnessing.cosigner.witness.encode() + "\n")

    async def _show(self, _request: web.Request) -> web.Response:
        return json_answer(self.value())

    def value(self) -> dict[str, Any]:
        """What `timmy mesh witness` shows. `log`: by what a public witness knows this log."""
        release = self._witnessed.release
        origin = release.newest.checkpoint.origin
        key = log_key(origin, log_ed25519(release).public)
        return {
            "log": {"origin": origin, "key": key},
            "witness": self._witnessing.value() if self._witnessing.on() else None,
            "witnessed": self._witnessed.value(),
        }

    async def _act(self, request: web.Request) -> web.Response:
        body = await read_body(request, action=str)
        action = required(body, "action")
        if action not in {"ask", "vouch"}:
            raise BadRequest(f"unknown action {action!r}", hint="ask or vouch")
        if not self._witnessed.asked and not self._witnessed.release.held:
            raise Refused(
                "no witness is asked: nothing waits for one",
                hint="name some in node.toml, under [witness]",
            )
        if action == "vouch":
            await self._witnessed.vouch()
        else:
            await self._witnessed.ask_now()
        return json_answer(self.value())


async def bounded(request: web.Request, bytes_max: int) -> bytes:
    """Read a body up to a bound. Raises InvalidRequest."""
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > bytes_max:
            raise InvalidRequest(f"more than {bytes_max} bytes")
    return bytes(data)


def _ledger(request: web.Request) -> bytes:
    text = request.match_info["ledger"]
    if _ID.fullmatch(text) is None:
        raise InvalidIntroduction(f"{text[:80]!r} is not a ledger id of 64 hex digits")
    return bytes.fromhex(text)
