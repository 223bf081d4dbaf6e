"""A client of an aggregator: another agent's node, which takes heads for its next round.

    GET  <aggregator>/v1/aggregate/<ledger>   the size of the head that it has of a ledger
    POST <aggregator>/v1/aggregate            a submission (docs/spec/aggregate.md, "Handing in")

What it answers is bounded, carries no trust and only decides what is sent next: a size that is not
true makes a submission that it does not take. Not covered: retries, which `node.anchors.handing_in`
has, and receipts, which are handed out as files.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from attest.core import limits
from attest.core.errors import AggregatorRefused, AggregatorUnreachable
from attest.verify.plain import one_line

_WORDS_MAX: Final = 300
"""Of a refusal's words so much is shown: an error and a hint of ours are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorClient:
    """One aggregator. Its methods raise AggregatorError."""

    url: str
    session: aiohttp.ClientSession

    async def known(self, ledger: bytes) -> int:
        """How many events the head has that it knows of a ledger; 0 for none."""
        status, found = await self._exchange("GET", f"/v1/aggregate/{ledger.hex()}", None)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return 0  # it never heard of this ledger
        size = self._taken(status, found).get("size")
        if size is None:
            return 0  # it knows it from a delegation only
        if type(size) is not int or size < 0:
            raise AggregatorRefused(f"{self.url} answers with no size")
        return size

    async def submit(self, data: bytes) -> int:
        """Hand in a submission; returns the size of the head that it has now."""
        status, found = await self._exchange("POST", "/v1/aggregate", data)
        size = self._taken(status, found).get("size")
        if type(size) is not int:
            raise AggregatorRefused(f"{self.url} answers with no size")
        return size

    def _taken(self, status: int, found: Any) -> dict[str, Any]:
        said = found if isinstance(found, dict) else {}
        if status != HTTPStatus.OK:
            words = one_line(str(said.get("error", "no reason given"))[:_WORDS_MAX])
            raise AggregatorRefused(f"{self.url} answers {status}: {words}")
        return said

    async def _exchange(self, method: str, path: str, data: bytes | None) -> tuple[int, Any]:
        timeout = aiohttp.ClientTimeout(total=limits.AGGREGATOR_ANSWER_S)
        try:
            async with self.session.request(
                method, self.url + path, data=data, timeout=timeout, allow_redirects=False
            ) as response:
                body = await _read(response)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AggregatorUnreachable(
                f"no answer from {self.url}: {type(error).__name__}"
            ) from error
        try:
            return status, json.loads(body)
        except (ValueError, RecursionError):
            return status, None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limits.AGGREGATOR_ANSWER_BYTES_MAX:
            raise AggregatorRefused(f"an answer over {limits.AGGREGATOR_ANSWER_BYTES_MAX} bytes")
    return bytes(body)
