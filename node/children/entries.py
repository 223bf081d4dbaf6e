"""What a parent records of its children: events to be appended, and a judgment as rows."""

from typing import Any, Final

from genesis.core.children.gates import Judgment
from genesis.core.children.letters import Opened
from ledger.core import types
from ledger.core.event import Draft
from node.children.ledgers import Shown
from node.children.records import REFUSED, Child

_WHY_CHARS: Final = 500


def kept(kind: str, child: bytes, opened: Opened) -> Draft:
    """The event that keeps a letter to or from a child."""
    text = opened.text
    return Draft(
        type=kind,
        stream=types.CHILDREN_STREAM,
        payload={"child": child, **opened.letter.to_payload()},
        content={"text": text} if text else None,
    )


def checked(child: Child, shown: Shown, judgment: Judgment) -> Draft:
    """The event that keeps what a child's ledger showed."""
    return Draft(
        type=types.CHILD_CHECKED.name,
        stream=types.CHILDREN_STREAM,
        payload={
            "child": child.id,
            "verdict": shown.verdict,
            "size": shown.size,
            "root": shown.root,
            "gate": child.standing.gate,
            "ready": judgment.ready,
            "lost": judgment.lost,
            "findings": [
                [one.gate, one.name, one.have, one.need, one.holds] for one in judgment.findings
            ],
        },
    )


def refused(child: Child, why: str, now_ms: int) -> Draft:
    """The event that keeps that a child's ledger was refused."""
    return Draft(
        type=types.CHILD_CHECKED.name,
        stream=types.CHILDREN_STREAM,
        payload={
            "child": child.id,
            "verdict": REFUSED,
            "why": why[:_WHY_CHARS],
            "at_ms": now_ms,
        },
    )


def rows(judgment: Judgment) -> dict[str, Any]:
    """A judgment as the rows that scripts rely on."""
    return {
        "ready": judgment.ready,
        "lost": judgment.lost,
        "findings": [
            {
                "gate": one.gate, "name": one.name, "about": one.about, "have": one.have,
                "need": one.need, "holds": one.holds, "keeps": one.keeps,
            }
            for one in judgment.findings
        ],
    }  # fmt: skip
