"""The agent's look at itself is bounded, and says what it left out; a proposal needs a ledger."""

import pytest

from runtime.core.errors import ToolFailed
from runtime.core.permissions import OtherCall
from runtime.core.tool import Effect, ToolContext
from runtime.tools import architecture
from runtime.tools.architecture import File

LONG = "\n".join(f"line {n} of it" for n in range(1, 2_501)) + "\n"
FILES = [
    File(path="runtime/agent/a.py", kind="agent-code", text=LONG),
    File(path="runtime/agent/b.md", kind="prompt", text="x" * 2_000 + "\nBe kind.\n"),
    File(path="runtime/agent/c.md", kind="prompt", text="one\x0cone\u2028one\ntwo"),
    File(path="runtime/agent/empty.py", kind="agent-code", text=""),
]
CONTEXT = ToolContext(
    folder="/",
    call=OtherCall(tool="Architecture", name=""),
    conversation="c",
    author="a",
    message=1,
)


class Kept:
    """Drawings in memory, with what was proposed."""

    def __init__(self):
        self.proposed = []

    def files(self):
        return "ab" * 32, FILES

    async def propose(self, document, context):
        self.proposed.append((document, context.message))
        return "proposed as event 7"


async def used(tool, **arguments):
    return (await tool(Kept()).call(arguments, CONTEXT)).text


async def test_the_list_names_root_class_and_length():
    assert await used(architecture.ListArchitecture) == (
        f"architecture {'ab' * 32}\n"
        "runtime/agent/a.py (agent-code, 2500 lines)\n"
        "runtime/agent/b.md (prompt, 2 lines)\n"
        "runtime/agent/c.md (prompt, 2 lines)\n"
        "runtime/agent/empty.py (agent-code, 0 lines)"
    )


async def test_a_long_file_is_read_in_parts_and_none_is_missed():
    seen, first = [], 1
    for _ in range(3):
        text = await used(
            architecture.ReadArchitecture, path="runtime/agent/a.py", first_line=first
        )
        rows = text.split("\n")
        last = rows[-1]
        seen += [row.split(": ", 1)[1] for row in rows if not row.startswith("[")]
        if not last.startswith("["):
            break
        first = int(last.rsplit(" ", 1)[1].rstrip("]"))
    assert "\n".join(seen) + "\n" == LONG


async def test_long_lines_are_cut_and_what_is_not_there_is_said():
    text = await used(architecture.ReadArchitecture, path="runtime/agent/b.md")
    assert text == f"1: {'x' * 500}\n2: Be kind."
    assert (
        await used(architecture.ReadArchitecture, path="runtime/agent/empty.py")
        == "[no lines there]"
    )
    beyond = await used(architecture.ReadArchitecture, path="runtime/agent/a.py", first_line=9_999)
    assert beyond == "[no lines there]"
    for path in ("genesis/judge.py", "/etc/passwd", "../x", "runtime/agent"):
        with pytest.raises(ToolFailed, match="is no file of the architecture"):
            await used(architecture.ReadArchitecture, path=path)


async def test_lines_are_counted_as_diffs_count_them():
    text = await used(architecture.ReadArchitecture, path="runtime/agent/c.md")
    assert text == "1: one\x0cone\u2028one\n2: two"
    assert await used(architecture.SearchArchitecture, words="two") == "runtime/agent/c.md:2: two"


async def test_a_search_shows_a_hundred_lines_and_counts_the_rest():
    rows = (await used(architecture.SearchArchitecture, words="of it")).split("\n")
    assert rows[0] == "runtime/agent/a.py:1: line 1 of it"
    assert (len(rows), rows[-1]) == (101, "[2400 more]")
    assert (
        await used(architecture.SearchArchitecture, words="Be kind")
        == "runtime/agent/b.md:2: Be kind."
    )
    assert await used(architecture.SearchArchitecture, words="be kind") == "[nothing was found]"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (architecture.ReadArchitecture, {}),
        (architecture.ReadArchitecture, {"path": "x" * 161}),
        (architecture.ReadArchitecture, {"path": "x", "first_line": 0}),
        (architecture.SearchArchitecture, {"words": ""}),
        (architecture.SearchArchitecture, {"words": "x" * 201}),
        (architecture.ListArchitecture, {"path": "x"}),
        (architecture.ProposePatch, {"document": ""}),
        (architecture.ProposePatch, {"document": "x" * 65_537}),
        (architecture.ProposePatch, {"diff": "x"}),
    ],
)
async def test_other_arguments_are_refused(tool, arguments):
    with pytest.raises(ToolFailed, match="wrong arguments"):
        await used(tool, **arguments)


async def test_without_a_ledger_nothing_is_proposed():
    kept = Kept()
    with pytest.raises(ToolFailed, match="no ledger"):
        await architecture.ProposePatch(kept).call({"document": "x"}, CONTEXT)
    assert kept.proposed == []


def test_looking_reads_and_proposing_writes_and_is_asked_about_under_its_own_name():
    looks = (architecture.LIST, architecture.READ, architecture.SEARCH)
    assert {(one.effect, one.permission.tool) for one in looks} == {(Effect.READS, "Architecture")}
    assert (architecture.PROPOSE.effect, architecture.PROPOSE.permission.tool) == (
        Effect.WRITES,
        "Patch",
    )
