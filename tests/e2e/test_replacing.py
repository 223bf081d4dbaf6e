"""A machine of a fleet is lost: brought back from its backup, then replaced by another agent.

What "Replace a machine" of docs/OPERATIONS.md says, typed as it stands there.
"""

import shutil

import pytest

from tests.e2e.fleet import PAGE, WAIT, Member, Model, Three, commands, own
from tests.e2e.test_fleet_of_three import GOOD, by, held, status
from tests.node.world import Home, until

SECTION = "Replace a machine"


@pytest.fixture
def three(tmp_path):
    with Model().serving() as model:
        fleet = Three(tmp_path, model)
        try:
            fleet.found()
            for member in fleet.members:
                until(
                    lambda one=member: not held(one), WAIT, "no relay says that it is an old copy"
                )
            yield fleet
        finally:
            fleet.end()


def test_a_machine_is_replaced_as_the_page_says(three):
    ann, bea, cid = three.members
    assert [len(block) for block in commands(SECTION)] == [3, 7]
    talk = three.conversation()
    assert by(ann.node.say("the gate squeaks", conversation=talk)["answer"])[0] == bea.ledger.hex()
    bea.home.run("backup", "-o", str(three.root / "bea.backup")).good()
    said = ann.node.say("and the hinge is loose", conversation=talk)["answer"]
    restored(three, talk, said)
    replaced(three, talk)
    for member in (ann, cid, three.named("dee")):
        assert member.verify() in GOOD
    one_history(three, (ann, cid, three.named("dee")))


def lost(three, member: Member) -> None:
    """The machine and all that was on it, once the others have copied what was released."""
    size = member.node.request("GET", "/v1/head").json["size"]
    for other in three.members:
        if other is not member:
            until(lambda at=other: copied(at, member) >= size, WAIT, "the others have it")
    member.node.kill9()
    shutil.rmtree(member.home.root)
    member.home.root.mkdir()


def copied(at: Member, of: Member) -> int:
    rows = at.node.request("GET", "/v1/mirrors").json
    return max((row["size"] for row in rows if row["ledger"] == of.ledger.hex()), default=0)


def restored(three, talk, said) -> None:
    """The same agent goes on, with what was said after its backup, at the same address."""
    ann, bea, _ = three.members
    before = own(bea)
    lost(three, bea)
    three.types(SECTION, 0)
    three.gathers()
    assert own(bea) == before | {
        key: own(bea)[key] for key in ("events", "load", "able", "lease_s")
    }
    there = said["payload"]["answered_by"]
    event = bea.node.request("GET", f"/v1/events/{there['position']}").json
    assert event["id"] == there["id"], "what it said after the backup is what it said"

    def answers():
        answer = ann.node.say("is it mended?", conversation=talk)["answer"]
        return by(answer)[0] == bea.ledger.hex()

    until(answers, WAIT, "its conversation is at home again")
    heard = [words for role, words in three.model.asked["bea"][-1] if role == "user"]
    assert heard[:2] == ["the gate squeaks", "and the hinge is loose"]
    assert bea.verify() in GOOD
    one_history(three, three.members)


def replaced(three, talk) -> None:
    """Another agent takes its place; what the lost one lived stays with the others."""
    ann, bea, cid = three.members
    lost(three, bea)
    three.members = [ann, cid, three.made("dee")]
    three.types(SECTION, 1)
    three.gathers()
    names = {one["name"] for one in ann.fleet["members"]}
    assert names == {"ann", "cid", "dee"}
    assert {one.fleet["digest"] for one in three.members} == {ann.fleet["digest"]}
    answer = ann.node.say("who was told of the gate?", conversation=talk)["answer"]
    told = by(answer)[0]
    teller = next(one for one in three.members if one.ledger.hex() == (told or ann.ledger.hex()))
    heard = [words for role, words in three.model.asked[teller.name][-1] if role == "user"]
    assert heard[0] == "the gate squeaks", "a conversation goes on from the copies"
    mine = next(
        name for name in (f"new-{number}" for number in range(10_000))
        if first(ann, name) == "dee"
    )  # fmt: skip
    answer = ann.node.say("good morning", conversation=mine)["answer"]
    assert by(answer)[0] == three.named("dee").ledger.hex(), "the new one is home to some"
    for member in (ann, cid):
        until(lambda at=member: copied(at, three.named("dee")), WAIT, "the new one is copied")
    read_on(three, bea)


def first(member: Member, talk: str) -> str:
    """Who answers a conversation."""
    rows = member.node.request("GET", f"/v1/fleet?conversation={talk}").json["answers"]
    return rows[0]["name"]


def read_on(three, bea: Member) -> None:
    """The copy of the lost one is read with --home, and a home is made of it."""
    cid = three.named("cid")
    copy = Home(three.root / "copy")
    copy.root.mkdir()
    copy.path.symlink_to(cid.home.path / "mirrors" / bea.ledger.hex())
    assert copy.run("--json", "verify").good().json["verdict"] in GOOD
    bundle = str(three.root / "bea.bundle")
    copy.run("export", "-o", bundle).good()
    again = Home(three.root / "again")
    again.run("import", bundle).good()
    assert "the hinge is loose" in again.run("log", "--type", "message").good().out


def one_history(three, members) -> None:
    """Nobody saw a ledger of the fleet with two histories, and no message has two answers."""
    for member in members:
        until(lambda at=member: not held(at), WAIT, "its witnesses agree with what it has")
        assert member.node.status()["diverged"] == []
        rows = member.node.request("GET", "/v1/mirrors").json
        assert not any(row["ended"] for row in rows)
        assert status(member)["duplicates"] == 0


def test_the_page_names_this_file():
    assert "tests/e2e/test_replacing.py" in PAGE
