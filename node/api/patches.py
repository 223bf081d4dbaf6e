"""What the agent is made of, and proposals to change it, over HTTP. Refusals as in node.api.app.

GET  /v1/architecture             root, tree, entries; pinned: that of everything else, with its own
GET  /v1/architecture/files       every file of the architecture, as text
GET  /v1/patches                  proposals, newest last, and the newest refused ones
GET  /v1/patches/{position}       one whole, with diff, own verdicts and comments
POST /v1/patch/propose {document, author?}, or of a bare diff
                             {diff, title, rationale, evaluation, expected, author?}
POST /v1/patch/comment {position, path, line, text, author?}
POST /v1/patch/withdraw {position, why?, author?}
POST /v1/patch/judge {position, words?}
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from genesis.core.front import Front
from genesis.core.patch import PatchClass
from genesis.core.proposal import render_proposal
from node import console
from node.agent.architecture import pinned_manifest, rows
from node.agent.introspection import AUTHOR as AGENT
from node.agent.patching import Patching
from node.api.http import BadRequest, json_answer, read_body, required
from node.children.growing import PARENT

_BY: Final = "operator"
_OTHERS: Final = frozenset({AGENT, PARENT})
"""Who proposes by ways of his own; under these names nothing constitutional is taken here."""
_SAID: Final = ("title", "rationale", "evaluation", "expected")
"""What a diff has no words for."""


@dataclass(frozen=True, slots=True)
class PatchesApi:
    """Handlers for the architecture and the proposals of one node."""

    patching: Patching

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/v1/architecture", self._architecture),
            web.get("/v1/architecture/files", self._files),
            web.get("/v1/patches", self._listed),
            web.get("/v1/patches/{position}", self._shown),
            web.post("/v1/patch/propose", self._propose),
            web.post("/v1/patch/comment", self._comment),
            web.post("/v1/patch/withdraw", self._withdraw),
            web.post("/v1/patch/judge", self._judge),
        ]

    async def _architecture(self, _request: web.Request) -> web.Response:
        present = self.patching.present.read()
        pinned = await asyncio.to_thread(pinned_manifest)
        return json_answer(
            {
                "root": present.root,
                "tree": present.tree.digest,
                "entries": rows(present.manifest),
                "pinned": {"root": pinned.root, "entries": rows(pinned)},
            }
        )

    async def _files(self, _request: web.Request) -> web.Response:
        present = self.patching.present.read()
        return json_answer(
            {
                "root": present.root,
                "files": {
                    path: {"class": present.class_of(path).value, "text": data.decode()}
                    for path, data in present.items()
                },
            }
        )

    async def _listed(self, _request: web.Request) -> web.Response:
        known = self.patching.proposals
        refused = [
            {"position": at, "author": author, "reason": reason, "line": line}
            for at, author, reason, line in known.refusals
        ]
        patches = [self.patching.row(one) for one in known]
        return json_answer({"patches": patches, "refused": refused})

    async def _shown(self, request: web.Request) -> web.Response:
        return json_answer(self.patching.shown(position_in(request)))

    async def _propose(self, request: web.Request) -> web.Response:
        body = await read_body(
            request, document=str, diff=str, author=str, **dict.fromkeys(_SAID, str)
        )
        if ("document" in body) == ("diff" in body):
            raise BadRequest("one of document and diff is needed, not both")
        document = _of_itself(body) if "document" in body else _wrapped(body)
        event = await self.patching.propose(
            document.encode(errors="surrogatepass"),
            author=(author := body.get("author", _BY)),
            constitutional=author not in _OTHERS,
        )
        return json_answer(console.row(event))

    async def _comment(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, path=str, line=int, text=str, author=str)
        event = await self.patching.comment(
            required(body, "position"),
            path=required(body, "path"),
            line=required(body, "line"),
            text=required(body, "text"),
            author=body.get("author", _BY),
        )
        return json_answer(console.row(event))

    async def _withdraw(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, why=str, author=str)
        event = await self.patching.withdraw(
            required(body, "position"), why=body.get("why", ""), author=body.get("author", _BY)
        )
        return json_answer(console.row(event))

    async def _judge(self, request: web.Request) -> web.Response:
        body = await read_body(request, position=int, words=bool)
        words = body.get("words", True)
        return json_answer(await self.patching.judge(required(body, "position"), words=words))


def position_in(request: web.Request) -> int:
    """Return the position that a path names. Raises BadRequest."""
    text: Any = request.match_info["position"]
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f"{text[:40]!r} is no position")
    return int(text)


def _of_itself(body: dict[str, Any]) -> str:
    """Return a document that came whole. Raises BadRequest for words beside it."""
    if more := [name for name in _SAID if name in body]:
        raise BadRequest(f"{more[0]} is said by the document itself", hint="send it alone")
    document: str = body["document"]
    return document


def _wrapped(body: dict[str, Any]) -> str:
    """Return a document around a diff, with the words that came with it. Raises BadRequest."""
    said = {name: required(body, name).encode(errors="replace").decode() for name in _SAID}
    front, diff = Front(patch_class=PatchClass.ROUTINE, **said), body["diff"]
    ended = diff if diff.endswith("\n") else f"{diff}\n"
    return render_proposal(front, "", ended.encode(errors="replace")).decode()
