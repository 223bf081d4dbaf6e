"""GGUF files with random weights, written by the format's own description: nothing is downloaded.

`tiny` is a llama of 0.1 million parameters whose words are bytes: it loads in a moment and says
short nonsense. `big` has the shape of a model of 1.2 billion parameters in random Q4_K blocks: as
heavy and as slow as a real one.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

SPECIAL = ("<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ALIGNMENT = 32
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
NORMAL, CONTROL = 1, 3
F32_TENSOR, F16_TENSOR, Q4_K_TENSOR, Q6_K_TENSOR = 0, 1, 12, 14
CHUNK_BLOCKS = 4096
END_SCALE = 1.434
"""Makes the end of an answer one of the likely words of `big` with its seed: ten words or so."""


@dataclass(frozen=True)
class Shape:
    width: int
    layers: int
    heads: int
    kv_heads: int
    feed: int
    context: int
    words: int


TINY = Shape(width=64, layers=2, heads=4, kv_heads=2, feed=128, context=2048, words=264)
ONE_BILLION = Shape(
    width=2048, layers=16, heads=32, kv_heads=8, feed=8192, context=8192, words=128_256
)
"""What Llama 3.2 1B has: 1.24 billion parameters."""


@dataclass
class File:
    """What goes into a file; `pairs` are (key, type, value)."""

    pairs: list[tuple[str, int, object]] = field(default_factory=list)
    tensors: list[tuple[str, tuple[int, ...], int, int]] = field(default_factory=list)
    """(name, shape, type, bytes)"""

    def head(self, version: int = 3) -> bytes:
        out = [b"GGUF", struct.pack("<IQQ", version, len(self.tensors), len(self.pairs))]
        out += [
            text(key) + struct.pack("<I", kind) + value(kind, what)
            for key, kind, what in self.pairs
        ]
        at = 0
        for name, shape, kind, size in self.tensors:
            out += [
                text(name),
                struct.pack("<I", len(shape)),
                struct.pack(f"<{len(shape)}Q", *shape),
            ]
            out.append(struct.pack("<IQ", kind, at))
            at += aligned(size)
        found = b"".join(out)
        return found.ljust(aligned(len(found)), b"\0")


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def text(words: str) -> bytes:
    data = words.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind: int, what) -> bytes:
    if kind == STRING:
        return text(what)
    if kind == ARRAY:
        item, items = what
        return struct.pack("<IQ", item, len(items)) + b"".join(value(item, one) for one in items)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], what)


def vocabulary(count: int) -> tuple[list[str], list[int]]:
    """The 256 bytes as GPT-2 writes them, printable ones first; special words, merges, fillers."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    words = [*map(chr, plain), *(chr(256 + at) for at in range(len(rest)))]
    words += [*SPECIAL, "th", "Ġth"]
    kinds = [NORMAL] * 256 + [CONTROL] * len(SPECIAL) + [NORMAL] * 2
    fill = range(count - len(words))
    return words + [f"<x{i}>" for i in fill], kinds + [NORMAL for _ in fill]


def facts(shape: Shape, name: str) -> list[tuple[str, int, object]]:
    words, kinds = vocabulary(shape.words)
    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, name),
        ("llama.context_length", U32, shape.context),
        ("llama.embedding_length", U32, shape.width),
        ("llama.block_count", U32, shape.layers),
        ("llama.feed_forward_length", U32, shape.feed),
        ("llama.attention.head_count", U32, shape.heads),
        ("llama.attention.head_count_kv", U32, shape.kv_heads),
        ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        ("llama.rope.dimension_count", U32, shape.width // shape.heads),
        ("llama.rope.freq_base", F32, 500_000.0),
        ("llama.vocab_size", U32, shape.words),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, words)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, kinds)),
        ("tokenizer.ggml.merges", ARRAY, (STRING, ["t h", "Ġ th"])),
        ("tokenizer.ggml.bos_token_id", U32, 256),
        ("tokenizer.ggml.eos_token_id", U32, 257),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def matrices(shape: Shape):
    """(name, rows, columns) of all of them; a row is what is multiplied."""
    kv = shape.width // shape.heads * shape.kv_heads
    yield "token_embd.weight", shape.words, shape.width
    for block in range(shape.layers):
        prefix = f"blk.{block}."
        yield f"{prefix}attn_q.weight", shape.width, shape.width
        yield f"{prefix}attn_k.weight", kv, shape.width
        yield f"{prefix}attn_v.weight", kv, shape.width
        yield f"{prefix}attn_output.weight", shape.width, shape.width
        yield f"{prefix}ffn_gate.weight", shape.feed, shape.width
        yield f"{prefix}ffn_up.weight", shape.feed, shape.width
        yield f"{prefix}ffn_down.weight", shape.width, shape.feed


def norms(shape: Shape):
    yield "output_norm.weight"
    for block in range(shape.layers):
        yield f"blk.{block}.attn_norm.weight"
        yield f"blk.{block}.ffn_norm.weight"


def laid_out(shape: Shape, name: str, kind: int, row_bytes) -> File:
    tensors = [(n, (shape.width,), F32_TENSOR, 4 * shape.width) for n in norms(shape)]
    tensors += [
        (n, (columns, rows), kind, rows * row_bytes(columns))
        for n, rows, columns in matrices(shape)
    ]
    return File(facts(shape, name), tensors)


def write(path: Path, file: File, contents) -> Path:
    """`contents` gives the bytes of a tensor in pieces."""
    with path.open("wb") as out:
        out.write(file.head())
        for name, _, kind, size in file.tensors:
            done = 0
            for piece in contents(name, kind, size):
                out.write(piece)
                done += len(piece)
            assert done == size, (name, done, size)
            out.write(b"\0" * (aligned(size) - size))
    return path


def tiny(path: Path, *, seed: int = 7, shape: Shape = TINY) -> Path:
    """It says printable characters, one at least, and about seven; two rows of weights see to that.

    The first element of every embedding is large, and so stays that of what the layers give: a
    word's likelihood is the first element of its row of the output. The second is the mark of the
    word that begins an answer, and holds back the word that ends one.
    """
    rng = random.Random(seed)
    begin, end = (256 + SPECIAL.index(name) for name in ("<|assistant|>", "<|eos|>"))

    def row(word: int, name: str) -> list[float]:
        noise = [rng.gauss(0, 0.05) for _ in range(shape.width - 2)]
        if name == "token_embd.weight":
            return [3.0, 3.0 if word == begin else 0.0, *noise]
        if word == end:
            return [1.05, -3.0, *noise]
        return [1.0 if word < 94 else 0.0, 0.0, *noise]

    def contents(name, kind, size):
        if kind == F32_TENSOR:
            yield struct.pack("<f", 1.0) * (size // 4)
        elif name in ("token_embd.weight", "output.weight"):
            for word in range(shape.words):
                yield struct.pack(f"<{shape.width}e", *row(word, name))
        else:
            yield struct.pack(f"<{size // 2}e", *(rng.gauss(0, 0.05) for _ in range(size // 2)))

    file = laid_out(shape, "tiny-random", F16_TENSOR, lambda columns: 2 * columns)
    words = (shape.width, shape.words)
    file.tensors.append(("output.weight", words, F16_TENSOR, 2 * shape.width * shape.words))
    return write(path, file, contents)


def big(path: Path, *, seed: int = 7, shape: Shape = ONE_BILLION) -> Path:
    """Blocks of Q4_K: 256 weights in 144 bytes, of which two scales in the first four.

    The word that ends an answer has larger weights than most, so that it comes at times.
    """
    rng = random.Random(seed)
    row_blocks = shape.width // 256
    end = (256 + SPECIAL.index("<|eos|>")) * row_blocks

    def scaled(piece: bytearray, first: int, count: int, factor: float) -> None:
        for place in (0, 2):
            low, high = struct.pack("<e", 1e-4 * factor)
            here = slice(144 * first + place, 144 * (first + count), 144)
            beside = slice(here.start + 1, here.stop, 144)
            piece[here], piece[beside] = bytes([low]) * count, bytes([high]) * count

    def contents(name, kind, size):
        if kind == F32_TENSOR:
            yield struct.pack("<f", 1.0) * (size // 4)
            return
        for first in range(0, size // 144, CHUNK_BLOCKS):
            count = min(CHUNK_BLOCKS, size // 144 - first)
            piece = bytearray(rng.randbytes(144 * count))
            scaled(piece, 0, count, 1)
            if name == "token_embd.weight" and first == 0:
                scaled(piece, end, row_blocks, END_SCALE)
            yield bytes(piece)

    return write(
        path,
        laid_out(shape, "random-1b", Q4_K_TENSOR, lambda columns: columns // 256 * 144),
        contents,
    )
