"""Rows read out of pages as bytes, beside what SQLite itself reads, and out of pages it never wrote."""

from contextlib import closing

import pytest

from ledger.core.btree import PAGE_BYTES, ROW_BYTES_MAX, is_index_leaf, is_table_leaf, rows
from ledger.sql import connect

USABLE = PAGE_BYTES - 8
EDGES = [edge + by for bits in (7, 15, 23, 31, 47, 63) for edge in (1 << bits, -1 << bits)
         for by in (-1, 0) if -1 << 63 <= edge + by < 1 << 63]  # fmt: skip
NUMBERS = [0, 1, 2, -1, *EDGES]
SPILLS = sorted({0, 1, 57, 58, 59, 1002, 9182, 8176, 8184, 20_000}
                | {n + by for n in (2028, 8149, 9182, 10_208, 16_329, 24_509) for by in range(-9, 3)})  # fmt: skip
"""Lengths about those at which a row leaves its page, or fills its last one (section 1.6)."""


def pages_of(path):
    data = path.read_bytes()
    return {
        at // PAGE_BYTES + 1: data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)
    }


def stored(path, *statements):
    """Make a database of these statements, each perhaps with its rows; return its pages."""
    with closing(connect(path, create=True)) as database:
        for text, given in statements:
            database.executemany(text, given) if given else database.execute(text)
    return pages_of(path)


def leaves(pages, kind):
    return [(number, page) for number, page in pages.items() if kind(page, number) and number > 1]


def read(pages, kind):
    return [row for number, page in leaves(pages, kind) for row in rows(page, number, pages.get)]


def test_every_number_and_row_id_is_read_as_sqlite_wrote_it(tmp_path):
    made = [
        (rowid, number, None, b"") for rowid, number in zip(NUMBERS, reversed(NUMBERS), strict=True)
    ]
    pages = stored(
        tmp_path / "a.db",
        ("create table t (id integer primary key, a, b, c)", None),
        ("insert into t values (?, ?, ?, ?)", made),
    )
    found = read(pages, is_table_leaf)
    # the row id stands in the row's place only: its column is null
    assert sorted(found) == sorted((rowid, [None, *rest]) for rowid, *rest in made)


def test_rows_that_go_on_in_other_pages_are_followed(tmp_path):
    blobs = {rowid: bytes([rowid % 251]) * length for rowid, length in enumerate(SPILLS)}
    pages = stored(
        tmp_path / "a.db",
        ("create table t (a)", None),
        ("insert into t (rowid, a) values (?, ?)", list(blobs.items())),
    )
    assert dict(read(pages, is_table_leaf)) == {rowid: [blob] for rowid, blob in blobs.items()}


@pytest.mark.parametrize("length", SPILLS)
def test_an_index_keeps_less_of_a_row_on_its_page(tmp_path, length):
    blob = bytes([7]) * length
    pages = stored(
        tmp_path / "a.db",
        ("create table t (a, b, primary key (a, b)) without rowid", None),
        ("insert into t values (?, ?)", [(blob, 5), (b"", -5)]),
    )
    assert read(pages, is_index_leaf) == [(None, [b"", -5]), (None, [blob, 5])]


def test_the_first_page_begins_behind_the_header_of_the_file(tmp_path):
    pages = stored(tmp_path / "a.db", ("create table t (a)", None))
    assert is_table_leaf(pages[1], 1)
    assert not is_index_leaf(pages[1], 1)
    assert is_index_leaf(bytes(100) + leaf(cell(GOOD), kind=0x0A), 1)
    [(rowid, columns)] = rows(pages[1], 1, pages.get)
    assert (rowid, columns) == (1, [b"table", b"t", b"t", 2, b"CREATE TABLE t (a)"])


@pytest.mark.parametrize(("over", "read"), [(0, True), (1, False)])
def test_a_row_may_be_as_long_as_the_bound_and_no_longer(tmp_path, over, read):
    heads = 6  # the header's length in one byte, and a blob's in four, of this size: five in all
    blob = bytes(ROW_BYTES_MAX - heads + 1 + over)
    pages = stored(
        tmp_path / "a.db",
        ("create table t (a)", None),
        ("insert into t values (?)", [(blob,)]),
    )
    [(number, page)] = leaves(pages, is_table_leaf)
    [row] = rows(page, number, pages.get)
    assert row == ((1, [blob]) if read else None)


def test_a_page_may_hold_many_rows(tmp_path):
    pages = stored(
        tmp_path / "a.db",
        ("create table t (a)", None),
        ("insert into t values (?)", [(None,)] * 2000),
    )
    found = read(pages, is_table_leaf)
    assert sorted(found) == [(rowid, [None]) for rowid in range(1, 2001)]
    assert len(leaves(pages, is_table_leaf)) < 2000 // 255


# ---- pages that SQLite never wrote ---------------------------------------------------------------


def varint(value):
    """The short ones, by section 1.6: seven bits each, the highest first."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


def leaf(*cells, ends=USABLE, count=None, kind=0x0D):
    """A leaf with these cells, the last of which ends at `ends`."""
    page = bytearray(PAGE_BYTES)
    page[0] = kind
    page[3:5] = (len(cells) if count is None else count).to_bytes(2, "big")
    for index, cell in enumerate(cells):
        ends -= len(cell)
        page[ends : ends + len(cell)] = cell
        page[8 + 2 * index : 10 + 2 * index] = ends.to_bytes(2, "big")
    return bytes(page)


def cell(record, rowid=1, length=None):
    return varint(len(record) if length is None else length) + varint(rowid) + record


def one(page, overflow=lambda _: None):
    [row] = rows(page, 2, overflow)
    return row


GOOD = bytes([3, 1, 14]) + b"\x05x"


def test_a_page_written_by_hand_is_read():
    assert one(leaf(cell(GOOD))) == (1, [5, b"x"])
    assert list(rows(leaf(cell(GOOD, 3), cell(GOOD, 200)), 2, lambda _: None)) == [
        (3, [5, b"x"]), (200, [5, b"x"]),
    ]  # fmt: skip


def test_a_row_of_no_columns_is_a_row():
    assert one(leaf(cell(b"\x01", 7))) == (7, [])


NONSENSE = {
    "no length": cell(GOOD, length=0),
    "no header": cell(b"\x00"),
    "a header beyond the row": cell(b"\x04\x01\x01"),
    "a header that is not the row's": cell(GOOD + b"x"),
    "a value beyond the row": cell(b"\x02\x02\x05"),
    "bytes beyond the row": cell(b"\x02\x10\x05"),
    "kind 7, a float": cell(b"\x02\x07" + bytes(8)),
    "kind 10": cell(b"\x02\x0a"),
    "kind 11": cell(b"\x02\x0b"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_bytes_that_are_no_row_are_none(name):
    assert one(leaf(NONSENSE[name])) is None


def test_a_row_of_nonsense_costs_only_itself():
    page = leaf(cell(GOOD, 1), NONSENSE["kind 10"], cell(GOOD, 3))
    assert list(rows(page, 2, lambda _: None)) == [(1, [5, b"x"]), None, (3, [5, b"x"])]


@pytest.mark.parametrize(("ends", "read"), [(USABLE, True), (USABLE + 1, False)])
def test_no_row_reaches_into_the_checksum_of_its_page(ends, read):
    assert one(leaf(cell(GOOD), ends=ends)) == ((1, [5, b"x"]) if read else None)


def test_a_number_that_runs_off_the_page_is_none():
    page = bytearray(leaf(cell(GOOD)))
    page[-3:] = b"\xff\xff\xff"
    page[8:10] = (PAGE_BYTES - 3).to_bytes(2, "big")
    assert one(bytes(page)) is None


def test_a_count_of_rows_beyond_the_page_ends_with_the_page():
    found = list(rows(leaf(cell(GOOD), count=0xFFFF), 2, lambda _: None))
    assert found[0] == (1, [5, b"x"])
    assert len(found) == (USABLE - 8) // 2


@pytest.mark.parametrize(
    ("number", "known", "read"),
    [(9, {9}, True), (9, {8}, False), (0, {0, 9}, False)],
)
def test_a_row_whose_other_page_is_lost_or_not_named_is_none(number, known, read):
    local, rest = 1002, 8180
    record = bytes([4]) + varint(12 + 2 * (local + rest - 4)) + b"a" * (local + rest - 4)
    assert len(record) == local + rest
    page = leaf(cell(record[:local] + number.to_bytes(4, "big"), length=len(record)))
    other = bytes(4) + record[local:] + b"checksum"
    assert len(other) == PAGE_BYTES
    found = one(page, lambda asked: other if asked in known else None)
    assert found == ((1, [record[4:]]) if read else None)
