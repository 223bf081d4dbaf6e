"""The agent's look at itself, and its proposals: the host's side of `runtime.tools.architecture`.

A proposal that the agent makes is in the agent's name, caused by the message it answers, and
written where the turn is: on a fork that tells a turn otherwise, into the fork.
"""

from collections.abc import Collection
from dataclasses import dataclass

from genesis.core.errors import PatchError
from ledger.core.errors import TimmyError
from node.agent.patching import Patching
from runtime.core.errors import ToolFailed
from runtime.core.tool import ToolContext
from runtime.toolbox import Toolbox
from runtime.tools import architecture

AUTHOR = "agent"


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The architecture and the proposals of one node, as tools are shown them."""

    patching: Patching

    def files(self) -> tuple[str, list[architecture.File]]:
        """See `runtime.tools.architecture.Drawings`."""
        try:
            present = self.patching.present.read()
        except (TimmyError, OSError) as error:
            raise ToolFailed(f"the architecture cannot be read: {error}") from error
        files = [
            architecture.File(
                path=path, kind=present.class_of(path).value, text=data.decode(errors="replace")
            )
            for path, data in present.items()
        ]
        return present.root.hex(), files

    async def propose(self, document: str, context: ToolContext) -> str:
        """See `runtime.tools.architecture.Drawings`."""
        assert context.book is not None
        cause = context.book.log.read(context.message).cause
        try:
            event = await self.patching.propose(
                document.encode(errors="replace"),
                author=AUTHOR,
                causes=(cause,),
                book=context.book,
            )
        except PatchError as error:
            told = f"refused ({error.reason.value}): {error}"
            raise ToolFailed(f"{told}; {error.hint}" if error.hint else told) from error
        payload = event.payload
        return (
            f"proposed as event {event.position}, attempt {payload['attempt']}, number "
            f"{payload['on_base']} on this architecture; it would become {payload['root'].hex()}"
        )


def offer_architecture(toolbox: Toolbox, patching: Patching, toolsets: Collection[str]) -> None:
    """Put the four tools in, if their toolset is on."""
    drawings = Mirrored(patching)
    for spec, tool in (
        (architecture.LIST, architecture.ListArchitecture(drawings)),
        (architecture.READ, architecture.ReadArchitecture(drawings)),
        (architecture.SEARCH, architecture.SearchArchitecture(drawings)),
        (architecture.PROPOSE, architecture.ProposePatch(drawings)),
    ):
        if spec.toolset in toolsets:
            toolbox.register(spec, tool)
