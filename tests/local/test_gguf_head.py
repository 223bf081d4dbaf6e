"""The head of a GGUF file, against a writer of its own, cut and damaged in every way."""

import mmap
import random
import struct
import tracemalloc
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.errors import InvalidWeights
from runtime.core.gguf import check_model, read_head
from runtime.core.limits import (
    GGUF_HEAD_BYTES_MAX,
    GGUF_KEPT_BYTES_MAX,
    GGUF_PAIRS_MAX,
    GGUF_TEXTS_MAX,
)

from . import gguf_files as files

SMALL = replace(files.TINY, words=280)


def laid_out(kind=files.F16_TENSOR):
    return files.laid_out(SMALL, "small", kind, lambda columns: 2 * columns)


def changed(key, kind, value):
    file = laid_out()
    file.pairs = [pair for pair in file.pairs if pair[0] != key]
    file.pairs += [] if value is None else [(key, kind, value)]
    return file


HEAD = laid_out().head()


def test_a_head_says_what_the_model_is():
    head = read_head(HEAD)
    assert (head.version, head.architecture, head.name) == (3, "llama", "small")
    assert (head.quantisation, head.context_tokens) == ("F16", 2048)
    matrices = sum(rows * columns for _, rows, columns in files.matrices(SMALL))
    norms = SMALL.width * (2 * SMALL.layers + 1)
    assert head.parameters == matrices + norms
    assert head.bytes_by_type == {"F16": 2 * matrices, "F32": 4 * norms}
    assert head.facts["tokenizer.ggml.tokens"] is None  # a vocabulary is passed over
    assert read_head(laid_out().head(version=2)).facts == head.facts


def test_a_whole_file_ends_where_its_head_says(tmp_path):
    path = files.tiny(tmp_path / "t.gguf", shape=SMALL)
    data = path.read_bytes()
    head = read_head(data)
    assert head.ends_at == len(data)
    check_model(head, len(data))
    with pytest.raises(InvalidWeights, match=rf"cut short: {len(data) - 1} bytes of {len(data)}"):
        check_model(head, len(data) - 1)


def test_the_cache_of_a_context_is_counted():
    """Keys and values, two bytes each, for each layer, token and head."""
    assert read_head(HEAD).cache_bytes(100) == 100 * 2 * 2 * SMALL.layers * SMALL.kv_heads * 16
    wide = changed("llama.attention.key_length", files.U32, 32)
    assert read_head(wide.head()).cache_bytes(1) == 2 * (32 + 16) * SMALL.layers * SMALL.kv_heads
    each = changed("llama.attention.head_count_kv", files.ARRAY, (files.U32, [0, 3]))
    assert read_head(each.head()).cache_bytes(1) == 2 * (16 + 16) * 3
    silent = changed("llama.block_count", files.U32, None)
    assert read_head(silent.head()).cache_bytes(1) == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "begins with b''"),
        (b"PK\x03\x04 a zip file", "expected b'GGUF'"),
        (HEAD[:4] + struct.pack("<I", 1) + HEAD[8:], "of version 1"),
        (HEAD[:4] + struct.pack(">I", 3) + HEAD[8:], "big-endian"),
        (HEAD[:8] + struct.pack("<Q", 2**40) + HEAD[16:], "1099511627776 items"),
        (HEAD[:16] + struct.pack("<Q", 2**63) + HEAD[24:], "items at byte 24"),
        (HEAD[:24] + struct.pack("<Q", 2**62) + HEAD[32:], "items at byte 32"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused(data, words):
    with pytest.raises(InvalidWeights, match=words):
        read_head(data)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (changed("general.alignment", files.U32, 3), "alignment of 3"),
        (changed("general.alignment", files.STRING, "x"), "alignment of 'x'"),
        (changed("general.alignment", files.U32, 4096), "a multiple of 4096"),
        (laid_out(kind=33), "type 33"),
        (laid_out(kind=files.Q4_K_TENSOR), "rows of 64, a multiple of 256"),
        (files.File(laid_out().pairs), "without tensors"),
        (files.File([], [("x", (1, 1, 1, 1, 1), 0, 4)]), "5 dimensions"),
        (files.File([], [("x", (), 0, 4)]), "0 dimensions"),
    ],
)  # fmt: skip
def test_a_head_that_contradicts_itself_is_refused(file, words):
    with pytest.raises(InvalidWeights, match=words):
        read_head(file.head())


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (changed("split.count", files.U32, 4), "one of 4 parts"),
        (changed("general.type", files.STRING, "adapter"), "a adapter"),
        (changed("tokenizer.ggml.model", files.STRING, None), "no language model"),
    ],
)
def test_what_does_not_speak_alone_is_refused(file, words):
    with pytest.raises(InvalidWeights, match=words):
        check_model(read_head(file.head()), 2**40)


def test_a_head_that_is_cut_anywhere_is_refused():
    needed = len(HEAD.rstrip(b"\0"))
    for size in [*range(0, needed - 8, 7), needed - 9]:
        with pytest.raises(InvalidWeights):
            read_head(HEAD[:size])


@given(st.integers(0, len(HEAD) - 1), st.binary(min_size=1, max_size=9))
def test_a_damaged_head_is_read_or_refused(place, noise):
    data = HEAD[:place] + noise + HEAD[place + len(noise) :]
    with suppress(InvalidWeights):
        read_head(data)


def test_noise_behind_the_magic_is_refused_in_no_time():
    rng = random.Random(1)
    for _ in range(300):
        with pytest.raises(InvalidWeights):
            read_head(HEAD[:8] + rng.randbytes(400))


STRING = struct.pack("<I", files.STRING)
TEXTS = struct.pack("<II", files.ARRAY, files.STRING)
MIB = 2**20
LARGE = {
    # zeros are texts of no bytes, and cost nothing in a file with holes: (pairs, [(bytes, hole)])
    "many pairs": (GGUF_PAIRS_MAX + 1, [], f"{GGUF_PAIRS_MAX + 1} items at byte 24, at most"),
    "arrays of many texts": (
        2,
        [
            (files.text("k") + TEXTS + struct.pack("<Q", count), 8 * count)
            for count in (1000, GGUF_TEXTS_MAX - 999)
        ],
        f"arrays of {GGUF_TEXTS_MAX + 1} texts, at most {GGUF_TEXTS_MAX}",
    ),
    "texts nobody reads": (
        800,
        [(files.text(f"k{n}") + STRING + struct.pack("<Q", MIB), MIB) for n in range(800)],
        f"a head of [0-9]+ bytes at least, at most {GGUF_HEAD_BYTES_MAX}",
    ),
    "long keys": (
        800,
        [(struct.pack("<Q", MIB), MIB + 4 + 1) for n in range(800)],
        f"keys and texts of {3 * MIB} bytes, at most {GGUF_KEPT_BYTES_MAX}",
    ),
    "texts that are read": (
        800,
        [(files.text("general.name") + STRING + struct.pack("<Q", MIB), MIB) for n in range(800)],
        f"keys and texts of [0-9]+ bytes, at most {GGUF_KEPT_BYTES_MAX}",
    ),
    "numbers": (
        800,
        [
            (files.text(f"k{n}.block_count") + struct.pack("<IIQ", 9, 0, 1024), 1024)
            for n in range(800)
        ],
        "without tensors",
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_head_that_grows_without_end_is_refused_before_it_is_kept(tmp_path, name):
    pairs, pieces, words = LARGE[name]
    path = tmp_path / "sparse.gguf"
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, 0 if name == "numbers" else 1, pairs))
        for piece, hole in pieces:
            file.write(piece)
            file.seek(hole, 1)
        file.truncate(file.tell())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tracemalloc.start()
        try:
            with pytest.raises(InvalidWeights, match=words):
                read_head(data)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 8 * MIB


def test_what_nobody_reads_is_not_kept():
    facts = read_head(HEAD).facts
    assert facts["tokenizer.chat_template"] is facts["tokenizer.ggml.token_type"] is None
    assert facts["llama.block_count"] == SMALL.layers
