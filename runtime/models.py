"""The model chain: each link is asked in turn until one replies; the last one always does.

A link fails by time-out, connection, refusal (401, 403), limit (429), any other status that is not
200, or a reply that is malformed, too long or empty. Nothing is retried: the next link is the
retry, and what was tried and why it failed is part of the reply, so that a switch is visible.
The `Responder` ends the chain. It has no model: it says so, answers what the node knows of itself,
and quotes what it finds in the ledger. It invents nothing.

Keys are read when a link is built, sent in one header to one host, never followed through a
redirect, and never part of a message, a repr or a log line.
Not covered: streaming, tool calls, privacy classes, a breaker that skips a link known to be down.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from ledger.core.errors import TimmyError
from runtime.core.errors import AgentError, ModelFailed
from runtime.core.limits import REPLY_BYTES_MAX
from runtime.core.passages import passage
from runtime.recall import Hit, Recall

_HTTP_OK: Final = 200
_STATUS_REASONS: Final = {401: "key refused", 403: "forbidden", 429: "rate limited"}
_QUOTED: Final = 5
_QUOTE_CHARS: Final = 280


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A prompt. `before` is the position of the message: nothing newer is quoted back."""

    messages: tuple[tuple[str, str], ...] = field(repr=False)
    max_tokens: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Words, who gave them, and which links failed before: (name, reason) each."""

    text: str = field(repr=False)
    model: str
    finish: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    tried: tuple[tuple[str, str], ...] = ()


class Link(Protocol):
    """One member of the chain."""

    @property
    def name(self) -> str:
        """How it is called in node.toml and in the record."""

    async def reply(self, request: ModelRequest) -> Reply:
        """Return its reply. Raises ModelFailed with a short reason."""


class Chain:
    """Links in order of preference. The last one must not fail."""

    def __init__(self, links: Sequence[Link]) -> None:
        if not links:
            raise AgentError("the model chain is empty", hint="end it with the responder")
        self._links = tuple(links)

    @property
    def names(self) -> list[str]:
        """Names of the links, first choice first."""
        return [link.name for link in self._links]

    async def complete(self, request: ModelRequest) -> Reply:
        """Return the first reply. Raises ModelFailed if even the last link gave none."""
        tried: list[tuple[str, str]] = []
        for link in self._links:
            try:
                reply = await link.reply(request)
            except ModelFailed as error:
                tried.append((link.name, str(error)))
            else:
                return replace(reply, tried=tuple(tried))
        raise ModelFailed("; ".join(f"{name}: {reason}" for name, reason in tried))


def read_key(*, env: str | None = None, file: Path | None = None) -> str | None:
    """Return a provider's key from an environment variable or a file; None if neither is named.

    Raises AgentError if one is named and holds nothing.
    """
    if env is not None:
        key = os.environ.get(env, "").strip()
        if not key:
            raise AgentError(f"environment variable {env} is not set", hint="it names a model key")
        return key
    if file is None:
        return None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AgentError(f"key file {file} is not readable") from error
    if not key:
        raise AgentError(f"key file {file} is empty")
    return key


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEndpoint:
    """An OpenAI-compatible `/chat/completions`. `session` is the node's; it is not closed here."""

    name: str
    base_url: str
    model: str
    timeout_s: float
    session: aiohttp.ClientSession = field(repr=False)
    key: str | None = field(default=None, repr=False)

    async def reply(self, request: ModelRequest) -> Reply:
        """Ask once. Raises ModelFailed."""
        body = {
            "model": self.model,
            "messages": [{"role": role, "content": text} for role, text in request.messages],
            "max_tokens": request.max_tokens,
            "stream": False,
        }
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        try:
            async with self.session.post(
                self.base_url.rstrip("/") + "/chat/completions",
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self.timeout_s),
                allow_redirects=False,
            ) as response:
                _check_status(response.status)
                data = await _read(response)
        except TimeoutError as error:
            raise ModelFailed(f"no reply in {self.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelFailed(f"not reachable: {type(error).__name__}") from error
        return _parse(data, self.model)


def _check_status(status: int) -> None:
    if status == _HTTP_OK:
        return
    raise ModelFailed(f"{_STATUS_REASONS.get(status, 'failed')} (status {status})")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, at most eight times REPLY_BYTES_MAX: JSON escapes take six for one."""
    bound = 8 * REPLY_BYTES_MAX
    data = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        data += chunk
        if len(data) > bound:
            raise ModelFailed(f"malformed: more than {bound} bytes")
    return bytes(data)


def _parse(data: bytes, model: str) -> Reply:
    try:
        completion = msgspec.json.decode(data, type=_Completion)
        text = completion.choices[0].message.content or ""
        size = len(text.encode())
    except (msgspec.DecodeError, UnicodeError, IndexError, RecursionError) as error:
        raise ModelFailed("malformed: not a chat completion") from error
    if size > REPLY_BYTES_MAX:
        raise ModelFailed(f"malformed: a reply of {size} bytes, at most {REPLY_BYTES_MAX}")
    if not text.strip():
        raise ModelFailed("empty reply")
    usage = completion.usage or _Usage()
    return Reply(
        text=text,
        model=(completion.model or model)[:200],
        finish=(completion.choices[0].finish_reason or "unknown")[:32],
        tokens_in=_count(usage.prompt_tokens),
        tokens_out=_count(usage.completion_tokens),
    )


def _count(value: int | None) -> int | None:
    """Return a plausible token count, or None: the ledger takes no negative or huge numbers."""
    return value if value is not None and 0 <= value < 2**48 else None


_STATUS_QUESTION: Final = re.compile(
    r"\b(your status|how are you|are you (?:there|alive|ok|up)|uptime|who are you|your name"
    r"|what(?:'s| is) your name|which model|what model|how many events)\b"
    r"|^\W*status\W*$",
    re.IGNORECASE,
)


class Responder:
    """The link without a model: what the node knows of itself, and quotations of the ledger."""

    name = "responder"

    def __init__(self, recall: Recall, status: Callable[[], dict[str, Any]]) -> None:
        self._recall = recall
        self._status = status

    async def reply(self, request: ModelRequest) -> Reply:
        """Answer the newest user message of the prompt. Never raises ModelFailed."""
        asked = next((text for role, text in reversed(request.messages) if role == "user"), "")
        if _STATUS_QUESTION.search(asked[:_QUOTE_CHARS]):
            text = self._about()
        else:
            text = self._quotations(await self._found(asked, request.before), asked)
        return Reply(text=text, model=self.name, finish="stop")

    async def _found(self, asked: str, before: int) -> list[Hit]:
        if not asked.strip():
            return []
        try:
            return await self._recall.find(asked[:_QUOTE_CHARS], _QUOTED, before=before)
        except TimmyError:  # no index is no reason to leave the user without any answer
            return []

    def _about(self) -> str:
        status = self._status()
        return (
            f"I am {status['name']}. My ledger holds {status['events']} events and I have been "
            f"running for {status['uptime_s']} seconds. No language model is answering at the "
            "moment, so this comes from the node itself."
        )

    def _quotations(self, hits: list[Hit], asked: str) -> str:
        start = "No language model is answering at the moment, so I can only look things up. "
        if not hits:
            return start + "I found nothing about this in my ledger. Your message is kept."
        lines = []
        for hit in hits:
            words = self._recall.words(hit.position) or hit.text
            lines.append(f"- [{hit.position}] {passage(words, asked, chars=_QUOTE_CHARS)}")
        return f"{start}This is what my ledger holds, word for word:\n" + "\n".join(lines)
