"""The registry of tools: put in, taken out, called within bounds; and what may run at once."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.errors import NoSuchTool, ToolFailed, ToolRefused, ToolTaken
from runtime.core.permissions import OtherCall
from runtime.core.tool import (
    Effect,
    Permission,
    ToolContext,
    ToolLimits,
    ToolResult,
    ToolSpec,
    argument,
    cut,
)
from runtime.tool_locks import READS_AT_ONCE
from runtime.toolbox import Toolbox

SPEC = ToolSpec(
    name="echo",
    description="Says it again.",
    schema={"type": "object", "properties": {"text": {"type": "string"}}},
    effect=Effect.READS,
    permission=Permission(tool="Tool", specifier=argument("text")),
    toolset="tests",
)
CONTEXT = ToolContext(
    folder="/nowhere", call=OtherCall(tool="Tool"), conversation="main", author="ada", message=1
)


class Echo:
    """Gives back its text; `hold` keeps it from that, and the names under way are kept."""

    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.busy: list[str] = []
        self.most = 0

    async def call(self, arguments, context) -> ToolResult:
        text = arguments.get("text", "")
        self.busy.append(text)
        self.most = max(self.most, len(self.busy))
        try:
            await self.hold.wait()
        finally:
            self.busy.remove(text)
        match text:
            case "fail":
                raise ToolFailed("it did not go")
            case "break":
                raise KeyError("a secret of the tool's")
            case "time":
                raise TimeoutError
        return ToolResult(text=text)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def box(echo) -> Toolbox:
    box = Toolbox()
    box.register(SPEC, echo)
    return box


async def test_a_tool_is_put_in_described_called_and_taken_out(box):
    assert box.describe("echo") is SPEC
    said = await box.call(box.entry("echo"), {"text": "owl"}, CONTEXT)
    assert (said.text, said.is_error) == ("owl", False)
    assert box.remove("echo") is SPEC
    with pytest.raises(NoSuchTool, match="no tool 'echo'") as refused:
        box.entry("echo")
    assert refused.value.hint == "there are none"


def test_each_change_has_a_version_and_those_who_watch_are_told(box, echo):
    told: list[int] = []
    end = box.watch(told.append)
    box.register(replace(SPEC, name="two"), echo)
    box.remove("two")
    end()
    box.register(replace(SPEC, name="three"), echo)
    assert told == [2, 3]
    assert box.version == 4


def test_a_name_is_given_once(box, echo):
    with pytest.raises(ToolTaken, match="there is a tool echo already, of the toolset tests"):
        box.register(replace(SPEC, toolset="others"), echo)
    assert box.describe("echo").toolset == "tests"


def test_a_call_outlives_the_removal_of_its_tool(box):
    entry = box.entry("echo")
    box.remove("echo")
    assert asyncio.run(box.call(entry, {"text": "late"}, CONTEXT)).text == "late"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "a b"}, "no name of a tool"),
        ({"name": "x" * 65}, "no name of a tool"),
        ({"name": ""}, "no name of a tool"),
        ({"description": ""}, "a description of 0 bytes"),
        ({"description": "x" * 9000}, "a description of 9000 bytes"),
        ({"schema": {"type": "array"}}, "not of an object"),
        ({"schema": {"type": "object", "x": float("nan")}}, "not JSON"),
        ({"schema": {"type": "object", "x": b"x"}}, "not JSON"),
        ({"schema": {"type": "object", "x": "x" * 40_000}}, "a schema of 400"),
        ({"toolset": "Big Set"}, "no name of a toolset"),
    ],
)
def test_what_no_provider_takes_is_refused_at_once(wrong, why):
    with pytest.raises(ToolRefused, match=why):
        replace(SPEC, **wrong)


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": 3601}, {"result_bytes": 0}])
def test_bounds_have_bounds(wrong):
    with pytest.raises(ToolRefused):
        ToolLimits(**wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fail", "it did not go"),
        ("break", "the tool broke (KeyError)"),
        ("time", "it waited too long for something"),
    ],
)
async def test_what_a_tool_raises_becomes_a_result(box, text, said):
    result = await box.call(box.entry("echo"), {"text": text}, CONTEXT)
    assert (result.text, result.is_error) == (said, True)


async def test_a_tool_that_never_returns_is_stopped(echo):
    echo.hold.clear()
    box = Toolbox()
    box.register(replace(SPEC, limits=ToolLimits(seconds=0.01)), echo)
    result = await box.call(box.entry("echo"), {"text": "owl"}, CONTEXT)
    assert result.is_error
    assert result.text == "no result within 0.01 s: it was stopped"
    assert echo.busy == []


async def test_a_cancelled_call_gives_its_place_back(echo):
    echo.hold.clear()
    box = Toolbox()
    box.register(replace(SPEC, effect=Effect.WRITES), echo)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(box.call(box.entry("echo"), {"text": "1"}, CONTEXT))
        second = group.create_task(box.call(box.entry("echo"), {"text": "2"}, CONTEXT))
        await until(lambda: echo.busy == ["1"])
        first.cancel()
        await until(lambda: echo.busy == ["2"])
        echo.hold.set()
    assert second.result().text == "2"


async def test_reads_run_side_by_side_and_no_more_than_ten(box, echo):
    echo.hold.clear()
    async with asyncio.TaskGroup() as group:
        for number in range(READS_AT_ONCE + 5):
            group.create_task(box.call(box.entry("echo"), {"text": str(number)}, CONTEXT))
        await until(lambda: len(echo.busy) == READS_AT_ONCE)
        echo.hold.set()
    assert echo.most == READS_AT_ONCE


@pytest.mark.parametrize(
    ("resources", "at_once"),
    [
        (["a", "a"], ["a"]),
        (["a", "b", "a"], ["a", "b"]),
        (["a", None, "b"], ["a"]),
        ([None, "a", "b"], [None]),
        (["a", "b", None], ["a", "b"]),
    ],
)
async def test_writes_wait_for_their_resource_and_unknown_ones_for_all(resources, at_once, echo):
    echo.hold.clear()
    box = Toolbox()
    names = [f"{number}" for number in range(len(resources))]
    for name, resource in zip(names, resources, strict=True):
        spec = replace(
            SPEC, name=f"w{name}", effect=Effect.WRITES, resource=lambda _, r=resource: r
        )
        box.register(spec, echo)
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(box.call(box.entry(f"w{name}"), {"text": name}, CONTEXT))
        await until(lambda: len(echo.busy) == len(at_once))
        for _ in range(5):
            await asyncio.sleep(0)
        assert [resources[int(name)] for name in echo.busy] == at_once
        echo.hold.set()
    assert echo.busy == []


def test_a_long_result_is_cut_and_says_how_much_is_missing():
    whole = "a" * 5_000_000 + "the end"
    result = cut(ToolResult(text=whole, left_out=3), 1000)
    assert result.left_out == len(whole) - 1000 + 3
    assert f"[... {len(whole) - 1000} bytes were left out here ...]" in result.text
    assert result.text.startswith("aaa")
    assert result.text.endswith("the end")
    assert len(result.text) < 1100


@given(st.text(alphabet=st.characters(), max_size=300), st.integers(1, 400))
def test_a_cut_result_can_always_be_written_down(text, bytes_max):
    result = cut(ToolResult(text=text), bytes_max)
    result.text.encode()
    assert (result.left_out > 0) == (len(text.encode(errors="replace")) > bytes_max)


async def until(true) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)
