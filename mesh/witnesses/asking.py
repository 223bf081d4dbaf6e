"""Witnesses over HTTP: `mesh.core.witnesses.asking`, side by side, each with its own limit.

Every answer is read to a bound, no redirect is followed, and one witness that hangs costs its own
cosignature and nobody else's.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.cosignature import Witness
from mesh.core.witnesses.add_checkpoint import PATH
from mesh.core.witnesses.asking import Answered, Asking, Ended, Outcome, Paths

ASK_SECONDS_MAX: Final = 10.0
"""For all requests to one witness: a consistency check and a flush to disk take milliseconds."""
_ANSWER_BYTES_MAX: Final = 16 * 1024
"""A signature line is 150 bytes."""
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A witness that is asked: its key, and the address `add-checkpoint` stands below."""

    witness: Witness
    url: str


async def ask_all(
    session: aiohttp.ClientSession,
    asked: Sequence[Asked],
    head: SignedCheckpoint,
    *,
    paths: Paths,
    known: dict[str, int],
    introduction: bytes,
    seconds: float = ASK_SECONDS_MAX,
) -> dict[str, Ended]:
    """Show a head to every witness; return how each ended, by name.

    `known` are the sizes that each saw last, and is brought up to date.
    """

    async def one(peer: Asked) -> None:
        asking = Asking(
            witness=peer.witness, head=head, paths=paths, known=known.get(peer.witness.name, 0)
        )
        try:
            async with asyncio.timeout(seconds):
                found[peer.witness.name] = await _ask(session, peer, asking, introduction)
        except TimeoutError:
            text = f"no answer within {seconds:g} s"
            found[peer.witness.name] = Ended(outcome=Outcome.UNRESPONSIVE, reason=text)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"[:200]
            found[peer.witness.name] = Ended(outcome=Outcome.UNRESPONSIVE, reason=text)

    found: dict[str, Ended] = {}
    async with asyncio.TaskGroup() as group:
        for peer in asked:
            group.create_task(one(peer))
    known.update({name: end.size for name, end in found.items() if end.size})
    return found


async def _ask(
    session: aiohttp.ClientSession, peer: Asked, asking: Asking, introduction: bytes
) -> Ended:
    asking, ask = asking.first()
    while True:
        if ask.introduce:
            ledger = asking.head.checkpoint.ledger_id.hex()
            told = await post(session, f"{peer.url}/introduction/{ledger}", introduction)
            if told.status != _OK:
                return asking.not_introduced(told)
        step = asking.heard(await post(session, f"{peer.url}/{PATH}", ask.request.encode()))
        if isinstance(step, Ended):
            return step
        asking, ask = step


async def post(
    session: aiohttp.ClientSession, url: str, data: bytes, *, bytes_max: int = _ANSWER_BYTES_MAX
) -> Answered:
    """Send bytes and read the answer to a bound. Raises ClientError, OSError, ValueError."""
    headers = {"Content-Type": "application/octet-stream"}
    async with session.post(url, data=data, headers=headers, allow_redirects=False) as response:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > bytes_max:
                raise ValueError(f"an answer of more than {bytes_max} bytes")
        return Answered(status=response.status, kind=response.content_type, body=bytes(body))
