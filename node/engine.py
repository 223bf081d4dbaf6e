"""Which engine of the sandbox this node uses, and why it is no stronger one."""

from typing import Final

from ledger.core.errors import TimmyError
from node.config import Config
from runtime import sandbox
from runtime.sandbox import Engine, Probe

_UNCONFINED: Final = "agent.sandbox is none"


async def choose_engine(config: Config) -> Probe:
    """Find how programs are confined here. Raises TimmyError for an engine that does not work.

    `auto` takes bubblewrap, or else Landlock, or else none; an engine that is named is it or
    nothing.
    """
    wanted = config.agent.sandbox
    if wanted == "none":
        return Probe(engine=Engine.NONE, reason=_UNCONFINED)
    if wanted == "auto":
        return await sandbox.probe()
    found = await sandbox.probe(Engine(wanted))
    if found.engine is Engine.NONE:
        raise TimmyError(
            f"agent.sandbox is {wanted}, and {wanted} does not work here: {found.reason}",
            hint=f"{sandbox.INSTALL_HINT}; or set agent.sandbox to auto",
        )
    return found
