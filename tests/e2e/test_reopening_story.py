"""The coin that the ledger named is spent elsewhere: the agent opens its seal with another one."""

import asyncio
import io

import pytest

from attest.bitcoind import Bitcoind
from attest.core.header import REGTEST
from attest.core.proof import SealOpening
from attest.core.seal import Fee, enrolment_draft, sign_enrolment
from attest.verify.bundle import verify_bundle
from genesis.keys.keystore import unlock_agent
from node.anchors.anchoring import anchor_keys
from node.home import Home as Places
from node.open import open_log
from tests.e2e.chain import STRANGER, running_chain
from tests.node.world import PASSPHRASE, SETTINGS, Home
from tests.spec.stranger.bundle import verify as stranger_verify


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain")) as running:
        yield running


def spend_elsewhere(home, chain, opening):
    """Mine another spend of the coin that the opening names, signed by its owner."""
    funding = anchor_keys(unlock_agent(home.path, PASSPHRASE), bytes(32)).funding

    async def coins():
        url = f"http://127.0.0.1:{chain.port}"
        async with Bitcoind(url=url, credentials=chain.cookie, network=REGTEST) as node:
            return await node.coins(funding.script, height=(await node.tip()).height)

    [coin] = [one for one in asyncio.run(coins()) if one.outpoint == opening.outpoint]
    draft = enrolment_draft(
        coins=[coin],
        seal_script=funding.script,
        change_script=funding.script,
        fee=Fee(sat_per_kvb=2000),
    )
    spend = sign_enrolment(draft, seal_script=funding.script, funding=funding)
    chain.rpc("generateblock", STRANGER, [spend.raw.hex()])


def opening_at(home, position):
    """The opening that an event of the home names."""
    with open_log(Places(path=home.path, state=home.state)) as log:
        return SealOpening.from_value(log.read(position).payload["opening"])


def named(home):
    rows = home.run("--json", "log", "--type", "seal.opened").good().json
    return [(row["position"], row["payload"]) for row in rows]


def test_another_coin_is_named_and_every_proof_shows_that_one(chain, tmp_path):
    home = Home(tmp_path / "user").configure(SETTINGS + chain.settings)
    home.run("init", "--name", "Ada").good()
    with home.running() as node:
        address = home.run("--json", "anchor", "fund").good().json["funding_address"]
        chain.mine(2, address)
        chain.mine(100)
        home.run("anchor", "open", "--yes").good()
        [(first, payload)] = named(home)
        assert "replaces" not in payload
        lost = opening_at(home, first)
        spend_elsewhere(home, chain, lost)
        waits = home.run("anchor", "status").good()
        assert "is not on the chain any more" in waits.out
        assert "name another after 100 blocks" in waits.err
        home.run("anchor", "open", "--yes").refused("is gone for 1 blocks", "after 100")
        home.run("anchor", "now").good()  # it waits for a seal that will never be
        chain.mine(99)
        home.run("anchor", "open", "--yes").good()
        assert len(named(home)) == 2
        second, payload = named(home)[1]
        assert payload["replaces"] == first
        assert opening_at(home, second).outpoint != lost.outpoint
        home.run("anchor", "open", "--yes").good()  # again: nothing new
        chain.mine(1)
        said = node.say("under the second opening")["message"]["position"]
        home.run("anchor", "now").good()
        chain.mine(1)
        [_, link] = home.run("--json", "anchor", "status").good().json["links"]
        assert link["standing"] == "seen"
        home.run("anchor", "open", "--yes").good()
        assert len(named(home)) == 2
    proof, old = tmp_path / "said.proof", tmp_path / "first.proof"
    home.run("prove", str(said), "--anchored", "-o", str(proof)).good()
    soul = (home.path / "SOUL.md").read_bytes()
    report = verify_bundle(io.BytesIO(proof.read_bytes()), soul)
    assert (report.verdict, len(report.links)) == ("TEST", 2)
    assert stranger_verify(proof.read_bytes(), soul).verdict == "TEST"
    home.run("prove", str(first), "--anchored", "-o", str(old)).refused("came to nothing")
    home.run("prove", str(first), "-o", str(old)).good()
    assert verify_bundle(io.BytesIO(old.read_bytes()), soul).verdict == "UNBROKEN-PENDING"
    bundle = tmp_path / "life.bundle"
    home.run("export", "-o", str(bundle)).good()
    assert verify_bundle(io.BytesIO(bundle.read_bytes()), soul).verdict == "UNBROKEN-PENDING"
    home.run("verify").good()
