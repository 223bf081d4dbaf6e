"""Nodes and people whose relays are not the same find each other by relay lists alone (NIP-65)."""

import asyncio

from mesh.core import nip19
from tests.gateways.nostr_world import SECONDS, Person, relay
from tests.mesh.wire import client
from tests.node.world import SETTINGS, until

OPERATOR = bytes([31]) * 32


def settings(url, *, follow, more=""):
    return f"""{SETTINGS}
[publish]
relays = ["{url}"]
follow = {str(follow).lower()}
follow_hosts = ["127.0.0.1"]
{more}"""


def bridged(peer):
    return f'[bridge]\npeers = ["{peer}"]\nheartbeat_s = 2\n'


async def carry(url, other, **wanted):
    """Bring what lies at one relay to another, as whoever spreads relay lists does."""
    async with client(url) as wire:
        await wire.send("REQ", "q", wanted)
        *found, _ = await wire.until("EOSE")
    async with client(other) as wire:
        for _, _, event in found:
            await wire.send("EVENT", event)
            assert (await wire.until("OK"))[-1][2] is True
    return len(found)


def test_a_node_finds_another_s_relay_by_its_list_only(born_seed, place, tmp_path):
    """Heartbeats are read where they are written, and answered where their author reads."""
    far, near = place("far").configure(), born_seed.copy(tmp_path / "near")
    far.run("init").good()
    npubs = [home.run("soul", "show", "--json").good().json["npub"] for home in (far, near)]
    lists = {"kinds": [10002], "authors": [nip19.decode(npubs[0]).pubkey]}
    with relay() as theirs, relay() as ours:
        far.configure(settings(theirs, follow=False, more=bridged(npubs[1])))
        with far.running() as other:
            until(lambda: asyncio.run(carry(theirs, ours, **lists)), SECONDS, "its list is there")
            near.configure(settings(ours, follow=False, more=bridged(npubs[0])))
            with near.running() as node:
                until(lambda: node.status()["bridge"]["beat"], SECONDS, "it beats")
                until(lambda: node.status()["relays"][0]["accepted"], SECONDS, "at its own relay")
                assert [one["own"] for one in node.status()["relays"]] == [True]
                assert node.status()["bridge"]["heard"] == {}
            near.configure(settings(ours, follow=True, more=bridged(npubs[0])))
            with near.running() as node:
                until(lambda: node.status()["bridge"]["heard"], SECONDS, "the other is heard")
                until(lambda: other.status()["bridge"]["acked_by"], SECONDS, "and is answered")
                [learnt] = [one for one in node.status()["relays"] if not one["own"]]
                assert (learnt["url"], learnt["connected"]) == (theirs.rstrip("/"), True)
            assert list(other.status()["bridge"]["acked_by"]) == [f"nostr/{npubs[1]}"]
    near.end()


async def test_an_answer_reaches_who_says_elsewhere_where_she_reads_messages(born):
    """Her list is at our relay, and says where she writes; only there lies her kind 10050."""
    with relay() as ours, relay() as hers:
        async with Person(OPERATOR, ours) as here, Person(OPERATOR, hers) as there:
            await here.publish(10002, "", ["r", hers])
            await there.announce()
            more = (
                f'[gateways.nostr]\nenabled = true\noperator = "{here.npub}"\nrelays = ["{ours}"]\n'
            )
            born.configure(settings(ours, follow=True, more=more))
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            await here.write(npub, "the gate squeaks")
            [words] = await there.until_read(npub, 1)
            assert node.log("message.sent")[0]["content"]["text"] == words
            assert await here.read(npub) == [], "and it goes where she says, only"
            await asyncio.to_thread(node.stop)
