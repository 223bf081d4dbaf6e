"""A parent and a child that reach each other by a relay alone: letters travel sealed."""

import pytest

from mesh.core import nip19
from mesh.core.nip01 import NostrSigner
from tests.gateways.nostr_world import relay
from tests.gateways.test_node_nostr import settings
from tests.node.test_node_lineage import gate_of, of
from tests.node.world import until

OPERATOR = nip19.npub(NostrSigner(bytes([11]) * 32).pubkey)
SECONDS = 400.0
"""A list of relays that is not there yet is asked for again after a minute; this is a guard."""
NOWHERE = '[lineage]\nparent = "http://127.0.0.1:9"\n'


@pytest.fixture
def url():
    with relay() as found:
        yield found


def test_letters_travel_sealed_by_a_relay_where_http_does_not(born, place, url):
    born.configure(settings(url, OPERATOR))
    child = place("child").configure(settings(url, OPERATOR) + NOWHERE)
    into = ("--into", str(child.path), "--state", str(child.state))
    with born.running():
        made = born.run("--json", "lineage", "father", "--name", "Ada", *into).good().json
        ledger = made["child"]
        with child.running() as young:
            child.run("lineage", "report").good()
            until(lambda: of(born, ledger)["told"] == 1, SECONDS, "the parent has the report")
            assert "## For the parent" in born.run("lineage", "report", ledger).good().out
            kin = born.path / "kin.json"
            kin.write_text("{}")  # where the child is, it forgets: relays are left
            born.run("lineage", "guide", ledger, "Mind the north window.").good()
            until(lambda: young.log("parent.ordered"), SECONDS, "the child has the order")
            assert young.log("message.received")[0]["payload"]["conversation"] == "parent"
            lacking = lambda: child.run("--json", "lineage", "show").good().json["lacking"]  # noqa: E731
            until(lambda: lacking() == 0, SECONDS, "the child knows what its parent has")
            assert gate_of(child) == ""
            assert len(young.log("parent.ordered")) == 1
