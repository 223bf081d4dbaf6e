"""A fleet of three as its users have it: one dies, comes back, is cut off; no relay anywhere."""

import re
import threading
import time

import pytest

from genesis.keys.keystore import unlock_agent
from ledger.attested import name_of
from mesh.core.fleet import passing
from mesh.core.nip01 import NostrSigner
from node.home import Home as Places
from node.keeping.folding import OWNERS
from node.open import open_log
from tests.e2e.fleet import WAIT, Model, Three
from tests.e2e.test_recorded_day import FLEET, ROUTED, written
from tests.node.world import PASSPHRASE, until

GOOD = ("UNBROKEN", "UNBROKEN-PENDING")


class Saying(threading.Thread):
    """Somebody who waits for an answer."""

    def __init__(self, node, text, conversation):
        super().__init__()
        self._say = lambda: node.say(text, conversation=conversation)
        self.answer = None
        self.start()

    def run(self):
        self.answer = self._say()["answer"]

    def heard(self):
        self.join(WAIT)
        assert self.answer is not None
        return self.answer


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with Model().serving() as model:
        fleet = Three(tmp_path_factory.mktemp("three"), model)
        try:
            fleet.found()
            yield fleet
        finally:
            fleet.end()


def by(answer):
    """Whose answer it is, and its words."""
    told = answer["payload"].get("answered_by")
    return (None if told is None else told["ledger"]), answer["content"]["text"]


def test_a_message_is_taken_once_from_a_gateway_and_from_nobody_else(three):
    """With ann's key in hand: what a home answers to envelopes, whoever brings them."""
    ann, bea, cid = three.members
    talk = three.conversation("once")
    three.types("Talk")
    told = ann.node.say("the gate squeaks", conversation=talk)
    message, answer = told["message"], told["answer"]
    signer = NostrSigner(unlock_agent(ann.home.path, PASSPHRASE).nostr.secret)
    words = {
        "author": "operator", "conversation": talk, "id": message["id"], "known": 0,
        "ledger": ann.ledger.hex(), "position": message["position"], "sent_at": int(time.time()),
        "taken_at": int(time.time()), "watched": False, "text": "the gate squeaks", "to": bea.ledger.hex(),
    }  # fmt: skip
    name = passing.conversation_id(bytes.fromhex(ann.fleet["fleet"]), talk)
    sent = passing.sign(passing.Words(**words), conversation=name, signer=signer).encode()
    before = len(bea.log("message.received"))
    for bearer in (bea, cid, bea):
        reply = passing.parse(posted(bearer, sent).body)
        assert reply.payload.text == answer["content"]["text"]
        assert reply.payload.position == answer["payload"]["answered_by"]["position"]
        assert reply.payload.ledger == bea.ledger.hex()
    assert len(bea.log("message.received")) == before, "taken once, whoever brings it again"
    other = passing.Words(**words | {"to": cid.ledger.hex(), "id": "ab" * 32})
    reply = posted(cid, passing.sign(other, conversation=name, signer=signer).encode())
    assert passing.parse(reply.body).payload.home == bea.ledger.hex()
    refused(bea, sent.replace(b"squeaks", b"creaks!"), "signature")
    refused(bea, b"{}", "not an envelope")
    stranger = passing.sign(
        passing.Words(**words), conversation=name, signer=NostrSigner(b"s" * 32)
    )
    refused(bea, stranger.encode(), "no gateway of this fleet")
    late = passing.Words(**words | {"sent_at": 1})
    refused(bea, passing.sign(late, conversation=name, signer=signer).encode(), "s off")
    foreign = passing.Words(**words | {"ledger": "ab" * 32, "id": "cd" * 32})
    refused(bea, passing.sign(foreign, conversation=name, signer=signer).encode(), "its own ledger")


def posted(member, data):
    return member.node.request("POST", "/fleet/words", data, token="")


def refused(member, data, *words):
    answer = posted(member, data)
    answer.refused(answer.status, *words)
    assert 400 <= answer.status < 500


def held(member):
    """Why nothing that it says is released yet: for ten seconds it waits for relays, all dead."""
    return member.node.request("GET", "/v1/head").json["witnessed"]["held"]


def test_a_conversation_goes_on_whoever_dies(three):
    ann, bea, cid = three.members
    talk = three.conversation()
    three.model.asked.clear()
    for member in three.members:
        until(lambda one=member: not held(one), WAIT, "no relay says that it is an old copy")
    at_its_home(three, talk)
    gateway_killed(three, talk)
    killed(three, talk)
    for member in (ann, cid):
        assert member.verify() in GOOD
    assert bea.verify() in GOOD, "a dead one's ledger is whole, too"
    back(three, talk)
    cut_off(three, talk)
    swallowed(three, talk)
    for member in three.members:
        assert member.verify() in GOOD
        member.node.stop()
    rebuilt(ann)


def rebuilt(gateway):
    """Its state comes out again as it was attested, the parts that only a fleet has among it."""
    assert gateway.home.run("--json", "replay").good().json["differences"] == []
    with open_log(Places(path=gateway.home.path, state=gateway.home.state)) as log:
        found = written(log.events())
    assert found.keys() >= FLEET
    for part in FLEET - {"parked"}:
        assert found[part] == {ROUTED} == {name_of(one) for one in OWNERS[part]}


def at_its_home(three, talk):
    """The gateway hands on, the home answers in its own ledger, the gateway has it on record."""
    ann, bea, _ = three.members
    answer = ann.node.say("my cat is called Miro", conversation=talk)["answer"]
    assert by(answer) == (
        bea.ledger.hex(),
        "bea was told 1 things, and at last: my cat is called Miro",
    )
    there = answer["payload"]["answered_by"]
    event = bea.node.request("GET", f"/v1/events/{there['position']}").json
    assert event["id"] == there["id"]
    assert there["size"] > there["position"], "the head that it came with covers it"
    message = bea.log("message.received")[-1]
    assert message["payload"]["passed_by"]["ledger"] == ann.ledger.hex()
    answer = ann.node.say("she is grey", conversation=talk)["answer"]
    assert by(answer)[1].startswith("bea was told 3 things")
    assert not re.search(r"\bbea\b", ann.home.run("status").good().out), "none is amiss"


def gateway_killed(three, talk):
    """The gateway is killed while somebody waits: the message was kept, the answer is there."""
    ann, _, _ = three.members
    three.model.gate("bea").clear()
    three.model.asked.clear()
    said = ann.node.say("is she in the garden?", conversation=talk, wait_s=0)["message"]
    until(lambda: three.model.asked.get("bea"), WAIT, "the home is asked")
    ann.node.kill9()
    three.model.gate("bea").set()
    ann.node = ann.home.start()

    def answered():
        return [
            one for one in ann.log("message.sent") if one["payload"]["message"] == said["position"]
        ]

    until(answered, WAIT, "the answer is there")
    [answer] = answered()
    assert answer["content"]["text"].endswith("is she in the garden?")
    assert len(ann.log("route.forwarded")) == len({
        one["payload"]["message"] for one in ann.log("route.forwarded")
    })  # fmt: skip
    three.model.asked.clear()


def killed(three, talk):
    """Killed while it thinks: another one answers the same message, and knows what was said."""
    ann, bea, cid = three.members
    three.model.gate("bea").clear()
    waiting = Saying(ann.node, "what colour is she?", talk)
    until(lambda: three.model.asked.get("bea"), WAIT, "the home is asked")
    bea.node.kill9()
    assert by(waiting.heard())[0] == cid.ledger.hex()
    [asked] = three.model.asked["cid"]
    assert [words for role, words in asked if role == "user"] == [
        "my cat is called Miro", "she is grey", "is she in the garden?", "what colour is she?",
    ]  # fmt: skip
    assert sum(role == "assistant" for role, _ in asked) == 3
    carried = [
        one for one in cid.log("conversation.carried") if one["payload"]["conversation"] == talk
    ]
    assert len(carried) == 6
    assert {one["payload"]["ledger"] for one in carried} <= {ann.ledger.hex(), bea.ledger.hex()}
    assert all(one["payload"]["size"] > one["payload"]["position"] for one in carried)
    assert "1 to be settled" in ann.home.run("status").good().out
    following = Saying(ann.node, "does she hunt?", talk)
    assert by(following.heard())[0] == cid.ledger.hex()
    said = next(e for e in ann.log("message.received") if e["content"]["text"] == "does she hunt?")
    tried = [
        one["payload"]["to"]
        for one in ann.log("route.forwarded")
        if one["payload"]["message"] == said["position"]
    ]
    assert tried == [cid.ledger.hex()], "its lease is over: nobody asks the dead one any more"


def back(three, talk):
    """The old home is home again, and knows what was said without it; what it owed is settled."""
    ann, bea, _ = three.members
    bea.node = bea.home.start()
    until(lambda: ann.log("route.settled"), WAIT, "the message that it had is settled")
    three.model.gate("bea").set()

    def home_again():
        answer = ann.node.say("and how is she called?", conversation=talk)["answer"]
        return by(answer)[0] == bea.ledger.hex()

    until(home_again, WAIT, "the conversation is at its home")
    last = [words for role, words in three.model.asked["bea"][-1] if role == "assistant"]
    assert any(words.startswith("cid was told") for words in last)
    assert status(ann)["duplicates"] == 0
    erased(three, talk)


def erased(three, talk):
    """What is erased where it was said is erased where it was carried to."""
    ann, _, cid = three.members
    [said] = [
        one for one in ann.log("message.received")
        if one["content"] and one["content"]["text"] == "my cat is called Miro"
    ]  # fmt: skip
    ann.home.run("redact", str(said["position"]), "--yes", "--reason", "private").good()

    def copies():
        return [
            one["content"] for one in cid.log("conversation.carried")
            if one["payload"]["conversation"] == talk and one["payload"]["message"] == said["id"]
            and one["payload"]["role"] == "user"
        ]  # fmt: skip

    until(lambda: copies() == [None], WAIT, "the copy is erased")


def cut_off(three, talk):
    """Behind a cut link the home answers, too: one answer is delivered, both are on record."""
    ann, bea, cid = three.members
    three.model.gate("bea").clear()
    before = len(three.model.asked["bea"])
    waiting = Saying(ann.node, "does she purr?", talk)
    until(lambda: len(three.model.asked["bea"]) > before, WAIT, "the home is asked")
    three.link.cut()
    sent = len(bea.log("message.sent"))
    three.model.gate("bea").set()
    until(lambda: len(bea.log("message.sent")) > sent, WAIT, "it answers, and nobody hears it")
    assert by(waiting.heard())[0] == cid.ledger.hex()
    assert status(ann)["duplicates"] == 0
    three.link.mend()
    until(lambda: status(ann)["duplicates"] == 1, WAIT, "the second answer is known")
    [one] = status(ann)["newest"]
    assert one["ledger"] == bea.ledger.hex()
    assert bea.node.request("GET", f"/v1/events/{one['position']}").json["type"] == "message.sent"
    assert "answered twice" in ann.home.run("status").good().out
    metrics = ann.node.request("GET", "/metrics").body.decode()
    assert "timmy_route_duplicates 1.0" in metrics


def swallowed(three, talk):
    """A link that takes everything and gives nothing on: no error says that nobody hears."""
    ann, bea, cid = three.members
    three.link.swallow()
    answer = ann.node.say("is she asleep?", conversation=talk)["answer"]
    assert by(answer)[0] == cid.ledger.hex()
    assert "is she asleep?" not in str([one["content"] for one in bea.log("message.received")])
    three.link.mend()

    def home_again():
        answer = ann.node.say("and now?", conversation=talk)["answer"]
        return by(answer)[0] == bea.ledger.hex()

    until(home_again, WAIT, "the conversation is at its home again")


def status(member):
    return member.node.status()["route"]
