"""Put heads of many ledgers into one Bitcoin transaction. Files first: a stick will do.

as a ledger:
    timmy aggregate submit -o head.submission      this ledger's newest head, to be handed over
    timmy aggregate submit                         the same, to the aggregator in node.toml, which
                                                   the node does daily (aggregate.submit_to)
    timmy aggregate delegate offer                 from now on the aggregator's anchors are ours
    timmy aggregate return                         anchor on the own seal again: that ends it
as an aggregator (aggregate.enabled in node.toml):
    timmy aggregate add head.submission ...        take heads of others
    timmy aggregate close                          close the round now
    timmy aggregate prove LEDGER -o slot.receipt   what a block has of a ledger
    timmy aggregate offer -o offer                 the seal that others may delegate to
either:
    timmy aggregate status                         rounds, and what was handed in

A ledger that is known already is submitted with --since and the size that the aggregator has. A
receipt goes into a proof: timmy prove 12 --receipt slot.receipt. It shows a time. That there is
one history it shows only of a ledger that delegated, with every link since: prove --since TXID.
An aggregator's own handoff ends what its links show to others: prove --since says so, and who
delegated returns and delegates anew, without a gap.
"""

import argparse
from pathlib import Path
from typing import Any, Final

from attest.core import limits
from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from ledger.files import write_atomically
from node import console
from node.client import Client, path
from node.home import Home

_FILES: Final = {"add": "submissions", "prove": "a ledger id in hex", "delegate": "an offer"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = ["submit", "delegate", "return", "add", "close", "prove", "offer", "status"]
    parser.add_argument("action", choices=actions)
    parser.add_argument("what", nargs="*", help="files; for prove a ledger id")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")
    parser.add_argument("--since", metavar="SIZE", help="submit: the size that is known there; "
                        "prove: the transaction whose seal was delegated to")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Ask the node; exit 1 if a submission was refused."""
    wanted = _FILES.get(arguments.action)
    if bool(arguments.what) != (wanted is not None):
        text = f"needs {wanted}" if wanted else "takes no files"
        raise TimmyError(f"{arguments.action} {text}", hint="timmy aggregate --help")
    if arguments.action in ("prove", "offer") and arguments.output is None:
        raise TimmyError(f"{arguments.action} writes a file", hint="say which: -o FILE")
    client = Client.find(Home.find(arguments.home))
    match arguments.action:
        case "submit":
            return _submit(client, arguments)
        case "add":
            return _add(client, arguments)
        case "prove":
            return _prove(client, arguments)
        case "offer":
            return _offer(client, arguments)
        case "delegate":
            offer = _read(_one(arguments)).hex()
            found = client.call("POST", "/v1/anchor", {"action": "delegate", "offer": offer})
        case "status":
            found = _status(client)
        case action:
            found = client.call("POST", "/v1/anchor", {"action": action})
    if arguments.json:
        console.out_json(found)
    else:
        _show(found)
    return 0


def _one(arguments: argparse.Namespace) -> Path:
    if len(arguments.what) != 1:
        raise TimmyError(
            f"{arguments.action} takes one, {len(arguments.what)} are given",
            hint="timmy aggregate --help",
        )
    return Path(arguments.what[0])


def _status(client: Client) -> dict[str, Any]:
    status = client.call("GET", "/v1/status")
    handed_in = {"handed_in": status["handed_in"]}
    if status["aggregates"]:
        found: dict[str, Any] = client.call("GET", "/v1/aggregate")
        return found | handed_in
    if status["handed_in"] is None:
        raise TimmyError(
            "this node aggregates nothing, and hands in to nobody",
            hint="aggregate.enabled or aggregate.submit_to, in node.toml",
        )
    return handed_in


def _hand_in(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.since is not None:
        raise TimmyError("the aggregator is asked what it knows", hint="without --since")
    found = client.call("POST", "/v1/anchor", {"action": "hand_in"})
    if arguments.json:
        console.out_json(found)
    else:
        console.out(console.handed_in(found))
    return 0


def _submit(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.output is None:
        return _hand_in(client, arguments)
    since = arguments.since or "0"
    if not since.isascii() or not since.isdigit() or len(since) > 15:
        raise TimmyError(f"--since is a size, not {since!r}", hint="a number of events, 0 or more")
    body = {"action": "submit", "since": int(since)}
    found = client.call("POST", "/v1/anchor", body)
    return _write(arguments, bytes.fromhex(found["submission"]))


def _add(client: Client, arguments: argparse.Namespace) -> int:
    files = {name: _read(Path(name)) for name in arguments.what}
    rows: list[dict[str, Any]] = []
    for name, data in files.items():
        try:
            rows.append({"file": name, **client.post_bytes("/v1/aggregate", data)})
        except TimmyError as error:
            rows.append({"file": name, "error": str(error), "hint": error.hint})
    if arguments.json:
        console.out_json(rows)
    else:
        for row in rows:
            _show_row(row)
    return 1 if any("error" in row for row in rows) else 0


def _show_row(row: dict[str, Any]) -> None:
    if "error" in row:
        console.out(f"{row['file']}: refused: {one_line(row['error'])}")
        if row["hint"]:
            console.out(f"  {one_line(row['hint'])}")
    else:
        waits = "waits for the next round" if row["waiting"] else "had its slot already"
        console.out(f"{row['file']}: {row['size']} events of {row['ledger']}, {waits}")


def _prove(client: Client, arguments: argparse.Namespace) -> int:
    at = path("v1", "aggregate", str(_one(arguments)), since=arguments.since)
    found = client.call("GET", at)
    if found["receipt"] is None:
        raise TimmyError(
            "no round with this ledger is in a block yet",
            hint="timmy aggregate close, then wait for a block: timmy anchor status",
        )
    if found["ended"] is not None:
        console.say(
            f"a {found['ended']} of this aggregator's own seal ended these links: whoever "
            "delegated to it takes that back, and delegates anew: timmy aggregate offer"
        )
    return _write(arguments, bytes.fromhex(found["receipt"]))


def _offer(client: Client, arguments: argparse.Namespace) -> int:
    found = client.call("GET", "/v1/aggregate")
    if found["offer"] is None:
        raise TimmyError("no link of this seal is in a block yet", hint="timmy anchor open")
    return _write(arguments, bytes.fromhex(found["offer"]))


def _write(arguments: argparse.Namespace, data: bytes) -> int:
    try:
        write_atomically(arguments.output, data, mode=0o644)
    except OSError as error:
        raise TimmyError(
            f"{arguments.output} cannot be written: {error.strerror}",
            hint="choose another place: -o FILE",
        ) from error
    result = {"file": str(arguments.output), "bytes": len(data)}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"{arguments.output}: {len(data)} bytes")
    return 0


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(limits.SUBMISSION_BYTES_MAX + 1)
    except OSError as error:
        raise TimmyError(
            f"{file} cannot be read: {error.strerror}", hint="check the name"
        ) from error
    if len(data) > limits.SUBMISSION_BYTES_MAX:
        raise TimmyError(
            f"{file} has more than {limits.SUBMISSION_BYTES_MAX} bytes",
            hint="is this the file? a submission has about 2 KB",
        )
    return data


def _show(found: dict[str, Any]) -> None:
    if "links" in found:
        last = found["links"][-1] if found["links"] else None
        if last is not None:
            console.out(f"newest link  {last['kind']}, {last['standing']}, {last['txid']}")
        if found["waiting"]:
            console.out(f"waiting      {one_line(found['waiting'])}")
        return
    for name in ("aggregator", "network", "ledgers", "waiting", "round", "root"):
        if found.get(name) is not None:
            console.out(f"{name:10}  {found[name]}")
    if found.get("handed_in") is not None:
        console.out(f"handed in   {console.handed_in(found['handed_in'])}")
