"""The port through which a turn asks whether this node may answer a message others could answer.

A fleet may want one answer to each message and never two. Then what an answer needs before it is
recorded is the word of others, and this is where it is asked for. The node implements it.
"""

from typing import Protocol

from runtime.core.turns import Message


class Claims(Protocol):
    """Asked by `runtime.service` at the end of a turn."""

    def shared(self, message: Message) -> bool:
        """Whether the answer to a message has to be claimed: then no apology stands for one."""

    async def claim(self, message: Message) -> str | None:
        """Wait for the right to answer a shared message; return None, or why there is none.

        The reason is that of the turn's end: another member's ledger id in hex, or a word.
        """
