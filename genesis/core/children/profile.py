"""What each gate opens: the permission rules that a child's host adds, and takes away gate by gate.

They are rules of the ordinary grammar (docs/PERMISSIONS.md), asked with all others: a deny of them
wins over every allow, an ask over every allow. So a gate never gives what the child's own operator
denied; it only ends what the parent's caution closed.
"""

from typing import Final

from genesis.core.children.orders import GATES

WORDS: Final = (
    "visitor: it looks, and changes nothing",
    "apprentice: files and programs, each call asked about",
    "builder: files and programs by its operator's rules; other tools asked about",
    "autonomous: everything by its operator's rules",
    "mentor: as before, and it may father",
)
"""By level, for people."""
_FAR: Final = ("WebFetch", "Tool", "mcp__*", "Patch")
"""What reaches beyond its own folder: addresses, tools of others, its own code."""

RULES: Final[tuple[tuple[tuple[str, str], ...], ...]] = (
    tuple(("deny", tool) for tool in ("Bash", "FileEdit", *_FAR)),
    (("ask", "Bash"), ("ask", "FileEdit"), *(("deny", tool) for tool in _FAR)),
    tuple(("ask", tool) for tool in _FAR),
    (),
    (),
)
"""By level: (effect, rule)."""
MAY_FATHER: Final = len(GATES)

NEEDED: Final = {"runs": 1, "writes": 1, "far": 2}
"""From which level on a call of a kind may be done at all, asked or not."""
