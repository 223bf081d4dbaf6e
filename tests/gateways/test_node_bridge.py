"""The bridge of a node as a process, with a peer that uses rust-nostr's client."""

import asyncio
import json

from tests.gateways.nostr_world import SECONDS, Person, relay
from tests.node.world import SETTINGS

PEER, STRANGER = bytes([21]) * 32, bytes([22]) * 32
DIGEST, HERS = "3f" * 20, "4e" * 32


def settings(url, peer, *, heartbeat_s=300):
    return f"""{SETTINGS}
[publish]
relays = ["{url}"]
[bridge]
peers = ["{peer}"]
heartbeat_s = {heartbeat_s}
"""


async def eventually(ask):
    """Ask a person's client until it finds something."""
    async with asyncio.timeout(SECONDS):
        while not (found := await ask()):
            await asyncio.sleep(0.1)
    return found


def tags(event):
    return json.loads(event.as_json())["tags"]


async def test_signs_of_life_and_of_work_and_their_receipts(born):
    with relay() as url:
        async with Person(PEER, url) as ada, Person(STRANGER, url) as eve:
            born.configure(settings(url, ada.npub))
            node = await asyncio.to_thread(born.start)
            status = await asyncio.to_thread(node.status)
            key = ada.keys.public_key().to_hex()
            [beat] = await eventually(lambda: ada.find(kinds=[1], tag_t=["timmy-heartbeat"]))
            assert beat.author().to_bech32() == status["npub"]
            assert beat.content().startswith(f"{status['name']} is alive. Head ")
            assert ["p", key] in tags(beat)
            about = (["e", beat.id().to_hex()], ["p", beat.author().to_hex()])
            await eve.publish(1, "seen", ["t", "timmy-ack"], *about)
            await ada.publish(1, "seen", ["t", "timmy-ack"], *about)
            async with asyncio.timeout(SECONDS):
                while not (acked := (await asyncio.to_thread(node.status))["bridge"]["acked_by"]):
                    await asyncio.sleep(0.1)
            assert list(acked) == [f"nostr/{ada.npub}"]
            shown = (await asyncio.to_thread(born.run, "status")).good().out
            assert f"acknowledged by {ada.npub} 20" in shown

            done = await asyncio.to_thread(born.run, "artifacts", "report", "git-commit", DIGEST)
            assert "says so" in done.good().out
            [report] = await eventually(lambda: ada.find(kinds=[30078], tag_t=["timmy-artifact"]))
            [event] = node.log("artifact.reported")
            assert report.content() == DIGEST
            assert ["e", event["id"]] in tags(report)
            assert ["t", "artifact-type:git-commit"] in tags(report)
            receipt = (["e", report.id().to_hex()], ["p", report.author().to_hex()], ["x", DIGEST])
            await ada.publish(78, "", ["t", "timmy-receipt"], *receipt)

            work = (["d", f"page/{HERS}"], ["e", "ab" * 32], ["t", "artifact-type:page"])
            await eve.publish(30078, HERS, ["t", "timmy-artifact"], *work)
            made = await ada.publish(30078, HERS, ["t", "timmy-artifact"], *work)
            [noted] = await eventually(
                lambda: ada.find(kinds=[78], tag_t=["timmy-receipt"], tag_p=[key])
            )
            assert ["e", made.id().to_hex()] in tags(noted)
            async with asyncio.timeout(SECONDS):
                while not node.log("artifact.receipted"):
                    await asyncio.sleep(0.1)
            listed = await asyncio.to_thread(born.run, "artifacts", "list")
            for words in ("reported", "received", "receipted", DIGEST, HERS):
                assert words in listed.good().out
            assert [row["payload"]["author"] for row in node.log("artifact.received")] == [
                f"nostr/{ada.npub}"
            ]
            refused = await asyncio.to_thread(born.run, "artifacts", "report", "Page", DIGEST)
            refused.refused("an artifact's type")
            await asyncio.to_thread(node.stop)
    born.run("replay").good()


async def test_it_beats_again_and_acknowledges_what_a_peer_says_of_itself(born):
    """Over a relay: each beat is an event of its own, and a stranger's is answered by nobody."""
    with relay() as url:
        async with Person(PEER, url) as ada, Person(STRANGER, url) as eve:
            born.configure(settings(url, ada.npub, heartbeat_s=1))
            node = await asyncio.to_thread(born.start)

            async def three():
                found = await ada.find(kinds=[1], tag_t=["timmy-heartbeat"])
                return found if len(found) >= 3 else []

            beats = await eventually(three)
            [author] = {beat.author().to_hex() for beat in beats}
            times = {json.loads(beat.as_json())["created_at"] for beat in beats}
            assert len(times) == len(beats), "one a second at most"
            alive = (["t", "timmy-heartbeat"], ["p", author])
            await eve.publish(1, "eve is alive", *alive)
            hers = await ada.publish(1, "ada is alive", *alive)
            acks = await eventually(
                lambda: ada.find(kinds=[1], tag_t=["timmy-ack"], authors=[author])
            )
            [ack] = acks
            assert ["e", hers.id().to_hex(), "", "reply"] in tags(ack)
            assert ["p", ada.key.to_hex()] in tags(ack)
            status = await asyncio.to_thread(node.status)
            at = json.loads(hers.as_json())["created_at"]
            assert status["bridge"]["heard"] == {f"nostr/{ada.npub}": at}
            await asyncio.to_thread(node.stop)


async def test_without_peers_and_interval_nothing_is_said(born):
    with relay() as url:
        async with Person(PEER, url) as ada:
            born.configure(f'{SETTINGS}[publish]\nrelays = ["{url}"]\n')
            node = await asyncio.to_thread(born.start)
            await asyncio.to_thread(node.say, "hello")
            await eventually(lambda: ada.find(kinds=[78]))  # its checkpoint went out, so all did
            assert await ada.find(kinds=[1, 10050, 1059]) == []
            await asyncio.to_thread(node.stop)
