"""The operator's own Nostr client asks and answers about a proposal; a stranger's answers nothing."""

import asyncio
import re

from genesis.core.approval import Word, read_answer
from genesis.core.patch import PatchClass
from tests.gateways.nostr_world import SECONDS, Person, relay
from tests.gateways.test_node_nostr import FRIEND, OPERATOR, settings
from tests.genesis_constitution.world import BACK, migration
from tests.node import test_node_constitution as constitutional
from tests.node.test_node_patches import draft
from tests.node.test_node_verdicts import surely
from tests.node.world import until


async def settled(node, at, expected):
    """Wait until the proposal stands so."""
    async with asyncio.timeout(SECONDS):
        while True:
            row = await asyncio.to_thread(node.request, "GET", f"/v1/patches/{at}/approval")
            if row.json["why"] == expected:
                return row.json
            await asyncio.sleep(0.1)


async def until_told(person, npub, words, beside=None):
    """Wait for a message with these words, another than `beside`."""

    def told(text):
        return words in text and text != beside

    async with asyncio.timeout(SECONDS):
        while not (found := [text for text in await person.read(npub) if told(text)]):
            await asyncio.sleep(0.1)
    return found[-1]


def judged(home, folder, judge):
    """Propose a draft, have it judged, and return its position."""
    made = home.run("--json", "patch", "propose", str(folder)).good().json
    judge(str(made["position"]))
    return made["position"]


async def test_what_nobody_could_be_told_is_told_at_the_next_start_and_once(born):
    """And of a change of this software the operator is told how he stops it."""
    with relay() as url:
        async with Person(OPERATOR, url) as ada:
            born.configure(settings(url, ada.npub) + constitutional.PEOPLE)
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            folder = await asyncio.to_thread(draft, born)
            judge = lambda at: surely(born, "judge", at)  # noqa: E731
            first = await asyncio.to_thread(judged, born, folder, judge)
            waits = lambda: "notices" in node.status()["nostr"]["waiting"]  # noqa: E731
            await asyncio.to_thread(until, waits, SECONDS, "there is no list of relays of hers")
            await asyncio.to_thread(node.stop)
            await ada.announce()
            node = await asyncio.to_thread(born.start)
            asked = await until_told(ada, npub, f"accepts proposal {first}")
            await asyncio.to_thread(node.stop)
            node = await asyncio.to_thread(born.start)
            folder = await asyncio.to_thread(constitutional.draft, born, migration(), "idea", BACK)
            judge = lambda at: constitutional.surely(born, at).good()  # noqa: E731
            second = await asyncio.to_thread(judged, born, folder, judge)
            told = await until_told(ada, npub, f"leaves proposal {second} to people")
            # what she is told comes in order: what stood at the start was before it
            texts = await ada.read(npub)
            assert [text for text in texts if f"proposal {first}:" in text] == [asked]
            assert "72 hours" in told
            assert not re.search(r"\bapprove [0-9a-f]{64}", told)
            [digest] = re.findall(r"disapprove ([0-9a-f]{64})", told)
            for odd in ("D\u0130SAPPROVE", "d\u0131sapprove", "di\u017fapprove"):
                await ada.write(npub, f"{odd} {digest}")  # without regard to case: i, i and s
            await ada.write(npub, f"disapprove {digest}")
            await settled(node, second, "disapproved")
            await asyncio.to_thread(node.stop)


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
            await asyncio.to_thread(surely, born, "judge", str(at))
            again = await until_told(ada, npub, f"accepts proposal {at}", beside=question)
            assert digest not in again
            await ada.write(npub, f"approve {digest}")
            async with asyncio.timeout(SECONDS):  # another question is asked by now
                while str(await ada.read(npub)).count("Nobody asks this now") < 2:
                    await asyncio.sleep(0.1)
            await ada.write(npub, f"disapprove {digest}")  # and a no is a no
            await settled(node, at, "disapproved")
            texts = [one["content"]["text"] for one in node.log("message.received")]
            assert not [text for text in texts if "approve" in text]  # the agent was told nothing
            await asyncio.to_thread(node.stop)
