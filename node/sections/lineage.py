"""The table of node.toml about parent and children."""

from typing import Annotated

import msgspec

from node.sections.base import Section, Text


class LineageSection(Section, frozen=True):
    """[lineage]"""

    parent: Annotated[str, msgspec.Meta(pattern=r"^(|https?://[^/?#@]+)$", max_length=300)]
    check: Text
    report: Text
    review: Text
    silent_s: Annotated[int, msgspec.Meta(ge=60, le=2_592_000)]
    grant: bool
