"""Two thousand messages at once: each is on disk when it is acknowledged, none is answered twice.

A turn takes a node tens of milliseconds, so all of them would take minutes: a hundred turns are
waited for, then the node is killed in the middle of the others.
"""

import asyncio
from collections import Counter
from hashlib import blake2b

import aiohttp

from tests.node.world import until

MESSAGES = 2000
CONVERSATIONS = 50
ANSWERED = 100
CONNECTIONS = 450
"""What the node has room for (`node.api.door`) where it may open enough files; else it hangs up on
some, and these are sent again under the same key."""
SECONDS = 600.0


def body(number: int) -> dict:
    return {
        "text": f"note {number}",
        "conversation": f"talk-{number % CONVERSATIONS}",
        "key": blake2b(b"%d" % number, digest_size=16).hexdigest(),
        "wait_s": 0,
    }


async def acknowledged(node) -> dict[int, int]:
    """Send all of them at once; return where each is in the ledger."""

    async def send(session: aiohttp.ClientSession, number: int) -> int:
        while True:
            try:
                async with session.post("/v1/say", json=body(number)) as response:
                    assert response.status == 200, await response.text()
                    return (await response.json())["message"]["position"]
            except (aiohttp.ClientConnectionError, ConnectionError):
                assert node.alive, node.stderr
                await asyncio.sleep(0.05)

    async with (
        aiohttp.ClientSession(
            f"http://127.0.0.1:{node.port}",
            headers={"Authorization": f"Bearer {node.home.token}"},
            timeout=aiohttp.ClientTimeout(total=SECONDS),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        sent = [group.create_task(send(session, number)) for number in range(MESSAGES)]
    return {number: task.result() for number, task in enumerate(sent)}


def test_two_thousand_messages_at_once_are_kept_and_none_is_answered_twice(born):
    node = born.start()
    positions = asyncio.run(acknowledged(node))
    left = MESSAGES - ANSWERED
    until(lambda: node.status()["pending"] <= left, SECONDS, "a hundred are answered")
    node.kill9()
    log = born.run("--json", "log", "--last", str(20 * MESSAGES)).good().json
    received = {e["position"]: e for e in log if e["type"] == "message.received"}
    assert set(received) == set(positions.values())
    for number, position in positions.items():
        assert received[position]["content"]["text"] == f"note {number}"
        assert received[position]["payload"]["conversation"] == f"talk-{number % CONVERSATIONS}"
    answered = Counter(e["payload"]["message"] for e in log if e["type"] == "message.sent")
    assert ANSWERED <= len(answered) < MESSAGES
    assert set(answered.values()) == {1}
    ends = Counter(e["payload"]["outcome"] for e in log if e["type"] == "turn.finished")
    assert ends == {"answered": len(answered)}
    assert born.run("verify").good()
