"""A node publishes to the relay of another node, which goes away, comes back, and says who may."""

from tests.node.world import SETTINGS, until
from tests.ports import free_port

WAIT = 60.0


def shown(home):
    return home.run("--json", "mesh", "relays").good().json["relays"]


def all_is_there(home):
    """Whether the relay is connected, took a head with its note, and nothing waits for it."""
    [one] = shown(home)
    return one["connected"] and one["accepted"] >= 2 and not one["queued"]


def relay_settings(port):
    """The port is fixed, so that the relay comes back where it was."""
    text = SETTINGS.replace("port = 0", f"port = {port}")
    return text + '[relay]\nwrite = "public"\n'


def test_heads_reach_a_relay_that_was_away(born_seed, place, tmp_path):
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    far = place("far").configure(relay_settings(port))
    far.run("init").good()
    relay = far.start()
    agent = born_seed.copy(tmp_path / "agent").configure(
        SETTINGS + f'[publish]\nrelays = ["{url}/"]\ninterval_s = 1\ncheck_s = 60\n'
    )
    with agent.running() as node:
        node.say("the roof leaks")
        until(lambda: all_is_there(agent), WAIT, "a head is at the relay")
        [one] = shown(agent)
        assert (one["url"], one["refused"], one["lost"]) == (url, 0, 0)
        until(lambda: shown(agent)[0]["limits"], WAIT, "the relay's document was read")
        text = agent.run("mesh", "relays").good().out
        assert f"{url}: connected" in text
        assert "event_bytes_max" in text
        assert "1 of 1 connected (timmy mesh relays)" in agent.run("status").good().out
        relay.stop()
        node.say("it still leaks")
        until(lambda: shown(agent)[0]["queued"], WAIT, "the newest head waits")
        until(lambda: not shown(agent)[0]["connected"], WAIT, "it knows that the relay is away")
        assert "not connected" in agent.run("mesh", "relays").good().out
    relay = far.start()
    with agent.running() as node:
        size = node.request("GET", "/v1/head").json["size"]
        until(lambda: all_is_there(agent), WAIT, "what waited is at the relay")
        [one] = shown(agent)
        assert (one["refused"], one["lost"]) == (0, 0)
        assert size
    assert (agent.path / "relays.db").exists()


def test_without_relays_the_command_says_so_and_takes_no_more(born_seed, tmp_path):
    agent = born_seed.copy(tmp_path / "alone").configure(SETTINGS)
    with agent.running():
        assert "no relay is named" in agent.run("mesh", "relays").good().out
        assert shown(agent) == []
        assert "none" in agent.run("status").good().out
        agent.run("mesh", "relays", "vouch").refused("mesh relays takes no", "timmy mesh relays")
