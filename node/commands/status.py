"""Tell whether the node answers, and how it is. Exit 0 only if it answers."""

import argparse
from typing import Any, Final

from attest.verify.plain import one_line
from node import console
from node.client import Client
from node.commands.bus import text as bus_text
from node.home import Home

_IF_ANY: Final = frozenset({"adoptions", "aggregates", "sandbox_why"})
"""Said only where there is something to say."""


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Ask the node."""
    status = Client.find(Home.find(arguments.home)).call("GET", "/v1/status", timeout=10)
    if arguments.json:
        console.out_json(status)
        return 0
    head, search = status.pop("head"), status.pop("search")
    looked, handed_in = status.pop("self_check"), status.pop("handed_in")
    local, bus, route = status.pop("local"), status.pop("bus"), status.pop("route")
    held, witnessed, witness = (status.pop(name) for name in ("held", "witnessed", "witness"))
    nostr, bridge = status.pop("nostr"), status.pop("bridge")
    status["answered_last"] = _last(status["answered_last"])
    diverged, gossip = status.pop("diverged"), status.pop("gossip")
    status = {name: value for name, value in status.items() if value or name not in _IF_ANY}
    status["relays"] = _relays(status["relays"])
    for name, value in status.items():
        console.out(f"{name:18} {_text(value)}")
    console.out(f"{'head':18} size {head['size']}, root {head['root']}, epoch {head['epoch']}")
    console.out(f"{'search':18} {console.caught_up(search['taken'], search['of'])}")
    if local is not None:
        console.out(f"{'local model':18} {_local(local)}")
    if handed_in is not None:
        console.out(f"{'handed in':18} {console.handed_in(handed_in)}")
    if witnessed is not None and (witnessed["asked"] or witnessed["needed"]):
        console.out(f"{'witnessed':18} {_witnessed(witnessed)}")
    if witness is not None:
        told = f"of {len(witness['logs'])} logs, {len(witness['frozen'])} frozen"
        console.out(f"{'witness':18} {told}")
    if bus["engine"] != "local":
        console.out(f"{'bus':18} {bus_text(bus)}")
    if route["on"] or route["duplicates"]:
        console.out(f"{'routing':18} {_route(route)}")
    if nostr is not None:
        console.out(f"{'nostr messages':18} {_nostr(nostr)}")
    if bridge["beat"] or bridge["heard"]:
        console.out(f"{'bridge':18} {_bridge(bridge)}")
    _histories(diverged, gossip)
    if held:
        told = held if witnessed is None else f"{held}; {witnessed['hint']}"
        console.out(f"{'RELEASES NOTHING':18} {one_line(told)}")
    console.out(f"{'self check':18} {_self_check(looked)}")
    return 0


def _route(found: dict[str, Any]) -> str:
    told = [f"{found['waiting']} messages wait for another member's answer"]
    told += [f"{found['unsettled']} to be settled"] if found["unsettled"] else []
    if found["answer"] == "majority":
        told.append(f"{found['reached']} of {found['voters']} voters in reach, "
                    f"{found['needed']} needed to answer")  # fmt: skip
    if found["duplicates"]:
        newest = ", ".join(
            f"to {one['message']} by {one['ledger'][:8]} at {one['position']}"
            for one in found["newest"][-3:]
        )
        told.append(f"{found['duplicates']} answered twice ({newest})")
    return one_line("; ".join(told))


def _last(found: dict[str, Any]) -> str:
    """Which link replied last."""
    if found["link"] is None:
        return "nobody since the start"
    return f"{found['link']} (event {found['position']})"


def _nostr(found: dict[str, Any]) -> str:
    told = [f"{found['opened']} opened, {found['strangers']} from strangers"]
    told += [
        f"{waits['answers']} for {name.removeprefix('nostr/')} wait: {waits['why'] or 'being sent'}"
        for name, waits in found["waiting"].items()
    ]
    return one_line("; ".join(told))


def _bridge(found: dict[str, Any]) -> str:
    def names(rows: dict[str, int]) -> str:
        said = (
            f"{name.removeprefix('nostr/')} {console.when(at * 1000)}" for name, at in rows.items()
        )
        return ", ".join(said) or "nobody"

    return one_line(f"acknowledged by {names(found['acked_by'])}; heard {names(found['heard'])}")


def _witnessed(found: dict[str, Any]) -> str:
    newest, asked = found["newest"], found["asked"]
    said = sum(one["outcome"] == "cosigned" for one in asked)
    told = "nothing cosigned yet" if newest is None else f"{newest['size']} events cosigned"
    return f"{told}; {said} of {len(asked)} witnesses agree, {found['needed']} needed"


def _histories(diverged: list[dict[str, Any]], gossip: dict[str, Any]) -> None:
    if gossip["logs"] > 1:
        console.out(f"{'gossip':18} {_gossip(gossip)}")
    for one in diverged:
        whose = "THIS LOG" if one["own"] else f"ledger {one['ledger']}"
        console.out(f"{'DIVERGED':18} {whose} signed two histories: {one_line(one['file'])}")


def _gossip(found: dict[str, Any]) -> str:
    told = f"heads of {found['logs']} logs, {found['heard']} told by others first"
    silent = "; ".join(f"{log[:16]}: {why}" for log, why in found["unresponsive"].items())
    return one_line(f"{told}; UNRESPONSIVE {silent}" if silent else told)


def _relays(relays: list[dict[str, Any]]) -> str:
    if not relays:
        return "none"
    up = sum(one["connected"] for one in relays)
    told = [f"{up} of {len(relays)} connected"]
    queued = sum(one["queued"] for one in relays)
    faulty, unread = (sum(bool(one[what]) for one in relays) for what in ("faults", "undelivered"))
    told += [f"{queued} events queued"] if queued else []
    told += [f"{faulty} with faults"] if faulty else []
    told += [f"{unread} that did not take a SEALED MESSAGE"] if unread else []
    return ", ".join(told) + " (timmy mesh relays)"


def _local(local: dict[str, Any]) -> str:
    state = local["state"] + (f": {local['reason']}" if local["reason"] else "")
    bound = {"cgroup": "held by the kernel", "watched": "looked at each second"}
    most, peak = (local[f"memory_bytes_{which}"] // 2**20 for which in ("max", "peak"))
    memory = f"{peak} of at most {most} MiB ({bound.get(local['memory_bound'], 'not running')})"
    sha256 = local["sha256"] or "not read yet"
    return one_line(f"{state}; {local['url']}; {memory}; lives {local['lives']}; sha256 {sha256}")


def _self_check(looked: dict[str, Any]) -> str:
    last, running = looked["last"], looked["running"]
    told = []
    if last is not None:
        told.append(f"{last['verdict']} at {last['size']} events, {console.when(last['ended_ms'])}")
        told += [] if last["good"] else [f"{last['text']}; run: timmy doctor"]
    if running is not None:
        told.append(f"reading everything, {100 * running['done'] // max(1, running['of'])} %")
    return one_line("; ".join(told) or "none yet since the start")


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{key} {item}" for key, item in value.items())
    return one_line(str(value))
