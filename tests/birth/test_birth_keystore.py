import hashlib
import json
import os
import shlex
import stat
import subprocess

import pytest

from genesis.core import nip49
from genesis.core.errors import (
    InvalidKeystore,
    KeyMismatch,
    PrivateFileError,
    PrivateFileExists,
    PrivateFileExposed,
    PrivateFileMissing,
    WrongPassphrase,
)
from genesis.core.keys import AgentKeys
from genesis.keys import keystore, private
from ledger.core.keys import Signer

from .conftest import CHEAP, PASSPHRASE, bear

ROOT = bytes(range(32))
KEYS = AgentKeys.from_root(ROOT)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def home(tmp_path):
    path = keystore.agent_path(tmp_path / "home")
    private.make_folder(path.parent)
    private.create(path, keystore.lock_agent(ROOT, PASSPHRASE, log_n=CHEAP).to_bytes())
    return tmp_path / "home"


def unlock(home, passphrase=PASSPHRASE, **more):
    return keystore.unlock_agent(home, passphrase, log_n_min=CHEAP, **more)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_locked_unlocks(home):
    assert unlock(home) == KEYS
    assert keystore.read_keystore(keystore.agent_path(home), role="agent").public == KEYS.log.public


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        private.make_folder(tmp_path / "keys")
        private.create(tmp_path / "keys" / "f", b"x")
    finally:
        os.umask(old)
    assert (mode(tmp_path / "keys"), mode(tmp_path / "keys" / "f")) == (0o700, 0o600)


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777])
def test_loose_files_are_refused_with_the_chmod_that_helps(home, loose):
    path = keystore.agent_path(home)
    path.chmod(loose)
    with pytest.raises(PrivateFileExposed, match=f"mode {loose:04o}, expected 0600") as caught:
        unlock(home)
    subprocess.run(shlex.split(caught.value.hint), check=True)
    assert unlock(home) == KEYS


@pytest.mark.parametrize("loose", [0o750, 0o705, 0o720, 0o711, 0o777])
def test_loose_folders_are_refused_with_the_chmod_that_helps(home, loose):
    path = keystore.agent_path(home).parent
    path.chmod(loose)
    with pytest.raises(PrivateFileExposed, match=f"mode {loose:04o}, expected 0700") as caught:
        unlock(home)
    with pytest.raises(PrivateFileExposed):
        private.make_folder(path)
    subprocess.run(shlex.split(caught.value.hint), check=True)
    assert unlock(home) == KEYS


@pytest.mark.parametrize("strict", [0o600, 0o400])
def test_strict_files_are_read(home, strict):
    keystore.agent_path(home).chmod(strict)
    assert unlock(home) == KEYS


@needs_root
@pytest.mark.parametrize("part", ["file", "folder"])
def test_foreign_owners_are_refused(home, part):
    path = keystore.agent_path(home)
    os.chown(path if part == "file" else path.parent, 12345, 12345)
    with pytest.raises(PrivateFileExposed, match="belongs to user 12345, this process is user 0"):
        unlock(home)


def test_a_path_with_blanks_is_quoted_in_the_hint(tmp_path):
    path = tmp_path / "my home" / "f"
    private.make_folder(path.parent)
    private.create(path, b"x")
    path.chmod(0o644)
    with pytest.raises(PrivateFileExposed) as caught:
        private.read(path, bytes_max=10)
    assert shlex.split(caught.value.hint) == ["chmod", "600", str(path)]


def test_links_special_files_and_absence_are_refused(home, tmp_path):
    path = keystore.agent_path(home)
    moved = path.rename(path.with_name("moved"))
    with pytest.raises(PrivateFileMissing):
        unlock(home)
    path.symlink_to(moved)
    with pytest.raises(PrivateFileError, match="symbolic"):
        unlock(home)
    path.unlink()
    path.mkdir()
    with pytest.raises(PrivateFileError, match="not a regular file"):
        unlock(home)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(PrivateFileError, match="not a regular file"):
        unlock(home)


def test_a_wrong_passphrase_changes_nothing(home):
    path = keystore.agent_path(home)
    before = (path.read_bytes(), path.stat().st_mtime_ns, names(path.parent))
    with pytest.raises(WrongPassphrase, match=r"agent.keystore: wrong passphrase") as caught:
        unlock(home, "wrong")
    assert "nothing was changed" in caught.value.hint
    with pytest.raises(WrongPassphrase):
        keystore.change_passphrase(path, "wrong", "new", log_n=CHEAP, log_n_min=CHEAP)
    assert before == (path.read_bytes(), path.stat().st_mtime_ns, names(path.parent))


def test_the_passphrase_can_be_changed(home):
    path = keystore.agent_path(home)
    old = path.read_bytes()
    keystore.change_passphrase(path, PASSPHRASE, "new", log_n=CHEAP, log_n_min=CHEAP)
    assert unlock(home, "new") == KEYS
    with pytest.raises(WrongPassphrase):
        unlock(home)
    assert path.read_bytes() != old
    assert (mode(path), names(path.parent)) == (0o600, ["agent.keystore"])


def test_nothing_is_overwritten(home):
    path = keystore.agent_path(home)
    before = path.read_bytes()
    with pytest.raises(PrivateFileExists, match="never overwritten"):
        private.create(path, b"other")
    assert path.read_bytes() == before
    assert names(path.parent) == ["agent.keystore"]


def test_leftovers_of_a_crash_are_swept_by_the_next_write(tmp_path):
    (tmp_path / ".f.0123456789abcdef.new").write_bytes(b"half")
    (tmp_path / ".g.0123456789abcdef.new").write_bytes(b"another file's")
    private.create(tmp_path / "f", b"whole")
    assert names(tmp_path) == [".g.0123456789abcdef.new", "f"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PrivateFileError, match=r"cannot write .*: No such file"):
        private.create(tmp_path / "absent" / "f", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PrivateFileError, match="cannot make"):
        private.make_folder(tmp_path / "file" / "keys")


def test_unlocking_costs_one_scrypt_and_uses_the_safe_default(tmp_path, monkeypatch):
    home = tmp_path / "home"
    path = keystore.agent_path(home)
    private.make_folder(path.parent)
    private.create(path, keystore.lock_agent(ROOT, PASSPHRASE).to_bytes())
    scrypt, costs = hashlib.scrypt, []

    def counted(*args, **options):
        costs.append(options["n"])
        return scrypt(*args, **options)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert keystore.unlock_agent(home, PASSPHRASE) == KEYS
    assert costs == [2**16]


def test_a_cheap_keystore_needs_an_explicit_argument(home):
    with pytest.raises(InvalidKeystore, match="log_n is 1, expected 16 to 20"):
        keystore.unlock_agent(home, PASSPHRASE)


def test_keys_are_checked_against_the_genesis(home, birth):
    with pytest.raises(KeyMismatch, match="log key"):
        unlock(home, expected=birth.genesis.keys)


def rewrite(path, **changes):
    value = json.loads(path.read_bytes()) | changes
    private.replace(path, json.dumps({k: v for k, v in value.items() if v is not None}).encode())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "age"}, "keystore is 'age' version 1"),
        ({"version": 2}, "version 2, expected"),
        ({"role": "nobody"}, "role is 'nobody'"),
        ({"role": "operator"}, "keystore of role operator, expected agent"),
        ({"role": []}, "role is"),
        ({"public": "zz"}, "not hexadecimal"),
        ({"public": "00"}, "public is 1 bytes, expected 32"),
        ({"public": "00" * 32}, "opens to key"),
        ({"public": 7}, "not text"),
        ({"ncryptsec": "ncryptsec1"}, "agent.keystore: 10 characters"),
        ({"ncryptsec": None}, "fields are not"),
        ({"extra": 1}, "fields are not"),
    ],
    ids=range(12),
)
def test_damaged_keystores_are_named(home, changes, message):
    rewrite(keystore.agent_path(home), **changes)
    with pytest.raises(InvalidKeystore, match=message):
        unlock(home)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"null", b"[" * 4000])
def test_bytes_that_are_no_keystore(home, data):
    private.replace(keystore.agent_path(home), data)
    with pytest.raises(InvalidKeystore):
        unlock(home)


def test_an_endless_keystore_is_not_read(home):
    private.replace(keystore.agent_path(home), b"x" * 5000)
    with pytest.raises(PrivateFileError, match="more than 4096 bytes"):
        unlock(home)


def test_the_operator_key_opens_apart_and_in_any_nip49_client(tmp_path):
    birth = bear(operator_passphrase="another")
    path = keystore.operator_path(tmp_path / "operator")
    private.make_folder(path.parent)
    private.create(path, birth.operator_keystore)
    key = keystore.unlock_operator(path.parent, "another", log_n_min=CHEAP)
    assert key == birth.operator
    assert key.public == birth.genesis.keys["operator"]
    with pytest.raises(WrongPassphrase):
        keystore.unlock_operator(path.parent, PASSPHRASE, log_n_min=CHEAP)
    text = json.loads(path.read_bytes())["ncryptsec"]
    assert Signer(nip49.decrypt(text, "another", log_n_min=1).secret).public == key.public


def test_an_operator_keystore_with_an_impossible_key(tmp_path):
    private.make_folder(tmp_path / "o")
    text = nip49.encrypt(bytes(32), "x", salt=bytes(16), nonce=bytes(24), log_n=1)
    found = keystore.Keystore(role="operator", public=bytes(32), ncryptsec=text)
    private.create(keystore.operator_path(tmp_path / "o"), found.to_bytes())
    with pytest.raises(InvalidKeystore, match="no secp256k1 key"):
        keystore.unlock_operator(tmp_path / "o", "x", log_n_min=1)


def test_examine_finds_each_flipped_bit_without_a_passphrase(home):
    path = keystore.agent_path(home)
    keystore.examine(path, role="agent", public=KEYS.log.public)
    whole = path.read_bytes()
    for offset in range(len(whole)):
        data = bytearray(whole)
        data[offset] ^= 1 << (offset % 8)
        path.write_bytes(data)
        with pytest.raises(InvalidKeystore):
            keystore.examine(path, role="agent", public=KEYS.log.public)
    path.write_bytes(whole)
    with pytest.raises(InvalidKeystore, match="the ledger was born with"):
        keystore.examine(path, role="agent", public=bytes(32))
