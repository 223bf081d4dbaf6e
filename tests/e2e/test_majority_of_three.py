"""A fleet of three in majority mode: a partition, one answer to each message, and never two."""

import json
from http.client import HTTPConnection

import pytest

from tests.e2e.fleet import WAIT, Model, Three
from tests.e2e.test_fleet_of_three import by, held, status
from tests.node.world import until


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with Model().serving() as model:
        fleet = Three(tmp_path_factory.mktemp("majority"), model, answer="majority", lease_s=10)
        try:
            fleet.found()
            for member in fleet.members:
                until(lambda one=member: not held(one), WAIT, "no relay says that it is old")
            yield fleet
        finally:
            fleet.end()


def answers(three, text):
    """Of each member, what it recorded as its own answer to some words, over all conversations."""
    found = []
    for member in three.members:
        sent = member.log("message.sent")
        own = [one for one in sent if "answered_by" not in one["payload"]]
        found += [one for one in own if (one["content"] or {}).get("text", "").endswith(text)]
    return found


def test_behind_a_cut_link_one_answer_is_made_and_the_smaller_side_says_that_it_keeps(three):
    ann, bea, _ = three.members
    talk = three.conversation("majority")
    answer = answered(ann, said(ann, "the tiles are loose", talk))
    assert by(answer)[0] == bea.ledger.hex(), "a home with its voters answers"
    until(lambda: grows(three, talk), WAIT, "an answer is seen while it grows")
    three.model.gate("bea").clear()
    before = len(three.model.asked["bea"])
    waiting = said(ann, "on which side?", talk)
    until(lambda: len(three.model.asked["bea"]) > before, WAIT, "the home is asked")
    parted(three, waiting)
    together(three, talk)


def grows(three, talk):
    """Who watches at the gateway sees the home's first sentence before there is a second."""
    ann, bea, _ = three.members
    three.model.gate("bea").clear()
    seen = []
    for name, value in events(ann.node, {"text": "tell me more", "conversation": talk}):
        seen.append((name, value))
        if name == "draft":
            three.model.gate("bea").set()
    three.model.gate("bea").set()
    name, told = seen[-1]
    assert name == "said"
    if told["answer"] is None:  # a slow machine lost sight of its voters for a moment
        answered(ann, told["message"]["position"])
        return False
    drafts = [value["text"] for name, value in seen if name == "draft"]
    assert drafts[0].startswith("The first sentence")
    assert by(told["answer"])[0] == bea.ledger.hex()
    assert told["answer"]["content"]["text"].startswith("".join(drafts).strip()[:20])
    return True


def said(member, text, talk):
    """Say it, and wait for nothing: who loses his voters for a moment is told so, and answered."""
    return member.node.say(text, conversation=talk, wait_s=0)["message"]["position"]


def answered(member, position):
    """The answer to a message, once it is on record where it was said."""

    def found():
        return [one for one in member.log("message.sent") if one["payload"]["message"] == position]

    until(found, WAIT, f"event {position} is answered")
    [answer] = found()
    return answer


def events(node, body):
    """The events of one streamed answer, as they come."""
    connection = HTTPConnection("127.0.0.1", node.port, timeout=WAIT)
    try:
        head = {"Authorization": f"Bearer {node.home.token}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/say", json.dumps(body | {"stream": True}), head)
        response, name = connection.getresponse(), ""
        while line := response.readline():
            kind, _, rest = line.decode().strip().partition(": ")
            if kind == "event":
                name = rest
            elif kind == "data":
                yield name, json.loads(rest)
                if name == "said":
                    return
    finally:
        connection.close()


def parted(three, waiting):
    """The home is cut off while it thinks: it gets no majority; the successor does."""
    _, bea, cid = three.members
    three.cut_off("bea")
    assert by(answered(three.members[0], waiting))[0] == cid.ledger.hex()
    three.model.gate("bea").set()
    until(lambda: status(bea)["reached"] == 1, WAIT, "it is alone")
    kept = bea.node.request("POST", "/v1/say", {"text": "is anybody there?"}).json
    assert kept["answer"] is None
    assert kept["kept"] == "1 of 3 voters are in reach, 2 are needed"
    told = bea.home.run("say", "hello?")
    assert told.code == 1
    assert "kept, not answered: 1 of 3 voters are in reach" in told.err + told.out
    assert "1 of 3 voters in reach, 2 needed to answer" in bea.home.run("status").good().out
    assert len(answers(three, "on which side?")) == 1
    assert not answers(three, "is anybody there?")


def together(three, talk):
    """The link is whole again: what was kept is answered, what was begun is given up."""
    ann, bea, _ = three.members
    three.mend()
    until(lambda: answers(three, "is anybody there?"), WAIT, "what was kept is answered")
    until(lambda: answers(three, "hello?"), WAIT, "and what was said next")
    until(lambda: not status(ann)["unsettled"], WAIT, "the old home was told, or knew")
    assert status(ann)["duplicates"] == 0
    for text in ("the tiles are loose", "on which side?", "is anybody there?", "hello?"):
        assert len(answers(three, text)) == 1, text
    ends = [one for one in bea.log("turn.finished") if one["payload"]["outcome"] == "elsewhere"]
    assert len(ends) == 1, "its turn ended without words"
    assert answered(ann, said(ann, "and now?", talk))
    for member in three.members:
        assert member.verify() in ("UNBROKEN", "UNBROKEN-PENDING")
