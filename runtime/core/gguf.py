"""The head of a GGUF file: what a model is, and whether all of the file is there.

GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian):
magic, version, two counts, the metadata, the tensors' names, shapes, types and offsets; then, at
the next multiple of the alignment, their bytes. A file that was cut short still loads as far as its
head goes, and llama.cpp reads beyond its end, or ends the process; so the end is computed here.

A head is a stranger's: its bytes, its strings and what of it is kept are bounded in sum, because a
sparse file of any length costs its maker nothing. What nobody reads is passed over, not copied.

Not covered: the bytes of the tensors, which only a digest holds to anything; whether llama.cpp
knows the architecture; models in several files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from struct import Struct, unpack_from
from typing import Any, Final

from runtime.core.errors import InvalidWeights
from runtime.core.limits import (
    GGUF_HEAD_BYTES_MAX,
    GGUF_ITEMS_MAX,
    GGUF_KEPT_BYTES_MAX,
    GGUF_PAIRS_MAX,
    GGUF_TENSORS_MAX,
    GGUF_TEXT_BYTES_MAX,
    GGUF_TEXTS_MAX,
)

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
_ALIGNMENT: Final = 32
_DIMENSIONS_MAX: Final = 4
"""GGML_MAX_DIMS."""
_KEPT_ITEMS_MAX: Final = 1024
"""Of all arrays together: one number for each layer. Further ones are passed over."""
_READ: Final = ("general.architecture", "general.name", "general.type", "general.alignment",
                "split.count")  # fmt: skip
_READ_OF_FAMILY: Final = (".context_length", ".block_count", ".embedding_length",
                          ".attention.head_count", ".attention.head_count_kv",
                          ".attention.key_length", ".attention.value_length")  # fmt: skip
"""How the keys end that begin with the architecture, which may be told later than they are."""

_SCALARS: Final = {kind: Struct(f"<{code}") for kind, code in enumerate("BbHhIif?") if code} | {
    10: Struct("<Q"),
    11: Struct("<q"),
    12: Struct("<d"),
}
_STRING: Final = 8
_ARRAY: Final = 9
_U32: Final = _SCALARS[4]
_U64: Final = _SCALARS[10]

TYPES: Final[dict[int, tuple[str, int, int]]] = {
    # type: (name, elements of a block, bytes of a block), ggml.h and gguf-py of llama.cpp
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gguf:
    """A model's head. `facts` are its metadata: all keys, None for values that nobody reads."""

    version: int
    facts: Mapping[str, Any] = field(repr=False)
    parameters: int
    """Elements of all tensors together."""
    bytes_by_type: Mapping[str, int]
    """How much of the file each type of tensor takes."""
    ends_at: int
    """Bytes that the file must have at least."""

    @property
    def architecture(self) -> str:
        """Which family of models it is of, "llama" for example."""
        return _text(self.facts.get("general.architecture"))

    @property
    def name(self) -> str:
        """What its maker calls it; may be empty."""
        return _text(self.facts.get("general.name"))

    @property
    def quantisation(self) -> str:
        """The type that most of its bytes have."""
        return max(self.bytes_by_type, key=lambda name: (self.bytes_by_type[name], name))

    @property
    def context_tokens(self) -> int:
        """The longest context it was trained for; 0 if it does not say."""
        return self._number("context_length")

    def cache_bytes(self, context_tokens: int) -> int:
        """Bytes of keys and values, 16 bits each, for a context; 0 if the head does not say.

        Of models whose layers do not all attend to everything this is more than they need.
        """
        heads = self.facts.get(f"{self.architecture}.attention.head_count_kv")
        layers, width = self._number("block_count"), self._number("embedding_length")
        count = self._number("attention.head_count")
        sizes = [self._number(f"attention.{kind}_length") for kind in ("key", "value")]
        sizes = [size or (width // count if count else 0) for size in sizes]
        per_layer = heads if isinstance(heads, list) else [_number(heads) or count] * layers
        return 2 * sum(sizes) * context_tokens * sum(map(_number, per_layer))

    def _number(self, key: str) -> int:
        return _number(self.facts.get(f"{self.architecture}.{key}"))


def _number(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**32 else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def read_head(data: Any) -> Gguf:
    """Read the head of a file from a buffer that begins with it: bytes, or a mapped file.

    Raises InvalidWeights, with what is wrong in a line.
    """
    reader = _Reader(data)
    magic = bytes(data[:4])
    if magic != MAGIC:
        raise InvalidWeights(f"no GGUF file: it begins with {magic!r}, expected {MAGIC!r}")
    reader.at = len(MAGIC)
    version = reader.one(_U32)
    if version not in VERSIONS:
        found = "written for a big-endian machine" if version >> 16 else f"of version {version}"
        raise InvalidWeights(f"a GGUF file {found}, read are versions {VERSIONS} little-endian")
    tensors, pairs = reader.count(GGUF_TENSORS_MAX), reader.count(GGUF_PAIRS_MAX)
    facts = dict(reader.pair() for _ in range(pairs))
    return _whole(reader, version, facts, tensors)


def _whole(reader: "_Reader", version: int, facts: dict[str, Any], tensors: int) -> Gguf:
    alignment = facts.get("general.alignment", _ALIGNMENT)
    if type(alignment) is not int or not 0 < alignment <= 2**16 or alignment & (alignment - 1):
        raise InvalidWeights(f"an alignment of {alignment!r}, a power of two expected")
    parameters, end, by_type = 0, 0, dict[str, int]()
    for _ in range(tensors):
        name, elements, size, offset = reader.tensor()
        if offset % alignment:
            raise InvalidWeights(f"tensor at byte {offset}, a multiple of {alignment} expected")
        parameters += elements
        end = max(end, offset + size)
        by_type[name] = by_type.get(name, 0) + size
    if not by_type:
        raise InvalidWeights("a GGUF file without tensors: only a vocabulary")
    start = -(-reader.at // alignment) * alignment
    return Gguf(
        version=version,
        facts=facts,
        parameters=parameters,
        bytes_by_type=by_type,
        ends_at=start + end,
    )


def check_model(head: Gguf, file_bytes: int) -> None:
    """Refuse a file that is cut short, or whose model does not speak. Raises InvalidWeights."""
    if file_bytes < head.ends_at:
        raise InvalidWeights(
            f"cut short: {file_bytes} bytes of {head.ends_at}",
            hint="the download did not end: fetch the rest, and compare its digest",
        )
    if head.facts.get("split.count", 1) not in (0, 1):
        raise InvalidWeights(
            f"one of {head.facts['split.count']} parts of a model",
            hint="put them together first: llama-gguf-split --merge",
        )
    kind = head.facts.get("general.type", "model")
    if kind != "model" or "tokenizer.ggml.model" not in head.facts:
        raise InvalidWeights(
            f"no language model: a {kind} of the architecture {head.architecture!r}",
            hint="adapters and projectors are parts of a model, not one",
        )


class _Reader:
    """Reads forward, never beyond the buffer, and no more than a head may have."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._size = len(data)
        self.at = 0
        self._kept_bytes = 0
        self._kept_items = 0
        self._texts = 0

    def one(self, kind: Struct) -> Any:
        """Read one number."""
        [value] = unpack_from(kind.format, self._data, self._step(kind.size))
        return value

    def count(self, at_most: int) -> int:
        """Read how many follow."""
        value: int = self.one(_U64)
        if value > at_most:
            raise InvalidWeights(f"{value} items at byte {self.at}, at most {at_most}")
        return value

    def text(self) -> str:
        """Read a string."""
        size = self.count(GGUF_TEXT_BYTES_MAX)
        start = self._step(size)
        self._kept_bytes += size
        if self._kept_bytes > GGUF_KEPT_BYTES_MAX:
            raise InvalidWeights(
                f"keys and texts of {self._kept_bytes} bytes, at most {GGUF_KEPT_BYTES_MAX}"
            )
        return bytes(self._data[start : start + size]).decode(errors="replace")

    def pair(self) -> tuple[str, Any]:
        """Read a key and its value; None for a value that nobody reads."""
        key, kind = self.text(), self.one(_U32)
        read = key in _READ or key.endswith(_READ_OF_FAMILY)
        if kind == _STRING and read:
            return key, self.text()
        if kind == _STRING:
            self._pass_text()
            return key, None
        if kind == _ARRAY:
            return key, self._array(read=read)
        value = self.one(self._scalar(kind))
        return key, value if read else None

    def tensor(self) -> tuple[str, int, int, int]:
        """Read one tensor: type, elements, bytes, offset."""
        self._pass_text()
        dimensions = self.one(_U32)
        if not 0 < dimensions <= _DIMENSIONS_MAX:
            raise InvalidWeights(f"a tensor of {dimensions} dimensions, 1 to {_DIMENSIONS_MAX}")
        shape = [self.one(_U64) for _ in range(dimensions)]
        kind, offset = self.one(_U32), self.one(_U64)
        if kind not in TYPES:
            raise InvalidWeights(f"tensors of type {kind}, which this version does not know")
        name, elements, size = TYPES[kind]
        if shape[0] % elements:
            raise InvalidWeights(f"rows of {shape[0]}, a multiple of {elements} expected ({name})")
        return name, prod(shape), prod(shape) // elements * size, offset

    def _array(self, *, read: bool) -> list[Any] | None:
        kind, length = self.one(_U32), self.count(GGUF_ITEMS_MAX)
        if kind == _STRING:
            self._pass_texts(length)
            return None
        item = self._scalar(kind)
        if not read or self._kept_items + length > _KEPT_ITEMS_MAX:
            self._step(length * item.size)
            return None
        self._kept_items += length
        return [self.one(item) for _ in range(length)]

    def _pass_texts(self, count: int) -> None:
        self._texts += count
        if self._texts > GGUF_TEXTS_MAX:
            raise InvalidWeights(f"arrays of {self._texts} texts, at most {GGUF_TEXTS_MAX}")
        for _ in range(count):
            self._pass_text()

    def _pass_text(self) -> None:
        self._step(self.count(GGUF_TEXT_BYTES_MAX))

    def _scalar(self, kind: int) -> Struct:
        if kind not in _SCALARS:
            raise InvalidWeights(f"metadata of type {kind} at byte {self.at}, which there is not")
        return _SCALARS[kind]

    def _step(self, size: int) -> int:
        start = self.at
        if start + size > self._size:
            raise InvalidWeights(
                f"cut short in its head: {self._size} bytes, {start + size} expected at least",
                hint="the download did not end: fetch the rest, and compare its digest",
            )
        if start + size > GGUF_HEAD_BYTES_MAX:
            raise InvalidWeights(
                f"a head of {start + size} bytes at least, at most {GGUF_HEAD_BYTES_MAX}"
            )
        self.at = start + size
        return start
