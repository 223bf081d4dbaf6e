"""HTTP handlers for the chain of models: how each is, whether it answers, whether it may speak."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web

from node.api.http import BadRequest, event_stream, json_answer, read_body, required
from node.assembly import Parts
from runtime.core.tested import CaseResult
from runtime.toolbox import Choice
from runtime.trial import try_chain


class ChainApi:
    """Handlers of one node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        """What the application serves of it."""
        return [
            web.get("/v1/chain", self._list),
            web.post("/v1/chain/test", self._test),
            web.post("/v1/chain/safety", self._safety),
            web.post("/v1/retell", self._retell),
        ]

    async def _list(self, _request: web.Request) -> web.Response:
        mind = self._parts.mind
        return json_answer(
            [
                asdict(standing) | {"untested": mind.gate.untested(link)}
                for standing, link in zip(mind.chain.standings, mind.chain.links, strict=True)
            ]
        )

    async def _test(self, _request: web.Request) -> web.Response:
        mind = self._parts.mind
        trial = await try_chain(mind.chain.links, refuses=mind.refuses)
        return json_answer(asdict(trial) | {"good": trial.good})

    async def _safety(self, request: web.Request) -> web.StreamResponse:
        """Put the safety tests to one link; each outcome as it comes (server-sent events)."""
        body = await read_body(request, link=str)
        link = self._parts.mind.link(required(body, "link"))
        cases: asyncio.Queue[CaseResult | None] = asyncio.Queue()
        async with event_stream(request) as stream:

            async def tell() -> None:
                while (case := await cases.get()) is not None:
                    of = {"of": self._parts.mind.gate.questions}
                    await stream.tell("case", asdict(case) | of)

            async with asyncio.TaskGroup() as group:
                group.create_task(tell())
                result = await self._parts.mind.gate.test(link, seen=cases.put_nowait)
                cases.put_nowait(None)
            facts = {"model": result.model, "suite": result.suite, "passed": result.passed}
            await stream.tell("result", facts | {"counts": result.counts})
        return stream.response

    async def _retell(self, request: web.Request) -> web.Response:
        """Tell a recorded turn otherwise; that it was done is an event, what came of it is not."""
        body = await read_body(
            request,
            message=int,
            tree=str,
            models=list,
            anew=bool,
            tools=bool,
            only_tools=list,
            without_tools=list,
        )
        position, names = required(body, "message"), body.get("models", [])
        tree = Path(body["tree"]) if "tree" in body else None
        if body.get("anew", False) and not names:
            raise BadRequest("anew asks models, and none is named", hint="models: a list of names")
        if tree is not None and not (tree / "main.py").is_file():
            raise BadRequest(f"{tree} is no tree of an agent", hint="a folder with a main.py")
        mind, choice = self._parts.mind, _choice(body)
        told = await mind.teller.tell(
            position,
            tree=tree,
            chain=mind.chain_of(names),
            anew=body.get("anew", False),
            writes=body.get("tools", False),
            choice=choice,
        )
        event = await mind.teller.note(told, models=names, own_tree=tree is None, choice=choice)
        return json_answer(asdict(told) | {"same": told.same, "event": event.position})


def _choice(body: dict[str, Any]) -> Choice:
    named = {field: body.get(field, []) for field in ("only_tools", "without_tools")}
    for field, names in named.items():
        if not all(isinstance(name, str) for name in names):
            raise BadRequest(f"field {field!r} is not a list of names", hint="timmy tools list")
    only = frozenset(named["only_tools"]) if "only_tools" in body else None
    return Choice(only=only, without=frozenset(named["without_tools"]))
