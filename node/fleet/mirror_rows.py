"""How mirrors are, for people: what `timmy mesh mirrors` prints."""

from typing import Any

from attest.verify.plain import one_line
from node import console
from node.client import Client
from node.home import Home


def run(home: Home, *, as_json: bool) -> int:
    """Ask the node and print; exit 1 if the copying of a ledger ended."""
    rows: list[dict[str, Any]] = Client.find(home).call("GET", "/v1/mirrors")
    if as_json:
        console.out_json(rows)
    elif not rows:
        console.out("this node mirrors nothing: name ledgers and peers in node.toml, [mesh]")
    else:
        show(home, rows)
    return 1 if any(row["ended"] for row in rows) else 0


def show(home: Home, rows: list[dict[str, Any]]) -> None:
    """Print a block for each mirror."""
    for row in rows:
        console.out(f"{row['ledger']}  {standing(row)}")
        console.out(f"  in {home.mirrors / row['folder']}")
        if row["damage"]:
            console.out(f"  {damage(row)}")
        for source in row["sources"]:
            answered = source["answered_s"]
            told = "no answer yet" if answered is None else f"answered {answered} s ago"
            fault = f"; {one_line(source['fault'])}" if source["fault"] else ""
            console.out(f"  {source['url']}: {told}{fault}")
        if row["more_sources"]:
            console.out(f"  {row['more_sources']} more are asked, one after the other")


def damage(row: dict[str, Any]) -> str:
    """Say what of a copy could not be read; "" if nothing. Hashes are all fetched again."""
    how = "was damaged, and is fetched again" if row["depth"] == "leaves" else "could not be read"
    return f"{how}: {one_line(row['damage'])}" if row["damage"] else ""


def standing(row: dict[str, Any]) -> str:
    """Say in a line how a mirror is."""
    how = _standing(row)
    return f"leaves only: {how}" if row["depth"] == "leaves" else how


def _standing(row: dict[str, Any]) -> str:
    if row["ended"]:
        return f"ended at {row['events']} events: {one_line(row['ended'])}"
    if row["trouble"]:
        return f"waits, {row['events']} events: {one_line(row['trouble'])}"
    if row["behind"] is None:
        return f"{row['events']} events, no head of it was seen since the start"
    if row["behind"]:
        return f"{row['events']} events, {row['behind']} behind"
    if row["head_age_s"] is None:
        return f"{row['events']} events, no source answers"
    return f"{row['events']} events, all there were {row['head_age_s']} s ago"
