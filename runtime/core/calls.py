"""What the agent may ask for within a turn: the arguments of every op, parsed and bounded.

A malformed argument refuses the call, not the connection: it is a mistake of the patchable part,
and the turn can go on. Digests of arguments are keyed: arguments are often a person's words, and
an unkeyed digest in a payload, which cannot be erased, would let anyone test guesses.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import hashing
from ledger.core.codec import encode
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from runtime.core import limits
from runtime.core.chat import CHAT, ToolOffer
from runtime.core.errors import StepRefused

TURN_ID: Final = "timmy-node 2026-11 turn id v1"
STEP_KEY: Final = "timmy-node 2026-11 step idempotency key v1"
ARGS: Final = "timmy-node 2026-11 step arguments v1"
TEMPLATE: Final = "timmy-node 2026-11 prompt template v1"
OFFER: Final = "timmy-node 2026-11 offered tools v1"
REQUEST: Final = "timmy-node 2026-11 model request v1"
GATEWAY_KEY: Final = "timmy-node 2026-11 gateway idempotency key v1"

DIGEST_KEY_BYTES: Final = 32
LAST_STEPS: Final = frozenset({"answer", "fail"})
"""Ops that end a turn, refused or not: whoever asked for one has nothing more to do in it."""
_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_OFFER: Final = re.compile(r"\*|[A-Za-z_][A-Za-z0-9_-]{0,63}")
_CALL_ID: Final = re.compile(r"\d{1,15}-\d{1,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelItem:
    """One part of a prompt: an event of the ledger, or a template's text."""

    role: str
    ref: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArgs:
    """Ask the model chain for a reply of at most `max_tokens`. `task` is a short word.

    `tools` names what the model is offered; `*` is every tool that this conversation may have.
    """

    items: tuple[ModelItem, ...]
    max_tokens: int
    task: str = CHAT
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolArgs:
    """Call a tool. `arguments` is JSON as a model wrote it; `id` the call of a reply it is for."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallArgs:
    """Search the ledger's words."""

    query: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusArgs:
    """Ask how the node is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberArgs:
    """Write a note. `kind` is a short lower-case word."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerArgs:
    """Answer the message; ends the turn."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailArgs:
    """End the turn without an answer. `reason` is a short word, never a person's text."""

    reason: str


Args: TypeAlias = (
    ModelArgs | ToolArgs | RecallArgs | StatusArgs | RememberArgs | AnswerArgs | FailArgs
)


def _keys(args: Mapping[str, Any], *names: str) -> None:
    if args.keys() != set(names):
        raise StepRefused(f"args are not exactly {sorted(names)}")


def _text(value: object, name: str, bytes_max: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise StepRefused(f"{name} is not text, or blank")
    if (size := len(value.encode())) > bytes_max:
        raise StepRefused(f"{name} of {size} bytes, at most {bytes_max}")
    return value


def _word(value: object, name: str) -> str:
    if not isinstance(value, str) or _WORD.fullmatch(value) is None:
        raise StepRefused(f"{name} is not a short lower-case word")
    return value


def _int(value: object, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        shown = value if type(value) is int else "no integer"
        raise StepRefused(f"{name} is {shown}, expected {low} to {high}"[:200])
    return value


def _item(value: object) -> ModelItem:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise StepRefused("model item is not a map with a role")
    if value["role"] not in _ROLES:
        raise StepRefused(f"model item role is not one of {sorted(_ROLES)}")
    if value.keys() == {"role", "ref"}:
        return ModelItem(role=value["role"], ref=_int(value["ref"], "ref", 0, 2**48))
    if value.keys() == {"role", "text"} and value["role"] != "tool":
        text = _text(value["text"], "model item", limits.PROMPT_BYTES_MAX)
        return ModelItem(role=value["role"], text=text)
    raise StepRefused("model item has neither exactly a ref nor exactly a text")


def _model(args: Mapping[str, Any]) -> ModelArgs:
    _keys(args, "items", "max_tokens", *({"task", "tools"} & args.keys()))
    items = args["items"]
    if not isinstance(items, list) or not 1 <= len(items) <= limits.MODEL_ITEMS_MAX:
        raise StepRefused(f"items is not a list of 1 to {limits.MODEL_ITEMS_MAX}")
    parsed = tuple(_item(item) for item in items)
    _check_refs(parsed)
    max_tokens = _int(args["max_tokens"], "max_tokens", 1, limits.MODEL_TOKENS_MAX)
    task = _word(args.get("task", CHAT), "task")
    return ModelArgs(
        items=parsed, max_tokens=max_tokens, task=task, tools=_offers(args.get("tools", []))
    )


def _check_refs(items: tuple[ModelItem, ...]) -> None:
    """Bound what is referred to up to the last words of a user, and in all."""
    last = max((n for n, item in enumerate(items) if item.role == "user"), default=len(items) - 1)
    for until, most in ((last + 1, limits.MODEL_REFS_MAX), (len(items), limits.MODEL_TRAIL_MAX)):
        refs = {item.ref for item in items[:until] if item.ref is not None}
        if len(refs) > most:
            raise StepRefused(f"{len(refs)} references, at most {most}")


def _offers(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > limits.TOOLS_OFFERED_MAX:
        raise StepRefused(f"tools is not a list of at most {limits.TOOLS_OFFERED_MAX}")
    for name in value:
        if not isinstance(name, str) or _OFFER.fullmatch(name) is None:
            raise StepRefused("tools names something that is no name of a tool")
    return tuple(value)


def _tool(args: Mapping[str, Any]) -> ToolArgs:
    _keys(args, "name", "arguments", *({"id"} & args.keys()))
    arguments, id_ = args["arguments"], args.get("id")
    if not isinstance(arguments, str):
        raise StepRefused("arguments is not text")
    if (size := len(arguments.encode())) > limits.REPLY_BYTES_MAX:
        raise StepRefused(f"arguments of {size} bytes, at most {limits.REPLY_BYTES_MAX}")
    if id_ is not None and (not isinstance(id_, str) or _CALL_ID.fullmatch(id_) is None):
        raise StepRefused("id is not that of a call in a reply")
    return ToolArgs(name=_text(args["name"], "name", 64), arguments=arguments, id=id_)


def _recall(args: Mapping[str, Any]) -> RecallArgs:
    _keys(args, "query", "limit")
    query = _text(args["query"], "query", 4 * limits.QUERY_CHARS_MAX)[: limits.QUERY_CHARS_MAX]
    return RecallArgs(query=query, limit=_int(args["limit"], "limit", 1, limits.RECALL_HITS_MAX))


def _status(args: Mapping[str, Any]) -> StatusArgs:
    _keys(args)
    return StatusArgs()


def _remember(args: Mapping[str, Any]) -> RememberArgs:
    _keys(args, "text", "kind")
    kind = _word(args["kind"], "kind")
    return RememberArgs(text=_text(args["text"], "text", limits.NOTE_BYTES_MAX), kind=kind)


def _answer(args: Mapping[str, Any]) -> AnswerArgs:
    _keys(args, "text")
    return AnswerArgs(text=_text(args["text"], "text", limits.TEXT_BYTES_MAX))


def _fail(args: Mapping[str, Any]) -> FailArgs:
    _keys(args, "reason")
    reason = args["reason"]
    known = isinstance(reason, str) and _WORD.fullmatch(reason) is not None
    return FailArgs(reason=reason if known else "unspecified")


_PARSERS: Final[dict[str, Callable[[Mapping[str, Any]], Args]]] = {
    "model": _model,
    "tool": _tool,
    "recall": _recall,
    "status": _status,
    "remember": _remember,
    "answer": _answer,
    "fail": _fail,
}
OPS: Final = frozenset(_PARSERS)


def parse_args(op: str, args: Mapping[str, Any]) -> Args:
    """Return the typed arguments of `op`. Raises StepRefused."""
    parser = _PARSERS.get(op)
    if parser is None:
        raise StepRefused(f"op is not one of {sorted(OPS)}")
    return parser(args)


def turn_id(ledger_id: bytes, message_id: bytes, moved: int = 0) -> bytes:
    """16-byte name of the one turn that answers a message (its 32-byte event id).

    `moved`: how often another architecture began it anew; each time it has a name of its own.
    """
    again = moved.to_bytes(4, "big") if moved else b""
    return hashing.xof(TURN_ID, 16, ledger_id, message_id, again)


def gateway_key(given: bytes) -> bytes:
    """Return the ledger's idempotency key for one that a client chose, in a space of its own.

    Without this a client could take the key of a step that the node is yet to make.
    """
    return hashing.xof(GATEWAY_KEY, IDEMPOTENCY_KEY_BYTES, given)


def step_key(turn: bytes, step: int, part: str) -> bytes:
    """16-byte idempotency key of one event of one step; `part` tells the events of it apart."""
    return hashing.xof(STEP_KEY, 16, encode([turn, step, part]))


def args_digest(key: bytes, turn: bytes, step: int, op: str, args: dict[str, Any]) -> bytes:
    """32-byte digest that tells whether a step is asked for again with equal arguments.

    `key` is 32 secret bytes of this node, the same over restarts: without it nobody can test
    guesses of erased words against the digest.
    """
    if len(key) != DIGEST_KEY_BYTES:
        raise ValueError(f"digest key of {len(key)} bytes, expected {DIGEST_KEY_BYTES}")
    return hashing.digest(ARGS, key, encode([turn, step, op, args]))


def template_digest(text: str) -> bytes:
    """32-byte digest of a template's text, recorded in place of the text."""
    return hashing.digest(TEMPLATE, text.encode())


def request_digest(parts: list[list[Any]], max_tokens: int, offered: bytes | None = None) -> bytes:
    """32-byte digest of a prompt: [role, event id or template digest] of each part.

    Over ids, never over words: an event's id commits to its content through two salts. `offered` is
    the digest of the tools that went with it, if any did.
    """
    tools = [] if offered is None else [offered]
    return hashing.digest(REQUEST, encode([parts, max_tokens, *tools]))


def offer_digest(offers: Iterable[ToolOffer]) -> bytes:
    """32-byte digest of the tools that a model was offered: names, descriptions, schemas."""
    told = [[offer.name, offer.description, json.dumps(offer.schema)] for offer in offers]
    return hashing.digest(OFFER, encode(told))
