"""Proposals between homes, and what people say to them, over HTTP. Refusals as in node.api.app.

POST /v1/patch/export {position, words?}      the bundle, as bytes
POST /v1/patch/take {position, envelope}      another home's signed verdict
GET  /v1/patches/{position}/verdicts          all on record, each beside this node's own
GET  /v1/patches/{position}/approval          how far it is, what is asked, each answer
POST /v1/patch/answer {position, word, verdict, root, key, signature, at_ms}

An answer is signed by a person's key, in hex. Who has the API token can hand one in; the token
itself answers nothing. One that is dated ahead is refused, and stays on record
as one that never counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from genesis.core.approval import Word
from genesis.core.errors import InvalidVerdict
from node import console
from node.agent.approval import PatchApproval
from node.agent.patching import Patching
from node.agent.travelling import Travelling
from node.api.http import BadRequest, json_answer, read_body, required
from node.api.patches import position_in

_BY: Final = "api"


def routes(
    patching: Patching, approval: PatchApproval, standing: Callable[[int], dict[str, Any]]
) -> list[web.RouteDef]:
    """Return every route. `standing`: how far a proposal is, also by what another member said."""
    return AnswersApi(Travelling(patching=patching, approval=approval), standing).routes()


@dataclass(frozen=True, slots=True)
class AnswersApi:
    """Handlers for verdicts and answers of one node."""

    travelling: Travelling
    standing: Callable[[int], dict[str, Any]]

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.post("/v1/patch/export", self._export),
            web.post("/v1/patch/take", self._take),
            web.post("/v1/patch/answer", self._answer),
            web.get("/v1/patches/{position}/verdicts", self._verdicts),
            web.get("/v1/patches/{position}/approval", self._approval),
        ]

    async def _export(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, words=bool)
        position, words = required(body, "position"), body.get("words", True)
        made = self.travelling.export(position, words=words)
        return web.Response(body=made, content_type="application/octet-stream")

    async def _take(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, envelope=str)
        envelope = required(body, "envelope").encode(errors="surrogatepass")
        try:
            event = await self.travelling.take(required(body, "position"), envelope)
        except InvalidVerdict as error:
            hint = "the file that timmy patch judge --bundle wrote, as it is"
            raise BadRequest(f"this is no verdict: {error}", hint=hint) from error
        return json_answer(console.row(event))

    async def _verdicts(self, request: web.Request) -> web.Response:
        return json_answer(self.travelling.verdicts(position_in(request)))

    async def _approval(self, request: web.Request) -> web.Response:
        return json_answer(self.standing(position_in(request)))

    async def _answer(self, request: web.Request) -> web.Response:
        texts = dict.fromkeys(("word", "verdict", "root", "key", "signature"), str)
        body = await read_body(request, position=int, at_ms=int, **texts)
        try:
            word = Word(required(body, "word"))
        except ValueError as error:
            raise BadRequest("no such word", hint="approve, or disapprove") from error
        payload: dict[str, Any] = {"at_ms": required(body, "at_ms")}
        for name in ("verdict", "root", "key", "signature"):
            payload[name] = _hex(required(body, name), name)
        position = required(body, "position")
        event = await self.travelling.approval.answer(position, word, payload, author=_BY)
        return json_answer(console.row(event))


def _hex(text: str, name: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        hint = "timmy patch approve signs, and sends what it signed"
        raise BadRequest(f"{name} is not hexadecimal", hint=hint) from error
