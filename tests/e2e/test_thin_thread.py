"""From a message to a Bitcoin block, and from a patch to a signed verdict, on real parts."""

import hashlib
import io

import pytest

from attest.core.seal import Coin, Fee, anchor_draft, sign
from attest.core.signer import FundingSigner, SealSigner
from attest.core.transaction import OutPoint, TxOut
from attest.verify.bundle import verify_bundle
from genesis.core.verdict import verify_envelope
from genesis.keys.keystore import unlock_agent
from node.home import Home as Places
from node.identity.souls import make_published
from node.open import reading
from tests.e2e.chain import STRANGER, running_chain
from tests.e2e.make_examples import EXAMPLES
from tests.node.test_node_patches import SAID
from tests.node.world import PASSPHRASE, SETTINGS, Home


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


@pytest.fixture(scope="module")
def home(chain, tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("thread") / "user").configure(SETTINGS + chain.settings)
    with home.running():
        yield home
    home.end()


def anchor(home, action):
    return home.run("--json", "anchor", action).good().json


def test_a_message_reaches_a_block_and_a_stranger_can_tell(home, chain, tmp_path):
    said = home.run("--json", "say", "the beam was replaced today").good().json["message"]
    at = str(said["position"])
    proof = tmp_path / "x.proof"
    home.run("prove", at, "--anchored", "-o", str(proof)).refused("no anchor in a block covers")
    home.run("anchor", "now").refused("the seal is not open")
    home.run("anchor", "open").refused("fund")
    chain.mine(101, anchor(home, "fund")["funding_address"])
    assert anchor(home, "open")["links"][0]["standing"] == "pending"
    chain.mine(1)
    assert anchor(home, "status")["links"][0]["standing"] == "seen"
    home.run("prove", at, "--anchored", "-o", str(proof)).good()
    later = str(home.run("--json", "say", "and painted").good().json["message"]["position"])
    anchor(home, "now")
    chain.mine(6)
    links = anchor(home, "status")["links"]
    assert [(link["kind"], link["standing"]) for link in links] == [
        ("opening", "confirmed"),
        ("anchor", "confirmed"),
    ]
    home.run("prove", later, "--anchored", "-o", str(proof), "--force").good()
    soul = str(home.path / "SOUL.md")
    stranger = Home(tmp_path / "another machine", None)
    found = stranger.run("--json", "verify", str(proof), "--soul", soul, "--require", "confirmed")
    assert found.good().json["verdict"] == "TEST"
    assert "2 links on one seal" in found.out
    assert not stranger.path.exists()
    deeper = stranger.run("verify", str(proof), "--soul", soul, "--require", "final")
    assert deeper.code == 1
    assert "final was required, this is confirmed" in deeper.out


def test_a_stranger_asks_a_node_of_his_own_and_pins_blocks(home, chain, tmp_path):
    at = home.run("--json", "log", "--type", "message.received").good().json[0]["position"]
    proof = tmp_path / "x.proof"
    home.run("prove", str(at), "--anchored", "-o", str(proof)).good()
    links = anchor(home, "status")["links"]
    height, newest = links[0]["height"], links[-1]["height"]
    known = chain.rpc("getblockhash", height)
    stranger = Home(tmp_path / "another machine", None)
    base = ("verify", str(proof))
    pinned = stranger.run(*base, "--pin", f"{height}:{known}").good()
    assert f"block {height} is the pinned one" in pinned.out
    assert "heaviest chain" not in pinned.out
    other = stranger.run(*base, "--pin", f"{height}:{'ab' * 32}")
    assert (other.code, f"block {height} is {known}, the pinned one is" in other.out) == (1, True)
    assert "BROKEN" in other.out
    absent = stranger.run(*base, "--pin", f"{newest + 1000}:{known}")
    assert (absent.code, "is not among the headers here" in absent.out) == (1, True)
    stranger.run(*base, "--pin", "7:abc").refused("no height and block hash")
    asking = ("--online", f"http://127.0.0.1:{chain.port}", "--cookie", str(chain.cookie))
    told = stranger.run(*base, *asking)
    if len(links) > 1:  # the opening alone is in this proof: a later link has spent its seal
        assert (told.code, "STALE" in told.out) == (1, True)
    later = home.run("--json", "say", "gutters, too").good().json["message"]["position"]
    anchor(home, "now")
    chain.mine(1)
    anchor(home, "status")
    home.run("prove", str(later), "--anchored", "-o", str(proof), "--force").good()
    fresh = stranger.run(*base, *asking).good()
    assert "the last seal is unspent" in fresh.out
    assert "that no later head exists" not in fresh.out
    deeper = stranger.run("--json", *base, *asking, "--require", "final")
    assert (deeper.code, deeper.json["verdict"]) == (1, "TEST"), "not deep, and the newest"
    assert "the last seal is unspent" in deeper.out
    anchor(home, "now")
    chain.mine(1)
    anchor(home, "status")
    stale = stranger.run("--json", *base, *asking)
    assert (stale.code, stale.json["verdict"]) == (1, "STALE")
    stranger.run(*base, "--online", "http://127.0.0.1:9", "--cookie", str(chain.cookie)).refused(
        "does not answer"
    )
    stranger.run(*base, "--online", "ftp://x").refused("is no address")
    stranger.run(*base, "--online", "http://a:b@127.0.0.1:9").refused(
        "credentials stand in the address"
    )
    stranger.run(*base, "--online", f"http://127.0.0.1:{chain.port}").refused("credentials")


def test_a_dearer_anchor_is_over_what_was_said_since_too(home, chain, tmp_path):
    """Replace-by-fee with a fresher root, as a user does it; without news the root stays."""
    home.run("say", "the ladder is in the barn").good()
    first = anchor(home, "now")["links"][-1]
    paid = anchor(home, "bump")["links"][-1]
    assert (paid["digest"], paid["standing"]) == (first["digest"], "pending")
    assert paid["fee_sat"] > first["fee_sat"]
    later = home.run("--json", "say", "no, it is lent out").good().json["message"]["position"]
    [*_, fresh] = anchor(home, "bump")["links"]
    assert fresh["digest"] != first["digest"]
    assert fresh["fee_sat"] > paid["fee_sat"]
    assert chain.rpc("getrawmempool") == [fresh["txid"]]
    chain.mine(1)
    status = anchor(home, "status")
    assert status["links"][-1]["height"] is not None
    assert (status["wanted"], len(chain.rpc("getrawmempool"))) == (None, 0)
    proof = tmp_path / "later.proof"
    home.run("prove", str(later), "--anchored", "-o", str(proof)).good()
    found = home.run("--json", "verify", str(proof), "--soul", str(home.path / "SOUL.md")).good()
    assert found.json["verdict"] == "TEST"
    assert "checkpoint.anchored" in home.run("why", str(later)).good().out


def test_each_checkpoint_in_a_block_has_an_ots_file(home, tmp_path):
    requested = home.run("--json", "log", "--type", "anchor.requested").good().json
    sizes = {row["payload"]["digest"]: row["payload"]["size"] for row in requested}
    links = anchor(home, "status")["links"]
    assert len(links) > 2
    for link in links:
        size = str(sizes[link["digest"]])
        stem = str(tmp_path / size)
        export = ("--json", "anchor", "export-ots", "-o", stem)
        found = home.run(*export, "--size", size).good().json
        assert (found["sha256"], found["heights"]) == (link["digest"], [link["height"]])
        note = (tmp_path / f"{size}.note").read_bytes()
        assert hashlib.sha256(note).hexdigest() == link["digest"]
    home.run(*export, "--size", "1", "--force").refused("no checkpoint of 1 events", size)
    home.run("anchor", "export-ots", "4", "--size", size, "-o", stem).refused("leave --size out")
    home.run("anchor", "status", "--size", "4").refused("takes no event and no file")


def test_a_backup_holds_the_evidence_from_bitcoin(home, tmp_path):
    """A node that pruned its blocks could not give it again."""
    backup, other = tmp_path / "life.backup", Home(tmp_path / "other")
    home.run("backup", "-o", str(backup)).good()
    other.run("restore", str(backup)).good()
    kept = {path.name: path.read_bytes() for path in (home.path / "anchors/proofs").glob("*.cbor")}
    assert len(kept) > 2
    restored = other.path / "anchors/proofs"
    assert {path.name: path.read_bytes() for path in restored.iterdir()} == kept


def test_what_relays_are_given_of_a_long_chain_fits_an_event(home):
    soul = (home.path / "SOUL.md").read_bytes()
    told = []
    with reading(Places(path=home.path, state=home.state)) as opened:
        limit = 10**6
        for _ in range(3):
            data = make_published(opened, bytes_max=limit)
            limit = len(data) - 1
            report = verify_bundle(io.BytesIO(data), soul)
            told.append((report.verdict, dict(report.lines).get("seal chain", "").split(" ")[0]))
    links = len(anchor(home, "status")["links"])
    assert links > 2
    assert told == [("TEST", str(links)), ("TEST", "1"), ("UNBROKEN-PENDING", "")]


def test_anchoring_is_housekeeping_and_never_feeds_itself(home, chain):
    before = home.run("--json", "log", "--type", "anchor.requested").good().json
    for _ in range(3):
        chain.mine(1)
        anchor(home, "status")
    after = home.run("--json", "log", "--type", "anchor.requested").good().json
    assert len(after) == len(before)
    anchored = home.run("--json", "log", "--type", "checkpoint.anchored", "--last", "99").good()
    assert len(anchored.json) == len(anchor(home, "status")["links"])


def test_every_bit_of_an_anchored_proof_counts(home, tmp_path):
    """One flipped bit anywhere: never a good verdict, never a crash."""
    at = home.run("--json", "log", "--type", "message.received").good().json[0]["position"]
    proof = tmp_path / "y.proof"
    home.run("prove", str(at), "--anchored", "-o", str(proof)).good()
    soul = (home.path / "SOUL.md").read_bytes()
    good = proof.read_bytes()
    bad = tmp_path / "bad.proof"
    for offset in range(0, len(good), 7):
        data = bytearray(good)
        data[offset] ^= 1 << (offset % 8)
        bad.write_bytes(data)
        with bad.open("rb") as file:
            assert not verify_bundle(file, soul).good, offset


def test_a_proof_after_a_reorganisation_is_of_the_chain_that_stands(home, chain, tmp_path):
    """Undone at depth 8 and mined again: what was kept of the abandoned block is not handed out."""
    at = home.run("--json", "say", "in a block that is undone").good().json["message"]["position"]
    anchor(home, "now")
    chain.mine(8)
    [*_, before] = anchor(home, "status")["links"]
    proof = tmp_path / "undone.proof"
    asked = ("--online", f"http://127.0.0.1:{chain.port}", "--cookie", str(chain.cookie))
    home.run("prove", str(at), "--anchored", "-o", str(proof)).good()
    home.run("verify", str(proof), *asked).good()
    chain.rpc("invalidateblock", chain.rpc("getblockhash", before["height"]))
    while chain.rpc("getblockcount") <= before["height"] + 7:
        chain.rpc("generateblock", STRANGER, [])
    found = home.run("verify", str(proof), *asked)
    assert (found.code, "is not on the chain that your node follows" in found.out) == (1, True)
    assert anchor(home, "status")["links"][-1]["standing"] == "pending"
    home.run("prove", str(at), "--anchored", "-o", str(proof), "--force").refused("no anchor")
    chain.mine(1)
    [*_, after] = anchor(home, "status")["links"]
    assert (after["txid"], after["confirmations"]) == (before["txid"], 1)
    assert after["height"] > before["height"]
    [undone] = (home.path / "anchors" / "proofs").glob("*.undone")
    kept = undone.with_suffix(".cbor")
    assert kept.read_bytes() != undone.read_bytes()
    home.run("prove", str(at), "--anchored", "-o", str(proof), "--force").good()
    home.run("verify", str(proof), *asked).good()
    data = kept.read_bytes()  # a node that was catching up has the block again
    kept.replace(undone)
    anchor(home, "status")
    assert (kept.read_bytes(), undone.exists()) == (data, False)


def judged(home, name):
    event = home.run("--json", "patch", "propose", str(EXAMPLES / name), *SAID).good().json
    return home.run("--json", "patch", "judge", str(event["position"]))


def test_a_patch_is_judged_by_a_successor_accept_and_reject(home):
    good, bad = judged(home, "remember-more.diff"), judged(home, "always-fine.diff")
    assert (good.code, good.json["decision"]) == (0, "accept")
    assert (bad.code, bad.json["decision"]) == (1, "reject")
    log_key = bytes.fromhex(home.run("--json", "show", "0").good().json["payload"]["keys"]["log"])
    for found in (good, bad):
        signed = verify_envelope(found.json["envelope"].encode(), trusted={log_key})
        assert signed.signers == (log_key,)
        row = home.run("--json", "show", str(found.json["position"])).good().json
        assert row["payload"]["decision"] == found.json["decision"]
        assert row["causes"][0]["position"] == found.json["patch"]


def test_a_patch_outside_the_agent_is_not_for_the_judge(home, tmp_path):
    diff = tmp_path / "outside.diff"
    text = (EXAMPLES / "remember-more.diff").read_text()
    diff.write_text(text.replace("runtime/agent/loop.py", "ledger/core/event.py"))
    home.run("patch", "propose", str(diff), *SAID).refused("ledger/core/event.py")
    diff.write_text("not a diff\n")
    assert home.run("patch", "propose", str(diff), *SAID).code == 2


def theft(home, chain):
    """Another anchor on the newest seal, by somebody who copied the keystore and knows its words."""
    keys = unlock_agent(home.path, PASSPHRASE)
    soul = home.run("--json", "show", "0").good().json["payload"]["soul"]["sha256"]
    seal = SealSigner(secret=keys.seal.secret, soul_digest=bytes.fromhex(soul))
    funding = FundingSigner(secret=keys.funding.secret)
    [*_, newest] = anchor(home, "status")["links"]
    found = chain.rpc("scantxoutset", "start", [f"raw({funding.script.hex()})"])["unspents"]
    fee = min(found, key=lambda entry: entry["height"])  # a coinbase that is mature

    def coin(txid, index, value_sat, script):
        outpoint = OutPoint(txid=bytes.fromhex(txid)[::-1], index=index)
        return Coin(outpoint=outpoint, output=TxOut(value_sat=value_sat, script=script))

    draft = anchor_draft(
        seal=coin(newest["txid"], 1, 10_000, seal.script),
        fee_coins=[coin(fee["txid"], fee["vout"], round(fee["amount"] * 10**8), funding.script)],
        digest=bytes(32),
        change_script=funding.script,
        fee=Fee(sat_per_kvb=5000),
    )
    return sign(draft, seal=seal, funding=funding)


def test_a_stolen_seal_is_named_wherever_the_operator_looks(home, chain):
    """Last in this file: the chain of seals is over."""
    assert " links, the newest (" in home.run("--json", "status").good().json["anchoring"]
    chain.rpc("sendrawtransaction", theft(home, chain).raw.hex())
    for _ in range(2):  # in the mempool, and in a block
        lost = home.run("anchor", "status").refused("spent by a transaction that is not ours")
        assert "treat the key as stolen" in lost.err
        assert home.run("--json", "status").good().json["anchoring"].startswith("SealLost: ")
        chain.mine(1)
    home.run("anchor", "now").refused("not ours")
    assert chain.rpc("getrawmempool") == []
