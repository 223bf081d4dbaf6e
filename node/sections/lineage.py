"""The table of node.toml about parent and children."""

from typing import Annotated

import msgspec

Text = Annotated[str, msgspec.Meta(max_length=2048)]


class LineageSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """[lineage]"""

    parent: Annotated[str, msgspec.Meta(pattern=r"^(|https?://[^/?#@]+)$", max_length=300)]
    check: Text
    report: Text
    review: Text
    silent_s: Annotated[int, msgspec.Meta(ge=60, le=2_592_000)]
    grant: bool
