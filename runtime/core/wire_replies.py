"""Replies as clients of OpenAI and Anthropic read them: whole, streamed, and errors. Pure.

For words that are the node's own: the agent's answer to a client of the OpenAI API, and the fixed
answer of the crisis screen where it stands in for an upstream. `uid` is a short unguessable text of
the caller's, `now_s` Unix time in seconds.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from runtime.core.proxy_routes import Wire
from runtime.core.proxy_words import Kind

DONE: Final = b"data: [DONE]\n\n"
_STATUS_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
}


def error_body(wire: Wire, status: int, message: str, hint: str | None = None) -> dict[str, Any]:
    """Return an error as the wire's clients read it."""
    kind = _STATUS_TYPES.get(status, "api_error")
    told = message if hint is None else f"{message} ({hint})"
    if wire == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": told}}
    return {"error": {"message": told, "type": kind, "param": None, "code": None}}


def sse(value: dict[str, Any], name: str | None = None) -> bytes:
    """Return one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Words as the reply of `model`."""

    text: str
    model: str
    uid: str
    now_s: int

    def whole(self, kind: Kind) -> dict[str, Any]:
        """The document of a whole reply."""
        match kind:
            case "messages":
                return self._message([{"type": "text", "text": self.text}], "end_turn")
            case "responses":
                return self._response("completed", [self._item("completed")])
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
        if kind == "completions":
            return self._completion("text_completion", [choice | {"text": self.text}]) | _USAGE
        message = {"role": "assistant", "content": self.text, "refusal": None}
        return self._completion("chat.completion", [choice | {"message": message}]) | _USAGE

    def streamed(self, kind: Kind) -> bytes:
        """The same as a stream."""
        match kind:
            case "messages":
                return self._message_events()
            case "responses":
                return self._response_events()
            case "completions":
                choice = {"index": 0, "text": self.text, "finish_reason": "stop", "logprobs": None}
                return sse(self._completion("text_completion", [choice])) + DONE
        return self.chunk({"role": "assistant", "content": self.text}) + self.last_chunk() + DONE

    # ---- OpenAI ----------------------------------------------------------------------------------

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        """One piece of a streamed chat completion."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return sse(self._completion("chat.completion.chunk", [choice]))

    def last_chunk(self) -> bytes:
        """The one that says why it ended."""
        return self.chunk({}, "stop")

    def _completion(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.uid}",
            "object": kind,
            "created": self.now_s,
            "model": self.model,
            "choices": choices,
        }

    def _item(self, status: str) -> dict[str, Any]:
        done = status == "completed"
        return {
            "id": f"msg_{self.uid}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [self._part(self.text)] if done else [],
        }

    @staticmethod
    def _part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": []}

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"resp_{self.uid}",
            "object": "response",
            "created_at": self.now_s,
            "status": status,
            "model": self.model,
            "output": output,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": False,
            "temperature": None,
            "tool_choice": "none",
            "tools": [],
            "top_p": None,
        }

    def _response_events(self) -> bytes:
        at = {"output_index": 0, "item_id": f"msg_{self.uid}", "content_index": 0}
        begun, ended = self._item("in_progress"), self._item("completed")
        events: list[tuple[str, dict[str, Any]]] = [
            ("response.created", {"response": self._response("in_progress", [])}),
            ("response.output_item.added", {"output_index": 0, "item": begun}),
            ("response.content_part.added", at | {"part": self._part("")}),
            ("response.output_text.delta", at | {"delta": self.text, "logprobs": []}),
            ("response.output_text.done", at | {"text": self.text, "logprobs": []}),
            ("response.content_part.done", at | {"part": self._part(self.text)}),
            ("response.output_item.done", {"output_index": 0, "item": ended}),
            ("response.completed", {"response": self._response("completed", [ended])}),
        ]
        return b"".join(
            sse({"type": name, "sequence_number": number} | value, name)
            for number, (name, value) in enumerate(events)
        )

    # ---- Anthropic -------------------------------------------------------------------------------

    def _message(self, content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
        return {
            "id": f"msg_{self.uid}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }

    def _message_events(self) -> bytes:
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": self._message([], None)},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": self.text},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 0}},
            {"type": "message_stop"},
        ]
        return b"".join(sse(event, event["type"]) for event in events)


_USAGE: Final = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
"""No tokens of a provider's were used."""
