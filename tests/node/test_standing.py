"""Witnesses, fleet and approvals in the trust graph: what verifies is an edge, what does not is none."""

from types import SimpleNamespace

import pytest

from genesis.core.trust import Builder, Kind
from ledger.core import types
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.cosignature import Witness, cosign
from ledger.core.event import Draft
from ledger.core.lineage import Lineage
from mesh.core.fleet.manifest import sign_manifest
from node.fleet.ed25519 import Ed25519Key
from node.fleet.files import fleet_files
from node.home import Home
from node.identity.standing import EVENTS, Standing
from tests.ledger.makers import message, open_log
from tests.mesh.test_manifest import FIRST, OPERATOR, A, B, C, signed
from tests.spec import agent

KEYS = {name: Ed25519Key.derive(name.encode(), "witness") for name in ("one", "two", "stranger")}
WITNESSES = {name: Witness(name=f"{name}.example", public=key.public) for name, key in KEYS.items()}


@pytest.fixture
def log():
    with open_log() as found:
        found.append_now(agent.genesis_draft())
        found.append_now(message("one"), message("two"))
        yield found


@pytest.fixture
def home(tmp_path):
    found = Home(path=tmp_path / "home", state=tmp_path / "state")
    found.make()
    asked = "".join(
        f'[[witness.ask]]\nurl = "https://{name}.example"\nkey = "{WITNESSES[name].encode()}"\n'
        for name in ("one", "two")
    )
    found.config.write_text(asked)
    return found


def head(log, size, *names, root=None, by=agent.LOG):
    checkpoint = Checkpoint(
        ledger_id=log.ledger_id, epoch=0, size=size,
        root=log.tree.root(size) if root is None else root,
    )  # fmt: skip
    found = sign_checkpoint(checkpoint, by)
    lines = [
        cosign(found.note.text, WITNESSES[one], 1_790_000_000, KEYS[one].sign) for one in names
    ]
    return found.with_lines(lines).encode()


def cosigned(log, note):
    [event] = log.append_now(
        Draft(type=types.COSIGNED.name, stream=types.NODE_STREAM, payload={"size": 1, "note": note})
    )
    return event.position


def graph(home, log):
    lineage = Lineage.of(log.read(0))
    built = Builder.empty()
    opened = SimpleNamespace(home=home, log=log, lineage=lineage, genesis=lineage.genesis)
    instance = built.node(Kind.INSTANCE, "x/0", "key set 0")
    others = Standing(built, opened, [instance])
    for event in log.events():
        if event.type in EVENTS:
            others.add_event(event, instance)
    others.add_files()
    return built.graph()


def edges(found, how):
    return [edge for edge in found.edges if edge.how == how]


def test_each_witness_stands_behind_its_newest_head_with_what_shows_it(home, log):
    first = cosigned(log, head(log, 2, "one", "two", "stranger"))
    second = cosigned(log, head(log, 3, "two"))
    found = graph(home, log)
    shown = {
        edge.source: (edge.target.split("/")[1], edge.event) for edge in edges(found, "cosigned")
    }
    assert shown == {"witness:one.example": ("2", first), "witness:two.example": ("3", second)}
    assert {edge.event for edge in edges(found, "signed")} == {first, second}
    home.witnessed.write_bytes(head(log, 4, "one"))
    [edge] = [e for e in edges(graph(home, log), "cosigned") if e.source == "witness:one.example"]
    assert (edge.event, edge.evidence) == (None, "witnessed.note")


def test_a_line_or_a_head_that_does_not_verify_is_no_edge(home, log):
    cosigned(log, head(log, 2, "stranger"))
    cosigned(log, head(log, 2, "one", root=bytes(32)))
    cosigned(log, head(log, 2, "one", by=agent.STRANGER))
    cosigned(log, head(log, 3, "one").replace(b"one.example", b"two.example"))
    cosigned(log, b"no note")
    log.append_now(Draft(type=types.COSIGNED.name, stream=types.NODE_STREAM, payload={"size": 1}))
    found = graph(home, log)
    assert edges(found, "cosigned") == []
    assert {node.kind for node in found.nodes} == {Kind.INSTANCE, Kind.OPERATOR}


def test_what_the_operator_allowed_and_what_nobody_answered(home, log):
    places = []
    for number, (allow, by) in enumerate(
        ((True, "operator"), (False, "operator"), (False, "deadline"))
    ):
        [asked] = log.append_now(
            Draft(
                type=types.APPROVAL_ASKED.name,
                stream=agent.STREAM,
                payload={"name": f"tool{number}"},
            )
        )
        [answer] = log.append_now(
            Draft(
                type=types.APPROVAL_ANSWERED.name, stream=agent.STREAM,
                payload={"approval": asked.position, "allow": allow, "by": by},
            )
        )  # fmt: skip
        places.append((asked.position, answer.position))
    found = graph(home, log)
    operator = next(node.id for node in found.nodes if node.kind is Kind.OPERATOR)
    said = {(edge.source, edge.target, edge.event) for edge in edges(found, "refused")}
    assert edges(found, "asked about tool0")[0].event == places[0][0]
    [yes] = edges(found, "allowed")
    assert (yes.source, yes.target, yes.event) == (
        operator,
        f"approval:{places[0][0]}",
        places[0][1],
    )
    assert (operator, f"approval:{places[1][0]}", places[1][1]) in said
    assert [source for source, target, _ in said if target == f"approval:{places[2][0]}"] != [
        operator
    ]


def test_the_fleet_is_a_chain_that_voters_approved(home, log, capsys):
    files = fleet_files(home)
    files.put(sign_manifest(FIRST, OPERATOR))
    smaller = FIRST.following(members=tuple(one for one in FIRST.members if one != C))
    files.put(signed(smaller, "a", "b"))
    found = graph(home, log)
    approved = edges(found, "approved")
    assert {edge.source for edge in approved} == {f"key:{one.nostr.hex()}" for one in (A, B)}
    assert {edge.evidence for edge in approved} == {"fleet/000001.manifest"}
    named = {edge.target for edge in found.edges if edge.how.startswith("names as")}
    assert named == {f"member:{one.ledger.hex()}" for one in (A, B)}
    assert len(edges(found, "was followed by")) == 1
    files.put(sign_manifest(smaller.following(quorum=smaller.quorum), OPERATOR))
    path = home.path / "fleet" / "000002.manifest"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(edges(graph(home, log), "was followed by")) == 1
    assert "the chain of manifests ends" in capsys.readouterr().err
