"""Birth, anchors, handoff, anchors, recovery with new keys, anchors: one proof tells all of it.

Real processes on a regtest chain; the verifier has an empty home and SOUL.md. Then the four attacks
that the first design of the seal fell to, each by name.
"""

import hashlib
import io
import shutil
from dataclasses import replace

import pytest

from attest.core.commitment import commitment_of
from attest.core.proof import AnchorProof
from attest.core.seal import Coin, Fee, anchor_draft, opening_draft, sign
from attest.core.signer import FundingSigner, SealSigner
from attest.core.transaction import OutPoint, TxOut, parse_transaction
from attest.verify.bundle import verify_bundle
from genesis.keys.keystore import unlock_agent
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.note import parse_note
from mesh.core import nip19
from node.home import Home as Places
from node.open import lineage_of, open_log
from tests.attest.forge import forge_link
from tests.e2e.chain import running_chain
from tests.node.world import PASSPHRASE, SETTINGS, Home
from tests.spec import agent

EARLY = "the well behind the barn is nine metres deep"


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain")) as running:
        yield running


def anchor(home, action):
    return home.run("--json", "anchor", action).good().json


def lines(report):
    return {line["name"]: line["text"] for line in report["lines"]}


def kinds(home):
    return [link["kind"] for link in anchor(home, "status")["links"]]


class Story:
    """What each chapter leaves for the next ones and for the tests."""

    def __init__(self, folder, chain):
        self.chain = chain
        self.folder = folder
        self.home = Home(folder / "user").configure(SETTINGS + chain.settings)
        self.kits = [folder / f"kit-{number}.txt" for number in range(3)]

    def born(self):
        self.home.run("init", "--name", "Ada", "--kit", str(self.kits[0])).good()
        with self.home.running():
            self.chain.mine(1, anchor(self.home, "fund")["funding_address"])
            self.chain.mine(100)
            anchor(self.home, "open")
            self.mined(1)
            said = self.home.run("--json", "say", EARLY).good().json
            self.at = said["message"]["position"]
            anchor(self.home, "now")
            self.mined(1)
            self.first = self.proof("first.proof")

    def handed_over(self):
        self.old = unlock_agent(self.home.path, PASSPHRASE)
        self.handoff = (
            self.home.run(
                "--json", "handoff", "--kit", str(self.kits[0]), "--new-kit", str(self.kits[1])
            )
            .good()
            .json
        )
        with self.home.running() as node:
            node.say("of the second key")
            assert "enrolment" in anchor(self.home, "status")["waiting"]
            self.mined(2)
            assert kinds(self.home) == ["opening", "anchor", "handoff"]
            anchor(self.home, "now")
            self.mined(1)
            self.between = self.proof("between.proof")
            assert (self.home.path / "keys" / "agent-0.keystore").exists()
            self.mined(101)
            assert "deleted" in self.home.logged
            assert not (self.home.path / "keys" / "agent-0.keystore").exists()

    def recovered(self):
        self.stolen = unlock_agent(self.home.path, PASSPHRASE)
        (self.home.path / "keys" / "agent.keystore").unlink()
        self.home.run("run").refused("agent.keystore does not exist")
        done = self.home.run(
            "--json", "recover", "--kit", str(self.kits[1]), "--new-keys", "--yes",
            "--new-kit", str(self.kits[2]),
        ).good()  # fmt: skip
        self.recovery = done.json
        assert done.json["seal"] is None
        assert "timmy anchor recover" in done.err
        with self.home.running() as node:
            assert "anchor recover" in str(anchor(self.home, "status"))
            assert node.answer("are you there?")
            address = anchor(self.home, "fund")["funding_address"]
        self.chain.mine(1, address)
        self.chain.mine(100)
        self.home.run("anchor", "recover", "--kit", str(self.kits[0])).good()
        with self.home.running() as node:
            anchor(self.home, "bump")
            self.mined(1)
            node.say("of the third key")
            anchor(self.home, "now")
            self.mined(1)
            assert kinds(self.home) == [
                "opening", "anchor", "handoff", "anchor", "recovery", "anchor",
            ]  # fmt: skip
            self.last = self.proof("last.proof")

    def mined(self, count):
        """A node looks before and after: what was signed is sent, what was mined is seen."""
        for _ in range(min(count, 3)):
            anchor(self.home, "status")
            self.chain.mine(1)
        if count > 3:
            self.chain.mine(count - 3)
        anchor(self.home, "status")

    def proof(self, name):
        path = self.folder / name
        self.home.run("prove", str(self.at), "--anchored", "-o", str(path)).good()
        return path


@pytest.fixture(scope="module")
def story(tmp_path_factory, chain):
    story = Story(tmp_path_factory.mktemp("story"), chain)
    story.born()
    story.handed_over()
    story.recovered()
    yield story
    story.home.end()


def verified(story, path, tmp_path):
    stranger = Home(tmp_path / "a stranger's machine", None)
    soul = tmp_path / "SOUL.md"
    shutil.copy(story.home.path / "SOUL.md", soul)
    report = stranger.run("--json", "verify", str(path), "--soul", str(soul)).json
    assert not stranger.path.exists()
    return report


def test_one_proof_of_an_early_memory_tells_of_handoff_and_recovery(story, tmp_path):
    report = verified(story, story.last, tmp_path)
    found = lines(report)
    assert report["verdict"] == "TEST", report
    at = story.handoff["position"]
    assert found["handoff"] == f"1 at event {at}: signed by old, next and new keys"
    at = story.recovery["position"]
    assert found["recovery"] == f"epoch 1 began at event {at}, by the recovery key, with new keys"
    assert "5 links on one seal, 1 handoff, 1 recovery, unbroken" in found["seal chain"]
    assert "existed no later than" in found["freshness"]


def test_each_chapter_had_a_proof_that_still_holds_and_continues(story, tmp_path):
    for path, links in (
        (story.first, "2 links on one seal"),
        (story.between, "3 links on one seal, 1 handoff"),
    ):
        report = verified(story, path, tmp_path)
        assert report["verdict"] == "TEST"
        assert links in lines(report)["seal chain"]
    stranger = Home(tmp_path / "another", None)
    told = stranger.run("verify", str(story.last), "--held", str(story.between))
    assert "INCOMPLETE" in told.out, "a reader who holds a head asks for what leads on from it"
    sizes = [named_by(r).size for r in records_of(story.between) if r[0] == "checkpoint"]
    since = [word for size in sizes for word in ("--since", str(size))]
    path = tmp_path / "since.proof"
    story.home.run("prove", str(story.at), "--anchored", *since, "-o", str(path)).good()
    told = stranger.run("verify", str(path), "--held", str(story.between)).good()
    assert "TEST" in told.out


def test_why_leads_to_the_block(story):
    found = story.home.run("why", str(story.at)).good().out
    assert "anchor.requested" in found
    assert "checkpoint.anchored: block " in found
    rows = story.home.run("--json", "why", str(story.at)).good().json
    assert [row["type"] for row in rows[-2:]] == ["anchor.requested", "checkpoint.anchored"]


def test_the_whole_log_is_recovered_and_its_salvage_too(story, tmp_path):
    export, saved = tmp_path / "life.bundle", tmp_path / "saved.bundle"
    story.home.run("export", "-o", str(export)).good()
    assert verified(story, export, tmp_path)["verdict"] == "RECOVERED"
    story.home.run("doctor", "--salvage", "-o", str(saved)).good()
    assert verified(story, saved, tmp_path)["verdict"] == "RECOVERED"
    checked = story.home.run("verify").good().out
    assert "RECOVERED" in checked


def test_the_npub_is_another_where_the_old_keystore_was_lost(story):
    with story.home.running() as node:
        born = story.home.run("--json", "show", "0").good().json["payload"]["keys"]["nostr"]
        assert node.status()["npub"] != nip19.npub(born)


# ---- the four attacks on the first design ------------------------------------------------------------


def records_of(path):
    return agent.open_frames(path.read_bytes())


def verdict_of(records, soul):
    return verify_bundle(io.BytesIO(agent.bundle(records)), soul)


def with_seal(records, change):
    """The records with another attachment of the seal."""
    return [
        ["attachment", "seal", change(dict(record[2]))]
        if record[:2] == ["attachment", "seal"]
        else record
        for record in records
    ]


@pytest.fixture
def soul(story):
    return (story.home.path / "SOUL.md").read_bytes()


def links_of(records):
    seal = next(r[2] for r in records if r[:2] == ["attachment", "seal"])
    return [AnchorProof.from_value(link) for link in seal["links"]]


STRANGER = FundingSigner(secret=b"\x07" * 32)


def a_coin(number):
    outpoint = OutPoint(txid=bytes([number]) * 32, index=0)
    return Coin(outpoint=outpoint, output=TxOut(value_sat=100_000, script=STRANGER.script))


def test_attack_a_second_opening_funded_by_a_stranger(story, soul):
    """His T_0 pays the true seal script; the ledger named another outpoint beforehand."""
    records = records_of(story.first)
    assert verdict_of(records, soul).verdict == "TEST"
    true = links_of(records)[0]
    opened = parse_transaction(true.transaction)
    draft = opening_draft(
        coins=[a_coin(8)],
        digest=commitment_of(opened).digest,
        seal=opened.outputs[1],
        recovery=opened.outputs[2],
        change_script=STRANGER.script,
        fee=Fee(sat_per_kvb=1000),
    )
    signed = sign(draft, seal=seal_signer(story.old, soul), funding=STRANGER)
    second = forge_link(signed, height=true.height)
    forged = with_seal(
        records, lambda value: value | {"links": [second.to_value(), *value["links"][1:]]}
    )
    report = verdict_of(forged, soul)
    assert report.verdict == "BROKEN"
    assert "vin[0] spends" in str(report.lines[-1])


def seal_signer(keys, soul):
    return SealSigner(secret=keys.seal.secret, soul_digest=hashlib.sha256(soul).digest())


def resigned(records, key, root):
    """The same heads with another root, signed by `key`."""
    return [
        ["checkpoint", sign_checkpoint(replace(named_by(r), root=root), key).encode()]
        for r in records
        if r[0] == "checkpoint"
    ]


def named_by(record):
    return Checkpoint.parse(parse_note(record[1]).text)


def test_attack_a_rewritten_log_anchored_on_the_same_seal(story, soul):
    """The thief of the log key signs another history: the digests in Bitcoin are the true ones."""
    records = records_of(story.first)
    rest = [r for r in records if r[0] != "checkpoint"]
    forged = resigned(records, story.old.log, bytes(32))
    assert verdict_of([*rest, *forged], soul).verdict == "BROKEN"
    # With the true heads beside them, which Bitcoin asks for: proof against the log itself.
    assert verdict_of([*records, *forged], soul).verdict == "DIVERGED"


def test_attack_a_stolen_seal_key(story, soul):
    """He leads the chain on by the true seal key, to a head that is not the log's."""
    records = records_of(story.first)
    last = links_of(records)[-1]
    before = parse_transaction(last.transaction)
    heads = [r for r in records if r[0] == "checkpoint"]
    newest = named_by(heads[-1])
    his = sign_checkpoint(replace(newest, size=newest.size + 1, root=b"h" * 32), agent.STRANGER)
    draft = anchor_draft(
        seal=Coin(outpoint=OutPoint(txid=before.txid, index=1), output=before.outputs[1]),
        fee_coins=[a_coin(9)],
        digest=his.anchor_digest(),
        change_script=STRANGER.script,
        fee=Fee(sat_per_kvb=1000),
    )
    signed = sign(draft, seal=seal_signer(story.old, soul), funding=STRANGER)
    link = forge_link(signed, height=last.height + 500, spent=draft.spent[1:])

    def led_on(value):
        return {
            "links": [*value["links"], link.to_value()],
            "sizes": [*value["sizes"], his.size],
            "epochs": [*value["epochs"], 0],
        }

    forged = with_seal(records, led_on)
    assert verdict_of(forged, soul).verdict == "INCOMPLETE", "his preimage is kept back"
    assert verdict_of([*forged, ["checkpoint", his.encode()]], soul).verdict == "BROKEN"


def test_attack_a_note_by_the_old_key_above_the_handoff(story, soul):
    records = records_of(story.last)
    with open_log(Places(path=story.home.path, state=story.home.state)) as log:
        found = lineage_of(log)
        size = found.tenures[1].start
        for who, key in (("old", story.old.log), ("stolen", story.stolen.log)):
            above = size if who == "old" else found.tenures[2].start
            epoch = 0 if who == "old" else 1
            checkpoint = Checkpoint(
                ledger_id=log.ledger_id, epoch=epoch, size=above, root=log.tree.root(above)
            )
            forged = [*records, ["checkpoint", sign_checkpoint(checkpoint, key).encode()]]
            report = verdict_of(forged, soul)
            assert report.verdict == "DIVERGED", who
            assert "is in charge" in str(report.lines[-1])


def test_attack_the_thief_of_the_node_cannot_hand_over(story):
    """He has keystore and passphrase; the next key is in the kit alone."""
    home = story.home
    home.run("handoff", "--kit", str(story.kits[0]), "--new-kit", str(story.folder / "x")).refused(
        "next key"
    )
    assert not (story.folder / "x").exists()
