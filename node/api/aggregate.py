"""The aggregator's part of the HTTP API: open to everybody, bounded, and only if it is on.

    POST /v1/aggregate                   a submission, CBOR as docs/spec/aggregate.md has it
    GET  /v1/aggregate                   what waits, and the seal that may be delegated to
    GET  /v1/aggregate/{ledger}          {ledger, size, waiting, receipt}: its newest slot
    GET  /v1/aggregate/{ledger}?since=   every link after the transaction with this id; `ended` is
                                         the kind of our own link that ended them, or null

Bytes are hex; a receipt is what `timmy prove --receipt` reads. Refusals are as in node.api.app.
"""

import re
from typing import Final

from aiohttp import web

from attest.core import limits
from attest.core.delegation import Delegation
from attest.core.errors import InvalidProof, InvalidRecord, InvalidSubmission
from attest.verify.plain import jsonable
from ledger.core.codec import decode
from ledger.core.errors import InvalidData, Refused
from node.anchors.aggregating import Aggregating

_ID: Final = re.compile(r"[0-9a-f]{64}")
_OFFER_BYTES_MAX: Final = 4096
"""An offer is 250 bytes."""


def routes(aggregating: Aggregating) -> list[web.RouteDef]:
    """The routes of a node that aggregates."""

    async def add(request: web.Request) -> web.Response:
        if (request.content_length or 0) > limits.SUBMISSION_BYTES_MAX:
            raise InvalidSubmission(
                f"{request.content_length} bytes, at most {limits.SUBMISSION_BYTES_MAX} "
                "are a submission"
            )
        return _json(await aggregating.add(await request.read()))

    async def status(_request: web.Request) -> web.Response:
        return _json(aggregating.status())

    async def standing(request: web.Request) -> web.Response:
        ledger = _id(request.match_info["ledger"], "ledger")
        since = request.query.get("since")
        txid = None if since is None else _id(since, "since")[::-1]
        return _json(await aggregating.standing(ledger, txid))

    return [
        web.post("/v1/aggregate", add),
        web.get("/v1/aggregate", status),
        web.get("/v1/aggregate/{ledger}", standing),
    ]


def read_offer(data: bytes) -> Delegation:
    """Read what an aggregator offers. Raises Refused."""
    try:
        return Delegation.from_value(decode(data, bytes_max=_OFFER_BYTES_MAX))
    except (InvalidData, InvalidProof) as error:
        raise Refused(
            f"not an offer: {error}", hint="timmy aggregate offer writes one, at the aggregator"
        ) from error


def _id(text: str, name: str) -> bytes:
    if _ID.fullmatch(text) is None:
        raise InvalidRecord(f"{name} is not 64 digits of hex: {text[:80]!r}")
    return bytes.fromhex(text)


def _json(value: object) -> web.Response:
    return web.json_response(jsonable(value))
