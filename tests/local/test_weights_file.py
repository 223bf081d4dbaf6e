"""Files of weights: looked at, their digest remembered, every other file refused."""

import hashlib
import os
import threading

import pytest

from runtime.core.errors import InvalidWeights
from runtime.weights import Digests, check_digest, look

from . import gguf_files as files


@pytest.fixture
def path(tmp_path):
    return files.tiny(tmp_path / "a-model.gguf")


def reads(digests, weights):
    """The digest, and how many bytes were read for it."""
    told = []
    digest = digests.of(weights, lambda done, of: told.append((done, of)))
    return digest, told[-1][0] if told else 0


def test_a_digest_is_computed_once_and_kept(path, tmp_path):
    cache, weights = tmp_path / "weights.json", look(path)
    expected = hashlib.sha256(path.read_bytes()).digest()
    digests = Digests(cache)
    assert reads(digests, weights) == (expected, weights.size)
    assert reads(digests, weights) == (expected, 0)
    assert reads(Digests(cache), look(path)) == (expected, 0)
    assert cache.stat().st_mode & 0o777 == 0o600
    assert reads(Digests(None), weights) == (expected, weights.size)


def test_a_file_that_was_touched_is_read_again(path, tmp_path):
    digests = Digests(tmp_path / "weights.json")
    first, _ = reads(digests, look(path))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time are the same
    second, read = reads(digests, look(path))
    assert (second != first, read) == (True, len(data))
    other = files.tiny(path.with_name("other.gguf"), seed=8)
    other.replace(path)
    assert reads(digests, look(path))[0] == hashlib.sha256(path.read_bytes()).digest()


@pytest.mark.parametrize(
    "kept",
    [b"", b"\xff", b"[]", b'{"x": 1}', b'{"x": ["m", 5]}', b'{"x": ["m", "zz"]}', b" " * 10**6],
)
def test_a_damaged_cache_is_forgotten(path, tmp_path, kept):
    cache = tmp_path / "weights.json"
    cache.write_bytes(kept)
    digest, read = reads(Digests(cache), look(path))
    assert (digest, read) == (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_size)
    assert reads(Digests(cache), look(path)) == (digest, 0)


def test_many_files_push_the_oldest_out(path, tmp_path):
    digests, cache = Digests(tmp_path / "weights.json"), tmp_path / "weights.json"
    for number in range(66):
        other = tmp_path / f"{number}.gguf"
        os.link(path, other)
        digests.of(look(other))
    assert cache.read_text().count(".gguf") == 64
    assert "/0.gguf" not in cache.read_text()


def test_a_download_under_way_is_refused(path):
    weights = look(path)

    def meanwhile(_done, _of):
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(InvalidWeights, match="was written to"):
        Digests(None).of(weights, meanwhile)


def test_weights_that_were_not_asked_for_are_refused(path):
    weights = look(path)
    digest = Digests(None).of(weights)
    check_digest(weights, digest, "")
    check_digest(weights, digest, digest.hex().upper())
    with pytest.raises(InvalidWeights, match=f"{digest.hex()}, expected {'0' * 64}"):
        check_digest(weights, digest, "0" * 64)


def test_what_is_no_file_of_weights_is_refused_with_its_path(path, tmp_path):
    whole = path.read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1000])
    (tmp_path / "foreign").write_bytes(b"\x7fELF" + whole)
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "cut": rf"cut short: {len(whole) - 1000} bytes of {len(whole)}",
        "foreign": "no GGUF file",
        "empty": "no file, or an empty one",
        "pipe": "no file, or an empty one",
        "missing": "cannot be read: No such file",
        ".": "cannot be read",
    }
    for name, words in cases.items():
        with pytest.raises(InvalidWeights, match=words) as caught:
            look(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
        assert caught.value.hint


def test_looking_waits_for_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()

    def try_it():
        with pytest.raises(InvalidWeights):
            look(tmp_path / "pipe")
        done.set()

    threading.Thread(target=try_it, daemon=True).start()
    assert done.wait(30)
