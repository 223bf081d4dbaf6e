"""A JSON-RPC client for Bitcoin Core (v30 and later) with the calls an anchorer needs.

Tolerance is deliberate: nodes differ in what they say about a transaction they already have, and
`confirmations` of a stale block is reported in two ways, so nothing is ever decided on it. What
counts is which block hash stands at which height, and whether a txid is in the mempool.

Credentials come from a file (Core's cookie, or `user:password` with mode 0600), are read when they
are needed, again once after a refusal (the cookie changes with every start of the node), and appear
in no message. Nothing here retries anything else: the caller's next round does.

Not covered: TLS to remote nodes beyond what the URL says, wallets (we use none), ZMQ.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from attest.core import limits
from attest.core.errors import (
    AttestError,
    InvalidAnswer,
    NodeOnWrongNetwork,
    NodeUnauthorised,
    NodeUnreachable,
    NodeWarmingUp,
    RpcError,
)
from attest.core.header import Network
from attest.core.seal import Coin
from attest.core.transaction import HASH_BYTES, OutPoint, TxOut, display

COOKIE_NAME: Final = ".cookie"
_GROUP_AND_OTHERS: Final = 0o077
_SAT_PER_BTC: Final = 100_000_000

RPC_NOT_FOUND: Final = -5  # RPC_INVALID_ADDRESS_OR_KEY: no such block, no such transaction
RPC_OUT_OF_RANGE: Final = -8  # RPC_INVALID_PARAMETER: also a height beyond the tip
RPC_ALREADY_IN_CHAIN: Final = -27  # RPC_VERIFY_ALREADY_IN_UTXO_SET
RPC_WARMING_UP: Final = -28  # RPC_IN_WARMUP
RPC_METHOD_NOT_FOUND: Final = -32601


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """The end of the node's best chain."""

    height: int
    block_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A node and its tip at the moment a round of work began."""

    node: "Bitcoind"
    tip: Tip


class Bitcoind:
    """One node. Use as an async context manager; safe for concurrent calls.

    Every method raises NodeUnreachable, NodeUnauthorised, NodeWarmingUp, InvalidAnswer or
    RpcError; the documented exceptions to that are in the methods.
    """

    def __init__(self, *, url: str, credentials: Path, network: Network) -> None:
        """`url` is like http://127.0.0.1:8332, without user or password."""
        if not url.startswith(("http://", "https://")) or "@" in url:
            raise NodeUnauthorised(
                "the node's address must be an http URL without user and password",
                hint="put user:password into a file of mode 0600 and name that file",
            )
        self.network = network
        self._url = url
        self._credentials = credentials
        self._authorization: str | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=limits.RPC_TIMEOUT_S),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ---- the chain -----------------------------------------------------------------------------

    async def tip(self) -> Tip:
        """The best block. Raises NodeOnWrongNetwork if the node follows another chain.

        One that is still catching up is warming up: in its view our links are in no block.
        Regtest says so of itself for as long as nobody mined today, and is believed.
        """
        info = _mapping(await self.call("getblockchaininfo"))
        if info.get("chain") != self.network.core_name:
            raise NodeOnWrongNetwork(
                f"the node is on {info.get('chain')!r}, expected {self.network.core_name!r}",
                hint="set network in node.toml, or point it at another node",
            )
        tip = Tip(height=_integer(info.get("blocks")), block_hash=_hash(info.get("bestblockhash")))
        if self.network.retargets and info.get("initialblockdownload") is True:
            raise NodeWarmingUp(
                f"the node is catching up, and is at block {tip.height}",
                hint="wait until its initial block download is done: nothing is lost",
            )
        return tip

    async def view(self) -> View:
        """This node with its tip of now. Raises NodeOnWrongNetwork."""
        return View(node=self, tip=await self.tip())

    async def block_hash(self, height: int) -> bytes | None:
        """The hash of the block at `height` of the best chain, or None beyond the tip."""
        try:
            return _hash(await self.call("getblockhash", height))
        except RpcError as error:
            if error.code == RPC_OUT_OF_RANGE:
                return None
            raise

    async def block_hashes(self, heights: Sequence[int]) -> list[bytes]:
        """Hashes of the best chain's blocks at these heights, in one request."""
        return [_hash(a) for a in await self._batch("getblockhash", [[h] for h in heights])]

    async def block_txids(self, block_hash: bytes) -> list[bytes]:
        """The block's txids in their order (getblock, verbosity 1)."""
        block = _mapping(await self.call("getblock", display(block_hash), 1))
        return [_hash(txid) for txid in _sequence(block.get("tx"))]

    async def headers(self, block_hashes: Sequence[bytes]) -> list[bytes]:
        """The raw 80-byte headers of these blocks, in one request."""
        calls = [[display(block_hash), False] for block_hash in block_hashes]
        return [_bytes(answer) for answer in await self._batch("getblockheader", calls)]

    # ---- transactions --------------------------------------------------------------------------

    async def send(self, raw: bytes) -> None:
        """Offer a transaction to the mempool; one the node already has is no error.

        Raises RpcError when the node refuses it.
        """
        try:
            await self.call("sendrawtransaction", raw.hex())
        except RpcError as error:
            known = "already-in-mempool" in str(error) or "already-known" in str(error)
            if error.code != RPC_ALREADY_IN_CHAIN and not known:
                raise

    async def in_mempool(self, txid: bytes) -> bool:
        """Tell whether the transaction waits in the node's mempool."""
        try:
            await self.call("getmempoolentry", display(txid))
        except RpcError as error:
            if error.code == RPC_NOT_FOUND:
                return False
            raise
        return True

    async def unspent(self, outpoint: OutPoint, *, confirmed: bool = False) -> TxOut | None:
        """The output if neither a block nor the mempool spends it, else None.

        With `confirmed` the mempool is not looked at: the output is in a block.
        """
        place = (display(outpoint.txid), outpoint.index)
        answer = await self.call("gettxout", *place, *((False,) if confirmed else ()))
        return None if answer is None else _output(_mapping(answer))

    async def coins(self, script: bytes, *, height: int) -> list[Coin]:
        """Confirmed, mature coins of a script, by a scan of the node's UTXO set.

        Minutes on mainnet. `height` is the tip's: coinbases younger than maturity are left out.
        """
        answer = await self.call(
            "scantxoutset", "start", [f"raw({script.hex()})"], timeout_s=limits.SCAN_TIMEOUT_S
        )
        coins = []
        for entry in map(_mapping, _sequence(_mapping(answer).get("unspents"))):
            depth = height - _integer(entry.get("height")) + 1
            if entry.get("coinbase", False) and depth < limits.COINBASE_MATURITY_BLOCKS:
                continue
            outpoint = OutPoint(txid=_hash(entry.get("txid")), index=_integer(entry.get("vout")))
            value_sat = _satoshi(entry.get("amount"))
            coins.append(Coin(outpoint=outpoint, output=TxOut(value_sat=value_sat, script=script)))
        return coins

    # ---- fees ----------------------------------------------------------------------------------

    async def feerate(self, blocks: int) -> int | None:
        """The estimated feerate in sat/kvB to confirm within `blocks`, None if unknown."""
        estimate = _mapping(await self.call("estimatesmartfee", blocks))
        answer = estimate.get("feerate")
        return None if answer is None else _satoshi(answer)

    async def feerate_min(self) -> int:
        """The feerate in sat/kvB below which the mempool takes nothing now."""
        return _satoshi(_mapping(await self.call("getmempoolinfo")).get("mempoolminfee"))

    # ---- the wire ------------------------------------------------------------------------------

    async def call(
        self, method: str, *parameters: Any, timeout_s: float = limits.RPC_TIMEOUT_S
    ) -> Any:
        """Make one call and return its decoded result; decimals arrive as Decimal."""
        request = {"jsonrpc": "1.0", "id": 0, "method": method, "params": parameters}
        return _result(method, await self._post(request, timeout_s))

    async def _batch(self, method: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        results: list[Any] = []
        for start in range(0, len(calls), limits.RPC_BATCH_CALLS_MAX):
            part = calls[start : start + limits.RPC_BATCH_CALLS_MAX]
            requests = [
                {"jsonrpc": "1.0", "id": number, "method": method, "params": parameters}
                for number, parameters in enumerate(part)
            ]
            answers = _sequence(await self._post(requests, limits.RPC_TIMEOUT_S))
            by_id = {_mapping(answer).get("id"): answer for answer in answers}
            if by_id.keys() != set(range(len(part))):
                raise InvalidAnswer(f"{method}: {len(answers)} answers to {len(part)} calls")
            results.extend(_result(method, by_id[number]) for number in range(len(part)))
        return results

    async def _post(self, request: Any, timeout_s: float) -> Any:
        status, body = await self._exchange(request, timeout_s)
        if status == 401:
            self._authorization = None  # a restarted node has a new cookie
            status, body = await self._exchange(request, timeout_s)
        if status in {401, 403}:
            raise NodeUnauthorised(
                f"the node refuses our credentials (HTTP {status})",
                hint=f"check {self._credentials} and the node's rpcallowip",
            )
        try:
            return json.loads(body, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise InvalidAnswer(f"HTTP {status} with a body that is not JSON") from error

    async def _exchange(self, request: Any, timeout_s: float) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("Bitcoind is used outside its context")
        if self._authorization is None:
            self._authorization = read_credentials(self._credentials)
        try:
            async with self._session.post(
                self._url,
                json=request,
                headers={"Authorization": self._authorization},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                return response.status, await _read(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeUnreachable(
                f"no answer from {self._url}: {type(error).__name__}",
                hint="is bitcoind running, with server=1?",
            ) from error


def read_credentials(path: Path) -> str:
    """Return the Authorization header from a cookie or `user:password` file.

    Raises NodeUnauthorised if the file is missing, too long, malformed, or (unless it is the
    node's own cookie, whose mode is the node's business) readable by others.
    """
    try:
        if path.name != COOKIE_NAME and path.stat().st_mode & _GROUP_AND_OTHERS:
            raise NodeUnauthorised(f"{path} is readable by others", hint=f"chmod 600 {path}")
        with path.open("rb") as file:
            text = file.read(limits.CREDENTIALS_BYTES_MAX + 1).strip()
    except OSError as error:
        raise NodeUnauthorised(
            f"cannot read {path}: {error.strerror}", hint="is the node running, is the path right?"
        ) from error
    if len(text) > limits.CREDENTIALS_BYTES_MAX or b":" not in text or b"\n" in text:
        raise NodeUnauthorised(f"{path} is not one line of user:password")
    return "Basic " + base64.b64encode(text).decode()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limits.RPC_ANSWER_BYTES_MAX:
            raise InvalidAnswer(f"an answer over {limits.RPC_ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _result(method: str, answer: Any) -> Any:
    error = _mapping(answer).get("error")
    if error is None:
        if "result" not in answer:
            raise InvalidAnswer(f"{method}: neither result nor error")
        return answer["result"]
    code, message = _mapping(error).get("code"), _mapping(error).get("message")
    if not isinstance(code, int) or not isinstance(message, str):
        raise InvalidAnswer(f"{method}: an error without code or message")
    # One line: a second could pretend to be our own message.
    line = " ".join(message.split())[:300]
    if code == RPC_WARMING_UP:
        raise NodeWarmingUp(f"the node is starting: {line}")
    raise RpcError(method, code, line)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidAnswer(f"{type(value).__name__} where an object belongs")
    return value


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidAnswer(f"{type(value).__name__} where a list belongs")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidAnswer(f"{value!r} where a count belongs")
    return value


def _bytes(value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError) as error:
        raise InvalidAnswer(f"{type(value).__name__} where hex belongs") from error


def _hash(value: Any) -> bytes:
    digest = _bytes(value)[::-1]
    if len(digest) != HASH_BYTES:
        raise InvalidAnswer(f"a hash of {len(digest)} bytes")
    return digest


def _satoshi(value: Any) -> int:
    """An amount in BTC, or a feerate in BTC/kvB, in satoshis: exact, rounded up beyond 8 digits."""
    try:
        amount = Decimal(value) * _SAT_PER_BTC
        rounded = int(amount.to_integral_value(rounding="ROUND_CEILING"))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InvalidAnswer(f"{value!r} where an amount belongs") from error
    if not 0 <= rounded <= limits.MONEY_SAT_MAX:
        raise InvalidAnswer(f"{value!r} is no possible amount")
    return rounded


def _output(value: dict[str, Any]) -> TxOut:
    script = _bytes(_mapping(value.get("scriptPubKey")).get("hex"))
    try:
        return TxOut(value_sat=_satoshi(value.get("value")), script=script)
    except AttestError as error:
        raise InvalidAnswer(f"an impossible output: {error}") from error
