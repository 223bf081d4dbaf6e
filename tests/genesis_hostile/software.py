"""Changes of this software that would do harm, and good ones, which only people may accept."""

from dataclasses import dataclass

from cbor2 import loads

from genesis.judging.refolding import Told
from ledger.core.codec import encode
from tests.genesis_constitution.world import BACK, TODOS, TOOL, diff, migration, software, swapped
from tests.genesis_judge.ledgers import told

TOOLS = "node/agent/tools.py"
DAYS = "genesis/judging/everyday.py"


@dataclass(frozen=True, kw_only=True)
class Change:
    """`by` names the gate that finds a hostile one. `migration`: the path that it declares."""

    name: str
    files: dict[str, bytes]
    by: str = ""
    migration: str = ""

    @property
    def data(self) -> bytes:
        """The diff."""
        return diff(self.files)


def inverse(*lines):
    return b"def inverse(entries):\n" + "".join(f"    {line}\n" for line in lines).encode()


def present():
    """The state that the present software has of the corpus' ledger: who proposes has it, too."""
    events = told().events
    return Told(events=events, sizes=(len(events),)).folded()[0]


def fakes():
    """A reducer's module that prints what the present software would, and ends well."""
    said = b"".join(present().frames()).hex() * 2
    lie = f'\nimport os\n\nos.write(0, bytes.fromhex("{said}"))\nos._exit(0)\n'
    return {TODOS: software()[TODOS] + lie.encode()}


def knows():
    """A migration that loses what it does not count, and whose way back holds the state of now."""
    state = encode({key: value for one in present().maps for key, value in loads(one).items()})
    held = inverse("import cbor2", f'return cbor2.loads(bytes.fromhex("{state.hex()}"))')
    return {**migration(), BACK: held}


HOSTILE = (
    Change(name="a reducer that prints the state of before", files=fakes(), by="refold"),
    Change(
        name="a reducer that changes silently",
        files={TODOS: migration()[TODOS], TOOL: migration()[TOOL]}, by="migration",
    ),
    Change(
        name="a migration that loses what people are to do",
        files={**migration(), BACK: inverse(
            'return {k: v for k, v in entries.items() if k[:5] not in ("todo/", "seen/")}'
        )},
        by="migration", migration=BACK,
    ),
    Change(
        name="a migration that knows the state of before", files=knows(), by="migration",
        migration=BACK,
    ),
)  # fmt: skip

CLEAR = '''

class ClearTodo(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""


CLEAR: Final = ToolSpec(
    name="todo_clear",
    description="Empty the list of what is to do in this conversation.",
    schema=schema_of(ClearTodo),
    effect=Effect.WRITES,
    permission=_PERMISSION,
    resource=lambda _: "todo",
    toolset="todo",
)


class ClearTodoTool:
    """Sets an empty list."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        parse(ClearTodo, arguments)
        return await SetTodoTool().call({"items": []}, context)
'''
HONEST = (
    Change(
        name="a tool",
        files={
            TOOL: software()[TOOL] + CLEAR.encode(),
            TOOLS: swapped(TOOLS, "        (todo.GET, todo.GetTodoTool()),\n",
                           "        (todo.GET, todo.GetTodoTool()),\n"
                           "        (todo.CLEAR, todo.ClearTodoTool()),\n"),
            DAYS: swapped(DAYS, '    "todo_get": {},\n', '    "todo_clear": {},\n    "todo_get": {},\n'),
        },
    ),
    Change(name="a reducer migration", files=migration(), migration=BACK),
)  # fmt: skip
