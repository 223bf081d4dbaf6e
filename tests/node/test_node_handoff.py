"""timmy handoff: new keys for an agent that lives, whatever cuts it short."""

import os
import shutil
import signal
import sys

import pytest

from genesis.core.recovery import check_kit, parse_kit
from genesis.keys import keystore
from genesis.keys.private import Disk
from ledger.core.checkpoint import open_checkpoint
from ledger.core.errors import Refused
from ledger.core.lineage import Cause
from ledger.log import Log
from ledger.release import GuardFile, Release
from node.home import Home as Places
from node.identity import succession
from node.open import lineage_of, open_log
from tests.node.world import PASSPHRASE, Home

CHEAP = succession.Cost(log_n=1, log_n_min=1)
STARTED = "tests of handoffs"


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """An agent that has lived, and its kit; each test takes a copy."""
    home = Home(tmp_path_factory.mktemp("handoff") / "user").configure()
    home.run("init", "--name", "Ada", "--kit", str(home.root / "kit.txt")).good()
    with home.running() as node:
        node.say("before the handoff")
    return home


def places(home):
    return Places(path=home.path, state=home.state)


def keystores(home):
    return sorted(path.name for path in (home.path / "keys").iterdir())


def kits(home, old="kit.txt", new="new-kit.txt"):
    return "--kit", str(home.root / old), "--new-kit", str(home.root / new)


def lineage(home):
    with open_log(places(home)) as log:
        return lineage_of(log)


def test_the_same_agent_goes_on_with_new_keys(born, tmp_path):
    home = born.copy(tmp_path / "user")
    soul = str(home.path / "SOUL.md")
    before = home.run("--json", "show", "0").good().json
    head = home.run("head").good().out
    (home.root / "old.head").write_text(head)
    done = home.run("--json", "handoff", *kits(home), "--reason", "a new machine").good().json
    assert done["number"] == 1
    assert keystores(home) == ["agent-0.keystore", "agent.keystore", "nostr.keystore"]
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in (home.path / "keys").iterdir())
    found = lineage(home)
    assert [tenure.cause for tenure in found.tenures] == [Cause.BIRTH, Cause.HANDOFF]
    row = home.run("--json", "show", str(done["position"])).good().json
    assert row["payload"]["reason"] == "a new machine"
    old_head = open_checkpoint(home.guard.read_bytes(), found.genesis.keys["log"])
    assert old_head.size == done["position"] + 1, "the old key's last head covers the record"
    with home.running() as node:
        assert node.answer("are you still you?")
        assert node.status()["npub"]
        assert node.status()["ledger"] == before["id"]
    assert open_checkpoint(home.guard.read_bytes(), found.newest.keys["log"]).size > old_head.size
    checked = home.run("verify", "--held", str(home.root / "old.head")).good().out
    assert "handoff" in checked
    assert "agent, operator, nostr, agent 0" in checked
    home.run("export", "-o", str(tmp_path / "life.bundle")).good()
    report = home.run("--json", "verify", str(tmp_path / "life.bundle"), "--soul", soul).good().json
    assert report["verdict"] == "UNBROKEN-PENDING"
    assert ["handoff", f"1 at event {done['position']}: signed by old, next and new keys"] in [
        [line["name"], line["text"]] for line in report["lines"]
    ]


def test_a_new_kit_hands_over_next_and_an_old_one_never_again(born, tmp_path):
    home = born.copy(tmp_path / "user")
    home.run("handoff", *kits(home)).good()
    old, new = (parse_kit((home.root / n).read_text()) for n in ("kit.txt", "new-kit.txt"))
    assert old.recovery_phrase == new.recovery_phrase
    assert old.next_phrase != new.next_phrase
    assert (home.root / "new-kit.txt").stat().st_mode & 0o777 == 0o600
    home.run("handoff", *kits(home, new="third.txt")).refused("next key", "not the one")
    assert not (home.root / "third.txt").exists()
    home.run("handoff", *kits(home, old="new-kit.txt", new="third.txt")).good()
    found = lineage(home)
    check_kit(
        parse_kit((home.root / "third.txt").read_text()),
        found.genesis,
        announced=[found.newest.next_key_digest],
    )
    assert found.newest.number == 2
    assert keystores(home) == [
        "agent-0.keystore",
        "agent-1.keystore",
        "agent.keystore",
        "nostr.keystore",
    ]


def test_a_kit_is_never_overwritten_and_an_unattended_one_is_kept_outside_the_home(born, tmp_path):
    home = born.copy(tmp_path / "user")
    (home.root / "new-kit.txt").write_text("something")
    home.run("handoff", *kits(home)).refused("already there")
    assert keystores(home) == ["agent.keystore"]
    done = home.run("--json", "handoff", "--kit", "-", stdin=(home.root / "kit.txt").read_bytes())
    path = done.good().json["kit"]
    assert path.startswith(str(home.state / "recovery-kit-"))
    assert "move it off this machine" in done.err


def test_it_is_refused_while_the_node_runs_with_another_kit_and_without_the_guard(born, tmp_path):
    home = born.copy(tmp_path / "user")
    before = home.fingerprint()
    with home.running():
        home.run("handoff", *kits(home)).refused("another node is the writer", "stop it first")
    before = home.fingerprint()
    other = Home(tmp_path / "other")
    other.run("init", "--kit", str(home.root / "other.txt")).good()
    home.run("handoff", *kits(home, old="other.txt")).refused("not the one")
    home.run("handoff", *kits(home), "--reason", "x" * 501).refused("501 characters")
    wrong = Home(home.root, "another passphrase")
    wrong.run("handoff", *kits(home)).refused("wrong passphrase")
    assert home.fingerprint().items() >= before.items()
    shutil.rmtree(home.guard.parent)
    home.run("handoff", *kits(home)).refused("guard", "missing")


def test_a_backup_of_a_handed_over_home_is_restored(born, tmp_path):
    home = born.copy(tmp_path / "user")
    home.run("handoff", *kits(home)).good()
    with home.running():
        pass
    home.run("backup", "-o", str(tmp_path / "life.backup")).good()
    moved = Home(tmp_path / "moved")
    moved.run("restore", str(tmp_path / "life.backup")).good()
    assert keystores(moved) == ["agent-0.keystore", "agent.keystore", "nostr.keystore"]
    moved.state.mkdir(exist_ok=True)
    shutil.copytree(home.guard.parent, moved.state / home.guard.parent.name)
    # The new root is made where the agent goes on: the machine before never had it.
    moved.run("handoff", *kits(home, old="new-kit.txt", new="third.txt")).good()
    with moved.running() as node:
        assert node.answer("where are you now?")
    assert lineage(moved).newest.number == 2


def test_doctor_and_the_node_know_what_is_kept(born, tmp_path):
    home = born.copy(tmp_path / "user")
    home.run("handoff", *kits(home)).good()
    assert "agent-0.keystore" in home.run("doctor").out
    (home.path / "keys" / "nostr.keystore").unlink()
    home.run("run").refused("nostr key", "the ledger names")


# ---- cut short -------------------------------------------------------------------------------------


def prepared(home):
    """The parts of a handoff that is ready to be carried out."""
    with open_log(places(home)) as log:
        found = lineage_of(log)
    kit = parse_kit((home.root / "kit.txt").read_text())
    ready = succession.prepare_handoff(
        places(home), found, kit, PASSPHRASE, reason=STARTED, cost=succession.Cost(log_n=1)
    )
    return found, ready


class Steps:
    """Counts every write; at one of them the process is gone: before it, or after it."""

    def __init__(self, last, *, after):
        self.last, self.after, self.seen = last, after, 0

    def around(self, call):
        def run(*arguments, **named):
            self.seen += 1
            if self.seen == self.last and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **named)
            if self.seen == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run


def carried_out(home, found, ready, last, *, after):
    """Carry a handoff out in a process that kills itself at write `last`; tell if it lived."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        steps = Steps(last, after=after)
        disk = Disk(
            fsync=steps.around(os.fsync),
            link=steps.around(os.link),
            replace=steps.around(os.replace),
            unlink=steps.around(os.unlink),
        )
        Log.append_now = steps.around(Log.append_now)
        GuardFile.write = steps.around(GuardFile.write)
        with open_log(places(home), write=True) as log:
            succession.hand_over(places(home), log, found, ready, disk=disk)
        os._exit(0)
    finally:
        os._exit(1)


def state_of(home):
    """Which keys are in charge, once whatever was begun is finished."""
    with open_log(places(home), write=True) as log:
        found = lineage_of(log)
        keys = succession.unlock(places(home), log, found, PASSPHRASE, cost=CHEAP).keys
        assert keys.log.public == found.newest.keys["log"]
        assert keys.nostr.public == found.genesis.keys["nostr"]
        release = Release.open(log, home.state, keys.log, key_at=found.key_at)
        assert release.newest.size == log.size
        assert succession.finish(places(home), log, found, PASSPHRASE, cost=CHEAP) is None
        return found.newest.number


@pytest.fixture(scope="module")
def cheap(born, tmp_path_factory):
    """The same agent behind a keystore that opens at once, and a handoff that is ready."""
    home = born.copy(tmp_path_factory.mktemp("cheap") / "user")
    keystore.change_passphrase(keystore.agent_path(home.path), PASSPHRASE, PASSPHRASE, log_n=1)
    with open_log(places(home)) as log:
        found = lineage_of(log)
    kit = parse_kit((home.root / "kit.txt").read_text())
    ready = succession.prepare_handoff(
        places(home), found, kit, PASSPHRASE, reason=STARTED, cost=CHEAP
    )
    return home, found, ready


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_9_at_any_write_leaves_old_keys_or_a_handoff_that_is_finished(
    cheap, tmp_path, after
):
    home, found, ready = cheap
    numbers, lived, step = [], False, 0
    while not lived:
        step += 1
        mine = home.copy(tmp_path / str(step))
        lived = carried_out(mine, found, ready, step, after=after)
        number = state_of(mine)
        numbers.append(number)
        if number == 0:  # the same command again, with the same words of the kit
            with open_log(places(mine), write=True) as log:
                kit = parse_kit((mine.root / "kit.txt").read_text())
                again = succession.prepare_handoff(
                    places(mine), found, kit, PASSPHRASE, reason="again", cost=CHEAP
                )
                succession.hand_over(places(mine), log, found, again)
            assert state_of(mine) == 1
        assert keystores(mine) == ["agent-0.keystore", "agent.keystore", "nostr.keystore"]
        shutil.rmtree(mine.root)
    assert numbers == sorted(numbers), "there is one point of no return"
    assert set(numbers) == {0, 1}
    assert step > 12


def test_a_handoff_cut_short_is_finished_by_the_command_or_the_next_start(born, tmp_path):
    home = born.copy(tmp_path / "user")
    found, ready = prepared(home)
    keystore.change_passphrase(keystore.agent_path(home.path), PASSPHRASE, PASSPHRASE, log_n=16)
    step = 1
    while lineage(home).newest.number == 0:  # the first write after which the record is there
        assert not carried_out(home, found, ready, step, after=True)
        step += 1
    # The heir was locked cheaply here: as a user's own, it is locked as he would have it.
    keystore.change_passphrase(keystore.heir_path(home.path), PASSPHRASE, PASSPHRASE, log_n_min=1)
    if keystore.nostr_path(home.path).exists():
        keystore.change_passphrase(
            keystore.nostr_path(home.path), PASSPHRASE, PASSPHRASE, log_n_min=1
        )
    twin = home.copy(tmp_path / "twin")
    done = home.run("handoff", *kits(home)).good()
    assert "finished now" in done.err
    assert not (home.root / "new-kit.txt").exists(), "the kit of the first attempt holds"
    assert state_of(home) == 1
    with twin.running() as node:
        assert node.answer("did that work?")
    assert state_of(twin) == 1


def test_a_key_that_handed_over_signs_no_more(born, tmp_path):
    home = born.copy(tmp_path / "user")
    old = keystore.unlock_agent(home.path, PASSPHRASE)
    home.run("handoff", *kits(home)).good()
    with home.running():
        pass
    with open_log(places(home), write=True) as log:
        found = lineage_of(log)
        release = Release.open(log, home.state, old.log, key_at=found.key_at)
        size = release.newest.size
        log.append_now(_fact())
        with pytest.raises(Refused, match="another is in charge"):
            release.head()
        with pytest.raises(Refused, match="another is in charge"):
            release.last_head(log.size)
    assert GuardFile(home.state, found.ledger_id).read() == release.newest.encode()
    assert release.newest.size == size


def _fact():
    from ledger.core.event import Draft

    return Draft(type="test.fact", stream=bytes(16), payload={"python": sys.version})
