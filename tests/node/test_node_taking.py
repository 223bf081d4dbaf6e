"""A task for whoever of a fleet takes it: three nodes as processes, directly and over a real server."""

import pytest

from mesh.core import nip19
from tests.gateways.nostr_world import relay
from tests.mesh.natsd import NatsServer
from tests.node.test_node_bus import table
from tests.node.test_node_shared_jobs import NAMES, WAIT, Trio
from tests.node.test_shared_jobs_over_nats import state
from tests.node.world import SETTINGS, until


@pytest.mark.parametrize("engine", ["local", "nats"])
def test_a_task_for_any_is_done_by_one_that_is_able(tmp_path, engine):
    server = NatsServer(tmp_path / "nats").start() if engine == "nats" else None
    trio = Trio(tmp_path, table(engine="nats", url=server.url) if server else SETTINGS)
    try:
        with relay() as url:
            trio.found()
            npubs = {name: nip19.npub(key.hex()) for name, key in trio.keys.items()}
            for name, home in trio.homes.items():
                trio.nodes[name].stop()
                text = home.config.read_text()
                able = '["gpu"]' if name == "bea" else "[]"
                home.configure(f"{text}\n{gateway(url, npubs, name)}{mesh(text, able)}")
            trio.start(*NAMES)
            if server:
                for name in NAMES:
                    until(lambda of=name: state(trio, of) == "up", WAIT, f"{name} is on the bus")
            ada = trio.homes["ada"]
            until(
                lambda: able_of(trio, "bea") == ["gpu"],
                WAIT,
                "presence says who is able to do what",
            )
            until(
                lambda: ada.run("mesh", "task", "count the tiles", "--able", "gpu").code == 0,
                WAIT,
                "the able one takes it",
            )
            until(lambda: trio.nodes["ada"].log("task.reported"), WAIT, "it reports")
            [given] = trio.nodes["ada"].log("task.given")
            assert given["payload"]["to"] == [trio.keys["bea"].hex()]
            [received] = trio.nodes["bea"].log("message.received")
            assert received["content"]["text"] == "count the tiles"
            assert not trio.nodes["cleo"].log("message.received")
            told = ada.run("mesh", "task", "look at the gate", "--any", "--due", "3600").good().out
            assert npubs["bea"] in told or npubs["cleo"] in told
            ada.run("mesh", "task", "bake", "--able", "oven").refused("no member takes it (oven)")
            ada.run("mesh", "task", npubs["bea"], "look", "--any").refused("whom, and what?")
            trio.nodes["bea"].stop()
            ada.run("mesh", "task", "count", "--able", "gpu").refused("no member takes it (gpu)")
            assert len(trio.nodes["ada"].log("task.given")) == 2, "what nobody takes is not given"
            told = ada.run("mesh", "task", "--able", "gpu", "--wait", "count", "again").good().out
            assert "waits, a day at most, for a member that has time" in told
            trio.nodes["ada"].stop()
            trio.start("ada", "bea")
            until(
                lambda: len(trio.nodes["ada"].log("task.reported")) > 2, WAIT, "it waited for her"
            )
            [*_, waited, handed] = trio.nodes["ada"].log("task.given")
            assert (waited["payload"]["to"], handed["payload"]["to"]) == (
                [],
                [trio.keys["bea"].hex()],
            )
    finally:
        trio.end()
        if server:
            server.kill()


def able_of(trio, name):
    """What ada shows of a member."""
    return next(one["able"] for one in trio.fleet("ada")["members"] if one["name"] == name)


def gateway(url, npubs, name):
    others = ", ".join(f'"{npub}"' for other, npub in npubs.items() if other != name)
    return f"""[gateways.nostr]
enabled = true
agents = [{others}]
relays = ["{url}"]
[publish]
relays = ["{url}"]
"""


def mesh(text, able):
    """What the node is able to do, as its file may say it: [mesh] is there only once."""
    assert "[mesh]" not in text
    return f"[mesh]\nable = {able}\n"
