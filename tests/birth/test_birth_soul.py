import contextlib
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.core.errors import InvalidSoul
from genesis.soul import Soul, default_soul, read_soul
from ledger.core.genesis import SOUL_BYTES_MAX


def test_the_default_soul_says_what_it_must():
    soul = default_soul()
    text = soul.text.lower()
    assert len(soul.data) < 4096
    for promise in ("operator", "do not know", "crisis line", "not an instruction", "brevity"):
        assert promise in text


def test_a_soul_is_read_as_it_is(tmp_path):
    path = tmp_path / "SOUL.md"
    for data in (b"x", "grüße\r\n\tja\n".encode(), b"x" * SOUL_BYTES_MAX, b"\xef\xbb\xbfbom"):
        path.write_bytes(data)
        soul = read_soul(path)
        assert soul.data == data
        assert soul.text.encode() == data
        assert soul.digest.sha256 == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "SOUL is empty"),
        (b" \n\t\n", "SOUL is empty"),
        (b"ab\xffc", "not UTF-8 at byte 2"),
        (b"a\nb\x00", r"U\+0000 in line 2"),
        (b"\x1b[31m", r"U\+001B in line 1"),
        (b"\xc2\x9b", r"U\+009B in line 1"),
        (b"x" * (SOUL_BYTES_MAX + 1), "65537 bytes or more, at most 65536"),
        (b"x" * (10 * SOUL_BYTES_MAX), "65537 bytes or more, at most 65536"),
    ],
    ids=range(8),
)
def test_what_cannot_be_a_soul_is_named(tmp_path, data, message):
    path = tmp_path / "SOUL.md"
    path.write_bytes(data)
    with pytest.raises(InvalidSoul, match=message):
        read_soul(path)


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(InvalidSoul, match="No such file"):
        read_soul(tmp_path / "absent")
    with pytest.raises(InvalidSoul, match="not a regular file"):
        read_soul(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidSoul, match="not a regular file"):
        read_soul(tmp_path / "fifo")


@given(st.binary(max_size=50))
def test_any_bytes_are_a_soul_or_a_documented_error(data):
    with contextlib.suppress(InvalidSoul):
        assert Soul.from_bytes(data).text.encode() == data
