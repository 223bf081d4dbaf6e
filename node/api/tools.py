"""The tools' part of the HTTP API. Refusals are as in node.api.app.

GET    /v1/tools                       every tool, with its schema, and the version of the set
GET    /v1/tools/{name}                one
POST   /v1/tools {name, description, schema, url, effect?, seconds?}   register one over HTTP:
                                       the secret in the answer is not shown again
DELETE /v1/tools/{name}                take out one that was registered so
POST   /v1/tools/{name}/call {arguments, conversation?}   call one, as the operator
GET    /v1/approvals                   calls that wait for a yes or no
POST   /v1/approvals/{event} {allow}   answer one
"""

import json
from typing import Any

from aiohttp import web

from node import console
from node.agent.registering import Registered
from node.api.http import BadRequest, json_answer, number, read_body, required
from runtime.core.approving import Question
from runtime.outside import OPERATOR, Outside
from runtime.tooling import Tooling


class ToolsApi:
    """Handlers of one node."""

    def __init__(self, tooling: Tooling, registered: Registered) -> None:
        self._tooling = tooling
        self._registered = registered
        self._outside = Outside(tooling=tooling)

    def routes(self) -> list[web.RouteDef]:
        """What the application serves of it."""
        return [
            web.get("/v1/tools", self._list),
            web.post("/v1/tools", self._add),
            web.get("/v1/tools/{name}", self._show),
            web.delete("/v1/tools/{name}", self._remove),
            web.post("/v1/tools/{name}/call", self._call),
            web.get("/v1/approvals", self._approvals),
            web.post("/v1/approvals/{event}", self._answer),
        ]

    async def _list(self, _request: web.Request) -> web.Response:
        box = self._tooling.toolbox
        tools = [spec.to_value() for spec in box.specs()]
        return json_answer({"version": box.version, "tools": tools})

    async def _show(self, request: web.Request) -> web.Response:
        return json_answer(self._tooling.toolbox.describe(request.match_info["name"]).to_value())

    async def _add(self, request: web.Request) -> web.Response:
        body = await read_body(
            request, name=str, description=str, schema=dict, url=str, effect=str, seconds=int
        )
        spec, secret = await self._registered.add(
            name=required(body, "name"),
            description=required(body, "description"),
            schema=required(body, "schema"),
            url=required(body, "url"),
            effect=body.get("effect", "writes"),
            seconds=body.get("seconds", 30),
        )
        return json_answer(spec.to_value() | {"secret": secret})

    async def _remove(self, request: web.Request) -> web.Response:
        spec = await self._registered.remove(request.match_info["name"])
        return json_answer(spec.to_value())

    async def _call(self, request: web.Request) -> web.Response:
        body = await read_body(request, arguments=dict, conversation=str)
        name = self._tooling.toolbox.describe(request.match_info["name"]).name
        result, event = await self._outside.call(
            name,
            json.dumps(body.get("arguments", {})),
            by=OPERATOR,
            conversation=body.get("conversation", "main"),
        )
        facts = {"outcome": event.payload["outcome"], "event": event.position}
        return json_answer(
            facts | {"text": result.text, "is_error": result.is_error, "left_out": result.left_out}
        )

    async def _approvals(self, _request: web.Request) -> web.Response:
        return json_answer([self.question(one) for one in self._tooling.questions])

    async def _answer(self, request: web.Request) -> web.Response:
        body = await read_body(request, allow=bool)
        approvals = self._tooling.approvals
        if approvals is None:
            raise BadRequest("nobody is asked here", hint="timmy status")
        event = await approvals.answer(
            number(request.match_info["event"], "event"), allow=required(body, "allow")
        )
        return json_answer(console.row(event))

    def question(self, question: Question) -> dict[str, Any]:
        """Return a question as a person is shown it."""
        content = self._tooling.journal.log.read(question.position).content or {}
        return asked_row(question.position, question.name, content) | {
            "message": question.message,
            "conversation": question.conversation,
            "deadline_ms": question.deadline_ms,
        }


def asked_row(position: int, name: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return what a call is, from the content of its `approval.asked`."""
    return {
        "event": position, "tool": name, "call": content.get("text"), "why": content.get("why"),
        "arguments": content.get("arguments"), "left_out": content.get("left_out", 0),
    }  # fmt: skip
