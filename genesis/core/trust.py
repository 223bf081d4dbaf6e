"""Who stands behind what an agent is and does, as a graph: each edge names what shows it.

    soul -> instance -> instance ...      births, handoffs, recoveries
    instance -> anchor -> block           what is closed into Bitcoin, alone or in a round
    instance -> aggregator                to whom anchors are delegated
    instance -> patch -> verdict <- judge   proposals, what came of them
    operator, people -> patch             their answers
    instance -> question <- operator      what the operator allowed and refused
    instance -> head <- witness           cosignatures; of other logs: instance -> log
    operator, voter -> manifest -> member   the fleet
    parent -> instance -> child           certificates of births, gates granted and taken back

Pure: nodes and edges are given, paths and pictures are made of them. An edge says that somebody
signed or did something, not that he was right.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from genesis.core.errors import GenesisError


class UnknownNode(GenesisError):
    """Nothing in the graph has this name, or several things begin with it."""


class Kind(StrEnum):
    """What a node is."""

    SOUL = "soul"
    INSTANCE = "instance"
    OPERATOR = "operator"
    KEY = "key"
    ANCHOR = "anchor"
    BLOCK = "block"
    PATCH = "patch"
    VERDICT = "verdict"
    WITNESS = "witness"
    AGGREGATOR = "aggregator"
    HEAD = "head"
    LOG = "log"
    MANIFEST = "manifest"
    MEMBER = "member"
    APPROVAL = "approval"
    CHILD = "child"
    PARENT = "parent"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Node:
    """`id` is unique in the graph and stable; `label` is for people."""

    id: str
    kind: Kind
    label: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Edge:
    """`source` stands behind `target`, in this way.

    What shows it is the event at a position of this ledger, or the file `evidence` of the home.
    """

    source: str
    target: str
    how: str
    event: int | None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes by id and edges between them. Every edge's ends exist."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        known = {node.id for node in self.nodes}
        assert len(known) == len(self.nodes)
        assert all({edge.source, edge.target} <= known for edge in self.edges)

    def node(self, name: str) -> Node:
        """Find a node by its id, or by a beginning that only it has. Raises UnknownNode."""
        found = [node for node in self.nodes if node.id == name] or [
            node for node in self.nodes if node.id.startswith(name)
        ]
        if len(found) == 1:
            return found[0]
        what = "nothing here is" if not found else f"{len(found)} things here begin with"
        raise UnknownNode(f"{what} {name[:80]!r}", hint="names are those of: timmy trust show")

    def path(self, source: str, target: str) -> tuple[Edge, ...] | None:
        """The shortest way from one node to another along the edges, or None."""
        came: dict[str, Edge | None] = {source: None}
        waiting = deque([source])
        while waiting:
            here = waiting.popleft()
            for edge in self.edges:
                if edge.source == here and edge.target not in came:
                    came[edge.target] = edge
                    waiting.append(edge.target)
        if target not in came:
            return None
        way: list[Edge] = []
        step = came[target]
        while step is not None:
            way.append(step)
            step = came[step.source]
        return tuple(reversed(way))

    def along(self, source: str, way: Iterable[Edge]) -> "Graph":
        """What a way from `source` goes through, and nothing else."""
        edges = tuple(way)
        ends = {source, *(edge.target for edge in edges)}
        return Graph(nodes=tuple(node for node in self.nodes if node.id in ends), edges=edges)

    def tree(self, roots: Iterable[str]) -> Iterator[tuple[int, Edge | None, Node, bool]]:
        """Walk depth first: (depth, edge that led here, node, whether it was shown before)."""
        nodes = {node.id: node for node in self.nodes}
        seen: set[str] = set()
        waiting: list[tuple[int, Edge | None, str]] = []
        waiting += [(0, None, root) for root in reversed(tuple(roots))]
        while waiting:
            depth, edge, name = waiting.pop()
            again = name in seen
            yield depth, edge, nodes[name], again
            if not again:
                seen.add(name)
                below = [one for one in self.edges if one.source == name]
                waiting += [(depth + 1, one, one.target) for one in reversed(below)]

    def to_value(self) -> dict[str, Any]:
        """The graph as one JSON-able map."""
        return {
            "nodes": [{"id": n.id, "kind": n.kind.value, "label": n.label} for n in self.nodes],
            "edges": [edge_value(edge) for edge in self.edges],
        }


def edge_value(edge: Edge) -> dict[str, Any]:
    """An edge as a JSON-able map."""
    return {
        "source": edge.source,
        "target": edge.target,
        "how": edge.how,
        "event": edge.event,
        "evidence": edge.evidence or None,
    }


@dataclass(slots=True)
class Builder:
    """Collects nodes and edges; the same one twice is one."""

    _nodes: dict[str, Node]
    _edges: dict[Edge, None]

    @classmethod
    def empty(cls) -> "Builder":
        """Begin with nothing."""
        return cls({}, {})

    def node(self, kind: Kind, name: str, label: str) -> str:
        """Add a node, or find it; return its id, `kind:name`."""
        found = f"{kind.value}:{name}"
        self._nodes.setdefault(found, Node(id=found, kind=kind, label=label))
        return found

    def edge(
        self, source: str, target: str, how: str, event: int | None = None, evidence: str = ""
    ) -> None:
        """Add an edge between nodes that exist."""
        found = Edge(source=source, target=target, how=how, event=event, evidence=evidence)
        self._edges[found] = None

    def graph(self) -> Graph:
        """What was collected, in the order in which it came."""
        return Graph(nodes=tuple(self._nodes.values()), edges=tuple(self._edges))
