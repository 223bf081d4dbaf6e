"""The one door to tree-sitter: a line of bash as a tree of frozen nodes.

The grammar (tree-sitter-bash) is a real one, and still not bash: it takes `a 2>f b` for two
targets, and knows no `<>`. So what it says is used to *find* commands, in whatever they are
nested; that nothing was missed is shown by a second reader (`shell_plain`), and only where both
agree may a rule allow. Where the grammar meets what it cannot read the tree says so (`broken`),
with what it made of the rest. Recovering from such errors is quadratic in the length of the line,
which is why that is bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import tree_sitter
import tree_sitter_bash

from runtime.core.errors import NotRead
from runtime.core.limits import SHELL_LINE_BYTES_MAX, SHELL_NODES_MAX, SHELL_TREE_DEPTH_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. `start` and `end` are byte offsets; `field` is what it is to its parent, or ""."""

    kind: str
    field: str
    start: int
    end: int
    children: tuple["Node", ...]

    def each(self) -> Iterator["Node"]:
        """Yield this node and all below it, in the order of the source."""
        yield self
        for child in self.children:
            yield from child.each()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A parsed line. `broken`: the grammar met something that it cannot read."""

    root: Node
    broken: bool


def parse(source: bytes) -> Tree:
    """Parse a line. Raises NotRead for too many bytes, nodes or levels."""
    if len(source) > SHELL_LINE_BYTES_MAX:
        raise NotRead(f"{len(source)} bytes, at most {SHELL_LINE_BYTES_MAX}")
    tree = tree_sitter.Parser(_language()).parse(source)
    root = tree.root_node
    if root.descendant_count > SHELL_NODES_MAX:
        raise NotRead(f"{root.descendant_count} nodes, at most {SHELL_NODES_MAX}")
    return Tree(root=_node(tree.walk(), 0), broken=root.has_error)


@cache
def _language() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_bash.language())


def _node(cursor: tree_sitter.TreeCursor, depth: int) -> Node:
    if depth > SHELL_TREE_DEPTH_MAX:
        raise NotRead(f"nested more than {SHELL_TREE_DEPTH_MAX} levels deep")
    found, field = cursor.node, cursor.field_name
    assert found is not None
    children = []
    if cursor.goto_first_child():
        children.append(_node(cursor, depth + 1))
        while cursor.goto_next_sibling():
            children.append(_node(cursor, depth + 1))
        cursor.goto_parent()
    return Node(
        kind=found.type, field=field or "", start=found.start_byte, end=found.end_byte,
        children=tuple(children),
    )  # fmt: skip
