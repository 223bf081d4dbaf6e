"""How letters travel between two nodes: HTTP, to an address that somebody gave.

    POST <url>/lineage/letters    a letter; answered with the number taken last, and with letters:
                                  a child's with a signed one of what the parent has (HEARD)
    POST <url>/lineage/ledger     a parent's request to look; answered with the child's ledger

Needs no token: each letter is signed, and each that comes back. The number beside them is not: a
child does not look at it, and a parent that believes it sends less, until the child's next signed
word of what it lacks. Letters that do not travel wait, and may be carried as files.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from genesis.core.children.errors import ChildError, InvalidLetter
from genesis.core.children.letters import LETTER_BYTES_MAX, Letter
from node.children.ledgers import LEDGER_BYTES_MAX

PREFIX: Final = "/lineage/"
LETTERS: Final = PREFIX + "letters"
LEDGER: Final = PREFIX + "ledger"
_SEND_SECONDS: Final = 20.0
"""A letter is small, and the answer may wait for a commit."""
_FETCH_SECONDS: Final = 600.0
"""A gigabyte over ten megabits."""
_ANSWER_BYTES_MAX: Final = 2 * 32 * LETTER_BYTES_MAX
"""In hex, and as many letters as are sent at once."""
_CHUNK_BYTES: Final = 256 * 1024


class Unreachable(ChildError):
    """The other node did not answer as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other side says that it has taken, unsigned, and the letters that it sends along."""

    number: int
    letters: tuple[Letter, ...]


class Relays(Protocol):
    """Letters by relays, sealed, where a node has them: `node.children.sealed`."""

    async def send(self, key: bytes, letter: Letter, /) -> None:
        """Queue a letter for the owner of a Nostr key. Raises Unreachable."""


@dataclass(frozen=True, slots=True)
class Post:
    """Letters by one HTTP session."""

    session: aiohttp.ClientSession

    async def send(self, url: str, letter: Letter) -> Answer:
        """Send a letter. Raises Unreachable, with the other side's reason if it gave one."""
        try:
            async with self.session.post(
                url + LETTERS,
                data=letter.encode(),
                timeout=aiohttp.ClientTimeout(total=_SEND_SECONDS),
                allow_redirects=False,
            ) as response:
                found = await _json(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from error
        return _answer(url, found)

    async def fetch(self, url: str, look: Letter, target: Path) -> None:
        """Write the child's ledger to `target`. Raises Unreachable."""
        timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
        try:
            async with self.session.post(
                url + LEDGER, data=look.encode(), timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    await _json(response)
                with target.open("xb") as file:
                    size = 0
                    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                        size += len(chunk)
                        if size > LEDGER_BYTES_MAX:
                            raise Unreachable(
                                f"{url}: a ledger of more than {LEDGER_BYTES_MAX} bytes",
                                hint="bring it as a file: timmy lineage check CHILD FILE",
                            )
                        file.write(chunk)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from error


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > _ANSWER_BYTES_MAX:
            raise Unreachable(f"an answer of more than {_ANSWER_BYTES_MAX} bytes")
    found = json.loads(body)
    if response.status != 200:
        said = found.get("error") if isinstance(found, dict) else None
        raise Unreachable(f"refused there: {str(said)[:300]}")
    if not isinstance(found, dict):
        raise Unreachable("an answer that is none")
    return found


def _answer(url: str, found: dict[str, Any]) -> Answer:
    match found:
        case {"number": int(number), "letters": list(letters)}:
            try:
                parsed = tuple(Letter.parse(bytes.fromhex(one)) for one in letters)
            except (InvalidLetter, TypeError, ValueError) as error:
                raise Unreachable(f"{url} sent no letter: {error}") from error
            return Answer(number=number, letters=parsed)
    raise Unreachable(f"{url} did not answer as a parent or a child does")
