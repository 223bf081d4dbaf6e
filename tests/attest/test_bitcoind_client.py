"""The RPC client against a real node, and against a server that answers as it is told."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from attest.bitcoind import Bitcoind, read_credentials
from attest.core.errors import (
    InvalidAnswer,
    NodeOnWrongNetwork,
    NodeUnauthorised,
    NodeUnreachable,
    NodeWarmingUp,
    RpcError,
)
from attest.core.header import MAINNET, REGTEST, parse_header
from attest.core.transaction import OutPoint
from tests.attest.world import FAUCET_SCRIPT


async def test_the_chain(world):
    node = world.node
    await world.mine()  # takes along what an earlier test left in the pool
    await world.mine()
    tip = await node.tip()
    assert await node.block_hash(tip.height) == tip.block_hash
    assert await node.block_hash(tip.height + 1) is None
    hashes = await node.block_hashes(range(tip.height + 1))
    headers = [parse_header(raw) for raw in await node.headers(hashes)]
    assert [header.hash for header in headers] == hashes
    assert len(await node.block_txids(tip.block_hash)) == 1
    with pytest.raises(RpcError) as caught:
        await node.block_txids(bytes(32))
    assert caught.value.code == -5


async def test_transactions(world):
    await world.fund(12_345)
    tip = await world.node.tip()
    [coin] = await world.node.coins(world.funding.script, height=tip.height)
    assert coin.output.value_sat == 12_345
    assert await world.node.unspent(coin.outpoint) == coin.output
    assert await world.node.unspent(OutPoint(txid=coin.outpoint.txid, index=9)) is None
    assert not await world.node.in_mempool(coin.outpoint.txid)
    young = await world.node.coins(FAUCET_SCRIPT, height=tip.height)
    assert len(young) < tip.height - 50, "immature coinbases are left out"
    assert await world.node.feerate_min() >= 100
    assert await world.node.feerate(6) is None


async def test_another_network(backend):
    async with Bitcoind(url=backend.url, credentials=backend.cookie, network=MAINNET) as node:
        with pytest.raises(NodeOnWrongNetwork, match="'regtest', expected 'main'"):
            await node.tip()


async def test_wrong_credentials_are_never_shown(backend, tmp_path):
    path = tmp_path / "rpc"
    path.write_text("user:hunter2")
    path.chmod(0o600)
    async with Bitcoind(url=backend.url, credentials=path, network=REGTEST) as node:
        with pytest.raises(NodeUnauthorised) as caught:
            await node.tip()
    assert "hunter2" not in str(caught.value) + str(caught.value.hint) + repr(vars(node))


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("user:pw", 0o644, "readable by others"),
        ("nothing", 0o600, "not one line"),
        ("a:b\nc:d", 0o600, "not one line"),
        ("a:" + "b" * 5000, 0o600, "not one line"),
        (None, 0o600, "cannot read"),
    ],
)
def test_bad_credential_files(tmp_path, text, mode, message):
    path = tmp_path / "rpc"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(NodeUnauthorised, match=message):
        read_credentials(path)


def test_a_cookie_has_the_mode_its_node_gave_it(tmp_path):
    path = tmp_path / ".cookie"
    path.write_text("__cookie__:00\n")
    path.chmod(0o640)
    assert base64.b64decode(read_credentials(path).split()[1]) == b"__cookie__:00"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://user:pw@127.0.0.1:1", "127.0.0.1"])
def test_addresses_without_credentials(tmp_path, url):
    with pytest.raises(NodeUnauthorised):
        Bitcoind(url=url, credentials=tmp_path, network=REGTEST)


IN_TIME = {"initialblockdownload": False}


# ---- a server that misbehaves --------------------------------------------------------------------


@asynccontextmanager
async def answering(tmp_path, *answers, network=REGTEST) -> AsyncIterator[Bitcoind]:
    """A node whose n-th answer is the n-th given: (status, body)."""
    queue = list(answers)

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        status, body = queue.pop(0)
        return web.Response(status=status, body=body)

    application = web.Application()
    application.router.add_post("/", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:secret")
    port = runner.addresses[0][1]
    try:
        async with Bitcoind(
            url=f"http://127.0.0.1:{port}", credentials=cookie, network=network
        ) as node:
            yield node
    finally:
        await runner.cleanup()


def result(value) -> tuple[int, bytes]:
    return 200, json.dumps({"result": value, "error": None, "id": 0}).encode()


def failure(code: int, message: str) -> tuple[int, bytes]:
    error = {"code": code, "message": message}
    return 500, json.dumps({"result": None, "error": error, "id": 0}).encode()


async def test_nobody_there(tmp_path, unused_tcp_port):
    (tmp_path / ".cookie").write_text("a:b")
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with Bitcoind(url=url, credentials=tmp_path / ".cookie", network=REGTEST) as node:
        with pytest.raises(NodeUnreachable) as caught:
            await node.tip()
    assert caught.value.hint


async def test_warming_up(tmp_path):
    async with answering(tmp_path, failure(-28, "Loading block index…")) as node:
        with pytest.raises(NodeWarmingUp, match="Loading"):
            await node.tip()


async def test_a_node_that_is_catching_up_is_not_asked_where_our_links_are(tmp_path):
    info = {"blocks": 12, "bestblockhash": "00" * 32, "initialblockdownload": True}
    syncing, done = result(info | {"chain": "main"}), result(info | {"chain": "main"} | IN_TIME)
    async with answering(tmp_path, syncing, done, network=MAINNET) as node:
        with pytest.raises(NodeWarmingUp, match="catching up, and is at block 12") as caught:
            await node.view()
        assert caught.value.hint
        assert (await node.view()).tip.height == 12
    async with answering(tmp_path, result(info | {"chain": "regtest"})) as node:
        assert (await node.tip()).height == 12


async def test_a_new_cookie_is_read_once(tmp_path):
    async with answering(tmp_path, (401, b""), result(None)) as node:
        assert await node.unspent(OutPoint(txid=bytes(32), index=0)) is None
    async with answering(tmp_path, (401, b""), (401, b"")) as node:
        with pytest.raises(NodeUnauthorised):
            await node.tip()


async def test_a_second_line_cannot_pose_as_ours(tmp_path):
    async with answering(tmp_path, failure(-1, "no\ntimmy: hint: send money")) as node:
        with pytest.raises(RpcError) as caught:
            await node.tip()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        (200, b""),
        (503, b"Work queue depth exceeded"),
        (200, b"[" * 100_000),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"error": 1}'),
        (200, b'{"error": {"code": "x", "message": 1}}'),
        (301, b""),
        result(None),
        result([]),
        result({"chain": "regtest", "blocks": -1, "bestblockhash": "00" * 32}),
        result({"chain": "regtest", "blocks": True, "bestblockhash": "00" * 32}),
        result({"chain": "regtest", "blocks": 1, "bestblockhash": "00" * 31}),
        result({"chain": "regtest", "blocks": 1, "bestblockhash": "zz"}),
        result({"chain": "regtest", "blocks": 1, "bestblockhash": 5}),
    ],
)
async def test_answers_that_are_none(tmp_path, reply):
    async with answering(tmp_path, reply) as node:
        with pytest.raises(InvalidAnswer):
            await node.tip()


@pytest.mark.parametrize("amount", ["0.1x", -1, 21_000_001, None, [], "1e999999", "NaN"])
async def test_impossible_amounts(tmp_path, amount):
    unspent = {"txid": "00" * 32, "vout": 0, "amount": amount, "height": 1}
    async with answering(tmp_path, result({"unspents": [unspent]})) as node:
        with pytest.raises(InvalidAnswer):
            await node.coins(b"\x51", height=500)


async def test_amounts_are_exact(tmp_path):
    body = b'{"result": {"value": 0.29, "scriptPubKey": {"hex": "51"}}, "error": null}'
    async with answering(tmp_path, (200, body)) as node:
        output = await node.unspent(OutPoint(txid=bytes(32), index=0))
    assert output.value_sat == 29_000_000


async def test_a_batch_with_answers_missing(tmp_path):
    body = json.dumps([{"result": "00" * 32, "error": None, "id": 0}]).encode()
    async with answering(tmp_path, (200, body)) as node:
        with pytest.raises(InvalidAnswer, match="1 answers to 2 calls"):
            await node.block_hashes(range(2))


async def test_an_endless_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("attest.core.limits.RPC_ANSWER_BYTES_MAX", 1000)
    async with answering(tmp_path, (200, b" " * 2000)) as node:
        with pytest.raises(InvalidAnswer, match="over 1000 bytes"):
            await node.tip()


async def test_a_slow_node(tmp_path, monkeypatch):
    monkeypatch.setattr("attest.core.limits.RPC_TIMEOUT_S", 0.05)
    async with answering(tmp_path) as node:
        with pytest.raises((NodeUnreachable, InvalidAnswer)):
            await node.call("getblockcount", timeout_s=0.000001)


@pytest.mark.parametrize(
    "refusal",
    [
        failure(-27, "Transaction outputs already in utxo set"),
        failure(-26, "txn-already-in-mempool"),
        failure(-26, "txn-already-known"),
    ],
)
async def test_a_transaction_the_node_has_is_accepted(tmp_path, refusal):
    async with answering(tmp_path, refusal) as node:
        await node.send(b"")
