"""What tools may do: the rules in force, what is wrong with them, and who decides a call.

    timmy permissions list                    every rule, in the order in which it is asked
    timmy permissions lint                    rules that can never fire; exit 1 if there is one
    timmy permissions why Bash 'git push'     decides, and says which; exit 1 unless allowed
    timmy permissions why FileEdit src/main.py
    timmy permissions why WebFetch https://example.org/
    timmy permissions why mcp__github__get_issue

Rules are read from node.toml, from permissions.toml in your configuration folder, and from the
project's .timmy/permissions.toml. Nothing is run, opened or fetched. docs/PERMISSIONS.md has the
grammar.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console
from node.home import Home

if TYPE_CHECKING:
    from node.agent.permitting import Loaded


class PermissionsError(TimmyError):
    """A question about permissions that cannot be answered."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every rule, in the order in which it is asked")
    linting = actions.add_parser("lint", help="rules that can never fire, and why")
    why = actions.add_parser("why", help="decide one call, and say which rule did")
    why.add_argument("tool", metavar="TOOL", help="Bash, FileRead, FileEdit, WebFetch, ...")
    why.add_argument(
        "argument", nargs="?", default="", metavar="ARGUMENT", help="line, path, address"
    )
    for action in (listing, linting, why):
        action.add_argument(
            "--project", type=Path, metavar="FOLDER", default=None,
            help="the project's folder (the current one)",
        )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    from node.agent.permitting import level_of, load_permissions

    project, home = _project(arguments.project), Home.find(arguments.home)
    loaded = load_permissions(home, project, level=level_of(home))
    if arguments.action == "why":
        return _why(loaded, project, arguments)
    act = _list if arguments.action == "list" else _lint
    return act(loaded, as_json=bool(arguments.json))


def _project(given: Path | None) -> Path:
    folder = (given or Path.cwd()).absolute()
    if not folder.is_dir():
        raise PermissionsError(f"{folder} is not a folder", hint="--project FOLDER")
    return folder


def _list(loaded: "Loaded", *, as_json: bool) -> int:
    order = ("deny", "ask", "allow")
    rules = sorted(loaded.policy.rules, key=lambda rule: order.index(rule.effect.value))
    if as_json:
        console.out_json([rule.to_value() for rule in rules])
        return 0
    rows = [(rule.effect.value, rule.text, rule.scope.value, rule.place) for rule in rules]
    console.table(("effect", "rule", "scope", "where"), rows)
    return 0


def _lint(loaded: "Loaded", *, as_json: bool) -> int:
    findings = loaded.findings
    if as_json:
        console.out_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            console.out(one_line(f"{finding.weight.value}: {finding.place}: {finding.text}"))
            console.out(one_line(f"  {finding.why}"))
            if finding.hint:
                console.out(one_line(f"  -> {finding.hint}"))
        if not findings:
            console.out("every rule can fire")
    return 1 if any(finding.weight.value == "error" for finding in findings) else 0


def _why(loaded: "Loaded", project: Path, arguments: argparse.Namespace) -> int:
    from runtime.core.permission_rules import TOOLS
    from runtime.permitting import Gate

    tool = arguments.tool
    if tool not in TOOLS and not tool.startswith("mcp__"):
        raise PermissionsError(
            f"there is no tool {tool}", hint=f"the tools are {', '.join(TOOLS)}, mcp__server__tool"
        )
    found = Gate(loaded.policy).rule_on(tool, arguments.argument, folder=project).decision
    if arguments.json:
        console.out_json(found.to_value())
    else:
        console.out(one_line(f"{found.effect.value}: {found.why}"))
        for part in found.parts:
            console.out(one_line(f"  {part.effect.value:5} {part.call}: {part.why}"))
    return 0 if found.effect.value == "allow" else 1
