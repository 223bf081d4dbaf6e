"""A trust graph as one SVG file: columns by distance from the soul, no script, nothing linked."""

from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from genesis.core.trust import Graph, Kind, Node

_WIDTH_PX: Final = 220
_HEIGHT_PX: Final = 34
_GAP_X_PX: Final = 70
_GAP_Y_PX: Final = 14
_MARGIN_PX: Final = 20
_LABEL_CHARS: Final = 30
_COLOURS: Final = {
    Kind.SOUL: "#f2e6c9",
    Kind.INSTANCE: "#d6e8d5",
    Kind.OPERATOR: "#d9e2f2",
    Kind.KEY: "#eeeeee",
    Kind.ANCHOR: "#f7d9c4",
    Kind.BLOCK: "#f4c7a1",
    Kind.PATCH: "#e3d7ef",
    Kind.VERDICT: "#efe7f6",
    Kind.WITNESS: "#cfe8ea",
    Kind.AGGREGATOR: "#cfe8ea",
    Kind.HEAD: "#f7d9c4",
    Kind.LOG: "#d6e8d5",
    Kind.MANIFEST: "#e9e4c9",
    Kind.MEMBER: "#d9e2f2",
    Kind.APPROVAL: "#efe7f6",
    Kind.CHILD: "#d6e8d5",
    Kind.PARENT: "#d6e8d5",
}


def render(graph: Graph, roots: Iterable[str]) -> str:
    """Return the picture as SVG text (SVG 1.1), readable in light and in dark surroundings."""
    columns = _columns(graph, roots)
    places = {
        node.id: (
            _MARGIN_PX + x * (_WIDTH_PX + _GAP_X_PX),
            _MARGIN_PX + y * (_HEIGHT_PX + _GAP_Y_PX),
        )
        for x, column in enumerate(columns)
        for y, node in enumerate(column)
    }
    width = 2 * _MARGIN_PX + len(columns) * (_WIDTH_PX + _GAP_X_PX) - _GAP_X_PX
    tallest = max((len(column) for column in columns), default=1)
    height = 2 * _MARGIN_PX + tallest * (_HEIGHT_PX + _GAP_Y_PX) - _GAP_Y_PX
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    )
    parts = [
        opening,
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for edge in graph.edges:
        where = edge.evidence if edge.event is None else f"event {edge.event}"
        told = f"{edge.how}: {where}" if where else edge.how
        parts.append(_curve(places[edge.source], places[edge.target], told))
    parts += [_box(node, *places[node.id]) for node in graph.nodes]
    return "\n".join([*parts, "</svg>", ""])


def _columns(graph: Graph, roots: Iterable[str]) -> list[list[Node]]:
    """Nodes by their least distance from the roots; what nothing leads to comes first."""
    depth = dict.fromkeys(roots, 0)
    waiting = list(depth)
    while waiting:
        here = waiting.pop(0)
        for edge in graph.edges:
            if edge.source == here and edge.target not in depth:
                depth[edge.target] = depth[here] + 1
                waiting.append(edge.target)
    columns: list[list[Node]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for node in graph.nodes:
        columns[depth.get(node.id, 0)].append(node)
    return columns


def _box(node: Node, x: int, y: int) -> str:
    text = node.label if len(node.label) <= _LABEL_CHARS else node.label[: _LABEL_CHARS - 1] + "…"
    return (
        f'<g><title>{escape(node.id)}</title><rect x="{x}" y="{y}" width="{_WIDTH_PX}" '
        f'height="{_HEIGHT_PX}" rx="6" fill={quoteattr(_COLOURS[node.kind])} stroke="#555"/>'
        f'<text x="{x + 10}" y="{y + 21}" fill="#222">{escape(text)}</text></g>'
    )


def _curve(start: tuple[int, int], end: tuple[int, int], told: str) -> str:
    x1, y1 = start[0] + _WIDTH_PX, start[1] + _HEIGHT_PX // 2
    x2, y2 = end[0], end[1] + _HEIGHT_PX // 2
    middle = (x1 + x2) // 2
    return (
        f'<path d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}" fill="none" '
        f'stroke="#888"><title>{escape(told)}</title></path>'
    )
