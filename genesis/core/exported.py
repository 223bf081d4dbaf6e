"""What an exported session says of itself: head, state, architecture, and who the parent is.

    CBOR([1, {ledger, size, root, digest, reducers, name, soul, tools, files, folded_by}])

It stands beside a copy of the events. `digest` is that of the parent's state after `size` events,
by the code that `reducers` names; whoever takes the export up folds the events again and compares.
`files` are those of the adopted architecture by path, `folded_by` the paths of its reducers, and
`tools` what models are told of the parent's tools: name, description and schema, the last as JSON.

Not covered: whether it is true. It is a claim until the events were folded, and it is signed by
nobody: an export is a copy for a process of the same operator, no proof for a stranger.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from genesis.core import limits
from genesis.core.architecture import Architecture
from genesis.core.errors import InvalidExport, InvalidTree
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, InvalidData
from ledger.core.limits import INT_MAX
from runtime.core.chat import ToolOffer

VERSION: Final = 1
_DIGESTS: Final = ("ledger", "root", "digest", "reducers")
_KEYS: Final = frozenset({*_DIGESTS, "size", "name", "soul", "tools", "files", "folded_by"})
_HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """See the module. Digests are 32 bytes. Raises InvalidExport."""

    ledger: bytes
    size: int
    root: bytes
    digest: bytes
    reducers: bytes
    name: str
    soul: str
    architecture: Architecture
    tools: tuple[ToolOffer, ...] = ()

    def __post_init__(self) -> None:
        for key in _DIGESTS:
            value = getattr(self, key)
            if type(value) is not bytes or len(value) != _HASH_BYTES:
                raise InvalidExport(f"export: {key} is not {_HASH_BYTES} bytes")
        if type(self.size) is not int or not 1 <= self.size <= INT_MAX:
            raise InvalidExport(f"export: {self.size!r:.40} is no number of events")
        if len(self.tools) > limits.EXPORT_TOOLS_MAX:
            most = limits.EXPORT_TOOLS_MAX
            raise InvalidExport(f"export: {len(self.tools)} tools, at most {most}")

    def encode(self) -> bytes:
        """Return it as bytes, the only ones it is read from. Raises InvalidExport."""
        facts: dict[str, Any] = {key: getattr(self, key) for key in _DIGESTS}
        facts |= {"size": self.size, "name": self.name, "soul": self.soul}
        facts["tools"] = [[one.name, one.description, _schema_text(one)] for one in self.tools]
        facts["files"] = dict(self.architecture)
        facts["folded_by"] = sorted(self.architecture.reducers)
        return encode([VERSION, facts])

    @classmethod
    def decode(cls, data: bytes) -> "About":
        """Read what `encode` gave. Raises InvalidExport for anything else."""
        try:
            value = decode(data, bytes_max=limits.EXPORT_ABOUT_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidExport(f"export: {error}") from error
        match value:
            case [version, dict(facts)] if type(version) is int and version == VERSION:
                if facts.keys() == _KEYS:
                    found = _read(facts)
                    if found.encode() == data:
                        return found
        raise InvalidExport(f"export: not of version {VERSION}")


def _read(facts: Mapping[str, Any]) -> About:
    if not all(type(facts[key]) is str for key in ("name", "soul")):
        raise InvalidExport("export: name and soul are text")
    try:
        return About(
            **{key: facts[key] for key in (*_DIGESTS, "size", "name", "soul")},
            architecture=_architecture(facts["files"], facts["folded_by"]),
            tools=tuple(map(_tool, _list(facts["tools"]))),
        )
    except (InvalidTree, InvalidData) as error:
        raise InvalidExport(f"export: {error}") from error


def _architecture(files: Any, folded_by: Any) -> Architecture:
    if not isinstance(files, dict):
        raise InvalidExport("export: files is no map")
    for path, data in files.items():
        if type(path) is not str or type(data) is not bytes:
            raise InvalidExport("export: files is no map of text to bytes")
    paths = _list(folded_by)
    if not all(type(path) is str for path in paths):
        raise InvalidExport("export: a reducer's path is text")
    return Architecture(files, frozenset(paths))


def _tool(row: Any) -> ToolOffer:
    match row:
        case [str(name), str(description), str(schema)]:
            try:
                found = json.loads(schema)
            except (ValueError, RecursionError) as error:
                raise InvalidExport(f"export: the schema of {name[:64]!r} is no JSON") from error
            if isinstance(found, dict):
                offer = ToolOffer(name=name, description=description, schema=found)
                if _schema_text(offer) == schema:
                    return offer
    raise InvalidExport("export: a tool is [name, description, schema as it is written here]")


def _schema_text(offer: ToolOffer) -> str:
    try:
        return json.dumps(offer.schema, sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise InvalidExport(f"export: the schema of {offer.name[:64]!r} is no JSON") from error


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidExport("export: a list was expected")
    return value
