"""Who stands behind what this agent is and does, read from its ledger, as a graph.

    timmy trust show               a tree from the SOUL to instances, anchors, blocks, patches
    timmy trust show --svg FILE    the same as a picture
    timmy trust path FROM TO       the shortest way, with the event that shows each step; --svg too

Names are those that `show` prints; the beginning of one is enough. An edge says that somebody
signed or did something, and what shows it: an event (timmy prove EVENT) or a file of the home; not
that he was right. Cosignatures and approvals are there only if they verify.
"""

import argparse
from pathlib import Path

from attest.verify.plain import one_line
from genesis.core.trust import Edge, Graph, edge_value
from ledger.core.errors import TimmyError
from ledger.files import write_atomically
from node import console
from node.home import Home
from node.open import reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="the whole graph as a tree")
    show.add_argument("--svg", type=Path, metavar="FILE", help="write a picture instead")
    path = actions.add_parser("path", help="the way from one thing to another")
    path.add_argument("source", metavar="FROM")
    path.add_argument("target", metavar="TO")
    path.add_argument("--svg", type=Path, metavar="FILE", help="write a picture instead")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    from node.identity.trusting import root_of, trust_graph

    with reading(Home.find(arguments.home)) as opened:
        graph = trust_graph(opened)
    if arguments.action == "path":
        return _path(graph, arguments)
    if arguments.svg is not None:
        return _picture(graph, root_of(graph), arguments.svg)
    if arguments.json:
        console.out_json(graph.to_value())
        return 0
    _tree(graph, root_of(graph))
    return 0


def _tree(graph: Graph, root: str) -> None:
    led_to = {edge.target for edge in graph.edges}
    roots = [root, *(n.id for n in graph.nodes if n.id not in led_to and n.id != root)]
    for depth, edge, node, again in graph.tree(roots):
        how = "" if edge is None else f"{edge.how} "
        shown = "" if edge is None else _shown(edge)
        seen = "  (above)" if again else ""
        console.out(one_line(f"{'  ' * depth}{how}{node.label}  [{node.id}]{shown}{seen}"))


def _shown(edge: Edge) -> str:
    where = edge.evidence if edge.event is None else f"event {edge.event}"
    return f"  ({where})" if where else ""


def _path(graph: Graph, arguments: argparse.Namespace) -> int:
    source, target = graph.node(arguments.source), graph.node(arguments.target)
    way = graph.path(source.id, target.id)
    if arguments.svg is not None and way is not None:
        return _picture(graph.along(source.id, way), source.id, arguments.svg)
    if arguments.json:
        console.out_json(None if way is None else [edge_value(edge) for edge in way])
        return 1 if way is None else 0
    if way is None:
        console.out(one_line(f"nothing here leads from {source.id} to {target.id}"))
        return 1
    labels = {node.id: node.label for node in graph.nodes}
    console.out(one_line(f"{source.label}  [{source.id}]"))
    for edge in way:
        label = f"{edge.how} {labels[edge.target]}  [{edge.target}]{_shown(edge)}"
        console.out(one_line(f"  {label}"))
    return 0


def _picture(graph: Graph, root: str, path: Path) -> int:
    from genesis.core.trust_svg import render

    try:
        write_atomically(path, render(graph, [root]).encode(), mode=0o644)
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be written: {error.strerror}", hint="choose another place: --svg FILE"
        ) from error
    console.out(f"{path}: {len(graph.nodes)} things, {len(graph.edges)} edges")
    return 0
