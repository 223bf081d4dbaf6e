"""The operator's own Nostr client asks and answers about a proposal; a stranger's answers nothing."""

import asyncio
import re

from genesis.core.approval import Word, read_answer
from genesis.core.patch import PatchClass
from tests.gateways.nostr_world import SECONDS, Person, relay
from tests.gateways.test_node_nostr import FRIEND, OPERATOR, settings
from tests.node.test_node_patches import draft
from tests.node.test_node_verdicts import surely


async def settled(node, at, expected):
    """Wait until the proposal stands so."""
    async with asyncio.timeout(SECONDS):
        while True:
            row = await asyncio.to_thread(node.request, "GET", f"/v1/patches/{at}/approval")
            if row.json["why"] == expected:
                return row.json
            await asyncio.sleep(0.1)


async def until_told(person, npub, words):
    async with asyncio.timeout(SECONDS):
        while not (found := [text for text in await person.read(npub) if words in text]):
            await asyncio.sleep(0.1)
    return found[-1]


async def test_a_yes_from_a_phone(born):
    with relay() as url:
        async with Person(OPERATOR, url) as ada, Person(FRIEND, url) as bob:
            await ada.announce()
            await bob.announce()
            born.configure(settings(url, ada.npub, bob.npub))
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            folder = await asyncio.to_thread(draft, born)
            asked = ("--json", "patch", "propose", str(folder))
            made = (await asyncio.to_thread(born.run, *asked)).good().json
            at = made["position"]
            await asyncio.to_thread(surely, born, "judge", str(at))
            question = await until_told(ada, npub, f"accepts proposal {at}")
            assert "> Be kind" in question
            assert "past: nothing of its past" in question
            assert "effect: not measured" in question
            [digest] = set(re.findall(r"approve ([0-9a-f]{64})", question))
            await bob.write(npub, f"approve {digest}")
            assert "nobody who decides here" in await until_told(bob, npub, "Not taken")
            await ada.write(npub, f"approve {'0' * 64}")
            await until_told(ada, npub, "Nobody asks this now")
            assert (await settled(node, at, "unapproved"))["answers"] == []
            await ada.write(npub, f"Approve {digest}.")
            found = await settled(node, at, None)
            assert found["granted"]
            assert found["approvers"] == [ada.key.to_hex()]
            [row] = [one for one in node.log("patch.approved") if one["type"] == "patch.approved"]
            payload = {
                name: bytes.fromhex(value) if name != "sealed" and type(value) is str else value
                for name, value in row["payload"].items()
                if name != "author"
            }
            payload["sealed"] = {
                name: bytes.fromhex(value) if name in ("pubkey", "sig", "keys") else value
                for name, value in payload["sealed"].items()
            }
            # with what the ledger holds a stranger checks it, and needs no key of anybody's
            again = read_answer(
                payload,
                Word.APPROVE,
                ledger=bytes.fromhex(found["question"]["ledger"]),
                patch=bytes.fromhex(found["question"]["patch"]),
                patch_class=PatchClass.ROUTINE,
            )
            assert again.key.hex() == ada.key.to_hex()
            await ada.write(npub, f"disapprove {digest}")
            await settled(node, at, "disapproved")
            texts = [one["content"]["text"] for one in node.log("message.received")]
            assert not [text for text in texts if "approve" in text]  # the agent was told nothing
            await asyncio.to_thread(node.stop)
