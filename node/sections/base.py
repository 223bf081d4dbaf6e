"""What every table of node.toml is made of: closed, frozen, typed; and how one is refused."""

from typing import Annotated, Literal

import msgspec

from ledger.core.errors import TimmyError

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Text = Annotated[str, msgspec.Meta(max_length=2048)]
Key = Annotated[str, msgspec.Meta(max_length=100)]
Privacy = Literal["local", "trusted", "public"]


class ConfigError(TimmyError):
    """node.toml cannot be used as it is."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every table: frozen, closed, by keyword."""
