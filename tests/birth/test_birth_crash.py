"""A birth that is cut at every step: nothing usable, or a complete birth; never a wrong one."""

import os
import shlex
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from genesis.birth import is_born, set_aside, write
from genesis.core.errors import (
    HalfBirth,
    InvalidKeystore,
    InvalidSoul,
    PrivateFileError,
    PrivateFileExists,
    PrivateFileMissing,
)
from genesis.keys import keystore, private
from genesis.keys.private import Disk
from genesis.soul import Soul
from ledger.core.errors import InvalidGenesis
from ledger.core.genesis import check_soul

from .conftest import CHEAP, PASSPHRASE, bear


class PowerCut(BaseException):
    pass


class CutDisk:
    """The real calls; the one numbered `cut` does not happen, nor does any after it."""

    def __init__(self, cut: int | None = None, *, after: bool = False) -> None:
        self.cut, self.after = cut, after
        self.done: list[tuple[str, str]] = []

    def _call(self, name: str, call: Callable, *arguments) -> None:
        number = len(self.done)
        if self.cut is not None and (number > self.cut or (number == self.cut and not self.after)):
            raise PowerCut
        if name == "fsync":
            target = Path(f"/proc/self/fd/{arguments[0]}").readlink()
        else:
            target = arguments[-1]
        self.done.append((name, Path(target).name))
        call(*arguments)
        if number == self.cut:
            raise PowerCut

    def disk(self) -> Disk:
        return Disk(
            fsync=lambda fd: self._call("fsync", os.fsync, fd),
            link=lambda old, new: self._call("link", os.link, old, new),
            replace=lambda old, new: self._call("replace", os.replace, old, new),
            unlink=lambda path: self._call("unlink", os.unlink, path),
        )


def unlock_all(birth, home, operator):
    keys = keystore.unlock_agent(home, PASSPHRASE, expected=birth.genesis.keys, log_n_min=CHEAP)
    assert keys == birth.keys
    assert keystore.unlock_operator(operator, PASSPHRASE, log_n_min=CHEAP) == birth.operator
    check_soul((home / "SOUL.md").read_bytes(), birth.genesis)


def test_a_birth_writes_and_unlocks(birth, tmp_path):
    home, operator = tmp_path / "home", tmp_path / "state" / "operator"
    assert not is_born(home, has_genesis=False)
    write(birth, home=home, operator_folder=operator)
    unlock_all(birth, home, operator)
    assert is_born(home, has_genesis=True)
    files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*")}
    assert {name: f"{stat.S_IMODE(path.stat().st_mode):o}" for name, path in files.items()} == {
        "home": "700",
        "home/SOUL.md": "444",
        "home/keys": "700",
        "home/keys/agent.keystore": "600",
        "state": "700",
        "state/operator": "700",
        "state/operator/operator.keystore": "600",
    }


def test_nothing_secret_is_on_the_disk(birth, tmp_path):
    home, operator = tmp_path / "home", tmp_path / "operator"
    write(birth, home=home, operator_folder=operator)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    secrets = [
        birth.operator.secret,
        *(birth.keys.signer(r).secret for r in ("log", "nostr", "seal", "funding")),
    ]
    secrets += [birth.kit.next_key.secret, birth.kit.recovery_key.secret]
    for secret in secrets:
        assert secret not in written
        assert secret.hex().encode() not in written
    words = birth.kit.next_phrase.split()
    assert " ".join(words[:3]).encode() not in written


def test_every_file_is_synced_before_it_is_named_and_the_keystore_is_last(birth, tmp_path):
    recorder = CutDisk()
    write(
        birth, home=tmp_path / "home", operator_folder=tmp_path / "operator", disk=recorder.disk()
    )
    steps = recorder.done
    links = [name for call, name in steps if call == "link"]
    assert links == ["operator.keystore", "SOUL.md", "agent.keystore"]
    for index, (call, name) in enumerate(steps):
        if call == "link":
            before, after = steps[index - 1], steps[index + 1 : index + 3]
            assert before[0] == "fsync"
            assert before[1].startswith(f".{name}.")
            assert [call for call, _ in after] == ["unlink", "fsync"]
    assert steps[-1] == ("fsync", "keys")


STEPS = 15


def test_the_number_of_steps_below_is_the_real_one(birth, tmp_path):
    recorder = CutDisk()
    write(birth, home=tmp_path / "h", operator_folder=tmp_path / "o", disk=recorder.disk())
    assert len(recorder.done) == STEPS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("cut", range(STEPS))
def test_a_power_cut_at_any_step_is_harmless(birth, tmp_path, cut, after):
    home, operator = tmp_path / "home", tmp_path / "operator"
    cutter = CutDisk(cut, after=after)
    with pytest.raises(PowerCut):
        write(birth, home=home, operator_folder=operator, disk=cutter.disk())
    assert_harmless(birth, home, operator)


def assert_harmless(birth, home, operator):
    """Either the home counts as empty, and can be born into; or everything in it is whole."""
    if keystore.agent_path(home).exists():
        unlock_all(birth, home, operator)  # complete: only the ledger's genesis was missing
        with pytest.raises(HalfBirth, match=r"agent.keystore exists, and the ledger") as caught:
            is_born(home, has_genesis=False)
        subprocess.run(shlex.split(caught.value.hint.split(": ")[-1]), check=True)
    assert not is_born(home, has_genesis=False)
    again = birth
    if keystore.operator_path(operator).exists():
        key = keystore.unlock_operator(operator, PASSPHRASE, log_n_min=CHEAP)
        assert key == birth.operator
        again = bear(operator=key)
        assert again.operator_keystore is None
    write(again, home=home, operator_folder=operator)
    unlock_all(again, home, operator)
    assert not list(home.rglob(".*.new")) + list(operator.rglob(".*.new"))


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from genesis.birth import write
    from genesis.keys.private import Disk
    from tests.birth.conftest import PASSPHRASE, bear
    root = Path(sys.argv[1])
    for number in range(int(sys.argv[2])):
        birth, left = bear(), [number]
        def step(call, *arguments):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            call(*arguments)
        (root / str(number)).mkdir()
        (root / f"{number}.genesis").write_bytes(repr(birth.draft.payload).encode())
        child = os.fork()
        if child == 0:
            disk = Disk(
                fsync=lambda *a: step(os.fsync, *a), link=lambda *a: step(os.link, *a),
                replace=lambda *a: step(os.replace, *a), unlink=lambda *a: step(os.unlink, *a),
            )
            write(birth, home=root / str(number) / "home",
                  operator_folder=root / str(number) / "operator", disk=disk)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_kill_9_at_any_step_is_harmless(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), str(STEPS)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)] * STEPS
    whole = 0
    for number in range(STEPS):
        home, operator = tmp_path / str(number) / "home", tmp_path / str(number) / "operator"
        payload = eval((tmp_path / f"{number}.genesis").read_text())
        try:
            assert not is_born(home, has_genesis=False)
        except HalfBirth:
            whole += 1
            keys = keystore.unlock_agent(home, PASSPHRASE, log_n_min=CHEAP)
            assert keys.public().items() <= payload["keys"].items()
            key = keystore.unlock_operator(operator, PASSPHRASE, log_n_min=CHEAP)
            assert key.public == payload["keys"]["operator"]
            assert (home / "SOUL.md").stat().st_size == payload["soul"]["length"]
    assert whole == 2  # killed after the last link: before its unlink, before its folder's fsync


def test_a_birth_never_overwrites_another(birth, tmp_path):
    home, operator = tmp_path / "home", tmp_path / "operator"
    write(birth, home=home, operator_folder=operator)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for other, folder in ((bear(), tmp_path / "other"), (bear(operator=birth.operator), operator)):
        with pytest.raises(PrivateFileExists, match=r"agent.keystore exists"):
            write(other, home=home, operator_folder=folder)
    with pytest.raises(PrivateFileExists, match=r"operator.keystore exists"):
        write(bear(), home=tmp_path / "second", operator_folder=operator)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before == after
    assert not (tmp_path / "second").exists()


def test_one_operator_may_have_several_agents(birth, tmp_path):
    write(birth, home=tmp_path / "one", operator_folder=tmp_path / "operator")
    second = bear(operator=birth.operator, name="Second")
    write(second, home=tmp_path / "two", operator_folder=tmp_path / "operator")
    assert second.genesis.keys["operator"] == birth.genesis.keys["operator"]
    unlock_all(second, tmp_path / "two", tmp_path / "operator")


def test_a_soul_that_lies_in_the_home_already(birth, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "SOUL.md").write_bytes(birth.soul.data)
    write(birth, home=home, operator_folder=tmp_path / "operator")
    unlock_all(birth, home, tmp_path / "operator")
    other = tmp_path / "other"
    other.mkdir()
    (other / "SOUL.md").write_bytes(b"somebody else")
    with pytest.raises(InvalidSoul, match="another SOUL") as caught:
        write(birth, home=other, operator_folder=tmp_path / "operator2")
    assert "--soul" in caught.value.hint
    assert [path.name for path in other.iterdir()] == ["SOUL.md"]


def test_the_operator_key_may_not_lie_in_the_home(birth, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "alias").symlink_to(home)
    for folder in (home, home / "operator", tmp_path / "alias" / "x", home / ".." / "home" / "y"):
        with pytest.raises(PrivateFileError, match="lies in the home"):
            write(birth, home=home, operator_folder=folder)
    assert [path.name for path in home.iterdir()] == []


def test_the_states_of_a_home_are_named(birth, tmp_path):
    home = tmp_path / "home"
    with pytest.raises(PrivateFileMissing, match="has a genesis event, and"):
        is_born(home, has_genesis=True)
    write(birth, home=home, operator_folder=tmp_path / "operator")
    assert is_born(home, has_genesis=True)
    with pytest.raises(HalfBirth, match="no genesis event"):
        is_born(home, has_genesis=False)
    data = keystore.agent_path(home).read_bytes()
    aside = set_aside(home)
    assert aside.read_bytes() == data
    assert not is_born(home, has_genesis=False)
    with pytest.raises(PrivateFileError, match="cannot move"):
        set_aside(home)


def test_a_changed_passphrase_is_the_old_or_the_new_after_any_cut(birth, tmp_path):
    for cut in range(3):
        home = tmp_path / str(cut)
        path = keystore.agent_path(home)
        private.make_folder(path.parent)
        private.create(path, birth.agent_keystore)
        with pytest.raises(PowerCut):
            keystore.change_passphrase(
                path, PASSPHRASE, "new", log_n=1, log_n_min=1, disk=CutDisk(cut).disk()
            )
        expected = PASSPHRASE if cut < 2 else "new"
        assert keystore.unlock_agent(home, expected, log_n_min=1) == birth.keys
        recorder = CutDisk()
        keystore.change_passphrase(
            path, expected, "newer", log_n=1, log_n_min=1, disk=recorder.disk()
        )
        assert [call for call, _ in recorder.done] == ["fsync", "replace", "fsync"]


def test_a_bad_birth_is_refused_before_anything(tmp_path):
    with pytest.raises(InvalidGenesis, match="name"):
        bear(name="")
    with pytest.raises(InvalidGenesis, match="network is 'testnet'"):
        bear(network="testnet")
    with pytest.raises(InvalidGenesis, match="architecture"):
        bear(architecture=b"short")
    with pytest.raises(InvalidSoul):
        bear(soul=Soul.from_bytes(b""))


def test_the_default_cost_is_the_safe_one(tmp_path):
    birth = bear(log_n=16)
    write(birth, home=tmp_path / "home", operator_folder=tmp_path / "operator")
    keys = keystore.unlock_agent(tmp_path / "home", PASSPHRASE, expected=birth.genesis.keys)
    assert keys == birth.keys
    cheap = bear()
    write(cheap, home=tmp_path / "cheap", operator_folder=tmp_path / "operator2")
    with pytest.raises(InvalidKeystore, match="expected 16 to 20"):
        keystore.unlock_agent(tmp_path / "cheap", PASSPHRASE, expected=cheap.genesis.keys)
