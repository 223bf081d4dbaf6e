"""Children of this agent, and its parent: who, how far, what they said; orders to them.

    timmy lineage father --name Ada --into ./ada      a child: own keys, own home, your certificate
    timmy lineage father ... --soul FILE --skill NAME --gate tools_runs=5
    timmy lineage list                    children: which gates, when heard, what is the matter
    timmy lineage show [CHILD]            this agent as a child; or one child, with all letters
    timmy lineage gates [CHILD]           the criteria of each gate; as it was found last
    timmy lineage check CHILD [FILE]      fetch (or read) its ledger, verify, count, judge
    timmy lineage check CHILD --grant     and grant the gate that it is ready for
    timmy lineage guide CHILD "words"     say something to its agent
    timmy lineage patch CHILD FILE        propose a change; its own judge and operator decide
    timmy lineage patch CHILD fix.diff --rationale "..." --evaluation "..." --expected "..."
    timmy lineage reset CHILD --reason R --yes   end its autonomy; gates back to the rite
    timmy lineage report [CHILD]          what it reported last; as a child: report now
    timmy lineage carry [CHILD] -o FILE   letters that do not travel by themselves, as a file
    timmy lineage take FILE               and such a file taken

CHILD is the beginning of its ledger id. `check` exits 1 if the ledger is refused or a gate is lost.
An order is on record here and there; nothing is ever erased by one. docs/LINEAGE.md
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attest.verify.plain import jsonable, one_line
from ledger.core.errors import TimmyError
from mesh.core import nip19
from node import console
from node.client import Client, path
from node.commands import said
from node.home import Home

_ID_CHARS: Final = 16
_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of letters: some thousand of them."""


class LineageError(TimmyError):
    """A command about children that cannot be carried out as it is said."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_father(actions.add_parser("father", help="father a child"))
    actions.add_parser("list", help="list children")
    for name, about in (
        ("show", "this agent as a child, or one of its children"),
        ("gates", "what each gate asks, and what there is"),
        ("report", "the last report of a child; of a child: report now"),
    ):
        one = actions.add_parser(name, help=about)
        one.add_argument("child", nargs="?", metavar="CHILD", help="beginning of its ledger id")
    check = actions.add_parser("check", help="verify, count and judge a child's ledger")
    check.add_argument("child", metavar="CHILD")
    check.add_argument("file", nargs="?", type=Path, help="an export of it, brought by hand")
    check.add_argument("--grant", action="store_true", help="grant the gate that is ready")
    guide = actions.add_parser("guide", help="say something to a child's agent")
    guide.add_argument("child", metavar="CHILD")
    guide.add_argument("text")
    patch = actions.add_parser("patch", help="propose a change to a child")
    patch.add_argument("child", metavar="CHILD")
    patch.add_argument("file", type=Path, help="a proposal, or a bare diff")
    said.add_arguments(patch, "a bare diff")
    reset = actions.add_parser("reset", help="end a child's autonomy")
    reset.add_argument("child", metavar="CHILD")
    reset.add_argument("--reason", required=True, help="for the record, there and here")
    reset.add_argument("--yes", action="store_true", help="do it")
    carry = actions.add_parser("carry", help="write letters to a file")
    carry.add_argument("child", nargs="?", metavar="CHILD", help="without: to the parent")
    carry.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    take = actions.add_parser("take", help="take letters from a file")
    take.add_argument("file", type=Path)


def _add_father(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="what the child is called")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="its home")
    parser.add_argument("--soul", type=Path, metavar="FILE", help="its own SOUL (the parent's)")
    parser.add_argument(
        "--skill", action="append", default=[], metavar="NAME", help="an adopted skill to give it"
    )
    parser.add_argument(
        "--gate", action="append", default=[], metavar="NAME=N", help="a number of its gates"
    )
    parser.add_argument(
        "--network", choices=["regtest", "signet", "mainnet"], default="regtest",
        help="where it may be anchored one day (regtest)",
    )  # fmt: skip
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="its state (this one's)")
    parser.add_argument("--kit", type=Path, metavar="FILE", help="write its recovery kit here")
    parser.add_argument(
        "--passphrase-fd", type=int, metavar="N", help="read its passphrase from this descriptor"
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    return _ACTIONS[arguments.action](Home.find(arguments.home), arguments)


# ---- a birth ------------------------------------------------------------------------------------


def _father(home: Home, arguments: argparse.Namespace) -> int:
    from genesis.core.children.gates import check_numbers
    from genesis.keys import passphrase
    from node.children.fathering import Plan, father
    from node.identity.kits import shower

    gates = dict(map(_number, arguments.gate))
    check_numbers(gates)
    Client.find(home)  # refused before anything is shown or made
    state = arguments.state.absolute() if arguments.state else home.state
    child = Home(path=arguments.into.expanduser().absolute(), state=state)
    show, kit = shower(child, arguments.name, arguments.kit, as_json=arguments.json)
    given = passphrase.obtain(
        state=state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
        confirm=True,
    )
    plan = Plan(
        name=arguments.name,
        soul=arguments.soul,
        network=arguments.network,
        skills=tuple(dict.fromkeys(arguments.skill)),
        gates=gates,
    )
    made = father(home, child, plan, given, show)
    if kit is not None and kit.exists():
        console.say(f"the recovery kit is in {kit}: move it off this machine")
    result = {
        "child": made.certificate.child,
        "name": made.name,
        "npub": nip19.npub(made.certificate.child_keys["nostr"].hex()),
        "home": str(made.home),
        "parent": made.certificate.parent,
        "skills": dict(made.certificate.skills),
        "taken_up": made.again,
    }
    if arguments.json:
        console.out_json(result)
    else:
        for key in ("child", "name", "npub", "home"):
            console.out(f"{key:12} {jsonable(result[key])}")
        console.out(f"start it:    timmy --home {made.home} run")
    return 0


def _number(text: str) -> tuple[str, int]:
    name, sign, value = text.partition("=")
    if not sign or not value.isascii() or not value.isdigit():
        raise LineageError(f"{text[:80]!r} is no number of a gate", hint="--gate tools_runs=5")
    return name, int(value)


# ---- looking ------------------------------------------------------------------------------------


def _list(home: Home, arguments: argparse.Namespace) -> int:
    rows = Client.find(home).call("GET", "/v1/lineage")["children"]
    if arguments.json:
        console.out_json(rows)
        return 0
    if not rows:
        console.out("no children: timmy lineage father --name NAME --into FOLDER")
        return 0
    console.table(
        ("child", "gates", "may", "heard", "matter"),
        [
            (
                row["child"][:_ID_CHARS], row["gate"] or "none", row["may"].partition(":")[0],
                _when(row["heard_ms"]), _matter(row),
            )
            for row in rows
        ],
    )  # fmt: skip
    return 0


def _matter(row: dict[str, Any]) -> str:
    said = ["silent"] if row["silent"] else []
    said += [f"{row['alarms']} alarms"] if row["alarms"] else []
    checked = row["checked"] or {}
    if checked.get("verdict") == "refused":
        said.append(f"ledger refused: {checked['why'][:60]}")
    if checked.get("ready"):
        said.append(f"ready for {checked['ready']}")
    return ", ".join(said) or "-"


def _when(at_ms: int | None) -> str:
    if not at_ms:
        return "never"
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=UTC):%Y-%m-%d %H:%M}"


def _show(home: Home, arguments: argparse.Namespace) -> int:
    client = Client.find(home)
    if arguments.child is not None:
        found = client.call("GET", path("v1", "lineage", arguments.child))
    else:
        found = client.call("GET", "/v1/lineage")["parent"]
    if arguments.json:
        console.out_json(found)
        return 0
    if found is None:
        console.out("this agent has no parent; children: timmy lineage list")
        return 0
    for key in ("child", "parent", "npub", "url", "gate", "may", "next", "orders", "told"):
        if key in found:
            value = nip19.npub(found[key]) if key == "npub" else found[key]
            console.out(one_line(f"{key:8} {value or '-'}"))
    for name, digest in found["skills"].items():
        console.out(f"skill    {name}  sha256 {digest[:_ID_CHARS]}")
    for one in found.get("failed", []):
        console.out(one_line(f"failed   order {one['number']}: {one['why']}"))
    for letter in found.get("letters", []):
        words = (letter["text"] or "").strip().partition("\n")[0][:80]
        facts = letter["facts"].get("gate") or letter["facts"].get("trigger") or ""
        console.out(
            one_line(f"{_when(letter['at_ms'])}  {letter['kind']:13} {facts:9} {words}".rstrip())
        )
    return 0


def _gates(home: Home, arguments: argparse.Namespace) -> int:
    from genesis.core.children.gates import NUMBERS

    if arguments.child is None:
        rows = [
            (name, str(n.default), f"{n.least} to {n.most}", n.why) for name, n in NUMBERS.items()
        ]
        if arguments.json:
            console.out_json(
                [dict(zip(("name", "default", "bounds", "why"), row, strict=True)) for row in rows]
            )
        else:
            console.table(("number", "default", "bounds", "why"), rows)
        return 0
    found = Client.find(home).call("GET", path("v1", "lineage", arguments.child))
    if arguments.json:
        console.out_json(found)
        return 0
    console.out(one_line(f"passed: {found['gate'] or 'none'} ({found['may']})"))
    checked = found["checked"]
    if not checked or "findings" not in checked:
        console.out("not looked at yet: timmy lineage check CHILD")
        return 0
    console.table(
        ("gate", "criterion", "has", "asked", "holds"),
        [
            (g, n, str(have), str(need), "yes" if ok else "no")
            for g, n, have, need, ok in checked["findings"]
        ],
    )
    return 0


def _check(home: Home, arguments: argparse.Namespace) -> int:
    body = {"action": "check", "child": arguments.child, "grant": arguments.grant}
    if arguments.file is not None:
        body["file"] = str(arguments.file.expanduser().absolute())
    found = Client.find(home).call("POST", "/v1/lineage", body, timeout=1800)
    judgment = found["judgment"]
    if arguments.json:
        console.out_json(found)
    else:
        console.out(one_line(f"ledger {found['verdict']}, {found['checked']['size']} events"))
        console.table(
            ("gate", "criterion", "has", "asked", "holds"),
            [
                (one["gate"], one["about"], str(one["have"]), str(one["need"]),
                 "yes" if one["holds"] else "no")
                for one in judgment["findings"]
            ],
        )  # fmt: skip
        console.out(one_line(f"passed: {found['gate'] or 'none'}; it {found['did'] or 'stays so'}"))
        if judgment["ready"] and not found["current"]:
            console.out("nothing is granted on it: it lacks orders that its parent gave since")
        elif judgment["ready"] and not found["did"]:
            console.out(f"ready for {judgment['ready']}: timmy lineage check CHILD --grant")
    return 1 if judgment["lost"] else 0


def _report(home: Home, arguments: argparse.Namespace) -> int:
    client = Client.find(home)
    if arguments.child is None:
        found = client.call("POST", "/v1/lineage", {"action": "report"})
        said = f"event {found['position']}: told the parent"
    else:
        letters = client.call("GET", path("v1", "lineage", arguments.child))["letters"]
        reports = [one for one in letters if one["kind"] == "told/report"]
        if not reports:
            raise LineageError("this child reported nothing yet", hint="timmy lineage list")
        found = reports[-1]
        said = found["text"] or "the words of the report were erased"
    if arguments.json:
        console.out_json(found)
    else:
        console.out(said.rstrip("\n"))
    return 0


# ---- orders -------------------------------------------------------------------------------------


def _guide(home: Home, arguments: argparse.Namespace) -> int:
    return _order(home, arguments, arguments.text)


def _patch(home: Home, arguments: argparse.Namespace) -> int:
    from genesis.core.limits import DOCUMENT_BYTES_MAX
    from node.agent.drafting import is_document

    data = _read(arguments.file, DOCUMENT_BYTES_MAX)
    if is_document(data):
        said.refuse(arguments)
    else:
        data, _ = said.around(arguments, data)
    return _order(home, arguments, data.decode())


def _reset(home: Home, arguments: argparse.Namespace) -> int:
    if not arguments.yes:
        raise LineageError(
            "a reset ends what this child does by itself, and takes its gates back to the rite",
            hint="its ledger stays; say so once more with --yes",
        )
    return _order(home, arguments, arguments.reason)


def _order(home: Home, arguments: argparse.Namespace, text: str) -> int:
    body = {"action": arguments.action, "child": arguments.child, "text": text}
    found = Client.find(home).call("POST", "/v1/lineage", body)
    if arguments.json:
        console.out_json(found)
    else:
        console.out(
            one_line(
                f"event {found['position']}: order {found['orders']} to "
                f"{found['child'][:_ID_CHARS]}; gates: {found['gate'] or 'none'}"
            )
        )
    return 0


def _carry(home: Home, arguments: argparse.Namespace) -> int:
    body = {"action": "carry"} | ({"child": arguments.child} if arguments.child else {})
    letters = Client.find(home).call("POST", "/v1/lineage", body)["letters"]
    try:
        with arguments.output.open("x") as file:
            json.dump({"letters": letters}, file)
    except OSError as error:
        raise LineageError(
            f"{arguments.output} cannot be written: {error.strerror}", hint="another -o FILE"
        ) from error
    result = {"file": str(arguments.output), "letters": len(letters)}
    console.out_json(result) if arguments.json else console.out(f"{len(letters)} letters")
    return 0


def _take(home: Home, arguments: argparse.Namespace) -> int:
    try:
        letters = json.loads(_read(arguments.file, _FILE_BYTES_MAX))["letters"]
    except (ValueError, KeyError, TypeError) as error:
        raise LineageError(
            f"{arguments.file} is no file of letters", hint="timmy lineage carry -o FILE makes one"
        ) from error
    body = {"action": "take", "letters": letters}
    found = Client.find(home).call("POST", "/v1/lineage", body)
    console.out_json(found) if arguments.json else console.out(f"number {found['number']} taken")
    return 0


def _read(file: Path, bytes_max: int) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(bytes_max + 1)
        data.decode()
    except OSError as error:
        raise LineageError(
            f"{file} cannot be read: {error.strerror}", hint="name a file"
        ) from error
    except UnicodeDecodeError as error:
        raise LineageError(f"{file} is not UTF-8", hint="iconv turns it into that") from error
    if len(data) > bytes_max:
        raise LineageError(f"{file} has more than {bytes_max} bytes", hint="send less")
    return data


_ACTIONS: Final = {
    "father": _father,
    "list": _list,
    "show": _show,
    "gates": _gates,
    "check": _check,
    "guide": _guide,
    "patch": _patch,
    "reset": _reset,
    "report": _report,
    "carry": _carry,
    "take": _take,
}
