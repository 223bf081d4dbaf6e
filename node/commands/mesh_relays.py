"""`timmy mesh relays`: how each relay of this node is, its queue and its faults."""

from typing import Any

from attest.verify.plain import one_line
from mesh.core import nip19
from mesh.core.nip01 import is_hex32
from node import console
from node.client import Client


def show_relays(client: Client, *, as_json: bool) -> int:
    """Print them, or one JSON document."""
    found = client.call("GET", "/v1/status")["relays"]
    if as_json:
        console.out_json({"relays": found})
        return 0
    if not found:
        console.out("no relay is named (publish.relays in node.toml)")
    for one in found:
        console.out(one_line(f"{one['url']}: {_state(one)}"))
        told = {name: one[name] for name in ("queued", "accepted", "refused", "lost")}
        console.out("  " + ", ".join(f"{count} {name}" for name, count in told.items()))
        for why, count in one["refusals"].items():
            console.out(one_line(f"  REFUSED FOR GOOD  {why} ({count} times)"))
        for key, why in one["undelivered"].items():
            console.out(one_line(f"  UNDELIVERED  a sealed message to {_whom(key)}: {why}"))
        for fault, count in one["faults"].items():
            console.out(one_line(f"  FAULT  {fault} ({count} times)"))
        if one["last_error"]:
            console.out(one_line(f"  last   {one['last_error']}"))
        if one["limits"]:
            known = ", ".join(f"{name} {value}" for name, value in one["limits"].items())
            console.out(one_line(f"  known  {known}"))
    return 0


def _whom(key: str) -> str:
    return nip19.npub(key) if is_hex32(key) else "nobody"


def _state(one: dict[str, Any]) -> str:
    words = ["connected" if one["connected"] else "not connected"]
    words += ["knows who we are"] if one["authenticated"] else []
    words += [] if one["latency_ms"] is None else [f"answers in {one['latency_ms']} ms"]
    words += [] if one["own"] else ["not ours"]
    return ", ".join(words)
