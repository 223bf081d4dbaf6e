"""What a proxied exchange says: its new words, its facts, a streamed reply put together. Pure.

Formats: chat completions, completions and responses of OpenAI, messages of Anthropic. Everything
else is *opaque*: passed on and recorded, and nothing is claimed to be known of it. Nothing here
raises for what a client or a provider sent: a document of another shape has no facts.

An agent sends its whole history with each request; its *new* words are what its user said after the
last reply. A streamed reply is put together into the document that the provider would have sent
whole, so that one reader does for both; the raw bytes' digest is recorded beside it.

Not covered: audio and images (recorded, as text of a JSON document, and never read), words that a
tool returned (they are no person's).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import unquote

import msgspec

from runtime.core.errors import ModelFailed
from runtime.core.limits import (
    PROXY_CHOICES_MAX,
    PROXY_RECORDED_BYTES_MAX,
    PROXY_STREAM_BYTES_MAX,
)
from runtime.core.proxy_routes import Wire
from runtime.core.sse import Events

Kind = Literal["chat", "completions", "responses", "messages", "opaque"]

_KINDS: Final[dict[tuple[Wire, str], Kind]] = {
    ("openai", "/chat/completions"): "chat",
    ("openai", "/completions"): "completions",
    ("openai", "/responses"): "responses",
    ("anthropic", "/messages"): "messages",
    # compatible servers speak both under one address
    ("anthropic", "/chat/completions"): "chat",
    ("openai", "/messages"): "messages",
}
_NAME_CHARS_MAX: Final = 128
_TEXTS: Final = frozenset({"text", "input_text", "output_text"})
_ODD: Final = "of a shape that is not read"
_NOBODY: Final = frozenset({"assistant", "system", "developer"})
"""Roles that answer no reply."""
_DONE: Final = "[DONE]"
_LAST: Final = frozenset(
    {
        "message_stop",
        "response.completed",
        "response.failed",
        "response.incomplete",
        "error",
    }
)
"""Events after which a stream says nothing more."""


def kind_of(wire: Wire, path: str) -> Kind:
    """Return what is spoken at a path below /v1."""
    plain = "/".join(part for part in unquote(path).split("/") if part)
    return _KINDS.get((wire, f"/{plain}"), "opaque")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request says. `said`: what its user said after the last reply, or "" ."""

    model: str | None = None
    streamed: bool = False
    said: str = ""
    trouble: str | None = None
    """Why nothing of it was read, or None."""

    def masked(self, mask: Callable[[str], str]) -> "Asked":
        """Return it without credentials: reading may resolve an escape that hid one."""
        model = None if self.model is None else mask(self.model)
        return replace(self, model=model, said=mask(self.said))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """What a reply says. `said`: its words, or the names of tools it calls, or its complaint."""

    model: str | None = None
    finish: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    said: str = ""
    trouble: str | None = None
    """Why nothing of it was read, or None."""

    def masked(self, mask: Callable[[str], str]) -> "Replied":
        """Return it without credentials: reading may resolve an escape that hid one."""
        model = None if self.model is None else mask(self.model)
        finish = None if self.finish is None else mask(self.finish)
        return replace(self, model=model, finish=finish, said=mask(self.said))


def read_request(kind: Kind, body: bytes) -> Asked:
    """Read a request; one of another shape says nothing."""
    try:
        return _asked(kind, body)
    except Exception:  # noqa: BLE001 - whoever sent it, it is passed on and recorded as it is
        return Asked(trouble=_ODD)


def _asked(kind: Kind, body: bytes) -> Asked:
    if kind != "opaque" and body and not _readable(body):
        return Asked(trouble="not a JSON document that can be read")
    document = _map(body)
    said = ""
    match kind:
        case "chat" | "messages":
            said = _new_words(document.get("messages"))
        case "responses":
            given = document.get("input")
            said = given if isinstance(given, str) else _new_words(given)
        case "completions":
            said = "\n".join(_texts(document.get("prompt")))
    return Asked(
        model=_name(document.get("model")), streamed=document.get("stream") is True, said=said
    )


def _new_words(messages: Any) -> str:
    """What users said since a model spoke last.

    What no user or tool answered is no reply of the past: it begins the one that is asked for.
    """
    given = messages if isinstance(messages, list) else []
    roles = [message.get("role") if isinstance(message, dict) else None for message in given]
    while roles and isinstance(roles[-1], str) and roles[-1] in _NOBODY:
        roles.pop()
    found: list[str] = []
    for role, message in zip(roles, given, strict=False):
        if role == "assistant":
            found = []
        elif role == "user":
            found += _texts(message.get("content"))
    return "\n".join(found)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and _among(part.get("type"), _TEXTS):
            text = part.get("text")
            if isinstance(text, str):
                yield text


def read_reply(kind: Kind, body: bytes) -> Replied:
    """Read a whole reply, or what `ReplyStream` put together."""
    try:
        return _replied(kind, body)
    except Exception:  # noqa: BLE001 - whoever sent it, it is passed on and recorded as it is
        return Replied(trouble=_ODD)


def _replied(kind: Kind, body: bytes) -> Replied:
    document = _map(body)
    error = document.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return Replied(said=error["message"], finish="error")
    usage = _dict(document.get("usage"))
    finish, said = _reading(kind, document)
    return Replied(
        model=_name(document.get("model")),
        finish=_name(finish),
        tokens_in=_count(usage.get("prompt_tokens", usage.get("input_tokens"))),
        tokens_out=_count(usage.get("completion_tokens", usage.get("output_tokens"))),
        said=said,
    )


def _reading(kind: Kind, document: dict[str, Any]) -> tuple[Any, str]:
    """Return why the reply ended, and its words."""
    words: list[str] = []
    tools: list[Any] = []
    finish: Any = None
    match kind:
        case "chat" | "completions":
            for choice in _dicts(document.get("choices")):
                finish = finish or choice.get("finish_reason")
                message = _dict(choice.get("message"))
                words += _texts(message.get("content", choice.get("text")))
                words += _texts(message.get("refusal"))
                calls = _dicts(message.get("tool_calls"))
                tools += [_dict(call.get("function")).get("name") for call in calls]
        case "messages":
            finish = document.get("stop_reason")
            words += _texts(document.get("content"))
            blocks = _dicts(document.get("content"))
            tools += [block.get("name") for block in blocks if block.get("type") == "tool_use"]
        case "responses":
            finish = document.get("status")
            for item in _dicts(document.get("output")):
                words += _texts(item.get("content"))
                tools += [item.get("name")] if item.get("type") == "function_call" else []
    named = [name for name in tools if isinstance(name, str)]
    return finish, "\n".join(words) or (f"(calls {', '.join(named)})" if named else "")


class ReplyStream:
    """Sans-I/O: feed it a reply's plain bytes as they come; `ended` when it has said all."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._events: Events | None = Events(bytes_max=PROXY_STREAM_BYTES_MAX)
        self._left = PROXY_RECORDED_BYTES_MAX
        self._base: dict[str, Any] = {}
        self._parts: dict[int, dict[str, Any]] = {}
        self._odd = False
        self.ended = False
        self.trouble: str | None = None
        """Why not all of it was read, or None."""

    def feed(self, chunk: bytes) -> None:
        """Take more of it."""
        if self._events is None:
            return
        try:
            for data in self._events.feed(chunk):
                self._take(data)
        except ModelFailed as error:
            self.trouble, self._events = str(error), None
        except Exception:  # noqa: BLE001 - whatever a provider sends is passed on
            self.trouble, self._events, self._odd = _ODD, None, True

    def _take(self, data: str) -> None:
        if data.strip() == _DONE:
            self.ended = True
            return
        event = _map(data.encode(errors="replace"))
        self.ended |= _among(event.get("type"), _LAST)
        self._left -= len(data)
        if self._left < 0:
            self.trouble = self.trouble or f"more than {PROXY_RECORDED_BYTES_MAX} bytes of events"
            self._left = 0
        elif event.get("error"):
            self._base["error"] = event["error"]
        elif self._kind == "messages":
            self._message(event)
        elif self._kind == "responses":
            self._response(event)
        else:
            self._choices(event)

    # ---- chat completions ------------------------------------------------------------------------

    def _choices(self, event: dict[str, Any]) -> None:
        for key, value in event.items():
            if key != "choices" and value is not None:
                self._base[key] = value
        for choice in _dicts(event.get("choices")):
            part = self._part(choice.get("index"))
            if choice.get("finish_reason"):
                part["finish_reason"] = choice["finish_reason"]
            _append(part, "text", choice.get("text"))
            delta = _dict(choice.get("delta"))
            message = part.setdefault("message", {})
            for key in ("content", "refusal", "reasoning", "reasoning_content"):
                _append(message, key, delta.get(key))
            if "role" in delta:
                message["role"] = delta["role"]
            for call in _dicts(delta.get("tool_calls")):
                self._call(message.setdefault("tool_calls", {}), call)

    def _call(self, calls: dict[int, dict[str, Any]], call: dict[str, Any]) -> None:
        index = call.get("index", len(calls))
        if type(index) is not int or (index not in calls and len(calls) >= PROXY_CHOICES_MAX):
            return
        known = calls.setdefault(index, {"function": {}})
        known |= {key: call[key] for key in ("id", "type") if call.get(key)}
        function = _dict(call.get("function"))
        _append(known["function"], "name", function.get("name"))
        _append(known["function"], "arguments", function.get("arguments"))

    # ---- messages --------------------------------------------------------------------------------

    def _message(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                self._base |= _dict(event.get("message"))
            case "content_block_start":
                self._part(event.get("index")).update(_dict(event.get("content_block")))
            case "content_block_delta":
                part, delta = self._part(event.get("index")), _dict(event.get("delta"))
                for key in ("text", "thinking", "partial_json"):
                    _append(part, key, delta.get(key))
            case "message_delta":
                self._base |= _dict(event.get("delta"))
                self._base["usage"] = _dict(self._base.get("usage")) | _dict(event.get("usage"))

    # ---- responses -------------------------------------------------------------------------------

    def _response(self, event: dict[str, Any]) -> None:
        if isinstance(event.get("response"), dict):
            self._base = event["response"]
        elif event.get("type") == "response.output_text.delta":
            _append(self._part(event.get("output_index")), "text", event.get("delta"))

    def _part(self, index: Any) -> dict[str, Any]:
        """A choice or block; beyond the bound one that is thrown away."""
        known = type(index) is int and (
            index in self._parts or len(self._parts) < PROXY_CHOICES_MAX
        )
        return self._parts.setdefault(index, {}) if known else {}

    def document(self) -> bytes | None:
        """Return what was said as the provider's document of a whole reply, in JSON.

        None, and `trouble`, for what cannot be put together: it is recorded as it came.
        """
        try:
            return None if self._odd else self._document()
        except Exception:  # noqa: BLE001 - too deep, too large a number: no reason to fail
            self.trouble, self._odd = _ODD, True
            return None

    def _document(self) -> bytes:
        parts = [_joined(part) for _, part in sorted(self._parts.items())]
        document = dict(self._base)
        match self._kind:
            case "messages":
                document["content"] = [_block(part) for part in parts]
            case "responses":
                if not document.get("output"):
                    document["output"] = [
                        {"type": "message", "content": [{"type": "output_text"} | part]}
                        for part in parts
                    ]
            case _:
                document["choices"] = [
                    {"index": index} | part
                    for index, part in zip(sorted(self._parts), parts, strict=True)
                ]
        return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def _append(target: dict[str, Any], key: str, value: Any) -> None:
    """Add a piece of text; pieces are joined once, at the end."""
    if isinstance(value, str) and value:
        known = target.setdefault(key, [])
        if isinstance(known, str):  # a block that began with some of it
            target[key] = known = [known]
        if isinstance(known, list):
            known.append(value)


_PIECES: Final = frozenset(
    {
        "text",
        "content",
        "refusal",
        "reasoning",
        "reasoning_content",
        "thinking",
        "partial_json",
        "name",
        "arguments",
    }
)


def _joined(value: dict[str, Any]) -> dict[str, Any]:
    """Join the pieces of text in a part."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key == "tool_calls" and _numbered(item):
            found[key] = [_joined(call) for _, call in sorted(item.items())]
        elif key in _PIECES and isinstance(item, list) and all(type(x) is str for x in item):
            found[key] = "".join(item)
        else:
            found[key] = _joined(item) if isinstance(item, dict) else item
    return found


def _numbered(value: Any) -> bool:
    """Whether it is the calls that were put together here: keys of a JSON document are text."""
    return isinstance(value, dict) and all(type(key) is int for key in value)


def _block(part: dict[str, Any]) -> dict[str, Any]:
    """A block of Anthropic's: the arguments of a tool come as pieces of JSON."""
    pieces = part.pop("partial_json", None)
    if not isinstance(pieces, str):
        return part if pieces is None else part | {"partial_json": pieces}
    try:
        return part | {"input": json.loads(pieces)}
    except (ValueError, RecursionError):
        return part | {"input": pieces}


def _readable(data: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(data), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _map(data: bytes) -> dict[str, Any]:
    try:
        return _dict(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}


def _among(value: Any, names: frozenset[str]) -> bool:
    """Whether it is one of these; what a client or provider sent need not be hashable."""
    return isinstance(value, str) and value in names


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _name(value: Any) -> str | None:
    """A short text of a payload: what is printable of its beginning."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(c if c.isprintable() else "?" for c in value[:_NAME_CHARS_MAX])


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**48 else None
