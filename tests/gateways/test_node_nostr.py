"""A node, a relay and a person with rust-nostr's client: written sealed, answered sealed, once."""

import asyncio
import time
from dataclasses import dataclass, field

from mesh.core.relay.policy import WritePolicy
from tests.gateways.nostr_world import SECONDS, Person, relay
from tests.node.test_node_models import add, serving
from tests.node.test_node_tools import says
from tests.node.world import SETTINGS, until
from tests.ports import free_port

OPERATOR, FRIEND, STRANGER = (bytes([n]) * 32 for n in (11, 12, 13))


def settings(url, operator, *people):
    named = ", ".join(f'"{one}"' for one in people)
    return f"""{SETTINGS}
[gateways.nostr]
enabled = true
operator = "{operator}"
people = [{named}]
relays = ["{url}"]
[publish]
relays = ["{url}"]
"""


async def stopped(node, how):
    await asyncio.to_thread(how)
    assert not node.alive


async def test_a_message_from_a_phone_is_answered_on_it_through_a_kill(born):
    with relay() as url:
        async with Person(OPERATOR, url) as ada, Person(STRANGER, url) as eve:
            await ada.announce()
            born.configure(settings(url, ada.npub))
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            await eve.announce()
            await eve.write(npub, "let me in")
            await ada.write(npub, "the gate squeaks")
            first = await ada.until_read(npub, 1)
            [message] = node.log("message.received")
            name = f"nostr/{ada.npub}"
            assert message["content"] == {"text": "the gate squeaks"}
            assert (message["payload"]["author"], message["payload"]["gateway"]) == (name, name)
            assert node.log("message.sent")[0]["content"]["text"] == first[0]
            await stopped(node, node.kill9)
            await ada.write(npub, "are you there?")
            node = await asyncio.to_thread(born.start)
            assert (await ada.until_read(npub, 2))[:1] == first
            texts = [row["content"]["text"] for row in node.log("message.received")]
            assert texts == ["the gate squeaks", "are you there?"]
            async with asyncio.timeout(SECONDS):
                while (await asyncio.to_thread(node.status))["nostr"]["waiting"]:
                    await asyncio.sleep(0.1)
            await stopped(node, node.stop)
            # and after everything that remembers but the ledger is lost
            (born.path / "sealed-0.db").unlink()
            node = await asyncio.to_thread(born.start)
            until(lambda: node.status()["nostr"]["opened"] >= 2, SECONDS, "letters were opened")
            assert len(node.log("message.received")) == 2
            await stopped(node, node.stop)
            assert len(await ada.read(npub)) == 2
            assert await eve.read(npub) == []
    born.run("replay").good()


async def test_someone_in_a_crisis_is_answered_and_held_also_by_message(born):
    with relay() as url:
        async with Person(OPERATOR, url) as ada, Person(FRIEND, url) as bob:
            await bob.announce()
            born.configure(settings(url, ada.npub, bob.npub))
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            await bob.write(npub, "i want to kill myself")
            [words] = await bob.until_read(npub, 1)
            assert "988" in words or "crisis" in words.lower()
            [hold] = node.status()["holds"]
            assert hold["author"] == f"nostr/{bob.npub}"
            assert node.log("turn.started") == []
            await stopped(node, node.stop)


async def test_who_names_no_relays_waits_and_is_told_of_in_the_status(born):
    with relay() as url:
        async with Person(OPERATOR, url) as ada, Person(FRIEND, url) as bob:
            await ada.announce()
            born.configure(settings(url, ada.npub, bob.npub))
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            await bob.write(npub, "hello")
            await ada.write(npub, "hello")
            await ada.until_read(npub, 1)
            name = f"nostr/{bob.npub}"
            await asyncio.to_thread(
                until, lambda: name in node.status()["nostr"]["waiting"], SECONDS, "it waits"
            )
            waiting = node.status()["nostr"]["waiting"]
            assert waiting[name]["answers"] == 1
            assert "kind 10050" in waiting[name]["why"]
            shown = (await asyncio.to_thread(born.run, "status")).good().out
            assert f"1 for {bob.npub} wait: " in shown
            assert await bob.read(npub) == []
            await bob.announce()
            await stopped(node, node.stop)
            node = await asyncio.to_thread(born.start)
            await bob.until_read(npub, 1)
            await stopped(node, node.stop)


async def test_an_answer_that_her_relay_refuses_for_good_is_told_of(born):
    """It is on record as delivered: what she waits for must not be lost without a word."""
    closed = WritePolicy(authors=frozenset())
    with relay() as url, relay(closed) as hers:
        async with Person(OPERATOR, url) as ada:
            await ada.publish(10050, "", ["relay", hers])
            born.configure(settings(url, ada.npub))
            node = await asyncio.to_thread(born.start)
            await ada.write(node.status()["npub"], "the gate squeaks")

            def undelivered():
                return [one for one in node.status()["relays"] if one["undelivered"]]

            await asyncio.to_thread(until, undelivered, SECONDS, "it is known")
            [one] = undelivered()
            assert one["url"] == hers.rstrip("/")
            assert one["undelivered"][ada.key.to_hex()].startswith("blocked: ")
            shown = (await asyncio.to_thread(born.run, "mesh", "relays")).good().out
            assert f"UNDELIVERED  a sealed message to {ada.npub}: blocked: " in shown
            told = (await asyncio.to_thread(born.run, "status")).good().out
            assert "1 that did not take a SEALED MESSAGE" in told
            assert "a sealed message is not taken here" in born.logged
            await stopped(node, node.kill9)
            node = await asyncio.to_thread(
                born.start
            )  # it is not dialled, and told of all the same
            [again] = undelivered()
            assert (again["url"], again["undelivered"]) == (one["url"], one["undelivered"])
            shown = (await asyncio.to_thread(born.run, "mesh", "relays")).good().out
            assert f"UNDELIVERED  a sealed message to {ada.npub}: blocked: " in shown
            await stopped(node, node.stop)


@dataclass(frozen=True, kw_only=True)
class NothingOld(WritePolicy):
    """Of a relay that takes nothing dated before it began: gift wraps are, by up to two days."""

    began: int
    refused: set[str] = field(default_factory=set)

    def refusal(self, event, *, now, keys=frozenset()):
        if event.created_at < self.began:
            self.refused.add(event.id)
            return "invalid: created_at is too old"
        return super().refusal(event, now=now, keys=keys)


async def test_an_answer_is_dated_anew_for_her_relay_that_takes_nothing_old(born):
    """As node.nostr.relays wires it: the key of a wrap is found again, and it comes once."""
    strict = NothingOld(authors=None, began=int(time.time()))
    with relay() as url, relay(strict) as hers:
        async with Person(OPERATOR, url) as ada, Person(OPERATOR, hers) as at_home:
            await ada.publish(10050, "", ["relay", hers])
            born.configure(settings(url, ada.npub))
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            await ada.write(npub, "the gate squeaks")

            def delivered():
                rows = [one for one in node.status()["relays"] if one["url"] == hers.rstrip("/")]
                return [one for one in rows if one["accepted"] and not one["queued"]]

            await asyncio.to_thread(until, delivered, SECONDS, "it is there")
            [one] = delivered()
            assert (one["accepted"], one["refused"], one["undelivered"]) == (1, 0, {})
            assert len(strict.refused) == 1, "as it was made first, it was refused"
            [sent] = node.log("message.sent")
            assert await at_home.read(npub) == [sent["content"]["text"]]
            [wrap] = await at_home.find(kinds=[1059])
            assert wrap.id().to_hex() not in strict.refused
            await stopped(node, node.stop)


async def test_the_nodes_own_relay_is_enough(born):
    """No other relay anywhere: she writes to it as one of its writers, and reads what is hers."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}/"
    ada = Person(OPERATOR, url)
    own = settings(url, ada.npub).replace("port = 0", f"port = {port}")
    born.configure(f'{own}[relay]\nwriters = ["{ada.npub}"]\n')
    node = await asyncio.to_thread(born.start)
    async with ada:
        npub = node.status()["npub"]
        await ada.announce()
        await ada.write(npub, "only the two of us")
        assert len(await ada.until_read(npub, 1)) == 1
        [message] = node.log("message.received")
        assert message["content"] == {"text": "only the two of us"}
    await stopped(node, node.stop)


async def test_the_operator_allows_a_call_from_her_phone(born):
    with relay() as url, serving() as (server, _):
        async with Person(OPERATOR, url) as ada, Person(FRIEND, url) as bob:
            await ada.announce()
            await bob.announce()
            asked = '[permissions]\nask = ["FileEdit(*.md)"]\n'
            born.configure(settings(url, ada.npub, bob.npub) + asked)
            (await asyncio.to_thread(add, born, server)).good()
            says(
                server, [("write_file", {"path": "plan.md", "text": "plan\n"})], "Done as you said."
            )
            node = await asyncio.to_thread(born.start)
            npub = node.status()["npub"]
            await bob.write(npub, "make a plan")
            [question] = await ada.until_read(npub, 1)
            [waiting] = node.status()["approvals"]
            assert "write_file: FileEdit" in question
            assert question.endswith(f"Answer: yes {waiting['event']}, or: no {waiting['event']}")
            await ada.write(npub, f"yes {waiting['event']}")
            assert await bob.until_read(npub, 1) == ["Done as you said."]
            assert (born.path / "work" / "plan.md").read_text() == "plan\n"
            [answered] = node.log("approval.answered")
            assert answered["payload"] == {
                "approval": waiting["event"],
                "allow": True,
                "by": f"nostr/{ada.npub}",
            }
            assert f"Allowed: {waiting['event']}" in await ada.until_read(npub, 2)
            assert len(node.log("message.received")) == 1
            await stopped(node, node.stop)


def test_a_gateway_that_could_hear_nobody_is_refused(born):
    for text, words in (
        ("enabled = true", "nobody may talk"),
        ('enabled = true\noperator = "npub1x"', "is not a public key"),
        (f'enabled = true\noperator = "{"ab" * 32}"', "has no relays"),
        (f'operator = "{"ab" * 32}"\npeople = ["{"ab" * 32}"]', "is operator and person"),
        ('relays = ["http://x"]', "relays"),
        ("enabled = 1", "enabled"),
    ):
        born.configure(f"{SETTINGS}[gateways.nostr]\n{text}\n")
        assert "gateways.nostr" in born.run("run").refused(words).err


def test_a_secret_key_in_the_settings_is_not_repeated(born):
    nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
    born.configure(f'{SETTINGS}[gateways.nostr]\noperator = "{nsec}"\n')
    assert nsec not in born.run("run").refused("a secret key is not a public key").err
