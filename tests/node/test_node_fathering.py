"""Fathering that is cut short, letters that are forged or replayed, gates that nobody granted."""

import hashlib
import json
import os
from contextlib import closing

import pytest

from genesis.core.children.letters import Chain, Kind, Letter, open_letter, write_letter
from genesis.core.errors import WrongPassphrase
from genesis.keys import keystore
from genesis.keys.passphrase import Passphrase
from ledger.core import types
from ledger.core.descent import Certificate, sign_certificate
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.release import Release
from node.children.fathering import MARK, Plan, father
from node.client import NotRunning
from node.home import Home as Places
from node.open import lineage_of, now_ms, open_log
from tests.node.test_node_lineage import SECONDS, gate_of, heard, of
from tests.node.world import PASSPHRASE, SETTINGS, until


def places(home):
    return Places(path=home.path, state=home.state)


def keys_of(home):
    return keystore.unlock_agent(home.path, PASSPHRASE)


def begin(parent, child, show_kit, **changes):
    """What `timmy lineage father` does, with something that happens when the kit is shown."""
    plan = {"name": "Ada", "soul": None, "network": "regtest", "skills": (), "gates": {}} | changes
    secret = Passphrase(text=PASSPHRASE, source="the test")
    return father(places(parent), places(child), Plan(**plan), secret, show_kit)


def again(parent, child, *more):
    into = ("--into", str(child.path), "--state", str(child.state))
    return parent.run("--json", "lineage", "father", "--name", "Ada", *into, *more)


class Cut(BaseException):
    """The machine stops here."""


def cut(_text):
    raise Cut


# ---- a birth that is cut short ------------------------------------------------------------------


def test_a_fathering_that_is_cut_short_is_taken_up_or_leaves_nothing(born, place):
    child, other = place("child"), place("other")
    node = born.start()
    with pytest.raises(Cut):
        begin(born, child, cut)
    assert (child.path / MARK).exists()
    assert not child.ledger.exists()
    assert born.run("--json", "lineage", "list").json == [], "nobody was born"
    with pytest.raises(NotRunning):
        begin(born, child, lambda _: node.stop())
    assert child.ledger.exists(), "it was born, and its parent was gone"
    child.run("run").refused("not certified yet", "lineage father")
    node = born.start()
    again(born, child, "--gate", "tools_runs=9").refused("another gates")
    made = again(born, child).good().json
    assert made["taken_up"]
    assert not (child.path / MARK).exists()
    [row] = born.run("--json", "lineage", "list").json
    assert row["child"] == made["child"]
    again(born, child).refused("lives in")
    again(born, other, "--skill", "nothing").refused("no skill")
    again(born, other, "--gate", "tools_runs=0").refused("tools_runs is 0")
    again(born, other, "--soul", "/nowhere").refused("cannot be read")
    assert not other.path.exists()
    graph = born.run("--json", "trust", "show").json
    [edge] = [one for one in graph["edges"] if one["target"] == f"child:{made['child']}"]
    assert (edge["how"], edge["event"]) == ("fathered", row["position"])
    born.run("trust", "show", "--svg", str(born.root / "graph.svg")).good()
    node.stop()
    keys_are_its_own(born, child)


def keys_are_its_own(parent, child):
    """Nothing of the parent's is in the child's keys, SOUL alike or not."""
    ours, its = keys_of(parent).public(), keys_of(child).public()
    assert not set(ours.values()) & set(its.values())
    for home, word in ((child, "parent:"), (parent, "child:")):
        file = str(home.root / "life")
        home.run("export", "-o", file).good()
        assert word in home.run("verify", file).good().out
    graph = child.run("--json", "trust", "show").json
    assert any(node["kind"] == "parent" for node in graph["nodes"])


def test_a_certificate_that_lies_in_the_folder_is_the_parents_own(born, place):
    """A try that was cut short behind the certificate is taken up; a home made by others is not."""
    child, made = place("child"), place("made")
    with born.running():
        begin(born, child, lambda _: None)
        (child.path / MARK).write_text(mark := marked(born, child))
        assert again(born, child).good().json["taken_up"]
        (child.path / MARK).write_text(mark)
        secret = Passphrase(text="of somebody else", source="the test")
        plan = Plan(name="Ada", soul=None, network="regtest", skills=(), gates={})
        with pytest.raises(WrongPassphrase):
            father(places(born), places(child), plan, secret, lambda _: None)
        with pytest.raises(Cut):
            begin(born, made, cut)
        (made.path / MARK).unlink()
        made.run("init", "--name", "Ada").good()
        (made.path / MARK).write_text(mark)
        with closing(open_log(places(made), write=True)) as log:
            payload = unrecorded(log, keys_of(made), keys_of(born), json.loads(mark)["parent"])
            log.append_now(
                Draft(type=types.PARENT_CERTIFIED.name, stream=types.PARENT_STREAM, payload=payload)
            )
        again(born, made).refused("none of this parent's")
        with closing(open_log(places(child), write=True)) as log:
            log.append_now(Draft(type="test.fact", stream=bytes(16), payload={}))
        again(born, child).refused("has lived already")


def marked(parent, child):
    """The mark of a fathering that nothing is left to do of."""
    with closing(open_log(places(parent))) as log:
        ledger = log.ledger_id.hex()
    soul = hashlib.sha256((child.path / "SOUL.md").read_bytes()).hexdigest()
    return json.dumps(
        {"parent": ledger, "name": "Ada", "network": "regtest", "soul": soul, "skills": {},
         "gates": {}}
    )  # fmt: skip


def unrecorded(log, child, parent, ledger):
    """A certificate with both signatures that the parent does not have on record."""
    genesis = lineage_of(log).genesis
    certificate = Certificate(
        parent=bytes.fromhex(ledger), parent_soul=bytes(32),
        parent_keys={"log": parent.log.public, "nostr": parent.nostr.public},
        kept_size=2, kept_root=bytes(32), ancestors=(), child=log.ledger_id,
        child_soul=genesis.soul.sha256, child_keys=genesis.keys, skills={}, gates={}, made_ms=1,
    )  # fmt: skip
    signature = sign_certificate(certificate, parent.log)
    proof = sign_certificate(certificate, child.log)
    return certificate.to_payload(signature=signature, proof=proof)


# ---- letters ------------------------------------------------------------------------------------


@pytest.fixture
def kin(born, place):
    """A parent and its child, both running: (parent, its node, child, its node, child's id)."""
    child = place("child").configure(SETTINGS)
    with born.running() as node:
        ledger = again(born, child).good().json["child"]
        with child.running() as young:
            heard(born, ledger)
            yield born, node, child, young, ledger


def letter(kind, signer: Signer, to: str, *, chain=None, text="", at_ms=None, **facts):
    return write_letter(
        kind,
        facts,
        text,
        chain=chain,
        ledger_id=bytes.fromhex(to),
        at_ms=now_ms() if at_ms is None else at_ms,
        nonce=os.urandom(16),
        signer=signer,
    )


def post(node, opened, where="letters"):
    return node.request("POST", f"/lineage/{where}", opened.letter.encode(), token="")


GRANT = {"size": 2, "root": bytes(32)}


def test_letters_that_the_parent_did_not_sign_now_change_nothing(kin):
    parent, node, child, young, ledger = kin
    ours, its, stranger = keys_of(parent).nostr, keys_of(child).nostr, Signer(b"\x05" * 32)
    before = young.status()["events"]
    for signer in (stranger, its):
        forged = letter(Kind.GRANT, signer, ledger, chain=Chain(), gate="rite", **GRANT)
        post(young, forged).refused(404, "no child of this agent has that key")
    other = letter(Kind.GRANT, ours, "07" * 32, chain=Chain(), gate="rite", **GRANT)
    post(young, other).refused(422, "is for ledger")
    later = letter(Kind.GRANT, ours, ledger, chain=Chain(), gate="tools", **GRANT)
    post(young, later).refused(422, "the next is rite")
    for data in (b"", b"\x80", b"{}", b"x" * 400_000):
        assert young.request("POST", "/lineage/letters", data, token="").status in (400, 413, 422)
    assert young.request("GET", "/v1/lineage", token="").status == 401
    assert young.status()["events"] == before
    assert gate_of(child) == ""
    looking(node, young, ours, stranger, ledger)
    pretending(node, stranger, ours, its, ledger)


def looking(node, young, ours, stranger, ledger):
    """The ledger is shown to the parent, for one request once."""
    post(young, letter(Kind.LOOK, stranger, ledger), "ledger").refused(422, "is by")
    post(young, letter(Kind.LOOK, ours, ledger, at_ms=now_ms() - 700_000), "ledger").refused(422)
    look = letter(Kind.LOOK, ours, ledger)
    assert post(young, look, "ledger").body.startswith(b"timmy-bundle v1\n")
    post(young, look, "ledger").refused(422, "taken before")
    post(node, look, "ledger").refused(404, "has no parent")


def pretending(node, stranger, ours, its, ledger):
    """What a child tells its parent is its own, in turn, and once."""
    own = node.status()["ledger"]
    about = {"event": 1, "trigger": "disk", "subject": "home"}
    post(node, letter(Kind.ALARM, stranger, own, chain=Chain(), **about)).refused(404)
    early = letter(Kind.ALARM, its, own, chain=Chain(number=5), **about)
    post(node, early).refused(422, "too early")
    first = letter(Kind.ALARM, its, own, chain=Chain(), text="full", **about)
    for _ in range(2):
        answer = post(node, first).json
        [letter_back] = map(Letter.parse, map(bytes.fromhex, answer["letters"]))
        said = open_letter(letter_back, author=ours.public, ledger_id=bytes.fromhex(ledger))
        assert (answer["number"], said.kind, said.facts["told"]) == (1, Kind.HEARD, 1)
    assert len(node.log("child.told")) == 1
    grant = letter(Kind.GRANT, its, own, chain=Chain(), gate="rite", **GRANT)
    post(node, grant).refused(422, "nothing that a child tells")


def test_a_child_may_not_father_before_its_gates_say_so(kin, place):
    _, _, child, _, _ = kin
    grandchild = place("grandchild")
    again(child, grandchild).refused("passed 0 of 4 gates")
    assert not grandchild.ledger.exists()


# ---- a child that grants itself -----------------------------------------------------------------


def test_a_grant_that_the_child_wrote_itself_opens_nothing_and_is_found(born, place):
    child = place("child").configure(SETTINGS)
    with born.running():
        ledger = again(born, child).good().json["child"]
        wrote_itself(child, ledger, "rite")
        with child.running():
            heard(born, ledger)
            assert gate_of(child) == ""
            found = born.run("--json", "lineage", "check", ledger, "--grant").good().json
            honest = next(one for one in found["judgment"]["findings"] if one["name"] == "honest")
            assert (honest["have"], honest["holds"], found["did"]) == (1, False, None)


def wrote_itself(child, ledger, gate):
    """Have a stopped child's ledger hold a grant by its own hand, under its own head."""
    keys = keys_of(child)
    with closing(open_log(places(child), write=True)) as log:
        own = letter(Kind.GRANT, keys.nostr, ledger, chain=Chain(), gate=gate, **GRANT)
        log.append_now(
            Draft(
                type=types.PARENT_ORDERED.name,
                stream=types.PARENT_STREAM,
                payload=own.letter.to_payload(),
            )
        )
        Release.open(log, child.state, keys.log, key_at=lineage_of(log).key_at).head()


# ---- by hand ------------------------------------------------------------------------------------


def test_letters_and_ledger_travel_on_a_stick(born, place):
    """Neither node knows where the other is."""
    alone = SETTINGS + '[lineage]\nparent = "http://127.0.0.1:9"\ncheck = ""\n'
    child, stick = place("child").configure(alone), born.root / "stick"
    stick.mkdir()
    with born.running():
        ledger = again(born, child).good().json["child"]
        with child.running() as young:
            child.run("soul", "attest").good()
            young.say("good morning")
            born.run("lineage", "check", ledger).refused("nobody knows where this child is")
            child.run("export", "-o", str(stick / "life")).good()
            found = (
                born.run("--json", "lineage", "check", ledger, str(stick / "life"), "--grant")
                .good()
                .json
            )
            assert found["did"] == "granted rite"
            born.run("lineage", "carry", ledger, "-o", str(stick / "orders")).good()
            for _ in range(2):  # a file that is taken twice changes nothing the second time
                child.run("lineage", "take", str(stick / "orders")).good()
            assert gate_of(child) == "rite"
            assert len(young.log("parent.ordered")) == 1
            child.run("lineage", "report").good()
            child.run("lineage", "carry", "-o", str(stick / "told")).good()
            born.run("lineage", "take", str(stick / "told")).good()
            assert "## For the parent" in born.run("lineage", "report", ledger).good().out
            child.run("lineage", "take", str(stick / "life")).refused("is not UTF-8")
            rolled_back(born, child, ledger, stick)
        loses_the_rite(born, child, ledger, stick)


def rolled_back(born, child, ledger, stick):
    """An older ledger than was looked at is refused, and on record."""
    child.run("export", "-o", str(stick / "newer")).good()
    born.run("lineage", "check", ledger, str(stick / "newer")).good()
    born.run("lineage", "check", ledger, str(stick / "life")).refused("when it was checked")
    assert of(born, ledger)["checked"]["verdict"] == "refused"
    until(lambda: "refused" in born.run("lineage", "list").good().out, SECONDS, "it is told")


def loses_the_rite(born, child, ledger, stick):
    """A gate that is not kept is taken back by the check that finds it, and the exit status says so."""
    wrote_itself(child, ledger, "tools")
    child.run("export", "-o", str(stick / "forged")).good()
    found = born.run("lineage", "check", ledger, str(stick / "forged"))
    assert (found.code, "it narrowed rite" in found.out) == (1, True), found
    row = of(born, ledger)
    assert row["gate"] == ""
    [taken_back] = [one for one in row["letters"] if one["kind"] == "order/narrow"]
    assert (taken_back["facts"]["gate"], taken_back["text"]) == ("rite", "not kept: honest")
