"""timmy recover --new-keys: the keystore is stolen, lost, or its passphrase forgotten."""

import os
import shutil
import subprocess

import pytest

from genesis.core.recovery import parse_kit
from genesis.keys import keystore
from ledger.core.lineage import Cause
from ledger.log import Log
from ledger.release import GuardFile, Release
from node.identity import succession
from node.open import lineage_of, open_log
from tests.node.test_node_handoff import CHEAP, Steps, kits, lineage, places
from tests.node.world import PASSPHRASE, Home


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("recover") / "user").configure()
    home.run("init", "--name", "Ada", "--kit", str(home.root / "kit.txt")).good()
    with home.running() as node:
        node.say("before the theft")
    return home


def recovered(home, *more):
    return home.run("recover", *kits(home), "--new-keys", "--yes", *more)


def test_after_a_theft_the_agent_goes_on_with_other_keys_and_its_npub(born, tmp_path):
    home = born.copy(tmp_path / "user")
    thief = keystore.unlock_agent(home.path, PASSPHRASE)
    home.run("recover", *kits(home), "--new-keys").refused("--yes")
    home.run("recover", *kits(home), "--yes").refused("--new-keys")
    done = recovered(home, "--json").good().json
    assert (done["epoch"], done["number"]) == (1, 1)
    assert "seal" not in done
    found = lineage(home)
    assert [t.cause for t in found.tenures] == [Cause.BIRTH, Cause.RECOVERY]
    with home.running() as node:
        assert node.answer("are you yourself?")
        assert node.status()["head"]["epoch"] == 1
        status = node.status()
    assert status["npub"] == status_of(born)["npub"]
    with open_log(places(home), write=True) as log:
        opened = Release.open(log, home.state, thief.log, epoch=1, key_at=found.key_at)
        log.append_now(*[_fact()])
        with pytest.raises(Exception, match="another is in charge"):
            opened.head()
    bundle = tmp_path / "life.bundle"
    with home.running():
        home.run("export", "-o", str(bundle)).good()
    report = home.run("--json", "verify", str(bundle)).good().json
    assert report["verdict"] == "RECOVERED"
    assert "with new keys" in str(report["lines"])


def status_of(home):
    with home.running() as node:
        return node.status()


def _fact():
    from ledger.core.event import Draft

    return Draft(type="test.fact", stream=bytes(16), payload={})


def tagged_by(home, repo):
    """Tag SOUL.md in a repository of its own; who the tag says that it is by."""
    repo.mkdir()
    (repo / "SOUL.md").write_bytes((home.path / "SOUL.md").read_bytes())
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "SOUL.md"), (*who, "commit", "-qm", "soul")):
        subprocess.run(["git", "-C", repo, *words], check=True)
    done = home.run("--json", "soul", "tag", "--repo", str(repo)).good().json
    return done["allowed_signers"].split()[0]


@pytest.mark.parametrize("lost", ["keystore", "passphrase"])
def test_without_the_old_keystore_it_works_by_the_kit_alone(born, tmp_path, lost):
    home = born.copy(tmp_path / "user")
    npub = status_of(home)["npub"]
    if lost == "keystore":
        keystore.agent_path(home.path).unlink()
        user = home
    else:
        user = Home(home.root, "a new passphrase, and the old one is forgotten")
    done = recovered(user).good()
    assert "another one" in done.err
    with user.running() as node:
        assert node.answer("what do you remember?")
        assert node.status()["npub"] != npub
        shown = user.run("soul", "show").good()
        assert npub in shown.out
        assert "the one of birth" in shown.err
        assert tagged_by(user, tmp_path / "repo") == node.status()["npub"]
    assert user.run("verify").good()
    user.run("handoff", *kits(home, old="new-kit.txt", new="third.txt")).good()
    assert lineage(user).newest.number == 2
    user.run("recover", *kits(home, old="third.txt", new="x"), "--new-keys", "--yes").good()
    assert [t.cause for t in lineage(user).tenures] == [
        Cause.BIRTH,
        Cause.RECOVERY,
        Cause.HANDOFF,
        Cause.RECOVERY,
    ]


def test_a_stolen_nostr_key_outlives_handoffs_and_ends_with_a_keystore_moved_away(born, tmp_path):
    """Its own keystore, written by the handoff, does not bring it back."""
    home = born.copy(tmp_path / "user")
    stolen = keystore.unlock_agent(home.path, PASSPHRASE, log_n_min=1).nostr.public
    home.run("handoff", *kits(home)).good()
    now = keystore.unlock_agent(home.path, PASSPHRASE, log_n_min=1)
    assert keystore.nostr_path(home.path).exists()
    assert now.nostr.public == stolen
    keystore.agent_path(home.path).rename(tmp_path / "kept.keystore")
    home.run("recover", *kits(home, old="new-kit.txt", new="x"), "--new-keys", "--yes").good()
    after = keystore.unlock_agent(home.path, PASSPHRASE, log_n_min=1)
    assert after.nostr.public != stolen
    assert lineage(home).newest.cause is Cause.RECOVERY
    with home.running() as node:
        assert node.answer("is it you?")


def test_a_kit_of_any_tenure_recovers_and_a_stranger_s_does_not(born, tmp_path):
    home = born.copy(tmp_path / "user")
    home.run("handoff", *kits(home)).good()
    other = Home(tmp_path / "other")
    other.run("init", "--kit", str(home.root / "other.txt")).good()
    home.run("recover", *kits(home, old="other.txt", new="y"), "--new-keys", "--yes").refused(
        "not the one"
    )
    assert not (home.root / "y").exists()
    home.run("recover", *kits(home, old="kit.txt", new="third.txt"), "--new-keys", "--yes").good()
    assert lineage(home).newest.number == 2


def test_there_is_no_seal_to_recover(born, tmp_path):
    home = born.copy(tmp_path / "user")
    home.run("anchor", "recover").refused("a kit recovers the seal")
    home.run("anchor", "status", "--kit", "x").refused("a kit recovers the seal")
    kit = ("--kit", str(home.root / "kit.txt"))
    home.run("anchor", "recover", *kit).refused("did not begin with a recovery", "--new-keys")
    recovered(home).good()
    home.run("anchor", "recover", *kit).refused("no seal to recover")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_9_at_any_write_leaves_old_keys_or_a_recovery_that_is_finished(
    born, tmp_path, after
):
    home = born.copy(tmp_path / "user")
    keystore.change_passphrase(keystore.agent_path(home.path), PASSPHRASE, PASSPHRASE, log_n=1)
    kit = parse_kit((home.root / "kit.txt").read_text())
    found = lineage(home)
    heir = succession.prepare_recovery(places(home), kit, PASSPHRASE, cost=CHEAP)
    numbers, lived, step = [], False, 0
    while not lived:
        step += 1
        mine = home.copy(tmp_path / str(step))
        lived = _dies(mine, found, heir, kit, Steps(step, after=after))
        with open_log(places(mine), write=True) as log:
            now = lineage_of(log)
            keys = succession.unlock(places(mine), log, now, PASSPHRASE, cost=CHEAP).keys
            assert keys.log.public == now.newest.keys["log"]
            release = Release.open(log, mine.state, keys.log, epoch=now.epoch, key_at=now.key_at)
            assert release.head().size == log.size
            numbers.append(now.newest.number)
        shutil.rmtree(mine.root)
    assert numbers == sorted(numbers)
    assert set(numbers) == {0, 1}
    assert step > 12


def _dies(home, found, heir, kit, steps):
    from genesis.keys.private import Disk

    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        disk = Disk(
            fsync=steps.around(os.fsync),
            link=steps.around(os.link),
            replace=steps.around(os.replace),
            unlink=steps.around(os.unlink),
        )
        Log.append_now = steps.around(Log.append_now)
        GuardFile.write = steps.around(GuardFile.write)
        with open_log(places(home), write=True) as log:
            succession.recover(places(home), log, found, heir, kit=kit, reason="stolen", disk=disk)
        os._exit(0)
    finally:
        os._exit(1)
