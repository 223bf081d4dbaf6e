"""The jobs' part of the HTTP API. Refusals are as in node.api.app.

GET  /v1/jobs                        every job, a row each
POST /v1/jobs {name, when, ...}      add one: argv for a script; say, and argv as its degraded
                                     form, for an agent job; zone, backfill, overlap, limit_s,
                                     repeatable, confined; yes: the operator allows what it runs,
                                     each time; parent: the run that asks, in hex; mode: who of
                                     the fleet does a run: owner, quorum, pinned:MEMBER
POST /v1/jobs/-/asked {argv, confined}  what the rules say about it: effect, call, why
GET  /v1/jobs/{name}                 one job, with what it runs or says
POST /v1/jobs/{name} {action}        pause, resume, remove, run
PATCH /v1/jobs/{name} {when, ...}    give it another plan, deed or policy: what is named changes
GET  /v1/jobs/{name}/history?last=   its newest events; {name} may be the id of one removed
GET  /v1/report                      the newest morning report
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from aiohttp import web

from ledger.core.errors import NotFound
from ledger.core.event import Event
from node import console
from node.agent.scheduling import Scheduling
from node.api.http import BadRequest, hex_bytes, json_answer, number, read_body, required
from runtime.core.errors import JobRefused
from runtime.core.jobs import Job
from runtime.core.jobspec import BUILT_IN, Backfill, JobSpec, Kind, Overlap, Words, choice
from runtime.core.schedule import Every, Once, Schedule
from runtime.core.whens import parse_when
from runtime.jobs import JobBook
from runtime.zones import zone

_ROWS_MAX: Final = 1000
_ID: Final = re.compile(r"[0-9a-f]{32}")
_BY: Final = "operator"
_FIELDS: Final[dict[str, type]] = {
    "when": str,
    "argv": list,
    "say": str,
    "zone": str,
    "backfill": str,
    "overlap": str,
    "limit_s": int,
    "repeatable": bool,
    "confined": bool,
    "yes": bool,
    "mode": str,
}


def routes(scheduling: Scheduling) -> list[web.RouteDef]:
    """The routes of a node's jobs."""
    book = scheduling.book

    async def listed(_request: web.Request) -> web.Response:
        return json_answer(scheduling.rows())

    async def add(request: web.Request) -> web.Response:
        body = await read_body(request, name=str, parent=str, **_FIELDS)
        parent = hex_bytes(body["parent"], "parent") if "parent" in body else None
        yes = body.get("yes", False)
        event = await book.add(*_job(scheduling, body), by=_BY, parent=parent, yes=yes)
        job = book.jobs.get(event.payload["job"])
        assert job is not None
        return json_answer(scheduling.row(job))

    async def show(request: web.Request) -> web.Response:
        job = book.find(request.match_info["name"])
        about = {"words": scheduling.words(job), "allowed": scheduling.allowed(job)}
        return json_answer(scheduling.row(job) | about)

    async def change(request: web.Request) -> web.Response:
        body = await read_body(request, **_FIELDS)
        if not body:
            raise BadRequest("nothing is to change", hint=", ".join(_FIELDS))
        job = book.find(request.match_info["name"])
        if job.spec.kind in BUILT_IN:
            raise BadRequest(f"{job.name} is the node's own", hint="its plan is in node.toml")
        yes = body.get("yes", False)
        await book.change(job, *_changed(scheduling, job, body), by=_BY, yes=yes)
        changed = book.jobs.get(job.id)
        assert changed is not None
        return json_answer(scheduling.row(changed))

    async def act(request: web.Request) -> web.Response:
        body = await read_body(request, action=str)
        name, action = request.match_info["name"], required(body, "action")
        actions: dict[str, Callable[[], Awaitable[Event]]] = {
            "pause": lambda: book.pause(name, by=_BY),
            "resume": lambda: book.resume(name, by=_BY),
            "remove": lambda: book.remove(name, by=_BY),
            "run": lambda: book.run_now(name),
        }
        if action not in actions:
            raise BadRequest(f"unknown action {action!r}", hint=", ".join(actions))
        await scheduling.scheduler.enter(name)
        return json_answer(console.row(await actions[action]()))

    async def history(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        last = min(number(request.query.get("last", "20"), "last"), _ROWS_MAX)
        job = bytes.fromhex(name) if _ID.fullmatch(name) else book.find(name).id
        return json_answer([console.row(event) for event in book.history(job, last=last)])

    async def report(_request: web.Request) -> web.Response:
        event = scheduling.report()
        if event is None:
            raise NotFound("there is no report yet", hint="the first comes in the morning")
        return json_answer(console.row(event))

    return [
        web.get("/v1/jobs", listed),
        web.post("/v1/jobs", add),
        web.post("/v1/jobs/-/asked", partial(_asked, book)),
        web.get("/v1/jobs/{name}", show),
        web.post("/v1/jobs/{name}", act),
        web.patch("/v1/jobs/{name}", change),
        web.get("/v1/jobs/{name}/history", history),
        web.get("/v1/report", report),
    ]


async def _asked(book: JobBook, request: web.Request) -> web.Response:
    body = await read_body(request, argv=list, confined=bool)
    found = book.door.asked(_argv(body), confined=body.get("confined", True))
    return json_answer({"effect": found.effect.value, "call": found.call, "why": found.why})


def _job(scheduling: Scheduling, body: dict[str, Any]) -> tuple[JobSpec, Words]:
    """Raises BadRequest, JobRefused."""
    words = Words(argv=_argv(body), prompt=body.get("say", ""))
    name, when = required(body, "name"), required(body, "when")
    zone_name = body.get("zone", scheduling.zone)
    plan = parse_when(when, now_s=scheduling.book.now_s, offset=zone(zone_name))
    shared = None
    if "mode" in body:
        shared = scheduling.duty.shared(body["mode"])
        plan = _common(plan, when, scheduling.book.now_s, zone_name)
    backfill = choice(Backfill, body.get("backfill", Backfill.SKIP.value))
    waits = Overlap.WAIT if backfill is Backfill.ALL else Overlap.SKIP
    spec = JobSpec(
        name=name,
        kind=Kind.AGENT if words.prompt else Kind.SCRIPT,
        schedule=plan,
        zone=zone_name,
        backfill=backfill,
        overlap=choice(Overlap, body.get("overlap", waits.value)),
        repeatable=body.get("repeatable", False),
        confined=body.get("confined", True),
        limit_s=body.get("limit_s", 300),
        shared=shared,
    )
    return spec, words


def _common(plan: Schedule, when: str, now_s: int, zone_name: str) -> Schedule:
    """The plan as every member of a fleet has it, whenever it is added there. Raises JobRefused."""
    if isinstance(plan, Every):
        return Every(seconds=plan.seconds, anchor_s=0)
    if isinstance(plan, Once) and parse_when(when, now_s=now_s + 1, offset=zone(zone_name)) != plan:
        raise JobRefused(
            "a shared job's time is the same on every member, and this one counts from now",
            hint="give a date: 2026-12-24T18:00",
        )
    return plan


def _changed(scheduling: Scheduling, job: Job, body: dict[str, Any]) -> tuple[JobSpec, Words]:
    """What a job becomes: as it is, but for what `body` names. Raises BadRequest, JobRefused."""
    spec, now_s = job.spec, scheduling.book.now_s
    content = scheduling.words(job)
    had = Words() if content is None else Words.from_content(content)
    words = replace(
        had,
        argv=_argv(body) if "argv" in body else had.argv,
        prompt=body.get("say", had.prompt),
    )
    zone_name = body.get("zone", spec.zone)
    plain: dict[str, Any] = {
        name: body[name] for name in ("limit_s", "repeatable", "confined") if name in body
    }
    if "mode" in body:
        raise BadRequest("who does a run is not changed", hint="remove the job and add it anew")
    if "when" in body:
        plan = parse_when(body["when"], now_s=now_s, offset=zone(zone_name))
        common = spec.shared is not None
        plain["schedule"] = _common(plan, body["when"], now_s, zone_name) if common else plan
    changed = replace(
        spec,
        kind=Kind.AGENT if words.prompt else Kind.SCRIPT,
        zone=zone_name,
        backfill=choice(Backfill, body.get("backfill", spec.backfill.value)),
        overlap=choice(Overlap, body.get("overlap", spec.overlap.value)),
        **plain,
    )
    return changed, words


def _argv(body: dict[str, Any]) -> tuple[str, ...]:
    argv = body.get("argv", [])
    if not all(type(argument) is str for argument in argv):
        raise BadRequest("argv is not a list of texts", hint='for example ["df", "-h"]')
    return tuple(argv)
