"""A turn with tools: decided, recorded, called once, and told to the model as information."""

import asyncio
import json
import re
from dataclasses import fields, replace

import aiohttp
import pytest

from ledger.core import types
from ledger.core.event import Draft
from ledger.derived import TAKEN, find_derived
from runtime.approvals import Approvals
from runtime.chain import Chain
from runtime.core.bounds import TurnBounds
from runtime.core.calls import args_digest, step_key
from runtime.core.chat import Reach
from runtime.core.errors import CallRefused, Diverged, StepRefused
from runtime.core.openai_wire import OpenAi
from runtime.core.permission_rules import Effect as Ruled
from runtime.core.permission_rules import Scope, parse_rule
from runtime.core.permissions import OtherCall, Policy
from runtime.core.privacy import Privacy
from runtime.core.prompting import NOT_CALLED
from runtime.core.tool import Effect, Permission, ToolContext, ToolResult, ToolSpec, argument
from runtime.endpoint import Endpoint
from runtime.outside import Outside
from runtime.permitting import Gate
from runtime.service import Service
from runtime.toolbox import Toolbox
from runtime.tooling import Tooling
from runtime.tools import ledger, memory
from tests.runtime.providers import streamer
from tests.runtime.test_turn_services import Turn, begin
from tests.runtime.world import DIGEST_KEY, World, running, tree_of, until

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
RULES = (("allow", "FileEdit(notes/**)"), ("ask", "FileEdit(*.md)"), ("deny", "FileEdit(*.key)"))


class Desk:
    """Tools of the tests: `look` reads, `put` writes; what was done is kept."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.result = ToolResult(text="three owls")

    def tool(self, name: str) -> "Desk._Tool":
        return Desk._Tool(self, name)

    class _Tool:
        def __init__(self, desk: "Desk", name: str) -> None:
            self.desk, self.name = desk, name

        async def call(self, arguments, context) -> ToolResult:
            self.desk.done.append((self.name, arguments.get("path", "")))
            await self.desk.hold.wait()
            return self.desk.result


def spec(name: str, effect: Effect, tool: str, **more) -> ToolSpec:
    return ToolSpec(
        name=name, description="A tool.", schema=SCHEMA, effect=effect, toolset="tests",
        permission=Permission(tool=tool, specifier=argument("path", ".")), **more,
    )  # fmt: skip


class Unasked(Tooling):
    """The door for tests that are the agent's process, and have no model that asks for their calls.

    That it holds calls to replies is in test_turn_asked.py.
    """

    async def _check_asked(self, asked, args, requested) -> None:
        pass


class Tools:
    """A world with tools: what its models and operator do is the test's to say."""

    def __init__(self, world: World, folder: str) -> None:
        self.world, self.desk, self.box = world, Desk(), Toolbox()
        self.box.register(spec("look", Effect.READS, "FileRead"), self.desk.tool("look"))
        self.box.register(spec("put", Effect.WRITES, "FileEdit"), self.desk.tool("put"))
        self.now_ms = 1_000_000
        self.approvals = Approvals(world.journal, deadline_s=300, clock=lambda: self.now_ms)
        rules = [
            parse_rule(text, effect=Ruled(effect), scope=Scope.NODE, file="node.toml", line=n)
            for n, (effect, text) in enumerate(RULES, 1)
        ]
        self.policy = Policy(rules=tuple(rules), project=folder)
        self.tooling = Unasked(
            journal=world.journal, toolbox=self.box, rules=lambda: Gate(self.policy),
            folder=folder, approvals=self.approvals, privacy=Privacy(),
        )  # fmt: skip
        self.install()

    def held_to_replies(self) -> None:
        """Put the door of a node there."""
        door = {one.name: getattr(self.tooling, one.name) for one in fields(Tooling)}
        self.tooling = Tooling(**door)
        self.install()

    def install(self, **changes) -> None:
        self.tooling = replace(self.tooling, **changes)
        old = self.world.service
        self.world.service = Service(
            self.world.journal, chain=old.asking.chain, recall=self.world.recall,
            status=old.status, digest_key=DIGEST_KEY, tooling=self.tooling,
        )  # fmt: skip

    def of(self, kind) -> list:
        return self.world.of(kind.name)


@pytest.fixture
def tools(world: World, tmp_path) -> Tools:
    return Tools(world, str(tmp_path))


def use(name: str, path: str = "a.txt", **more) -> dict:
    return {"name": name, "arguments": json.dumps({"path": path}), **more}


async def test_a_call_is_requested_decided_and_returned(tools: Tools):
    turn = await begin(tools.world)
    value = await turn.call(0, "tool", use("look"))
    assert (value["text"], value["outcome"], value["is_error"]) == ("three owls", "done", False)
    [requested] = tools.of(types.TOOL_REQUESTED)
    [decided] = tools.of(types.TOOL_DECIDED)
    [returned] = tools.of(types.TOOL_RETURNED)
    assert json.loads(requested.content["arguments"]) == {"path": "a.txt"}
    assert (decided.payload["effect"], decided.payload["by"]) == ("allow", "rule")
    assert "looking at files of the project is allowed" in decided.content["why"]
    assert (returned.position, returned.payload["bytes"]) == (value["position"], 10)
    assert returned.content == {"text": "three owls"}
    for event in (requested, decided, returned):
        assert b"a.txt" not in event.record.payload
        assert event.payload["step"] == 0


@pytest.mark.parametrize("name", ["look", "put"])
async def test_a_step_given_again_gets_the_recorded_result(tools: Tools, name: str):
    turn = await begin(tools.world)
    first, size = await turn.call(0, "tool", use(name, "notes/a")), tools.world.log.size
    assert await turn.call(0, "tool", use(name, "notes/a")) == first
    assert (tools.world.log.size, len(tools.desk.done)) == (size, 1)


async def test_each_step_names_what_it_came_of(tools: Tools):
    turn = await begin(tools.world)
    reply = {"items": [{"role": "user", "text": "hi"}], "max_tokens": 5}
    told = await turn.call(0, "model", reply)
    await turn.call(1, "recall", {"query": "owl", "limit": 3})
    await turn.call(2, "remember", {"text": "owls sleep", "kind": "fact"})
    for step, id_ in enumerate((f"{told['position']}-0", "0-0", "999999-0", None), 3):
        await turn.call(step, "tool", use("look") | ({} if id_ is None else {"id": id_}))
    later = await turn.call(7, "model", reply)
    await turn.call(8, "answer", {"text": "Owls sleep."})

    def causes(kind) -> list[list[int]]:
        return [[cause.position for cause in e.envelope.causes] for e in tools.of(kind)]

    said = turn.message.position
    assert causes(types.RECALLED) == [[said, told["position"]]]
    assert causes(types.MEMORY_NOTED) == [[said, told["position"]]]
    assert causes(types.TOOL_REQUESTED) == [[said, told["position"]], [said], [said], [said]]
    assert causes(types.MESSAGE_SENT) == [[said, later["position"]]]


async def test_a_request_of_an_earlier_version_named_the_message_alone_and_is_gone_on_from(
    tools: Tools,
):
    turn = await begin(tools.world)
    told = await turn.call(0, "model", {"items": [{"role": "user", "text": "hi"}], "max_tokens": 5})
    args = use("put", "a.md", id=f"{told['position']}-0")
    digest = args_digest(DIGEST_KEY, turn.turn, 1, "tool", args)
    facts = {"turn": turn.turn, "step": 1, "op": "tool", "args": digest}
    [old] = await tools.world.journal.append(
        Draft(
            type=types.TOOL_REQUESTED.name,
            stream=turn.message.stream,
            payload={**facts, "name": "put", "id": args["id"]},
            content={"arguments": args["arguments"]},
            causes=(turn.message.cause,),
            idempotency_key=step_key(turn.turn, 1, "tool"),
        )
    )
    with pytest.raises(Diverged, match="asked for another call"):
        await turn.call(1, "tool", use("put", "b.md"))
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(turn.call(1, "tool", args))
        await until(lambda: tools.approvals.open)
        [question] = tools.approvals.open
        await tools.approvals.answer(question.position, allow=True)
    assert calling.result()["outcome"] == "done"
    assert tools.of(types.TOOL_REQUESTED) == [old]


@pytest.mark.parametrize(
    ("name", "times", "outcome"), [("look", 2, "done"), ("put", 1, "interrupted")]
)
async def test_what_was_begun_and_not_recorded_is_repeated_only_if_it_reads(
    tools: Tools, name: str, times: int, outcome: str
):
    turn = await begin(tools.world)
    tools.desk.hold.clear()
    async with asyncio.TaskGroup() as group:  # the node dies in the middle of it
        dying = group.create_task(turn.call(0, "tool", use(name, "notes/a")))
        await until(lambda: tools.desk.done)
        dying.cancel()
    tools.desk.hold.set()
    value = await turn.call(0, "tool", use(name, "notes/a"))
    assert (len(tools.desk.done), value["outcome"]) == (times, outcome)
    assert ("not known whether" in value["text"]) == (outcome == "interrupted")
    assert await turn.call(0, "tool", use(name, "notes/a")) == value
    tools.world.check_nothing_doubled()


@pytest.mark.parametrize(
    ("args", "outcome", "why"),
    [
        (use("put", "a.key"), "denied", r"not allowed: denied by FileEdit\(\*.key\)"),
        (use("nothing"), "refused", "there is no tool 'nothing'; there are look, put"),
        ({"name": "put", "arguments": "{half"}, "refused", "not JSON of an object"),
        ({"name": "put", "arguments": "[]"}, "refused", "not JSON of an object"),
        (use("put", "a\0b"), "refused", "is not the path of a file; name one file"),
    ],
)
async def test_what_may_not_be_is_a_result_that_says_why(tools: Tools, args, outcome, why):
    turn = await begin(tools.world)
    value = await turn.call(0, "tool", args)
    assert (value["outcome"], value["is_error"]) == (outcome, True)
    assert re.search(why, value["text"])
    assert tools.desk.done == []
    assert await turn.call(0, "tool", args) == value
    tools.world.check_nothing_doubled()


async def test_the_operator_is_asked_and_his_yes_makes_the_call(tools: Tools):
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        [question] = tools.approvals.open
        assert (question.name, question.deadline_ms) == ("put", tools.now_ms + 300_000)
        [asked] = tools.of(types.APPROVAL_ASKED)
        assert asked.content["text"].endswith("/a.md")
        assert tools.desk.done == []
        await tools.approvals.answer(question.position, allow=True)
    assert calling.result()["outcome"] == "done"
    [decided] = tools.of(types.TOOL_DECIDED)
    assert (decided.payload["effect"], decided.payload["by"]) == ("allow", "operator")
    assert decided.payload["rule"]["text"] == "FileEdit(*.md)"
    assert tools.approvals.open == []


@pytest.mark.parametrize(
    ("by", "words"), [("operator", "said no"), ("deadline", "nobody answered")]
)
async def test_no_and_silence_are_no(tools: Tools, by: str, words: str):
    turn = await begin(tools.world)
    tools.approvals._deadline_s = 300 if by == "operator" else 0
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        if by == "operator":
            await until(lambda: tools.approvals.open)
            await tools.approvals.answer(tools.approvals.open[0].position, allow=False)
    assert words in calling.result()["text"]
    [answered] = tools.of(types.APPROVAL_ANSWERED)
    assert (answered.payload["allow"], answered.payload["by"]) == (False, by)
    assert tools.desk.done == []


async def test_a_question_outlives_the_node_with_its_deadline(tools: Tools):
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        dying = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        dying.cancel()
    tools.now_ms += 299_000
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await asyncio.sleep(0.01)
        [question] = tools.approvals.open
        await tools.approvals.answer(question.position, allow=True)
    assert calling.result()["outcome"] == "done"
    assert len(tools.of(types.APPROVAL_ASKED)) == 1
    assert question.deadline_ms == tools.now_ms + 1_000


async def test_an_answer_that_came_while_the_node_was_down_counts(tools: Tools):
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        dying = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        dying.cancel()
    await tools.approvals.answer(tools.approvals.open[0].position, allow=True)
    assert (await turn.call(0, "tool", use("put", "a.md")))["outcome"] == "done"
    assert len(tools.desk.done) == 1


@pytest.mark.parametrize(
    ("name", "path", "outcome"), [("look", "a", "done"), ("look", "b", "denied")]
)
async def test_rules_that_changed_while_the_node_was_down_hold(tools: Tools, name, path, outcome):
    turn = await begin(tools.world)
    tools.desk.hold.clear()
    async with asyncio.TaskGroup() as group:
        dying = group.create_task(turn.call(0, "tool", use(name, path)))
        await until(lambda: tools.desk.done)
        dying.cancel()
    tools.desk.hold.set()
    more = [("allow", "FileRead(a)"), ("deny", "FileRead(b)")]
    rules = [
        parse_rule(text, effect=Ruled(effect), scope=Scope.USER, file="x", line=1)
        for effect, text in more
    ]
    tools.policy = replace(tools.policy, rules=(*tools.policy.rules, *rules))
    value = await turn.call(0, "tool", use(name, path))
    assert value["outcome"] == outcome
    assert len(tools.of(types.TOOL_DECIDED)) == 1


async def answered_after(tools: Tools, change) -> dict:
    """The result of a call that the operator said yes to after `change`."""
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        change()
        await tools.approvals.answer(tools.approvals.open[0].position, allow=True)
    assert await turn.call(0, "tool", use("put", "a.md")) == calling.result()
    tools.world.check_nothing_doubled()
    return calling.result()


async def test_a_rule_that_came_while_the_operator_was_asked_holds(tools: Tools):
    rule = parse_rule("FileEdit(a.md)", effect=Ruled.DENY, scope=Scope.USER, file="x", line=1)

    def narrow() -> None:
        tools.policy = replace(tools.policy, rules=(*tools.policy.rules, rule))

    value = await answered_after(tools, narrow)
    assert (value["outcome"], tools.desk.done) == ("denied", [])
    assert "denied by FileEdit(a.md)" in value["text"]
    [decided] = tools.of(types.TOOL_DECIDED)
    assert (decided.payload["effect"], decided.payload["by"]) == ("deny", "rule")
    assert decided.payload["rule"]["text"] == "FileEdit(a.md)"


async def test_a_tool_that_went_while_the_operator_was_asked_is_not_called(tools: Tools):
    value = await answered_after(tools, lambda: tools.box.remove("put"))
    assert (value["outcome"], tools.desk.done) == ("refused", [])


async def test_a_yes_is_to_the_path_that_was_shown(tools: Tools, tmp_path):
    """A link that is put there meanwhile leads to another file, which nobody said yes to."""
    value = await answered_after(tools, lambda: (tmp_path / "a.md").symlink_to("b.md"))
    assert (value["outcome"], tools.desk.done) == ("denied", [])
    assert "lead elsewhere" in value["text"]


@pytest.mark.parametrize("said", [True, None])
async def test_a_yes_is_to_the_path_that_was_shown_before_the_node_stopped(
    tools: Tools, tmp_path, said
):
    """Said before the new start, or not yet: the question that it would be now is another one."""
    (tmp_path / "a.md").symlink_to("b.md")
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        dying = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        dying.cancel()
    [asked] = tools.of(types.APPROVAL_ASKED)
    assert asked.content["why"].endswith(f"/a.md leads to {tmp_path.resolve()}/b.md")
    if said:
        await tools.approvals.answer(asked.position, allow=True)
    (tmp_path / "a.md").unlink()
    (tmp_path / "a.md").symlink_to("c.md")
    value = await turn.call(0, "tool", use("put", "a.md"))
    assert (value["outcome"], tools.desk.done, tools.approvals.open) == ("denied", [], [])
    assert "lead elsewhere" in value["text"]
    [answered] = tools.of(types.APPROVAL_ANSWERED)
    by = "operator" if said else "rule"
    assert (answered.payload["allow"], answered.payload["by"]) == (bool(said), by)
    assert await turn.call(0, "tool", use("put", "a.md")) == value
    tools.world.check_nothing_doubled()


async def test_a_question_whose_words_were_erased_is_answered_with_no(tools: Tools):
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        dying = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        dying.cancel()
    [asked] = tools.of(types.APPROVAL_ASKED)
    log = tools.world.log
    log.append_now(log.redaction([asked.position], reason="", actor="operator"))
    value = await turn.call(0, "tool", use("put", "a.md"))
    assert (value["outcome"], tools.desk.done) == ("denied", [])


async def test_more_links_than_a_question_can_show_are_not_asked_about(tools: Tools, tmp_path):
    long = tmp_path
    while len(str(long)) <= 3_800:
        long /= "x" * 200
    (tmp_path / "a.md").symlink_to(long)
    turn = await begin(tools.world)
    value = await turn.call(0, "tool", use("put", "a.md"))
    assert (value["outcome"], tools.desk.done) == ("refused", [])
    assert tools.of(types.APPROVAL_ASKED) == []


async def test_a_no_from_before_the_node_stopped_stays_a_no(tools: Tools):
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        dying = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        await tools.approvals.answer(tools.approvals.open[0].position, allow=False)
        await until(lambda: tools.of(types.TOOL_DECIDED))
        dying.cancel()
    rule = parse_rule("FileEdit(a.md)", effect=Ruled.ALLOW, scope=Scope.USER, file="x", line=1)
    tools.policy = replace(tools.policy, rules=(rule,))
    value = await turn.call(0, "tool", use("put", "a.md"))
    assert value["outcome"] == "denied"
    assert tools.desk.done == []
    tools.world.check_nothing_doubled()


async def test_a_question_of_a_turn_that_ended_meanwhile_waits_for_nobody(tools: Tools):
    turn = await begin(tools.world)
    await tools.world.service.stop(conversation="home", author="ann", outcome="cancelled")
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.of(types.APPROVAL_ASKED))
        assert tools.approvals.open == []
        calling.cancel()


async def test_a_turn_that_is_over_asks_no_more(tools: Tools):
    turn = await begin(tools.world)
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(turn.call(0, "tool", use("put", "a.md")))
        await until(lambda: tools.approvals.open)
        await tools.world.service.stop(conversation="home", author="ann", outcome="cancelled")
        assert tools.approvals.open == []
        calling.cancel()


async def test_a_ten_megabyte_result_is_cut_and_the_record_bounded(tools: Tools):
    tools.desk.result = ToolResult(text="x" * 10_000_000)
    turn = await begin(tools.world)
    value = await turn.call(0, "tool", use("look"))
    assert "bytes were left out here" in value["text"]
    [returned] = tools.of(types.TOOL_RETURNED)
    assert len(returned.record.content) < 60_000
    assert returned.payload["left_out"] > 9_900_000


async def test_the_tools_of_a_turn_have_so_much_time(tools: Tools):
    clock = iter([0.0, 10.0])
    tools.install(clock=lambda: next(clock))
    tools.world.service.bounds = lambda: TurnBounds(tool_seconds=10)
    turn = await begin(tools.world)
    assert (await turn.call(0, "tool", use("look")))["outcome"] == "done"
    value = await turn.call(1, "tool", use("look"))
    assert (value["outcome"], value["text"]) == (
        "refused", "tools took 10 s in this turn, at most 10",
    )  # fmt: skip


async def test_words_go_to_no_tool_beyond_their_reach(tools: Tools):
    far = spec("far", Effect.READS, "FileRead", reach=Reach.TRUSTED)
    tools.box.register(far, tools.desk.tool("far"))
    at_home = Privacy(default=Reach.LOCAL)
    tools.install(privacy=at_home)
    assert [offer.name for offer in tools.tooling.offers(["*"], Reach.LOCAL)] == ["look", "put"]
    turn = await begin(tools.world)
    value = await turn.call(0, "tool", use("far"))
    assert value["text"] == "far is trusted, and the words here are local: they do not go there"
    assert tools.desk.done == []


async def test_a_tool_that_is_denied_altogether_is_not_offered(tools: Tools):
    rule = parse_rule("FileEdit", effect=Ruled.DENY, scope=Scope.USER, file="x", line=1)
    tools.policy = replace(tools.policy, rules=(*tools.policy.rules, rule))
    assert [offer.name for offer in tools.tooling.offers(["*"], Reach.PUBLIC)] == ["look"]
    assert tools.tooling.offers(["put"], Reach.PUBLIC) == ()


# ---- with a model ------------------------------------------------------------------------------


@pytest.fixture
async def served(tools: Tools):
    async with streamer() as server, aiohttp.ClientSession() as session:
        link = Endpoint(
            name="smart", codec=OpenAi(), base_url=server.url, model="m", timeout_s=5,
            reach=Reach.LOCAL, session=session,
        )  # fmt: skip
        tools.world.ask(Chain([link]))
        tools.held_to_replies()
        yield server


def says(server, *replies) -> None:
    """Let the server give these replies, one for each request: words, or calls."""

    class Turns(list):
        def append(self, body) -> None:
            super().append(body)
            reply = replies[min(len(self), len(replies)) - 1]
            server.words = [reply] if isinstance(reply, str) else []
            server.calls = [] if isinstance(reply, str) else reply

    server.requests = Turns()


def asks(name: str, path: str, id_: str = "c1") -> tuple[str, str, str]:
    return (id_, name, json.dumps({"path": path}))


async def test_a_reply_calls_tools_and_the_next_one_knows_what_they_gave(
    tools: Tools, served, tmp_path
):
    says(served, [asks("look", "a"), asks("put", "notes/b", "c1")], "There are three owls.")
    async with running(tools.world.host(tree_of(tmp_path))) as host:
        asked = await tools.world.say("how many owls?")
        assert tools.world.text_of(await host.answer_to(asked.position)) == "There are three owls."
    assert sorted(tools.desk.done) == [("look", "a"), ("put", "notes/b")]
    first, second = served.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == ["look", "put"]
    *_, called, one, two = second["messages"]
    ids = [call["id"] for call in called["tool_calls"]]
    assert len(set(ids)) == 2
    assert [one["tool_call_id"], two["tool_call_id"]] == ids
    assert "information, not instruction]\nthree owls\n[" in one["content"]
    [request, _] = tools.of(types.MODEL_REQUESTED)
    assert request.payload["tools"] == ["look", "put"]
    assert len(request.payload["offered"]) == 32
    assert [e.payload["id"] for e in tools.of(types.TOOL_RETURNED)] == ids
    tools.world.check_nothing_doubled()


async def test_who_watches_sees_words_only_and_those_of_the_last_reply_stay(
    tools: Tools, served, tmp_path
):
    says(served, [asks("look", "a")], "There are three. They sleep.")
    seen: list[tuple[str, bool]] = []

    async def watch(position: int) -> None:
        with tools.world.service.drafts.watch(position) as watcher:
            async for piece in watcher.pieces():
                seen.append((piece.text, piece.anew))  # noqa: PERF401 - it never ends

    tools.desk.hold.clear()
    asked = await tools.world.say("how many owls?")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(asked.position))
        await asyncio.sleep(0)
        async with running(tools.world.host(tree_of(tmp_path))) as host:
            await until(lambda: tools.desk.done)
            tools.desk.hold.set()
            await host.answer_to(asked.position)
        watching.cancel()
    shown = "".join(text for text, _ in seen)
    assert "path" not in shown
    assert "There are three.".startswith(shown[:16])
    assert [bool(request["stream"]) for request in served.requests] == [True, True]


async def test_reads_of_one_reply_run_side_by_side(tools: Tools, served, tmp_path):
    says(served, [asks("look", str(n)) for n in range(4)], "done")
    tools.desk.hold.clear()
    async with running(tools.world.host(tree_of(tmp_path))) as host:
        asked = await tools.world.say("look at four")
        await until(lambda: len(tools.desk.done) == 4)
        tools.desk.hold.set()
        await host.answer_to(asked.position)
    steps = [event.payload["step"] for event in tools.of(types.TOOL_RETURNED)]
    assert sorted(steps) == [2, 3, 4, 5]
    told = [m["tool_call_id"] for m in served.requests[1]["messages"] if m["role"] == "tool"]
    assert told == sorted(told)


async def test_wrong_json_and_unknown_tools_go_back_to_the_model(tools: Tools, served, tmp_path):
    says(served, [("c1", "look", "{not json"), ("c2", "fly", "{}")], "I see.")
    async with running(tools.world.host(tree_of(tmp_path))) as host:
        asked = await tools.world.say("try")
        assert tools.world.text_of(await host.answer_to(asked.position)) == "I see."
    told = [m["content"] for m in served.requests[1]["messages"] if m["role"] == "tool"]
    assert "not JSON of an object" in told[0]
    assert "there is no tool 'fly'" in told[1]


async def test_a_model_that_never_stops_calling_is_stopped(tools: Tools, served, tmp_path):
    says(served, [asks("look", "a")])
    tools.world.service.bounds = lambda: TurnBounds(replies=3)
    async with running(tools.world.host(tree_of(tmp_path))) as host:
        asked = await tools.world.say("loop")
        text = tools.world.text_of(await host.answer_to(asked.position))
    assert text == "I stopped before I was done: this turn has had 3 replies, at most 3."
    assert len(served.requests) == len(tools.desk.done) == 3


async def test_half_a_streamed_call_is_half_a_reply_and_nothing_is_called(tools: Tools, served):
    served.behave, served.words, served.calls = "half", ["Let me "], [asks("put", "notes/x")]
    turn = await begin(tools.world)
    with (
        tools.world.service.drafts.watch(turn.message.position),
        pytest.raises(StepRefused, match="half"),
    ):
        await turn.call(0, "model", model([{"role": "user", "ref": turn.message.position}]))
    assert tools.desk.done == []


def model(items: list[dict]) -> dict:
    return {"items": items, "max_tokens": 5, "tools": ["*"]}


async def test_calls_without_results_and_results_without_calls_are_made_whole(tools: Tools, served):
    says(served, [asks("look", "a"), asks("look", "b")], "x")
    turn = await begin(tools.world)
    me = {"role": "user", "ref": turn.message.position}
    reply = await turn.call(0, "model", model([me]))
    one = await turn.call(1, "tool", use("look", "a", id=reply["calls"][0]["id"]))
    stray = await turn.call(2, "tool", use("look", "z"))
    assert stray["outcome"] == "refused"  # no reply asked for it; it is on record all the same
    items = [
        {"role": "tool", "ref": one["position"]}, me,
        {"role": "assistant", "ref": reply["position"]}, {"role": "tool", "ref": stray["position"]},
        {"role": "tool", "ref": one["position"]}, {"role": "tool", "ref": one["position"]},
    ]  # fmt: skip
    await turn.call(3, "model", model(items))
    told = served.requests[-1]["messages"]
    roles = [m["role"] for m in told]
    assert roles == ["user", "user", "assistant", "tool", "tool", "user", "user"]
    assert told[4]["content"] == NOT_CALLED


async def test_what_a_local_tool_gave_keeps_the_prompt_at_home(tools: Tools, served):
    tools.desk.result = ToolResult(text="my diary", reach=Reach.LOCAL)
    says(served, [asks("look", "a")], "x")
    turn = await begin(tools.world)
    reply = await turn.call(0, "model", model([{"role": "user", "ref": turn.message.position}]))
    value = await turn.call(1, "tool", reply["calls"][0])
    away = replace(tools.world.service.asking.chain.links[0], reach=Reach.TRUSTED)
    tools.world.ask(Chain([away]))
    with pytest.raises(StepRefused, match="and these words are local"):
        await turn.call(2, "model", model([{"role": "user", "ref": value["position"]}]))


async def test_a_host_that_ends_mid_call_goes_on_without_a_second_effect(
    tools: Tools, served, tmp_path
):
    says(served, [asks("put", "notes/a")], "Was it done?")
    tools.desk.hold.clear()
    async with running(tools.world.host(tree_of(tmp_path))):
        asked = await tools.world.say("write it")
        await until(lambda: tools.desk.done)
    async with running(tools.world.host(tree_of(tmp_path / "again"))) as host:
        assert tools.world.text_of(await host.answer_to(asked.position)) == "Was it done?"
    assert tools.desk.done == [("put", "notes/a")]
    assert len(served.requests) == 2
    assert "not known whether it was done" in served.requests[1]["messages"][-1]["content"]
    tools.world.check_nothing_doubled()


async def test_what_a_tool_was_given_of_erased_words_is_found(tools: Tools):
    turn = await begin(tools.world, "my sister lives in the third house behind the mill")
    quoting = {"name": "look", "arguments": '{"path": "lives in the third house behind the mill"}'}
    await turn.call(0, "tool", quoting)
    await turn.call(1, "tool", use("look"))
    found = find_derived(tools.world.log, [turn.message.position])
    taken = [one.position for one in found if one.how in TAKEN]
    [first, second] = tools.of(types.TOOL_REQUESTED)
    assert first.position in taken
    assert second.position not in taken


# ---- calls of no turn --------------------------------------------------------------------------


LONG = "c" * 100_000


@pytest.mark.parametrize(
    "names",
    [
        {"conversation": LONG}, {"conversation": ""}, {"conversation": "a\nb"}, {"by": LONG},
        {"name": LONG},
    ],
)  # fmt: skip
async def test_a_call_with_a_name_that_no_event_holds_is_not_made(tools: Tools, names: dict):
    before = tools.world.log.size
    call = {"name": "put", "by": "operator"} | names
    with pytest.raises(CallRefused, match="characters, 1 to 128 printable"):
        await Outside(tooling=tools.tooling).call(arguments=json.dumps({"path": "notes/a"}), **call)
    assert tools.desk.done == []
    assert tools.world.log.size == before


async def test_a_call_that_is_cancelled_is_on_record_as_interrupted(tools: Tools):
    tools.desk.hold.clear()
    outside = Outside(tooling=tools.tooling)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60) as limit, asyncio.TaskGroup() as group:
            group.create_task(outside.call("put", json.dumps({"path": "notes/a"}), by="operator"))
            await until(lambda: tools.desk.done)
            limit.reschedule(0)
    [returned] = tools.of(types.TOOL_RETURNED)
    assert returned.payload["outcome"] == "interrupted"
    assert returned.payload["conversation"] == "main"
    [requested] = tools.of(types.TOOL_REQUESTED)
    assert returned.envelope.causes == (requested.cause,)
    assert "not known whether it was done" in tools.world.text_of(returned)


# ---- looking into the ledger -------------------------------------------------------------------


async def looked_up(tools: Tools, name: str, before: int | None = None, **args) -> ToolResult:
    """What a tool that reads the ledger gives where the conversation `diary` stays at home."""
    privacy = Privacy(default=Reach.PUBLIC, conversations=(("diary", Reach.LOCAL),))
    world, box = tools.world, Toolbox()
    ledgers = ledger.Ledger(recall=world.recall, privacy=privacy, head=lambda: (0, b""))
    box.register(ledger.EVENT, ledger.EventTool(ledgers))
    box.register(ledger.SEARCH, ledger.SearchTool(ledgers))
    box.register(ledger.WHY, ledger.WhyTool(ledgers))
    box.register(memory.RECALL, memory.RecallTool(world.recall, privacy))
    context = ToolContext(
        folder="/", call=OtherCall(tool="Ledger"), conversation="home", author="ann",
        message=world.log.size if before is None else before, book=world.journal,
    )  # fmt: skip
    return await box.call(box.entry(name), args, context)


async def in_room(tools: Tools, conversation: str, text: str) -> Turn:
    event = await tools.world.say(text, conversation=conversation)
    turn = Turn(tools.world, tools.world.journal.turns.pending[event.position])
    await tools.world.service.start(turn.message, 1)
    return turn


@pytest.mark.parametrize(("room", "reach"), [("diary", Reach.LOCAL), ("home", Reach.TRUSTED)])
async def test_words_of_a_turn_keep_the_reach_of_its_conversation(
    tools: Tools, served, room: str, reach: Reach
):
    says(served, "a zeppelin of swordfish")
    tools.desk.result = ToolResult(text="a swordfish", reach=Reach.TRUSTED)
    turn = await in_room(tools, room, "my swordfish")
    looked = await turn.call(0, "tool", use("look"))
    items = [{"role": "user", "ref": at} for at in (turn.message.position, looked["position"])]
    await turn.call(1, "model", model(items))
    [replied] = tools.of(types.MODEL_REPLIED)
    assert "conversation" not in replied.payload, "or this tests nothing"
    shown = await looked_up(tools, "ledger_event", position=replied.position)
    assert "zeppelin" in shown.text
    assert shown.reach is reach
    for name in ("ledger_search", "recall"):
        found = await looked_up(tools, name, query="zeppelin")
        assert "zeppelin" in found.text
        assert found.reach is reach


async def test_what_was_told_of_a_local_conversation_elsewhere_stays_at_home(tools: Tools, served):
    says(served, "a zeppelin")
    diary = await in_room(tools, "diary", "my swordfish")
    turn = await in_room(tools, "home", "what do I have?")
    items = [{"role": "user", "ref": one.message.position} for one in (diary, turn)]
    await turn.call(0, "model", model(items))
    [replied] = tools.of(types.MODEL_REPLIED)
    assert (await looked_up(tools, "ledger_event", position=replied.position)).reach is Reach.LOCAL


@pytest.mark.parametrize(
    ("facts", "reach"),
    [
        ({}, Reach.LOCAL),
        ({"conversation": 3}, Reach.LOCAL),
        ({"conversation": "home"}, Reach.PUBLIC),
        ({"conversation": "home", "reach": "trusted"}, Reach.TRUSTED),
        ({"conversation": "diary", "reach": "public"}, Reach.LOCAL),
        ({"conversation": "home", "reach": "far"}, Reach.LOCAL),
        ({"conversation": "home", "reach": [1]}, Reach.LOCAL),
        ({"message": 1}, Reach.PUBLIC),
        ({"message": 10**9}, Reach.LOCAL),
    ],
)
async def test_what_says_nothing_of_where_it_was_said_stays_at_home(tools: Tools, facts, reach):
    await tools.world.say("hello")
    [event] = await tools.world.journal.append(
        Draft(type="test.noted", stream=types.NODE_STREAM, payload=facts, content={"text": "x"})
    )
    assert (await looked_up(tools, "ledger_event", position=event.position)).reach is reach


async def test_nothing_newer_than_the_message_is_looked_up(tools: Tools):
    first = await tools.world.say("a zeppelin")
    newer = await tools.world.say("another zeppelin")
    for name in ("ledger_event", "ledger_why"):
        told = await looked_up(tools, name, before=first.position, position=first.position)
        assert not told.is_error
        told = await looked_up(tools, name, before=first.position, position=newer.position)
        assert told.is_error
        assert told.text == "event 2 is newer than the message, event 1"
