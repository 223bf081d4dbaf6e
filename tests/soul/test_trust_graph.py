"""The trust graph as a value: paths, trees, pictures."""

from xml.etree import ElementTree as ET

import pytest

from genesis.core.trust import Builder, Edge, Kind, UnknownNode
from genesis.core.trust_svg import render


@pytest.fixture
def graph():
    built = Builder.empty()
    soul = built.node(Kind.SOUL, "aa", 'SOUL.md of <Eve> & "co"')
    one = built.node(Kind.INSTANCE, "1", "key set 0")
    two = built.node(Kind.INSTANCE, "2", "key set 1")
    block = built.node(Kind.BLOCK, "b", "block 7")
    witness = built.node(Kind.WITNESS, "w", "w.example")
    built.edge(soul, one, "was born as", 0)
    built.edge(one, two, "handed over to", 9)
    built.edge(one, block, "signed", 4)
    built.edge(two, block, "signed", 12)
    built.edge(witness, two, "witnessed", None, "witnessed.note")
    built.edge(one, two, "handed over to", 9)  # said twice, there once
    return built.graph()


def test_the_shortest_way_and_no_way(graph):
    assert [edge.event for edge in graph.path("soul:aa", "block:b")] == [0, 4]
    assert graph.path("block:b", "soul:aa") is None
    assert graph.path("soul:aa", "soul:aa") == ()


def test_a_way_is_a_graph_of_its_own(graph):
    way = graph.path("soul:aa", "block:b")
    found = graph.along("soul:aa", way)
    assert graph.along("block:b", ()).nodes == (graph.node("block:b"),)
    assert [node.id for node in found.nodes] == ["soul:aa", "instance:1", "block:b"]
    assert found.edges == way
    picture = ET.fromstring(render(found, ["soul:aa"]))
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}path"))) == 2


def test_names_may_be_shortened_while_they_are_clear(graph):
    assert graph.node("bl").id == "block:b"
    with pytest.raises(UnknownNode, match="2 things here begin with"):
        graph.node("instance:")
    with pytest.raises(UnknownNode, match="nothing here is"):
        graph.node("patch:3")


def test_a_tree_shows_each_thing_whole_once(graph):
    rows = [(depth, node.id, again) for depth, _, node, again in graph.tree(["soul:aa"])]
    assert rows == [
        (0, "soul:aa", False),
        (1, "instance:1", False),
        (2, "instance:2", False),
        (3, "block:b", False),
        (2, "block:b", True),
    ]
    assert graph.edges.count(Edge(source="instance:1", target="instance:2", how="handed over to", event=9)) == 1  # fmt: skip


def test_the_picture_is_well_formed_and_links_nothing(graph):
    text = render(graph, ["soul:aa"])
    root = ET.fromstring(text)
    shown = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert shown == [node.label for node in graph.nodes]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == len(graph.edges)
    assert "script" not in text
    assert text.count("http") == 1


def test_json_has_every_edge_with_its_event(graph):
    value = graph.to_value()
    edge = {"source": "instance:1", "target": "block:b", "how": "signed", "event": 4}
    assert edge | {"evidence": None} in value["edges"]
    assert value["edges"][-1]["evidence"] == "witnessed.note"
    assert len(value["nodes"]) == 5
