"""Chat completions as OpenAI defined them and most servers speak them (POST /chat/completions).

Spoken by OpenAI, OpenRouter, Kimi, Nous, vLLM, Ollama, llama.cpp and llama-cpp-python. Streams end
with `[DONE]`; the counts of tokens come in a last chunk, where a server has them. Calls of tools
come whole, or in fragments with the number of their call; a server that gives no number sends each
call whole. Not covered: several choices, audio, images, calls as they were before 2023-11
(`function_call`).
"""

import json
from typing import Any, Final

import msgspec

from runtime.core.chat import ModelRequest, Reply, ToolOffer
from runtime.core.errors import ModelFailed
from runtime.core.wire import HALF, Calls, Words, decode, make_reply, told_arguments

_DONE: Final = "[DONE]"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _PieceChoice(msgspec.Struct):
    delta: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


class _Piece(msgspec.Struct):
    choices: list[_PieceChoice] = []
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None


class OpenAi:
    """The codec."""

    path = "/chat/completions"

    def headers(self, key: str | None) -> dict[str, str]:
        """See `runtime.core.wire.Codec`."""
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def body(self, model: str, request: ModelRequest, *, stream: bool) -> dict[str, Any]:
        """See `runtime.core.wire.Codec`."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [_message(request, number) for number in range(len(request.messages))],
            "max_tokens": request.max_tokens,
            "stream": stream,
        }
        if request.offered:
            body["tools"] = [_offer(offer) for offer in request.offered]
        return body | ({"stream_options": {"include_usage": True}} if stream else {})

    def whole(self, data: bytes, model: str) -> Reply:
        """See `runtime.core.wire.Codec`."""
        completion = decode(data, _Completion, "a chat completion")
        if not completion.choices:
            raise ModelFailed("malformed: not a chat completion")
        [choice, *_], usage = completion.choices, completion.usage or _Usage()
        calls = Calls()
        _collect(calls, choice.message)
        return make_reply(
            Words().add(choice.message.content or ""),
            calls=calls.all(),
            model=completion.model or model,
            finish=choice.finish_reason,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
        )

    def stream(self, model: str) -> "OpenAiStream":
        """See `runtime.core.wire.Codec`."""
        return OpenAiStream(model)


def _message(request: ModelRequest, number: int) -> dict[str, Any]:
    role, text = request.messages[number]
    if role == "tool":
        return {"role": role, "tool_call_id": request.returned[number], "content": text}
    calls = request.called.get(number, ())
    if not calls:
        return {"role": role, "content": text}
    told = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(told_arguments(call))},
        }
        for call in calls
    ]
    return {"role": role, "content": text or None, "tool_calls": told}


def _offer(offer: ToolOffer) -> dict[str, Any]:
    function = {"name": offer.name, "description": offer.description, "parameters": offer.schema}
    return {"type": "function", "function": function}


def _collect(calls: Calls, message: _Message) -> None:
    """Take a message's calls, or its pieces of calls. Raises ModelFailed."""
    for call in message.tool_calls or ():
        arguments = call.function.arguments or ""
        calls.add(
            len(calls) if call.index is None else call.index,
            id_=call.id or "",
            name=call.function.name or "",
            arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
        )


class OpenAiStream:
    """The reader of one streamed completion."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._words = Words()
        self._calls = Calls()
        self._finish: str | None = None
        self._usage = _Usage()

    def take(self, data: str) -> str:
        """See `runtime.core.wire.Stream`."""
        if data.strip() == _DONE:
            return ""
        piece = decode(data, _Piece, "a chunk of a chat completion")
        if piece.error is not None:
            raise ModelFailed("failed in the middle of a stream")
        self._model = piece.model or self._model
        self._usage = piece.usage or self._usage
        added = ""
        for choice in piece.choices[:1]:
            added = self._words.add(choice.delta.content or "")
            _collect(self._calls, choice.delta)
            self._finish = choice.finish_reason or self._finish
        return added

    def reply(self) -> Reply:
        """See `runtime.core.wire.Stream`."""
        if self._finish is None:
            raise ModelFailed(HALF)
        return make_reply(
            self._words.text,
            calls=self._calls.all(),
            model=self._model,
            finish=self._finish,
            tokens_in=self._usage.prompt_tokens,
            tokens_out=self._usage.completion_tokens,
        )
