"""Other nodes: the fleet that this one is of, and who signs whose heads as a witness.

timmy mesh members [CONVERSATION]        who is of the fleet, who is there, who asks to join; who
                                         answers that conversation
timmy mesh found --url http://HOST:PORT  begin a fleet with this node
timmy mesh invite [--roles home,jobs]    print a token that is good once: timmy run --join TOKEN
timmy mesh invite --relay wss://HOST     one for who reaches no member: he asks by that relay
timmy mesh admit [NAME or LEDGER ...]    take in who asked (all, if none is named)
timmy mesh refuse NPUB                   take who asked under that key from the list; his token ends
timmy mesh remove NAME or LEDGER         remove a member
timmy mesh policy --needed 2             so many witnesses sign a head before it goes to relays
timmy mesh policy --quorum 3             so many voters say yes to a change of who decides
timmy mesh approve DIGEST                say yes, as a voter, to what the operator proposes
timmy mesh mirrors                       copies of other ledgers: how much of each, how new
timmy mesh relays                        how each relay is: queues, faults, what is known of it
timmy mesh task NPUB [NPUB ...] WORDS    give agents a task; timmy mesh tasks shows their reports
timmy mesh task WORDS --any              to one that has time; --able gpu: and can do that; --wait:
                                         and if none has, to the first that has, within a day
timmy mesh witness                       who is asked, what they said, whether heads are released
timmy mesh witness ask                   ask them now
timmy mesh witness vouch                 nobody answers, and this is the newest state: release again
timmy mesh witness proof LEDGER -o FILE  the file that shows that a log signed two histories

found, admit, remove and policy sign a manifest with the operator's key, on the machine where that
key lies. One that changes voters, witnesses, quorum or needed is proposed, and holds once a quorum
of voters said approve. admit and remove take --needed and --quorum, too.
A token leads to this node's address, or with --relay to one or more relays, or with --url too to
both. What goes by a relay is sealed: it sees neither the token nor the fleet. It has to take gift
wraps of strangers; this node's own relay does while such a token is good.

A node that asks witnesses releases nothing new until one of them has answered: an old backup would
otherwise sign a second history. vouch is your word in its place; against a witness that saw more,
only the newer state helps, or a new epoch (timmy recover).

A mirror is a folder in <home>/mirrors that is read like a home, also when the node is stopped:
timmy --home ~/.timmy/mirrors/LEDGER verify. A home of it: export from there, then timmy import.
Where no network leads, a file feeds it: timmy import --mirror.
One of leaves only (mesh.mirror_leaves) holds no event: it proves, and notices a rewritten one.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from ledger.files import write_atomically
from node import console
from node.client import Client, path
from node.commands import mesh_tasks
from node.commands.mesh_relays import show_relays
from node.commands.options import refuse_unused
from node.fleet import mirror_rows
from node.home import Home

_WORDLESS: Final = ("found", "invite", "policy", "mirrors", "relays", "tasks")
_CHANGES: Final = ("policy", "admit", "remove")
_PROOF: Final = ("witness proof",)
_USED_BY: Final = {
    "url": ("--url", ("found", "invite")),
    "relays": ("--relay", ("invite",)),
    "roles": ("--roles", ("invite",)),
    "hours": ("--hours", ("invite",)),
    "lead": ("--lead", ("admit", "remove")),
    "needed": ("--needed", _CHANGES),
    "quorum": ("--quorum", _CHANGES),
    "able": ("--any or --able", ("task",)),
    "wait": ("--wait", ("task",)),
    "due": ("--due", ("task",)),
    "epoch": ("--epoch", _PROOF),
    "output": ("-o", _PROOF),
    "passphrase_fd": ("--passphrase-fd", ("found", *_CHANGES)),
}
"""Which of the actions use an option: others refuse it."""
_ROLES: Final = "home,jobs,witness"
_HOURS: Final = 24
_DIGEST_CHARS_MIN: Final = 8
_RELAYED: Final = ("relays", "task", "tasks")
_WITNESS: Final = ("show", "ask", "vouch", "proof")

WORDS: Final = "which"
"""Words may stand on both sides of options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    whats = [
        "members",
        "found",
        "invite",
        "admit",
        "refuse",
        "remove",
        "policy",
        "approve",
        "mirrors",
        "relays",
        "task",
        "tasks",
        "witness",
    ]
    parser.add_argument("what", choices=whats)
    parser.add_argument("which", nargs="*", help="names or ledger ids; for witness what to do")
    parser.add_argument("--url", metavar="URL", help="found, invite: how others reach this node")
    parser.add_argument(
        "--relay", action="append", metavar="URL", dest="relays",
        help="invite: wss:// or ws:// address of a relay by which the newcomer asks; repeatable",
    )  # fmt: skip
    parser.add_argument("--roles", help=f"invite: what it may be (default {_ROLES})")
    parser.add_argument("--hours", type=int, help=f"invite: how long (default {_HOURS})")
    parser.add_argument(
        "--lead", type=int, metavar="MINUTES",
        help="admit, remove: until new voters decide (default 120; at once if nobody else decides)",
    )  # fmt: skip
    parser.add_argument(
        "--needed", type=int, metavar="N", help="policy, admit, remove: cosignatures under a head"
    )
    parser.add_argument(
        "--quorum", type=int, metavar="N", help="policy, admit, remove: voters for a change"
    )
    parser.add_argument(
        "--any", action="store_const", const="any", dest="able",
        help="task: to one member of the fleet that takes it; no npub is named",
    )  # fmt: skip
    parser.add_argument(
        "--able", metavar="WORD", help="task: to one that is able to do that (mesh.able)"
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="task: if no member takes it now, the first that has time",
    )
    parser.add_argument("--due", type=int, metavar="SECONDS", help="task: of no use after that")
    parser.add_argument("--epoch", type=int, help="proof: of this epoch (default 0)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="proof: where to")
    parser.add_argument("--passphrase-fd", type=int, metavar="N", help="of the operator's key")


def _check(arguments: argparse.Namespace) -> None:
    """Refuse a word or a number that would mean nothing. Raises TimmyError."""
    what, words = arguments.what, arguments.which
    action = f"witness {words[0] if words else 'show'}" if what == "witness" else what
    refuse_unused(arguments, f"mesh {action}", action, _USED_BY)
    if what in _WORDLESS and words:
        raise TimmyError(f"mesh {what} takes no {words[0]!r}", hint=f"timmy mesh {what}")
    if what == "refuse" and len(words) != 1:
        raise TimmyError(
            f"refuse takes one npub, not {len(words)}",
            hint="timmy mesh members shows who asks to join",
        )
    if arguments.due is not None and arguments.due < 1:
        raise TimmyError(
            f"--due {arguments.due}: the task would be of no use already",
            hint="seconds from now, 1 or more; or left out",
        )
    if what == "policy" and not _numbers(arguments):
        raise TimmyError("what is to be the policy?", hint="--needed N, --quorum N or both")


def run(arguments: argparse.Namespace) -> int:
    """Ask the node."""
    _check(arguments)
    home = Home.find(arguments.home)
    if arguments.what == "witness":
        return _witness(home, arguments)
    if arguments.what == "mirrors":
        return mirror_rows.run(home, as_json=arguments.json)
    client = Client.find(home)
    if arguments.what in _RELAYED:
        return _relayed(client, arguments)
    match arguments.what:
        case "members":
            where = path("v1", "fleet", conversation=" ".join(arguments.which) or None)
            return _tell(arguments, client.call("GET", where), _members)
        case "refuse":
            asked = {"action": "refuse", "npub": arguments.which[0]}
            found = client.call("POST", "/v1/fleet", asked)
            return _tell(arguments, found, lambda f: console.out(
                f"{f['refused']} invitations ended; make another: timmy mesh invite"))  # fmt: skip
        case "invite":
            return _invite(client, arguments)
        case "approve":
            digest = _proposed(client, arguments)
            found = client.call("POST", "/v1/fleet", {"action": "approve", "manifest": digest})
            return _tell(arguments, found, _changed)
        case "found":
            body = {"action": "draft"} | ({"url": arguments.url} if arguments.url else {})
            if client.call("GET", "/v1/fleet")["fleet"] is not None:
                raise TimmyError("this node is of a fleet", hint="timmy mesh members shows it")
            return _change(client, home, arguments, body)
        case "policy":
            return _change(client, home, arguments, {"action": "draft", **_numbers(arguments)})
        case what:
            return _change(client, home, arguments, _wanted(client, arguments, what))


def _relayed(client: Client, arguments: argparse.Namespace) -> int:
    """What goes by relays."""
    if arguments.what == "task":
        return mesh_tasks.give(client, arguments)
    if arguments.what == "tasks":
        return mesh_tasks.show(client, as_json=arguments.json)
    return show_relays(client, as_json=arguments.json)


def _wanted(client: Client, arguments: argparse.Namespace, what: str) -> dict[str, Any]:
    """Who is to be taken in or removed, by ledger id. Raises TimmyError."""
    fleet = client.call("GET", "/v1/fleet")
    rows = fleet["waiting"] if what == "admit" else fleet["members"]
    found = [_find(rows, one, what) for one in arguments.which]
    if what == "admit" and not found:
        found = [row["ledger"] for row in rows]
    if not found:
        text = "nobody asks to join" if what == "admit" else "nobody is named"
        raise TimmyError(text, hint="timmy mesh members shows who is there and who waits")
    lead = {} if arguments.lead is None else {"lead_s": 60 * arguments.lead}
    whom = {"add" if what == "admit" else "remove": found}
    return {"action": "draft"} | whom | lead | _numbers(arguments)


def _numbers(arguments: argparse.Namespace) -> dict[str, int]:
    """Of the policy's numbers, those that are given."""
    given = {"needed": arguments.needed, "quorum": arguments.quorum}
    return {name: number for name, number in given.items() if number is not None}


def _proposed(client: Client, arguments: argparse.Namespace) -> str:
    """The digest of the proposal that the user names the beginning of. Raises TimmyError."""
    proposal = client.call("GET", "/v1/fleet")["proposal"]
    digest = "" if proposal is None else str(proposal["digest"])
    [given] = arguments.which if len(arguments.which) == 1 else [""]
    if len(given) < _DIGEST_CHARS_MIN or not digest.startswith(given):
        raise TimmyError(
            "no such manifest is proposed",
            hint="timmy mesh members shows what is; name it by 8 digits of its digest",
        )
    return digest


def _find(rows: list[dict[str, Any]], word: str, what: str) -> str:
    found = [
        row["ledger"]
        for row in rows  # a name is whatever its bearer likes, also the beginning of another's id
        if word == row["name"] or row["ledger"].startswith(word if len(word) > 7 else "?")
    ]
    if len(found) != 1:
        raise TimmyError(
            f"{len(found)} of those to {what} are called {word!r}", hint="name it by its ledger id"
        )
    return str(found[0])


def _change(client: Client, home: Home, arguments: argparse.Namespace, body: dict[str, Any]) -> int:
    """Draft at the node, sign here with the operator's key, and hand it in."""
    from dataclasses import replace

    from genesis.keys import keystore, passphrase
    from mesh.core.fleet.manifest import Manifest, sign_manifest

    draft = client.call("POST", "/v1/fleet", body)["manifest"]
    manifest = Manifest.parse(bytes.fromhex(draft))
    given = passphrase.obtain(
        state=home.state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
    )
    operator = keystore.unlock_operator(home.operator, given.text)
    if not manifest.number:
        manifest = replace(manifest, operator=operator.public)
    signed = sign_manifest(manifest, operator).encode()
    found = client.call("POST", "/v1/fleet", {"action": "take", "manifest": signed.hex()})
    return _tell(arguments, found, _changed)


def _changed(found: dict[str, Any]) -> None:
    """Say that a manifest holds, or who says yes and what the others have to type."""
    if (waits := found["proposal"]) is None:
        console.out(f"manifest {found['number']} holds")
        return
    yes = ", ".join(waits["approved"]) or "nobody"
    console.out(one_line(
        f"manifest {found['number']} is proposed: {yes} said yes, {waits['quorum']} voters have to"
    ))  # fmt: skip
    console.out(f"on the others' machines: timmy mesh approve {waits['digest'][:12]}")


def _invite(client: Client, arguments: argparse.Namespace) -> int:
    given = _ROLES if arguments.roles is None else arguments.roles
    hours = _HOURS if arguments.hours is None else arguments.hours
    roles = [role for role in given.split(",") if role]
    body: dict[str, Any] = {"action": "invite", "roles": roles, "hours": hours}
    body |= {"url": arguments.url} if arguments.url else {}
    body |= {"relays": arguments.relays} if arguments.relays else {}
    found = client.call("POST", "/v1/fleet", body)
    return _tell(arguments, found, lambda f: console.out(f["token"]))


def _tell(arguments: argparse.Namespace, found: Any, show: Any) -> int:
    console.out_json(found) if arguments.json else show(found)
    return 0


def _members(found: dict[str, Any]) -> None:
    if found["fleet"] is None:
        waits = "it waits to be taken in" if found["joining"] else "timmy mesh found begins one"
        console.out(f"this node is of no fleet: {waits}")
        _unheard(found)
        return
    console.out(f"fleet     {found['fleet']}, manifest {found['number']}")
    if found["removed"] is not None:
        console.out(f"REMOVED   manifest {found['removed']['number']} took this node out of it")
        console.say(one_line(f"hint: {found['removed']['hint']}"))
    voters, witnesses = (
        sum(role in one["roles"] for one in found["members"]) for role in ("voter", "witness")
    )
    console.out(f"policy    quorum {found['quorum']} of {voters} voters; "
                f"{found['needed']} of {witnesses} witnesses needed under a head")  # fmt: skip
    for one in found["members"]:
        console.out(one_line(f"{one['name']:9} {one['ledger']} {_facts(one)}"))
    if found["since"] > time.time():
        names = ", ".join(found["deciding"])
        console.out(one_line(f"voters    until {console.when(1000 * found['since'])}: {names}"))
    _routing(found)
    if (next_ := found["proposal"]) is not None:
        yes = ", ".join(next_["approved"]) or "nobody"
        facts = f"voters {', '.join(next_['voters'])}; witnesses {', '.join(next_['witnesses'])}"
        then = next_["then"]
        facts += f"; quorum {then['quorum']}, {then['needed']} cosignatures needed"
        facts += f"; its voters decide from {console.when(1000 * next_['since'])} on"
        text = f"proposed  {next_['digest']}: {facts}; {yes} of {next_['quorum']} said yes"
        console.out(one_line(text))
    for path_ in found["forks"]:
        console.out(f"TWO MANIFESTS  the operator signed this one beside the chain: {path_}")
    _unheard(found)
    for one in found["waiting"]:
        who = f"{one['ledger']} {one['npub']} {one['name']}"
        console.out(one_line(f"asks      {who}: {', '.join(one['roles'])}"))


def _facts(one: dict[str, Any]) -> str:
    """What a member may be, how it is, and what it says that it can do."""
    here = "this node" if one["self"] else "there" if one["there"] else "not heard of"
    facts = [", ".join(one["roles"]), here]
    if one["events"] is not None:
        facts += [f"{one['events']} events", f"load {one['load']:.2f}"]
    if one["able"]:
        facts.append(f"able {', '.join(one['able'])}")
    if "home" in one["roles"]:
        facts.append(f"lease {one['lease_s']} s")
    return "; ".join(facts)


def _unheard(found: dict[str, Any]) -> None:
    """Why a newcomer that waits to be taken in was not answered, and what to do."""
    for one in found["unheard"]:
        console.out(one_line(f"unheard   {one['why']}"))
        console.say(one_line(f"hint: {one['hint']}"))


def _routing(found: dict[str, Any]) -> None:
    """Whether words are handed on, by which rule they are answered, and who answers."""
    route = found["route"]
    how = "hands words on to their home" if route["on"] else "answers what it is told itself"
    if route["answer"] == "majority":
        how += f"; majority mode, {route['reached']} of {route['voters']} voters in reach"
    console.out(f"routing   this node {how}")
    now = next((one["ledger"] for one in found["answers"] if one["lease"]), None)
    for one in found["answers"]:
        state = "answers now" if one["ledger"] == now else "next" if one["lease"] else "no lease"
        console.out(one_line(f"answers   {one['name']:9} {one['ledger']} {state}"))


# ---- witnesses -----------------------------------------------------------------------------------


def _witness(home: Home, arguments: argparse.Namespace) -> int:
    """Show or do; exit 1 while the node releases nothing."""
    action, *rest = arguments.which or ["show"]
    wants = action == "proof"
    if action not in _WITNESS or len(rest) != wants or wants != (arguments.output is not None):
        raise TimmyError("witness: show, ask, vouch, or proof LEDGER -o FILE",
                         hint="timmy mesh --help")  # fmt: skip
    client = Client.find(home)
    if wants:
        return _proof(client, arguments, rest[0])
    if action == "show":
        found = client.call("GET", "/v1/witness")
    else:
        found = client.call("POST", "/v1/witness", {"action": action})
    _tell(arguments, found, _show)
    witnessed = found["witnessed"]
    return 1 if witnessed is not None and witnessed["held"] else 0


def _proof(client: Client, arguments: argparse.Namespace, ledger: str) -> int:
    data = client.raw("GET", path("witness", "equivocation", ledger, arguments.epoch or 0))
    write_atomically(arguments.output, data, mode=0o644)
    found = {"file": str(arguments.output), "bytes": len(data)}
    return _tell(arguments, found, lambda f: console.out(
        f"{f['file']}: {f['bytes']} bytes; timmy verify says what they show"))  # fmt: skip


def _show(found: dict[str, Any]) -> None:
    own, asked, log = found["witness"], found["witnessed"], found["log"]
    console.out(f"origin    {log['origin']}")
    console.out(f"verifier  {log['key']}")
    if own is None:
        console.out("this node is no witness (witness.enabled)")
    else:
        console.out(f"key       {own['key']}")
        for log in own["logs"]:
            console.out(f"log       {log['ledger']} epoch {log['epoch']}: {log['size']} events")
        for log in own["frozen"]:
            console.out(f"FROZEN    {log['ledger']} epoch {log['epoch']}: two histories")
    if asked is None:
        console.out("no witness is asked (witness.ask)")
        return
    console.out(f"released  {one_line(asked['held']) or 'yes'}")
    if asked["held"]:
        console.out(f"do        {one_line(asked['hint'])}")
        for one in asked["others"]:
            console.out(one_line(f"asked     {one['url']}: {one['said']}"))
    for one in asked["asked"]:
        console.out(one_line(f"asked     {one['name']}: {one['outcome']} {one['reason']}"))
    if (needed := asked["needed"]) > (count := len(asked["asked"])):
        console.out(f"TOO FEW   {needed} have to sign, {count} are asked: nothing goes to relays")
    elif needed:
        console.out(f"needed    {needed} of {count}")
    if asked["newest"] is not None:
        names = ", ".join(one["name"] for one in asked["newest"]["witnesses"])
        console.out(one_line(f"cosigned  {asked['newest']['size']} events, by {names}"))
