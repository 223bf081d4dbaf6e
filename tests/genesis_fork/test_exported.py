"""The form of what an exported session says of itself, against drawn ones and damaged ones."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.core import limits
from genesis.core.architecture import Architecture
from genesis.core.errors import InvalidExport
from genesis.core.exported import About
from ledger.core.codec import decode, encode
from ledger.core.limits import INT_MAX
from runtime.core.chat import ToolOffer
from tests.genesis_patches.world import BASE, FILES

HASHES = st.binary(min_size=32, max_size=32)
TEXT = st.text(max_size=60)
JSON = st.dictionaries(
    TEXT, st.one_of(st.none(), st.booleans(), st.integers(), TEXT, st.lists(TEXT, max_size=3)),
    max_size=4,
)  # fmt: skip
TOOLS = st.builds(ToolOffer, name=TEXT, description=TEXT, schema=JSON)
ARCHITECTURES = st.sets(st.sampled_from(sorted(FILES)), min_size=1).map(
    lambda paths: Architecture(
        {path: FILES[path] for path in paths} | {"runtime/agent/main.py": b"import a\n"},
        frozenset({"runtime/core/todos.py"} & paths),
    )
)
ABOUTS = st.builds(
    About, ledger=HASHES, size=st.integers(1, INT_MAX), root=HASHES, digest=HASHES,
    reducers=HASHES, name=TEXT, soul=TEXT, architecture=ARCHITECTURES,
    tools=st.lists(TOOLS, max_size=3).map(tuple),
)  # fmt: skip
WELL = About(
    ledger=bytes(32), size=5, root=bytes(32), digest=bytes(32), reducers=bytes(32), name="Timmy",
    soul="Be honest.", architecture=BASE,
    tools=(ToolOffer(name="look", description="looks", schema={"type": "object"}),),
)  # fmt: skip


@given(ABOUTS)
def test_what_is_written_is_read(about):
    data = about.encode()
    found = About.decode(data)
    assert found == about
    assert found.architecture.root == about.architecture.root
    assert found.encode() == data


@given(st.binary(max_size=200))
def test_anything_else_is_refused_by_name(data):
    with pytest.raises(InvalidExport):
        About.decode(data)


@given(st.data())
def test_one_changed_byte_is_refused_or_read_as_what_it_says(data):
    whole = bytearray(WELL.encode())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        found = About.decode(bytes(whole))
    except InvalidExport:
        return
    assert found != WELL
    assert found.encode() == bytes(whole)  # there is one way to write it


@given(st.sampled_from(sorted(decode(WELL.encode(), bytes_max=1 << 20)[1])), st.data())
def test_a_fact_of_another_kind_is_refused(key, data):
    version, facts = decode(WELL.encode(), bytes_max=1 << 20)
    kind = type(facts[key])
    other = data.draw(
        st.one_of(st.none(), st.booleans(), st.integers(-5, 5), TEXT, st.binary(max_size=31),
                  st.lists(st.integers(-5, 5), min_size=1, max_size=2))
        .filter(lambda value: type(value) is not kind)
    )  # fmt: skip
    with pytest.raises(InvalidExport):
        About.decode(encode([version, facts | {key: other}]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"size": 0}, "no number of events"),
        ({"size": -1}, "no number of events"),
        ({"root": b"short"}, "root is not 32 bytes"),
        ({"tools": [["a", "b", "{"]]}, "is no JSON"),
        ({"tools": [["a", "b", "[]"]]}, "a tool is"),
        ({"tools": [["a", "b", "{}"]] * (limits.EXPORT_TOOLS_MAX + 1)}, "513 tools"),
        ({"files": FILES | {"genesis/judge.py": b""}}, "genesis/judge.py"),
        ({"files": {"../x": b""}}, "export: "),
        ({"files": {"a": "text"}}, "text to bytes"),
        ({"folded_by": [1]}, "path is text"),
        ({"folded_by": ["runtime/core/none.py"]}, "export: "),
        ({"tools": [["a", "b", '{"a":1}']]}, "as it is written here"),
        ({"tools": [["a", "b", '{"a": NaN}']]}, "is no JSON"),
        ({"tools": [["a", "b", '{"a": 1, "a": 2}']]}, "as it is written here"),
        ({"more": 1}, "not of version 1"),
        ({"soul": 1}, "are text"),
    ],
)
def test_what_is_out_of_bounds_is_refused(change, why):
    version, facts = decode(WELL.encode(), bytes_max=1 << 20)
    with pytest.raises(InvalidExport, match=why):
        About.decode(encode([version, facts | change]))


def test_another_version_and_a_schema_without_end_are_refused():
    _, facts = decode(WELL.encode(), bytes_max=1 << 20)
    for version in (0, 2, True, "1"):
        with pytest.raises(InvalidExport, match="not of version 1"):
            About.decode(encode([version, facts]))
    deep = "[" * 100_000
    with pytest.raises(InvalidExport, match="is no JSON"):
        About.decode(encode([1, facts | {"tools": [["a", "b", deep]]}]))
    endless = ToolOffer(name="a", description="b", schema={"a": float("inf")})
    with pytest.raises(InvalidExport, match="is no JSON"):
        replace(WELL, tools=(endless,)).encode()
