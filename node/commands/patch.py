"""Propose a change of what the agent is made of, talk about it, have it tried in a sandbox.

    timmy patch new my-change            a folder: the files to edit, and proposal.md to fill in
    timmy patch diff my-change           what you changed there
    timmy patch propose my-change        record it: proposal.md with that diff
    timmy patch propose --git main..fix  or the commits of a checkout, with their message
    timmy patch list                     proposals: which attempt, what became of them
    timmy patch show 412                 one, with its comments
    timmy patch comment runtime/agent/prompt.py:31 "why twice?" --on 412
    timmy patch withdraw 412             it is open no more
    timmy patch judge 412                fork a successor from the ledger and try it, black box
    timmy patch verdicts [412]           what was proposed and how it was judged; or all on one
    timmy patch export 412 kind.patch    as a file, for another home: judge --bundle kind.patch
    timmy patch verify kind.patch FILE   do these verdicts hold, and agree?
    timmy patch take FILE --on 412       put another home's verdict on record
    timmy patch approve 412              say yes to it with your key; disapprove: no, or no more
    timmy patch sign question.json       where your key is: sign what approve --print wrote
    timmy patch apply 412                adopt it, if it is approved: first for a few
    timmy patch status                   what is in force, how far an adoption is
    timmy patch rollback --why TEXT      back to what was before
    timmy patch follow 5be1f0c2          take up now what another member of the fleet adopted
    timmy patch new idea --software ledger/core/state.py   constitutional: this software itself
    timmy patch files                    what the agent is made of, under which root
    timmy patch tree                     where the adopted tree lies

A proposal is Markdown with front matter and a diff. It must fit exactly; one that does not is
refused with file and line, and nothing was changed. Your first: docs/PATCHES.md

A judge sees protocol frames only; what it expects never enters the patched process. `judge` exits 0
only if the patch is accepted or, of this software, left to people. Accepting changes nothing:
people decide, with keys that the agent has not (docs/ADOPTION.md).
"""

import argparse
import re
from pathlib import Path
from typing import Any, Final

from attest.verify.plain import one_line
from genesis.core.patch import PatchClass
from ledger.core.errors import TimmyError
from ledger.core.types import PATCH_JUDGED, PATCH_PROPOSED, PATCH_REPORTED
from ledger.core.upcast import UPCASTERS
from node import console
from node.agent import drafting
from node.agent.drafting import DraftError
from node.client import Client, NodeSaid, architecture_of, path
from node.commands import patch_adopt, patch_approve, patch_verdicts, said
from node.home import Home
from node.open import Reading, reading

_JUDGED: Final = frozenset({PATCH_JUDGED.name, PATCH_REPORTED.name})
_LINE: Final = re.compile(r"line (\d+): (.*)", re.DOTALL)
_PLACE: Final = re.compile(r"(.+):([0-9]{1,7})")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a folder to edit, with a proposal to fill in")
    new.add_argument("folder", type=Path)
    new.add_argument(
        "--software", nargs="+", metavar="PATH", default=[],
        help="constitutional: to change these files of this software instead",
    )  # fmt: skip
    diff = actions.add_parser("diff", help="print a diff that `propose` takes")
    diff.add_argument(
        "what",
        nargs="?",
        help="a folder of `new`, or a proposal; without: what the installed tree has otherwise",
    )
    propose = actions.add_parser("propose", help="record a proposal in the ledger")
    propose.add_argument("file", type=Path, nargs="?", help="proposal.md, its folder, or a diff")
    propose.add_argument("--git", metavar="BASE..HEAD", help="commits of a checkout instead")
    propose.add_argument("--repo", type=Path, help="the checkout (this folder)")
    propose.add_argument(
        "--constitutional", action="store_true", help="a diff, or --git, of this software itself"
    )
    propose.add_argument("--author", default="operator", help="who proposes it (operator)")
    said.add_arguments(propose, "a diff, or of --git")
    comment = actions.add_parser("comment", help="say something about a line")
    comment.add_argument("place", metavar="FILE:LINE", help="a file it changes, or proposal:LINE")
    comment.add_argument("text")
    comment.add_argument("--on", metavar="EVENT", help="the proposal (the newest)")
    comment.add_argument("--author", default="operator", help="who says it (operator)")
    listing = actions.add_parser("list", help="list proposals")
    listing.add_argument("--refused", action="store_true", help="those that were refused instead")
    for name, about in (
        ("show", "print one proposal"),
        ("judge", "judge a proposal"),
        ("verdicts", "list proposals and verdicts; or those on one, beside each other"),
    ):
        one = actions.add_parser(name, help=about)
        newest = "" if name == "verdicts" else " (the newest)"
        one.add_argument("event", nargs="?", help=f"position or id of the proposal{newest}")
        if name == "judge":
            one.add_argument("--bundle", type=Path, metavar="FILE", help="what another home wrote")
            one.add_argument("-o", "--output", type=Path, help="with it: where the verdict goes")
            one.add_argument("--passphrase-fd", type=int, metavar="N", help="of this home's keys")
            one.add_argument(
                "--without-words",
                action="store_true",
                help="show the judge nobody's words",
            )
    withdraw = actions.add_parser("withdraw", help="have a proposal open no more")
    withdraw.add_argument("event", help="position or id of the proposal")
    withdraw.add_argument("--why", default="", help="the reason, for the record")
    patch_verdicts.add_arguments(actions)
    patch_approve.add_arguments(actions)
    patch_adopt.add_actions(actions)
    files = actions.add_parser("files", help="list what the agent is made of, and its root")
    files.add_argument("--pinned", action="store_true", help="what no patch may touch instead")
    actions.add_parser("tree", help="print the folder of the adopted tree")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    return _ACTIONS[arguments.action](home, arguments)


# ---- making one ---------------------------------------------------------------------------------


def _new(home: Home, arguments: argparse.Namespace) -> int:
    base, files = architecture_of(Client.find(home))
    patch_class = PatchClass.ROUTINE
    if arguments.software:
        files = drafting.software_files(arguments.software)
        patch_class = PatchClass.CONSTITUTIONAL
    texts = {at: text.decode() for at, text in files.items()}
    drafting.make_folder(arguments.folder, texts, base, patch_class)
    if arguments.json:
        found = {"folder": str(arguments.folder.absolute()), "base": base, "files": sorted(files)}
        console.out_json(found)
    else:
        console.out(f"{arguments.folder}: {len(files)} files to edit, and proposal.md to fill in")
        console.out(f"then: timmy patch propose {arguments.folder}")
    return 0


def _changeable(home: Home) -> dict[str, bytes]:
    return architecture_of(Client.find(home))[1]


def _diff(home: Home, arguments: argparse.Namespace) -> int:
    what = arguments.what
    if what is None:
        diff = _against_installed(home)
    elif Path(what).is_dir():
        file = Path(what) / drafting.DOCUMENT
        document = file.read_bytes() if file.is_file() else b""
        diff = drafting.folder_diff(Path(what), document, lambda: _changeable(home))
    else:
        found = _shown(home, what)["diff"]
        diff = b"" if found is None else found.encode()
    if arguments.json:
        console.out_json({"diff": diff.decode(errors="replace")})
    else:
        console.more(console.safe(diff.decode(errors="replace")))
    return 0


def _against_installed(home: Home) -> bytes:
    from genesis import trees
    from genesis.core.patch import AGENT_PREFIX
    from node.identity.birth import agent_source

    adopted, installed = trees.load_tree(home.path, _adopted(home)), trees.read_tree(agent_source())
    return drafting.diff_of(
        {AGENT_PREFIX + at: data for at, data in adopted.items()},
        {AGENT_PREFIX + at: data for at, data in installed.items()},
    )


def _propose(home: Home, arguments: argparse.Namespace) -> int:
    if (arguments.file is None) == (arguments.git is None):
        raise TimmyError(
            "one of a file and --git is needed",
            hint="timmy patch propose FILE, or --git BASE..HEAD",
        )
    document, named, shift = _document(home, arguments)
    body = {"document": document.decode(errors="surrogateescape"), "author": arguments.author}
    try:
        event = Client.find(home).call("POST", "/v1/patch/propose", body)
    except NodeSaid as error:
        raise TimmyError(_placed(str(error), named, shift), hint=error.hint) from error
    if arguments.json:
        console.out_json(event)
        return 0
    payload = event["payload"]
    tries = f"attempt {payload['attempt']}, number {payload['on_base']} on this architecture"
    console.out(f"proposed as event {event['position']} ({tries})")
    console.out(f"have it judged: timmy patch judge {event['position']}")
    return 0


def _document(home: Home, arguments: argparse.Namespace) -> tuple[bytes, str, int]:
    """The document, what its lines are lines of, and how many of ours stand before those."""
    named_class = PatchClass("constitutional" if arguments.constitutional else "routine")
    if arguments.git is not None:
        found, diff = drafting.from_git(arguments.repo or Path(), arguments.git)
        document = drafting.document_of(said.over(arguments, found), diff, named_class)
        return document, arguments.git, _lines_before(document, diff)
    if arguments.repo is not None:
        raise TimmyError("--repo is where the commits of --git are", hint="--git BASE..HEAD")
    folder = drafting.folder_of(arguments.file)
    if folder is not None:
        said.refuse(arguments, "constitutional")
        document = drafting.folder_document(folder, lambda: _changeable(home))
        return document, str(folder / drafting.DOCUMENT), 0
    data = _read(arguments.file)
    if drafting.is_document(data):
        said.refuse(arguments, "constitutional")
        return data, str(arguments.file), 0
    document, ended = said.around(arguments, data, named_class)
    return document, str(arguments.file), _lines_before(document, ended)


def _lines_before(document: bytes, diff: bytes) -> int:
    return document[: document.rindex(diff)].count(b"\n") if diff else 0


def _read(file: Path) -> bytes:
    try:
        data = file.read_bytes()
        data.decode()
    except OSError as error:
        raise TimmyError(
            f"{file} cannot be read: {error.strerror}",
            hint="name a proposal, or a unified diff against the adopted tree: timmy patch new",
        ) from error
    except UnicodeDecodeError as error:
        raise TimmyError(
            f"{file} is not UTF-8 at byte {error.start}",
            hint="a tree is text in UTF-8, and so is a diff against it",
        ) from error
    return data


def _placed(message: str, named: str, shift: int) -> str:
    """Say `FILE:LINE: why` of what the node says of a line."""
    found = _LINE.fullmatch(message)
    if found is None or int(found[1]) <= shift:
        return f"{named}: {message}"
    return f"{named}:{int(found[1]) - shift}: {found[2]}"


# ---- talking about it ---------------------------------------------------------------------------


def _comment(home: Home, arguments: argparse.Namespace) -> int:
    place = _PLACE.fullmatch(arguments.place)
    if place is None:
        raise TimmyError(
            f"{arguments.place!r} is not FILE:LINE", hint="runtime/agent/prompt.py:31, proposal:3"
        )
    body = {
        "position": _position(home, arguments.on), "path": place[1], "line": int(place[2]),
        "text": arguments.text, "author": arguments.author,
    }  # fmt: skip
    event = Client.find(home).call("POST", "/v1/patch/comment", body)
    said = f"noted as event {event['position']}, on proposal {event['payload']['patch']}"
    console.out_json(event) if arguments.json else console.out(said)
    return 0


def _withdraw(home: Home, arguments: argparse.Namespace) -> int:
    body = {"position": _position(home, arguments.event), "why": arguments.why}
    event = Client.find(home).call("POST", "/v1/patch/withdraw", body)
    said = f"proposal {event['payload']['patch']} is withdrawn"
    console.out_json(event) if arguments.json else console.out(said)
    return 0


def _list(home: Home, arguments: argparse.Namespace) -> int:
    found = Client.find(home).call("GET", "/v1/patches")
    rows = found["refused" if arguments.refused else "patches"]
    if arguments.json:
        console.out_json(rows)
    elif arguments.refused:
        console.table(
            ["event", "by", "reason", "line"],
            (
                [str(row["position"]), row["author"], row["reason"], str(row["line"])]
                for row in rows
            ),
        )
    else:
        console.table(
            ["event", "when", "by", "attempt", "state", "verdicts", "title"],
            (
                [
                    str(row["position"]), console.when(row["ts_ms"]), row["author"],
                    f"{row['attempt']} ({row['on_base']})", row["state"],
                    ", ".join(row["verdicts"]) or "-", row["title"] or "(no title)",
                ]
                for row in rows
            ),
        )  # fmt: skip
    return 0


def _show(home: Home, arguments: argparse.Namespace) -> int:
    found = _shown(home, arguments.event)
    if arguments.json:
        console.out_json(found)
        return 0
    follows = "" if found["follows"] is None else f", follows {found['follows']}"
    console.out(f"proposal  {found['position']} by {one_line(found['author'])}, {found['state']}")
    console.out(f"attempt   {found['attempt']}, {found['on_base']} on this base{follows}")
    console.out(f"touches   {', '.join(found['touches']) or found['class']}")
    console.out(f"base      {found['base']}")
    console.out(f"root      {found['root']}")
    console.out(f"verdicts  {', '.join(found['verdicts']) or 'none yet'}")
    for told in found["judged"][-1:]:
        said = "for people" if told["for_people"] else told["decision"]
        console.out(f"newest    {said}{patch_verdicts.bare(told)} (event {told['position']})")
        patch_verdicts.tell_facts(told, console.out)
    console.out("")
    console.more(console.safe(found["text"] or found["diff"] or "(redacted)\n"))
    for one in found["said"]:
        place = f"{one['path']}:{one['line']}"
        console.out(f"\n{one_line(place)}  {one_line(one['author'])} (event {one['position']})")
        console.out(console.safe(one["text"] or "(redacted)"))
    return 0


def _shown(home: Home, named: str | None) -> dict[str, Any]:
    found: dict[str, Any] = Client.find(home).call(
        "GET", path("v1", "patches", str(_position(home, named)))
    )
    return found


def _position(home: Home, named: str | None) -> int:
    if named is not None and named.isascii() and named.isdigit() and len(named) <= 15:
        return int(named)
    with reading(home) as opened:
        return _proposal(opened, named)


# ---- judging, and what there was before ---------------------------------------------------------


def _judge(home: Home, arguments: argparse.Namespace) -> int:
    if arguments.bundle is not None:
        if arguments.event is not None or arguments.without_words:
            raise TimmyError("a bundle says which proposal, and with which words", hint="it alone")
        return patch_verdicts.judge_bundle(home, arguments)
    if (arguments.output, arguments.passphrase_fd) != (None, None):
        raise TimmyError(
            "--output and --passphrase-fd are of a bundle: the node signs, and keeps the verdict",
            hint="--bundle FILE, or neither",
        )
    with reading(home) as opened:
        position = _proposal(opened, arguments.event)
    console.say("a successor is forked and tried; this takes some seconds")
    body = {"position": position, "words": not arguments.without_words}
    found = Client.find(home).call("POST", "/v1/patch/judge", body)
    if arguments.json:
        console.out_json(found)
    else:
        patch_verdicts.show_verdict(found)
    return 0 if found["decision"] == "accept" or found["for_people"] else 1


def _proposal(home: Reading, named: str | None) -> int:
    if named is not None:
        return home.views.resolve(named).position
    for position in range(home.log.size - 1, -1, -1):
        if home.log.read(position).type == PATCH_PROPOSED.name:
            return position
    raise TimmyError("no patch was proposed yet", hint="timmy patch propose FILE")


def _verdicts(home: Home, arguments: argparse.Namespace) -> int:
    if arguments.event is not None:
        return patch_verdicts.verdicts_of(home, arguments, _position(home, arguments.event))
    with reading(home) as opened:
        events = [
            reading.event
            for reading in map(UPCASTERS.read, opened.log.events())
            if reading.event.type in {PATCH_PROPOSED.name, *_JUDGED} and not reading.standing.opaque
        ]
    if arguments.json:
        console.out_json([console.row(event) for event in events])
        return 0
    console.table(
        ["event", "when", "what", "says"],
        (
            [
                str(event.position),
                console.when(event.ts_ms),
                event.type,
                f"{event.payload['decision']} of {event.payload['patch']}"
                f"{patch_verdicts.bare(event.payload)}"
                if event.type in _JUDGED
                else f"by {event.payload['author']}, sha256 {event.payload['sha256'].hex()}",
            ]
            for event in events
        ),
    )
    return 0


def _adopted(home: Home) -> bytes:
    from genesis import trees

    digest = trees.current(home.path)
    if digest is None:
        raise DraftError("no architecture tree is adopted", hint="be born first: timmy init")
    return digest


def _files(home: Home, arguments: argparse.Namespace) -> int:
    found = Client.find(home).call("GET", "/v1/architecture")
    if arguments.json:
        console.out_json(found)
        return 0
    shown = found["pinned"] if arguments.pinned else found
    console.table(
        ["class", "bytes", "digest", "path"],
        (
            [row["class"], str(row["bytes"]), row["digest"][:16], row["path"]]
            for row in shown["entries"]
        ),
    )
    console.out(f"root {shown['root']}" + ("" if arguments.pinned else f", tree {found['tree']}"))
    return 0


def _tree(home: Home, arguments: argparse.Namespace) -> int:
    from genesis import trees

    digest = _adopted(home)
    folder = trees.open_tree(home.path, digest)
    if arguments.json:
        console.out_json({"digest": digest, "folder": str(folder)})
    else:
        console.out(str(folder))
    return 0


def _export(home: Home, arguments: argparse.Namespace) -> int:
    return patch_verdicts.export(home, arguments, _position(home, arguments.event))


def _answer(home: Home, arguments: argparse.Namespace) -> int:
    return patch_approve.answer(home, arguments, _position(home, arguments.event))


def _take(home: Home, arguments: argparse.Namespace) -> int:
    return patch_verdicts.take(home, arguments, _position(home, arguments.on))


_ACTIONS: Final = {
    "export": _export,
    "take": _take,
    "approve": _answer,
    "disapprove": _answer,
    "sign": patch_approve.sign,
    "verify": patch_verdicts.verify,
    "new": _new,
    "diff": _diff,
    "propose": _propose,
    "comment": _comment,
    "withdraw": _withdraw,
    "list": _list,
    "show": _show,
    "judge": _judge,
    "verdicts": _verdicts,
    "files": _files,
    "tree": _tree,
    "apply": lambda home, given: patch_adopt.apply(home, given, _position(home, given.event)),
    "rollback": patch_adopt.rollback,
    "status": patch_adopt.status,
    "follow": patch_adopt.follow,
}
