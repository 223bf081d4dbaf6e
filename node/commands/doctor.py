"""Look for what is wrong with this home and machine, and say what to do about it.

Reads everything, changes nothing (but rebuilds search if it is damaged). Exit 1 if something is
wrong.
"""

import argparse
from dataclasses import asdict

from node import console
from node.home import Home


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Examine."""
    from node.doctor import Finding, examine

    home = Home.find(arguments.home)
    findings: list[Finding] = []
    for finding in examine(home):
        findings.append(finding)
        if not arguments.json:
            mark = {True: "ok  ", False: "BAD ", None: "note"}[finding.ok]
            console.out(f"{mark} {finding.name:12} {console.one_line(finding.text)}")
            if finding.ok is not True and finding.hint:
                console.out(f"     {'':12} -> {console.one_line(finding.hint)}")
    if arguments.json:
        console.out_json([asdict(finding) for finding in findings])
    return 1 if any(finding.ok is False for finding in findings) else 0
