"""A change of keys is cut short, and then the guard is lost: the seal follows all the same."""

import io
import os
import shutil
import signal

import pytest

from attest.verify.bundle import verify_bundle
from genesis.core.recovery import parse_kit
from genesis.keys import keystore
from ledger.log import Log
from node.identity import succession
from node.open import lineage_of, open_log
from tests.e2e.chain import running_chain
from tests.node.test_node_handoff import CHEAP, kits, lineage, places
from tests.node.world import PASSPHRASE, SETTINGS, Home
from tests.spec.stranger.bundle import verify as stranger_verify


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain")) as running:
        yield running


def anchor(home, action):
    return home.run("--json", "anchor", action).good().json


def opened(chain, tmp_path):
    """An agent whose seal is in a block, and who said something."""
    home = Home(tmp_path / "user").configure(SETTINGS + chain.settings)
    home.run("init", "--name", "Ada", "--kit", str(home.root / "kit.txt")).good()
    with home.running() as node:
        chain.mine(101, anchor(home, "fund")["funding_address"])
        anchor(home, "open")
        chain.mine(1)
        anchor(home, "status")
        node.say("before the change of keys")
    return home


def dies_after_the_record(home, change):
    """Make a change of keys in a process that is killed as soon as the record is durable."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        return
    try:
        append = Log.append_now

        def last(*arguments, **named):
            append(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        Log.append_now = last
        with open_log(places(home), write=True) as log:
            change(log, lineage_of(log))
    finally:
        os._exit(1)


def lost_guard(home, *, asked_first=False):
    """The guard is gone, and the operator recovers with the keys that he has."""
    heir = keystore.heir_path(home.path)
    keystore.change_passphrase(heir, PASSPHRASE, PASSPHRASE, log_n_min=1)
    if keystore.nostr_path(home.path).exists():
        keystore.change_passphrase(
            keystore.nostr_path(home.path), PASSPHRASE, PASSPHRASE, log_n_min=1
        )
    shutil.rmtree(home.guard.parent)
    if asked_first:  # a recovery without a guard would be finished by that
        home.run("run").refused("guard", "recover")
    home.run("recover", "--kit", str(home.root / "kit.txt"), "--yes").good()


def takeovers(home):
    """Digests that the seal is to move with, by the ledger's own word."""
    rows = home.run("--json", "log", "--type", "anchor.requested").good().json
    return [row["payload"]["digest"] for row in rows]


def moved(home, chain, kind):
    """The seal follows, and a proof of the first words shows it to two verifiers."""
    for _ in range(3):
        links = anchor(home, "status")["links"]
        chain.mine(1)
    links = anchor(home, "status")["links"]
    assert [link["kind"] for link in links] == ["opening", kind]
    assert takeovers(home)[-1] == links[-1]["digest"]


def shown(home, tmp_path):
    proof = tmp_path / "me.soul"
    home.run("soul", "chain", "-o", str(proof)).good()
    soul = (home.path / "SOUL.md").read_bytes()
    report = verify_bundle(io.BytesIO(proof.read_bytes()), soul)
    assert stranger_verify(proof.read_bytes(), soul).verdict == report.verdict == "TEST"
    return dict(report.lines)


def test_a_handoff_without_its_note(chain, tmp_path):
    home = opened(chain, tmp_path)
    kit = parse_kit((home.root / "kit.txt").read_text())
    ready = succession.prepare_handoff(
        places(home), lineage(home), kit, PASSPHRASE, reason="cut short", cost=CHEAP
    )
    dies_after_the_record(
        home, lambda log, found: succession.hand_over(places(home), log, found, ready)
    )
    lost_guard(home, asked_first=True)
    before = takeovers(home)
    poor = home.copy(tmp_path / "poor")
    assert "finished now" in poor.run("handoff", *kits(poor)).good().err
    keystore.past_path(poor.path, 0).unlink()
    with poor.running() as node:
        assert "the keystore of key 0 is not here" in node.stderr
        assert takeovers(poor) == before
    with home.running() as node:
        assert "was lost: made again" in node.stderr
        assert len(takeovers(home)) == len(before) + 1
        moved(home, chain, "handoff")
        node.say("after it")
        anchor(home, "now")
        chain.mine(1)
        assert anchor(home, "status")["links"][-1]["kind"] == "anchor"
    with home.running() as node:
        assert "made again" not in node.stderr, "once"
    assert "1 handoff" in shown(home, tmp_path)["seal chain"]
    home.run("verify").good()


def test_a_recovery_without_its_note(chain, tmp_path):
    home = opened(chain, tmp_path)
    kit = parse_kit((home.root / "kit.txt").read_text())
    heir = succession.prepare_recovery(places(home), kit, PASSPHRASE, cost=CHEAP)
    dies_after_the_record(
        home,
        lambda log, found: succession.recover(
            places(home), log, found, heir, kit=kit, reason="stolen"
        ),
    )
    lost_guard(home)
    recover = ("anchor", "recover", "--kit", str(home.root / "kit.txt"))
    unpaid = home.run(*recover)
    assert "was lost: made again" in unpaid.err
    assert "sat are missing" in unpaid.err
    with home.running() as node:
        assert "made again" not in node.stderr, "once"
        chain.mine(101, anchor(home, "fund")["funding_address"])
    home.run(*recover).good()
    with home.running():
        moved(home, chain, "recovery")
    assert "1 recovery" in shown(home, tmp_path)["seal chain"]
    home.run("verify").good()
