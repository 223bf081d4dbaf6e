"""Arguments of the built-in tools: one msgspec struct is both the schema and the parser."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from runtime.core.errors import ToolFailed
from runtime.core.tool import Arguments

_T = TypeVar("_T", bound=msgspec.Struct)


def schema_of(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Return the JSON Schema of a struct, inner structs written out: many servers know no $ref."""
    (reference,), parts = msgspec.json.schema_components([kind], ref_template="{name}")
    schema: Mapping[str, Any] = _inlined(reference, parts)
    return schema


def _inlined(value: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            return _inlined(parts[value["$ref"]], parts)
        return {
            key: _inlined(one, parts)
            for key, one in value.items()
            if not (key == "title" and isinstance(one, str))
        }
    return [_inlined(one, parts) for one in value] if isinstance(value, list) else value


def parse(kind: type[_T], arguments: Arguments) -> _T:
    """Read the arguments of a call. Raises ToolFailed with what a model can mend."""
    try:
        return msgspec.convert(dict(arguments), kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ToolFailed(f"wrong arguments: {error}") from error
