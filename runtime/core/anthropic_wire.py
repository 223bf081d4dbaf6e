"""Messages as Anthropic defined them (POST /v1/messages, version 2023-06-01).

System parts are one text beside the messages; the first message must be the user's, and parts of
one role in a row are joined. Streams are typed events; `message_delta` brings the stop reason. A
call of a tool is a block beside the words, its arguments an object, streamed as fragments of JSON;
results are blocks of the user's, before any of his words. Not covered: images, thinking.
"""

import json
from typing import Any, Final, TypeAlias

import msgspec

from runtime.core.chat import ModelRequest, Reply, ToolOffer
from runtime.core.errors import ModelFailed
from runtime.core.wire import HALF, Calls, Words, decode, make_reply, told_arguments

_VERSION: Final = "2023-06-01"
_CALL: Final = "tool_use"
_OPENING: Final = "(the conversation goes on)"
"""Stands for the user where a conversation that is cut short begins with an answer."""


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, Any] = {}


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Message(msgspec.Struct):
    content: list[_Block] = []
    model: str | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    content_block: _Block | None = None
    message: _Message | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


class Anthropic:
    """The codec."""

    path = "/messages"

    def headers(self, key: str | None) -> dict[str, str]:
        """See `runtime.core.wire.Codec`."""
        version = {"anthropic-version": _VERSION}
        return version if key is None else version | {"x-api-key": key}

    def body(self, model: str, request: ModelRequest, *, stream: bool) -> dict[str, Any]:
        """See `runtime.core.wire.Codec`."""
        system, messages = _split(request)
        body: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "max_tokens": request.max_tokens,
            "stream": stream,
        }
        if request.offered:
            body["tools"] = [_offer(offer) for offer in request.offered]
        return body | ({"system": system} if system else {})

    def whole(self, data: bytes, model: str) -> Reply:
        """See `runtime.core.wire.Codec`."""
        message = decode(data, _Message, "a message")
        if message.stop_reason is None:
            raise ModelFailed("malformed: not a message")
        usage, calls = message.usage or _Usage(), Calls()
        for number, block in enumerate(message.content):
            if block.type == _CALL:
                given = json.dumps(block.input)
                calls.add(number, id_=block.id, name=block.name, arguments=given)
        return make_reply(
            Words().add("".join(block.text for block in message.content if block.type == "text")),
            calls=calls.all(),
            model=message.model or model,
            finish=message.stop_reason,
            tokens_in=usage.input_tokens,
            tokens_out=usage.output_tokens,
        )

    def stream(self, model: str) -> "AnthropicStream":
        """See `runtime.core.wire.Codec`."""
        return AnthropicStream(model)


def _offer(offer: ToolOffer) -> dict[str, Any]:
    return {
        "name": offer.name, "description": offer.description, "input_schema": offer.schema,
    }  # fmt: skip


def _split(request: ModelRequest) -> tuple[str, list[dict[str, Any]]]:
    """Return the system text, and the messages with neighbours of one role joined."""
    system = "\n\n".join(text for role, text in request.messages if role == "system")
    messages: list[dict[str, Any]] = []
    for number, (role, text) in enumerate(request.messages):
        if role == "system":
            continue
        said = "assistant" if role == "assistant" else "user"
        if not messages and said != "user":
            messages.append({"role": "user", "content": _OPENING})
        content = _content(request, number, role, text)
        if messages and messages[-1]["role"] == said:
            messages[-1]["content"] = _joined(messages[-1]["content"], content)
        else:
            messages.append({"role": said, "content": content})
    return system, messages


_Content: TypeAlias = "str | list[dict[str, Any]]"


def _content(request: ModelRequest, number: int, role: str, text: str) -> _Content:
    """Return a message's content: its words, or blocks where it has calls or is a result."""
    if role == "tool":
        return [{"type": "tool_result", "tool_use_id": request.returned[number], "content": text}]
    calls = request.called.get(number, ())
    if not calls:
        return text
    return [
        *_blocks(text),
        *(
            {"type": _CALL, "id": call.id, "name": call.name, "input": told_arguments(call)}
            for call in calls
        ),
    ]


def _blocks(content: _Content) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content.strip() else []  # empty ones are refused


def _joined(one: _Content, two: _Content) -> _Content:
    if isinstance(one, str) and isinstance(two, str):
        return f"{one}\n\n{two}"
    return [*_blocks(one), *_blocks(two)]


class AnthropicStream:
    """The reader of one streamed message."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._words = Words()
        self._calls = Calls()
        self._finish: str | None = None
        self._tokens_in: int | None = None
        self._tokens_out: int | None = None

    def take(self, data: str) -> str:
        """See `runtime.core.wire.Stream`."""
        event = decode(data, _Event, "an event of a message")
        if event.type == "error":
            raise ModelFailed("failed in the middle of a stream")
        if event.message is not None:
            self._model = event.message.model or self._model
            self._count(event.message.usage)
        self._count(event.usage)
        block = event.content_block
        if block is not None and block.type == _CALL:
            given = json.dumps(block.input) if block.input else ""
            self._calls.add(event.index, id_=block.id, name=block.name, arguments=given)
        if event.delta is None:
            return ""
        if event.delta.partial_json:
            self._calls.add(event.index, arguments=event.delta.partial_json)
        self._finish = event.delta.stop_reason or self._finish
        return self._words.add(event.delta.text if event.delta.type == "text_delta" else "")

    def _count(self, usage: _Usage | None) -> None:
        if usage is not None:
            self._tokens_in = usage.input_tokens or self._tokens_in
            self._tokens_out = usage.output_tokens or self._tokens_out

    def reply(self) -> Reply:
        """See `runtime.core.wire.Stream`."""
        if self._finish is None:
            raise ModelFailed(HALF)
        return make_reply(
            self._words.text,
            calls=self._calls.all(),
            model=self._model,
            finish=self._finish,
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
        )
