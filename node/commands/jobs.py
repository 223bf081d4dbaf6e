"""What runs by itself, at planned times: scripts, and messages to the agent.

    timmy jobs add tidy --when "every 6h" --run /scripts/tidy.sh
    timmy jobs add news --when "30 6 * * mon-fri" --zone Europe/Berlin --say "What is new?"
    timmy jobs add sync --when "every 15m" --mode quorum --run /scripts/sync.sh
    timmy jobs list | show NAME | history NAME | report
    timmy jobs change NAME --when "every 1h"
    timmy jobs pause NAME | resume NAME | remove NAME | run NAME

WHEN is `every 15m`, `in 2h`, a date like 2026-12-24T18:00, five fields of cron, or what a job
follows: an event of the ledger (`on patch.judged`), a file or folder (`on file /home/me/inbox`), a
git branch (`on commit /home/me/project main`). A script runs without a shell, confined: it sees the
system's programs, the folder scripts of the home as /scripts, and no network. --unconfined runs it
as the node's own user instead. What it runs is decided by the permission rules, now and each time:
what they would ask about needs your yes, here or by --yes. In an agent job --otherwise PROGRAM is
what runs when no language model answers. Times that passed while the node was off are skipped and
said to be, unless --backfill says otherwise. Every run and its output is in the ledger.

--mode shares a job with the fleet: add the same one, with the same --mode, on every member that is
to take part; the id that is shown is then the same. One member does each run: quorum, with the word
of most voters, never two; owner, the next in turn if the one before is silent, behind a cut link
two; pinned:MEMBER, that one or nobody. More: docs/JOBS.md
"""

import argparse
import shlex
import sys
import time
from typing import Any, Final

from ledger.core.errors import TimmyError
from node import console
from node.client import Client, path
from node.home import Home
from runtime.core.jobs import GOOD
from runtime.core.jobspec import Backfill, Overlap

_ACTIONS: Final = {
    "pause": "have a job not run until it is resumed",
    "resume": "have a paused job run again",
    "remove": "forget a job; its history stays",
}
_WHEN: Final = "every 15m, in 2h, a date, cron, on TYPE, on file PATH, on commit PATH [BRANCH]"
_POLL_SECONDS: Final = 0.2
"""How often the end of a run that was asked for is looked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_arguments_of_add(actions.add_parser("add", help="plan a job"))
    _add_arguments_of_change(actions.add_parser("change", help="change what you name of a job"))
    actions.add_parser("list", help="list jobs, and when each is due")
    actions.add_parser("report", help="print the newest morning report")
    shown = actions.add_parser("show", help="show one job, and what it runs or says")
    shown.add_argument("name", help="its name, or the start of its id")
    for action, about in _ACTIONS.items():
        actions.add_parser(action, help=about).add_argument("name")
    run_now = actions.add_parser("run", help="run a job now, and print what came of it")
    run_now.add_argument("name")
    run_now.add_argument("--no-wait", action="store_true", help="do not wait for its end")
    past = actions.add_parser("history", help="list what happened to a job, newest last")
    past.add_argument("name", help="its name, or the id of one that was removed")
    past.add_argument("--last", type=int, default=20, metavar="N", help="how many events (20)")


def _add_arguments_of_add(add: argparse.ArgumentParser) -> None:
    add.add_argument("name", help="a short name: a-z, digits, dot, dash, underscore")
    add.add_argument("--when", required=True, help=_WHEN)
    add.add_argument("--repeatable", action="store_true", help="may run again after a crash")
    add.add_argument("--unconfined", action="store_true", help="run the script as the node's user")
    add.add_argument("--mode", help="share it with the fleet: owner, quorum or pinned:MEMBER")
    _add_common_arguments(add)


def _add_arguments_of_change(change: argparse.ArgumentParser) -> None:
    change.add_argument("name", help="its name, or the start of its id")
    change.add_argument("--when", help=_WHEN)
    change.add_argument(
        "--repeatable", action=argparse.BooleanOptionalAction, help="may run again after a crash"
    )
    change.add_argument(
        "--unconfined", action=argparse.BooleanOptionalAction, help="run it as the node's user"
    )
    _add_common_arguments(change)


def _add_common_arguments(add: argparse.ArgumentParser) -> None:
    add.add_argument("--zone", help="time zone of the plan, for example Europe/Berlin")
    add.add_argument("--say", metavar="WORDS", help="an agent job: what the agent is told")
    add.add_argument("--backfill", choices=list(Backfill), help="of missed times (skip)")
    add.add_argument(
        "--overlap", choices=list(Overlap), help="of one that comes during a run (skip)"
    )
    add.add_argument("--yes", action="store_true", help="you allow what it runs, each time it does")
    add.add_argument("--limit", type=int, metavar="SECONDS", help="end a run after this (300)")
    add.add_argument(
        "--run", "--otherwise", dest="argv", nargs=argparse.REMAINDER,
        help="the program, and all that follows are its arguments: give it last",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action with the running node: without one no job would ever run."""
    client = Client.find(Home.find(arguments.home))
    match arguments.action:
        case "add":
            return _add(client, arguments)
        case "change":
            return _change(client, arguments)
        case "list":
            return _list(client, as_json=arguments.json)
        case "show":
            return _show(client, arguments.name, as_json=arguments.json)
        case "run":
            return _run(client, arguments)
        case "history":
            return _history(client, arguments)
        case "report":
            return _report(client, as_json=arguments.json)
    job = path("v1", "jobs", arguments.name)
    done = client.call("POST", job, {"action": arguments.action})
    return _done(done, f"{arguments.action}d {arguments.name}", as_json=arguments.json)


def _done(value: Any, text: str, *, as_json: bool) -> int:
    console.out_json(value) if as_json else console.out(text)
    return 0


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was named on the command line, as the API calls it."""
    unconfined = arguments.unconfined
    given = {
        "when": arguments.when,
        "zone": arguments.zone,
        "say": arguments.say,
        "argv": arguments.argv,
        "backfill": arguments.backfill,
        "overlap": arguments.overlap,
        "limit_s": arguments.limit,
        "repeatable": arguments.repeatable,
        "confined": None if unconfined is None else not unconfined,
        "yes": arguments.yes or None,
        "mode": getattr(arguments, "mode", None),
    }
    return {name: value for name, value in given.items() if value is not None}


def _add(client: Client, arguments: argparse.Namespace) -> int:
    given = _given(arguments)
    if given.get("argv") and "yes" not in given and sys.stdin.isatty():
        given |= _asked(client, given["argv"], confined=given.get("confined", True))
    job = client.call("POST", "/v1/jobs", {"argv": [], **given, "name": arguments.name})
    first = job["next"] or job["when"]
    allowed = _allowed(client, job["name"]) if given.get("argv") and not arguments.json else ""
    shared = f"\nshared, {_mode(job)}: job {job['id']} on every member" if job["shared"] else ""
    return _done(job, f"{job['name']}: first {first}{shared}{allowed}", as_json=arguments.json)


def _mode(row: dict[str, Any]) -> str:
    """How a job is shared, in a word or two; empty if it is this node's alone."""
    shared = row.get("shared")
    if shared is None:
        return ""
    return str(shared["mode"]) + (f" to {shared['member']}" if shared["member"] else "")


def _asked(client: Client, argv: list[str], *, confined: bool) -> dict[str, bool]:
    """Put the question of the rules, if they have one, to who sits here."""
    found = client.call("POST", "/v1/jobs/-/asked", {"argv": argv, "confined": confined})
    if found["effect"] != "ask":
        return {}
    console.say(console.safe(f"{found['call']}: {found['why']}"))
    console.say("nobody is there to ask when it runs; allow it each time it does? [y/N]")
    return {"yes": True} if sys.stdin.readline().strip().lower() in {"y", "yes"} else {}


def _allowed(client: Client, name: str) -> str:
    """Say what was allowed, and by whom."""
    job = client.call("GET", path("v1", "jobs", name))
    by = {"rule": "by a rule", "operator": "by you"}.get((job["allowed"] or {}).get("by", ""), "")
    where = "" if job["confined"] else ", outside of the sandbox"
    words = shlex.join((job["words"] or {}).get("argv", []))
    return console.safe(f"\nallowed {by}, each time{where}: {words}") if by else ""


def _change(client: Client, arguments: argparse.Namespace) -> int:
    job = client.call("PATCH", path("v1", "jobs", arguments.name), _given(arguments))
    following = job["next"] or job["when"]
    return _done(job, f"{job['name']}: next {following}", as_json=arguments.json)


def _list(client: Client, *, as_json: bool) -> int:
    rows = client.call("GET", "/v1/jobs")
    if as_json:
        console.out_json(rows)
        return 0
    cells = (
        [row["name"], _kind(row), row["state"], row.get("next") or _time(row), _last(row)]
        for row in rows
    )
    console.table(["name", "kind", "state", "next", "last run"], cells)
    return 0


def _kind(row: dict[str, Any]) -> str:
    mode = _mode(row)
    return console.safe(f"{row['kind']}, {mode}") if mode else str(row["kind"])


def _time(row: dict[str, Any]) -> str:
    if row["next_s"] is None and row["state"] == "waiting":
        return str(row["when"])
    return "never" if row["next_s"] is None else console.when(1000 * row["next_s"])


def _last(row: dict[str, Any]) -> str:
    last, held = row.get("last"), (row.get("shared") or {}).get("held")
    if held and not held["fence"]:
        return console.safe(f"by {held['member']}, {held['planned']}")
    if last is None:
        return "none yet"
    again = row["failed_in_a_row"]
    return f"{last['outcome']}, {last['planned']}" + (f", {again} in a row" if again > 1 else "")


def _show(client: Client, name: str, *, as_json: bool) -> int:
    job = client.call("GET", path("v1", "jobs", name))
    if as_json:
        console.out_json(job)
        return 0
    words = job.pop("words") or {}
    last, shared = job.pop("last"), job.pop("shared")
    for key, value in job.items():
        console.out(f"{key:16} {value}")
    console.out(f"{'last run':16} {_last(job | {'last': last, 'shared': shared})}")
    if shared is not None:
        held = shared["held"] or {"member": "nobody yet", "fence": None}
        console.out(console.safe(f"{'shared':16} {_mode({'shared': shared})}, {shared['fleet']}"))
        console.out(console.safe(f"{'last done by':16} {held['member']}"))
        console.out(f"{'fence':16} {held['fence'] or 'none here'}")
    for key, value in words.items():
        console.out(f"{key:16} {console.safe(value if key == 'prompt' else repr(value))}")
    return 0


def _run(client: Client, arguments: argparse.Namespace) -> int:
    claim = client.call("POST", path("v1", "jobs", arguments.name), {"action": "run"})
    if arguments.no_wait:
        return _done(claim, f"begun as event {claim['position']}", as_json=arguments.json)
    job = client.call("GET", path("v1", "jobs", arguments.name))
    end = _wait(client, job, claim["payload"]["run"])
    outcome = end["payload"]["outcome"]
    if arguments.json:
        console.out_json(end)
    else:
        output = (end["content"] or {}).get("output", "")
        if output:
            console.out(console.safe(output.rstrip("\n")))
        console.say(f"{outcome}: event {end['position']}")
    return 0 if outcome in GOOD else 1


def _wait(client: Client, job: dict[str, Any], run_id: str) -> dict[str, Any]:
    events = path("v1", "jobs", job["id"], "history")
    deadline = time.monotonic() + job["limit_s"] * 2 + 30
    while time.monotonic() < deadline:
        for event in client.call("GET", events):
            if event["type"] == "job.finished" and event["payload"].get("run") == run_id:
                return dict(event)
        time.sleep(_POLL_SECONDS)
    raise TimmyError("the run does not end", hint=f"timmy jobs history {job['name']}")


def _history(client: Client, arguments: argparse.Namespace) -> int:
    last = max(0, arguments.last)
    rows = client.call("GET", path("v1", "jobs", arguments.name, "history", last=last))
    if arguments.json:
        console.out_json(rows)
        return 0
    cells = ([str(r["position"]), console.when(r["ts_ms"]), r["type"], _told(r)] for r in rows)
    console.table(["event", "time", "type", "what"], cells)
    return 0


def _told(row: dict[str, Any]) -> str:
    payload = row["payload"]
    match row["type"]:
        case "job.started":
            fence = f", fence {payload['fence']}" if "fence" in payload else ""
            return f"attempt {payload['attempt']}, by {payload['trigger']}{fence}"
        case "job.awaited":
            return f"{payload['mode']}, first {payload.get('name', 'nobody')}"
        case "job.finished":
            exit_ = f", exit {payload['exit']}" if "exit" in payload else ""
            why = f", {payload['reason']}" if "reason" in payload else ""
            return f"{payload['outcome']} after {payload['took_s']} s{exit_}{why}"
        case "job.skipped":
            more = " or more" if payload["more"] else ""
            return f"{payload['count']}{more}: {payload['reason']}"
    return ""


def _report(client: Client, *, as_json: bool) -> int:
    event = client.call("GET", "/v1/report")
    if as_json:
        console.out_json(event)
    else:
        console.out(console.safe((event["content"] or {}).get("text", "(redacted)")))
    return 0
