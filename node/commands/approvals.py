"""Calls of tools that wait for your yes. Without one they are not made.

    timmy approvals list                     which, why you are asked, and until when
    timmy approvals allow EVENT              make this call
    timmy approvals allow EVENT --always     and print the rule that would allow such calls
    timmy approvals deny EVENT

EVENT is the number of the question. `--always` changes nothing: it prints a line for you to put
into a file of rules, if you want it there.
"""

import argparse
import json
import re
import sys
from typing import Any, Final

from attest.verify.plain import one_line
from node import console
from node.client import Client, NodeSaid, path
from node.home import Home

_YES: Final = frozenset({"y", "yes"})
_SHOWN_CHARS: Final = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="calls that wait")
    for name, about in (("allow", "make a call"), ("deny", "do not make it")):
        action = actions.add_parser(name, help=about)
        action.add_argument("event", type=int, metavar="EVENT", help="as list names it")
        if name == "allow":
            action.add_argument(
                "--always", action="store_true", help="print the rule that would allow such calls"
            )


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    client = Client.find(Home.find(arguments.home))
    waiting = client.call("GET", "/v1/approvals", timeout=10)
    if arguments.action == "list":
        return _list(waiting, as_json=bool(arguments.json))
    allow = arguments.action == "allow"
    question = next((one for one in waiting if one["event"] == arguments.event), None)
    answered = client.call(
        "POST", path("v1", "approvals", arguments.event), {"allow": allow}, timeout=10
    )
    always = question is not None and allow and arguments.always
    rule = rule_for(str(question["call"])) if question is not None and always else None
    if arguments.json:
        console.out_json(answered | ({"rule": rule} if rule else {}))
        return 0
    console.out("allowed" if allow else "denied")
    if rule is not None:
        console.out(f"for [permissions] in node.toml: allow = [{json.dumps(rule)}]")
    elif always:
        console.out("no rule can allow this call: docs/PERMISSIONS.md says which it cannot")
    return 0


def _list(waiting: list[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        console.out_json(waiting)
        return 0
    for one in waiting:
        console.out(
            one_line(f"{one['event']}  {one['tool']}  until {console.when(one['deadline_ms'])}")
        )
        console.out(one_line(f"  {str(one['call'])[:_SHOWN_CHARS]}"))
        console.out(f"  {_arguments(one)}")
        console.out(one_line(f"  {one['why']}"))
    if not waiting:
        console.out("nothing waits")
    return 0


def _arguments(question: dict[str, Any]) -> str:
    """All that the call would do, or as much of it as fits, and where the rest is."""
    words = str(question.get("arguments"))
    more = len(words) - _SHOWN_CHARS + question.get("left_out", 0)
    rest = f" ... and {more} characters: timmy show {question['event']}" if more > 0 else ""
    return f"with {one_line(words[:_SHOWN_CHARS])}{rest}"


def rule_for(call: str) -> str | None:
    """Return the narrowest rule that names a call as decisions name it, or None if none can."""
    from runtime.core.errors import RuleRefused
    from runtime.core.permission_rules import Effect, Scope, parse_rule

    tool, _, rest = call.partition(" ")
    exact = re.sub(r"([\\*?\[\]{}!])", r"\\\1", rest)
    if tool in ("FileRead", "FileEdit"):
        exact = f"/{exact}"
    if tool == "WebFetch":
        exact = "domain:" + re.sub(r"^https?://([^/?#:]+).*$", r"\1", rest)
    text = f"{tool}({exact})" if rest else tool
    try:
        parse_rule(text, effect=Effect.ALLOW, scope=Scope.NODE, file="", line=0)
    except RuleRefused:
        return None
    return text


def approve(client: Client, question: dict[str, Any], *, quiet: bool) -> None:
    """Ask at this terminal, if there is one; otherwise say where to answer."""
    if quiet or not sys.stdin.isatty():
        console.say(f"a call waits for a yes: timmy approvals allow {question['event']}")
        return
    console.out("")
    console.out(one_line(f"{question['tool']}: {str(question['call'])[:_SHOWN_CHARS]}"))
    console.out(f"  {_arguments(question)}")
    console.out(one_line(f"  {question['why']}"))
    try:
        answer = input("make this call? [y/N] ").strip().lower()
    except EOFError:
        answer = ""
    body = {"allow": answer in _YES}
    try:
        client.call("POST", path("v1", "approvals", question["event"]), body, timeout=10)
    except NodeSaid as error:  # the deadline has answered, or somebody at another place
        console.say(one_line(str(error)))
