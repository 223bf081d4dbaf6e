"""Runs the pure crisis screen over texts of any length without holding up the event loop."""

import asyncio
from collections.abc import Callable

from runtime.core.crisis import Verdict, pieces, screen_input, screen_output


async def screen_message(text: str) -> str | None:
    """Return the name of the rule that words to the agent met, or None."""
    return await _screen(text, screen_input)


async def screen_answer(text: str) -> str | None:
    """Return the name of the rule that words about to leave met, or None."""
    return await _screen(text, screen_output)


async def _screen(text: str, judge: Callable[[str], Verdict]) -> str | None:
    for piece in pieces(text):
        verdict = judge(piece)
        if verdict.crisis:
            return verdict.rule
        await asyncio.sleep(0)
    return None


def warm_up() -> None:
    """Build the tables of both screens, so that no person waits for them."""
    screen_input("hello")
    screen_output("hello")
