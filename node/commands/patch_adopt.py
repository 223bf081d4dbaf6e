"""`timmy patch apply|rollback|status|follow`: see node.commands.patch."""

import argparse
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console
from node.client import Client
from node.home import Home

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PERCENT: Final = 10
"""Thousandths of a percent's share: shares are whole per mille on the wire."""


def add_actions(actions: Any) -> None:
    """Declare the arguments of all of them."""
    apply = actions.add_parser("apply", help="adopt an approved proposal: canary, then everybody")
    apply.add_argument("event", help="position or id of the proposal")
    apply.add_argument("--share", metavar="PERCENT", help="of the conversations first: fewer")
    apply.add_argument("--window", metavar="TIME", help="of each stage, longer: 90m, 2h, 3d")
    apply.add_argument("--turns", type=int, metavar="N", help="answers that each stage needs: more")
    rollback = actions.add_parser("rollback", help="go back to the architecture of before")
    rollback.add_argument("--why", default="", help="the reason, for the record")
    actions.add_parser("status", help="what is in force, and how far an adoption is")
    follow = actions.add_parser("follow", help="take up now what the fleet adopted")
    follow.add_argument("rollout", help="as status names it: eight digits or more")


def apply(home: Home, arguments: argparse.Namespace, position: int) -> int:
    """Begin to adopt."""
    body: dict[str, Any] = {"position": position}
    body |= {} if arguments.share is None else {"share": _share(arguments.share)}
    body |= {} if arguments.window is None else {"window_s": _seconds(arguments.window)}
    body |= {} if arguments.turns is None else {"turns": arguments.turns}
    return _tell(Client.find(home).call("POST", "/v1/patch/apply", body), arguments)


def rollback(home: Home, arguments: argparse.Namespace) -> int:
    """Go back."""
    body = {"why": arguments.why}
    return _tell(Client.find(home).call("POST", "/v1/patch/rollback", body), arguments)


def status(home: Home, arguments: argparse.Namespace) -> int:
    """Say how far it is."""
    return _tell(Client.find(home).call("GET", "/v1/patch/status"), arguments)


def follow(home: Home, arguments: argparse.Namespace) -> int:
    """Begin before this member's turn, or after a halt."""
    body = {"rollout": arguments.rollout}
    return _tell(Client.find(home).call("POST", "/v1/patch/follow", body), arguments)


def _share(text: str) -> int:
    try:
        share = round(float(text.removesuffix("%")) * _PERCENT)
    except (ValueError, OverflowError) as error:
        raise TimmyError(f"{text!r} is no percentage", hint="--share 10") from error
    return share


def _seconds(text: str) -> int:
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise TimmyError(f"{text!r} is no time", hint="--window 90s, 30m, 1h, 2d")
    return int(number) * _UNITS[unit]


def _tell(found: dict[str, Any], arguments: argparse.Namespace) -> int:
    if arguments.json:
        console.out_json(found)
        return 0
    trial, handoff = found["under_way"], found["handoff"]
    console.out(f"in force  {found['tree']}")
    _tell_software(found["software"], found["ordered"])
    if trial is not None:
        console.out(f"trial     proposal {trial['patch']}, {_stage(trial)}")
        console.out(f"health    {one_line(trial['health'])}")
    if found["no_way_back"]:
        console.out(f"warning   there is no way back: {one_line(found['no_way_back'])}")
    for row in found["held"]:
        name = one_line(row["author"])
        console.out(f"held      {name}, for what {row['tree'][:16]} was about to say (event "
                    f"{row['position']}): timmy release {name}")  # fmt: skip
    if handoff["due"]:
        console.out("handoff   due: the keys in charge vouch for another tree (timmy handoff)")
    if found["fleet"]["fault"]:
        console.out(f"fleet     not followed: {one_line(found['fleet']['fault'])}")
    for row in found["fleet"]["rollouts"]:
        _tell_fleet(row)
    console.table(
        ["event", "when", "what", "proposal", "why"],
        (
            [
                str(row["position"]), console.when(row["ts_ms"]), row["type"], str(row["patch"]),
                one_line(": ".join(filter(None, (row["reason"], row["why"])))) or "-",
            ]
            for row in found["steps"]
        ),
    )  # fmt: skip
    return 0


def _tell_fleet(row: dict[str, Any]) -> None:
    """Say who is how far with one adoption of the fleet, the origin first."""
    name, origin = row["rollout"][:16], row["origin"]
    console.out(f"fleet     {name} of {one_line(origin['name'] or origin['ledger'])}: {_next(row)}")
    for number, stage in enumerate(row["stages"]):
        told = ", ".join(f"{one['name'] or one['ledger'][:16]} {one['fate']}" for one in stage)
        console.out(f"  {'origin' if not number else f'stage {number}'}  {one_line(told)}")
    if row["look"]:
        console.out(f"  look    {one_line(row['look'])}")


def _next(row: dict[str, Any]) -> str:
    what = _NEXT[row["next"]]
    if row["next"] in ("begin", "wait") and not row["offered"]:
        return one_line(f"not taken up: {row['why']}")
    return f"{what} {', '.join(row['waits_for'])}" if row["next"] == "wait" else what


_NEXT: Final = {
    "begin": "this member's turn",
    "wait": "this member waits for",
    "halted": "halted, this member does not begin",
    "begun": "begun by this member",
    "out": "not for this member, which answers nobody",
}


def _tell_software(software: dict[str, Any], ordered: dict[str, Any] | None) -> None:
    """Say what software is here, and what is to be done about an order."""
    by = f", proposal {software['patch']}" if software["patch"] is not None else ""
    console.out(f"software  {software['root'][:16]}, {software['standing']}{by}")
    if software["objection"]:
        console.out(f"warning   it was ordered, and then: {one_line(software['objection'])}")
    if ordered is not None:
        console.out(f"ordered   event {ordered['position']}: {ordered['folder']}")
        console.out("install   apply its change.patch to this software: git apply, or patch -p1;")
        console.out("          then start the node anew, and it says whether that is what it runs")


def _stage(trial: dict[str, Any]) -> str:
    if trial["stage"] == "canary":
        return f"canary: {trial['share'] / _PERCENT:g} % of the conversations"
    return "for everybody, not settled yet" if trial["stage"] == "node" else str(trial["stage"])
