"""A session that was lived: a real agent answered on loopback, and its log can be exported."""

import asyncio
from contextlib import asynccontextmanager

from genesis.core.architecture import Architecture
from genesis.forking.session import REDUCERS, Session
from ledger.core.state import State
from runtime.journal import Journal
from tests.genesis_judge.diffs import agent_tree
from tests.genesis_patches.world import FILES
from tests.runtime.world import DIGEST_KEY, a_world, running, tree_of

PARENT = agent_tree()
ARCHITECTURE = Architecture(
    {path: data for path, data in FILES.items() if not path.startswith("runtime/agent/")}
    | {f"runtime/agent/{path}": data for path, data in PARENT.items()},
    frozenset({"runtime/core/todos.py"}),
)


@asynccontextmanager
async def lived(tmp_path, said=("good morning", "what is a ledger?")):
    """A world in which these messages were answered, and the session of it."""
    async with a_world() as world:
        async with running(world.host(tree_of(tmp_path))) as host, asyncio.timeout(120):
            for text in said:
                message = await world.say(text)
                await host.answer_to(message.position)
        journal = Journal(world.log, State(REDUCERS))
        yield (
            world,
            Session(
                log=world.log,
                architecture=lambda _: ARCHITECTURE,
                name="Timmy",
                soul="Be honest.",
                live=lambda: journal.state,
                digest_key=DIGEST_KEY,
            ),
        )
