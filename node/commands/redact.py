"""Erase what events say. The events stay, with their commitments: that they were there is proven.

    timmy redact 12 13               erase what these two say
    timmy redact 12 --preview        show what came of it, and change nothing
    timmy redact 12 --derived        and what quotes it, cites it or was written from it
    timmy redact 12 --downstream     and everything later that came of it, quoted or not
    timmy redact 12 --derived --also 40 --keep 31
                                     and 40 as well, and not 31

Without a running node the ledger is opened here; one that was rolled back is refused, as by `run`.

The preview says of each event why it is listed, and repeats no words:

    quotes      five words in a row, a whole short text, or a number or code
    cites       an answer that was given the passage and names it: [12]
    derived     a note or a summary that was written from it
    answers     what was answered to it
    shown       written by a turn whose prompt or search had it: it may paraphrase
    follows     came of it in some other way: later turns of the same conversation
    earlier     said the same words before: name it too, or they are still there
    fact        the words stand in facts, which cannot be erased

`--derived` takes the first three, `--downstream` the first six. What the node made by itself of
these words (summaries, memories that it distilled, drafts of skills) goes with them in any case,
unless `--keep` names it; agent and models are not shown it any more either way. A quotation of
fewer words, a translation and a paraphrase are not recognised: `--preview` shows what to read.

Erased are the words in this home: rows, write-ahead log, search index, the agent's memory, and the
sealed messages that they came or went in, in the outbox and the node's own relay. A redaction that
is interrupted is finished at the next start. Not reached: exports, proofs and backups, copies at
others, logs of model providers, file system snapshots, spare blocks of an SSD.
"""

import argparse
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from ledger.core import types
from ledger.core.errors import Refused
from ledger.derived import DOWNSTREAM, TAKEN, Finding, find_derived
from mesh.core.errors import StoreError as MeshStoreError
from node import console
from node.client import Client, NotRunning
from node.home import Home
from node.keeping import redacting
from node.open import Reading, appending, reading

_NAMED_MAX = 12
"""More positions than this are a number, not a list."""
_SHOWN_MAX = 40
"""Findings on a screen; `--json` has all of them."""
_TRIES = 10
"""Half a second apart: a reader that stays longer is somebody's open program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be erased, what came of it, and which of that is taken along."""

    named: list[int]
    positions: list[int]
    findings: list[Finding]

    def rows(self) -> list[dict[str, Any]]:
        taken = set(self.positions)
        return [asdict(one) | {"taken": one.position in taken} for one in self.findings]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("events", nargs="+", help="positions, or starts of ids in hex")
    parser.add_argument("--reason", default="asked for", help="kept in the ledger for good")
    parser.add_argument("--preview", action="store_true", help="show what came of them, and stop")
    parser.add_argument(
        "--derived", action="store_true", help="also what quotes, cites or was written from them"
    )
    parser.add_argument(
        "--downstream", action="store_true", help="also everything later that came of them"
    )
    parser.add_argument("--also", nargs="+", default=[], metavar="EVENT", help="these too")
    parser.add_argument("--keep", nargs="+", default=[], metavar="EVENT", help="but not these")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Redact; there is no way back."""
    home = Home.find(arguments.home)
    with reading(home) as opened:
        plan = _plan(opened, arguments)
        if not arguments.preview:
            redacting.ask(opened.log, plan.positions, reason=arguments.reason, actor="operator")
    if arguments.preview:
        return _preview(plan, as_json=arguments.json)
    if not arguments.json:
        _remark(plan)
    if not arguments.yes and not _confirmed(plan.positions):
        console.say("nothing was changed")
        if arguments.json:
            console.out_json({"targets": []})
        return 1
    body = {"positions": plan.positions, "reason": arguments.reason}
    try:
        done = Client.find(home).call("POST", "/v1/redact", body)
    except NotRunning:
        done = _redact_here(home, plan.positions, arguments.reason)
    if arguments.json:
        console.out_json(done | {"findings": plan.rows()})
    else:
        _report(done)
    return 0


def _plan(opened: Reading, arguments: argparse.Namespace) -> _Plan:
    def resolve(names: list[str]) -> set[int]:
        return {opened.views.resolve(name).position for name in names}

    named, also, keep = (resolve(names) for names in _names(arguments))
    if clash := keep & (named | also):
        raise Refused(f"event {min(clash)} is to be erased and kept", hint="leave one of them out")
    findings = find_derived(opened.log, named)
    taken = DOWNSTREAM if arguments.downstream else TAKEN if arguments.derived else ()
    found = {one.position for one in findings if one.how in taken or _own(opened, one)}
    return _Plan(
        named=sorted(named), positions=sorted(named | also | found - keep), findings=findings
    )


def _own(opened: Reading, finding: Finding) -> bool:
    """Whether the node made it of those words by itself: a summary, a draft, a distilled memory."""
    if finding.how not in TAKEN:
        return False
    noted = finding.type == types.MEMORY_NOTED.name
    made = finding.type in (types.CONTEXT_COMPACTED.name, types.SKILL_DRAFTED.name)
    return made or (noted and "by" in opened.log.read(finding.position).payload)


def _names(arguments: argparse.Namespace) -> tuple[list[str], list[str], list[str]]:
    return arguments.events, arguments.also, arguments.keep


# ---- telling ------------------------------------------------------------------------------------


def _preview(plan: _Plan, *, as_json: bool) -> int:
    if as_json:
        console.out_json({"targets": plan.positions, "findings": plan.rows()})
        return 0
    rows = [
        ["erased" if row["taken"] else "", str(row["position"]), row["type"], _why(one)]
        for row, one in zip(plan.rows(), plan.findings, strict=True)
    ]
    console.table(("", "event", "type", "why it is listed"), rows)
    console.say(f"{_listed(plan.positions)} would be erased; nothing was changed")
    return 0


def _why(finding: Finding) -> str:
    words = f"{finding.words} word{'s' if finding.words != 1 else ''}"
    match finding.how.value:
        case "quotes":
            return f"quotes {words} of {finding.of}"
        case "cites":
            return f"cites [{finding.of}]"
        case "derived":
            return f"was written from {finding.of}"
        case "answers":
            return f"answers {finding.of}"
        case "shown":
            return f"was written with {finding.of} before it"
        case "follows":
            return f"came of {finding.of}, without quoting it"
        case "earlier":
            return f"said {words} of {finding.of} before: name it too, or they stay"
    return f"its facts repeat {words} of {finding.of}, and facts cannot be erased"


def _remark(plan: _Plan) -> None:
    """Say what is taken along and what is left, for a person who is about to answer."""
    for row, one in zip(plan.rows()[:_SHOWN_MAX], plan.findings, strict=False):
        told = "erased too" if row["taken"] else "left"
        console.say(f"event {one.position} ({one.type}) {_why(one)}: {told}")
    if len(plan.findings) > _SHOWN_MAX:
        console.say(f"and {len(plan.findings) - _SHOWN_MAX} more: timmy redact --preview")
    left = Counter(one.how for one in plan.findings if one.position not in set(plan.positions))
    if left.keys() & TAKEN:
        console.say(f"{sum(left[how] for how in TAKEN)} hold its words: --derived erases them too")


def _report(done: dict[str, Any]) -> None:
    if done["targets"]:
        console.out(
            f"erased what {_listed(done['targets'])} said; event {done['position']} says so"
        )
    for at, by in done["already"].items():
        console.out(f"what event {at} said was erased before; event {by} says so")
    if not done["finished"]:
        console.say("redaction pending: a program that reads this home keeps old bytes in a file")
        console.say("the node finishes it as soon as it can; look: timmy doctor")
    console.say(f"not reached: {'; '.join(done['not_reached'])}")


def _listed(positions: list[int]) -> str:
    more = " …" if len(positions) > _NAMED_MAX else ""
    return ", ".join(map(str, positions[:_NAMED_MAX])) + more


def _confirmed(positions: list[int]) -> bool:
    if not sys.stdin.isatty():
        raise Refused("erasing wants a yes, and there is no terminal to ask on", hint="--yes")
    console.say(f"what {_listed(positions)} say will be gone for good. Type yes to go on:")
    return sys.stdin.readline().strip() == "yes"


# ---- without a node -----------------------------------------------------------------------------


def _redact_here(home: Home, positions: list[int], reason: str) -> dict[str, Any]:
    from node.nostr.withdrawing import withdraw_here  # heavy: it opens outbox and relay

    with appending(home) as log:
        asked = redacting.ask(log, positions, reason=reason, actor="operator")
        events = log.append_now(*asked.drafts) if asked.drafts else []
        event = events[0] if events else log.read(min(asked.already.values()))
        finished, withdrawn = log.finish_erasing(tries=_TRIES), False
        with suppress(MeshStoreError):  # erased it is; the node does the rest at its next start
            withdrawn = withdraw_here(home, log)
    with reading(home) as opened:
        finished &= opened.views.purge() and withdrawn
    return {
        "position": event.position,
        "id": event.id.hex(),
        "targets": list(asked.targets),
        "already": {str(at): by for at, by in asked.already.items()},
        "finished": finished,
        "not_reached": list(redacting.NOT_REACHED),
    }
