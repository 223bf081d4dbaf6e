"""Shared jobs of three nodes as processes that talk over a real nats-server, and not to each other."""

from tests.mesh.natsd import NatsServer
from tests.node.test_node_bus import table
from tests.node.test_node_shared_jobs import NAMES, WAIT, Trio
from tests.node.world import until


def test_a_run_is_decided_over_the_server_and_without_it_by_nobody(tmp_path):
    server = NatsServer(tmp_path / "nats").start()
    trio = Trio(tmp_path, table(engine="nats", url=server.url))
    try:
        trio.found()
        for name in NAMES:
            until(lambda of=name: state(trio, of) == "up", WAIT, f"{name} is on the bus")
        trio.share("tick", "quorum")
        for _ in range(2):
            planned = trio.next_minute()
            found = trio.decided("tick", planned, *NAMES)
            [holder] = [member for member, what in found.items() if what == "begun"]
            assert {what for what in found.values() if what != "begun"} == {f"done by {holder}"}
        until(lambda: len(trio.lines("tick")) == 2, WAIT, "the scripts ran")
        trio.remove("tick")
        node = trio.nodes["ada"]
        node.request("POST", "/fleet/bus", b"", token="").refused(404, "mesh.bus.engine")
        server.kill()
        until(lambda: state(trio, "ada") == "down", WAIT, "it notices")
        trio.share("late", "quorum")
        planned = trio.next_minute()
        trio.move(16 * 60)  # beyond the window: no voter was reached
        found = trio.decided("late", planned, *NAMES)
        assert "begun" not in found.values()
        assert trio.lines("late") == []
    finally:
        trio.end()
        server.kill()


def state(trio, name):
    return trio.nodes[name].status()["bus"]["state"]
