"""How far an adoption is, told as rows: for `timmy patch status` and the API.

Whether a handoff is due follows from the ledger as well: the keys in charge vouch for a tree, that
of genesis or that of their handoff, and it is due while another one is in force and has settled.

A person whose answer the crisis screen replaced is held, and a rollback releases nobody: whether
the harm came of the patch or of what was asked, no machine can tell. So those are named whom a tree
on trial, or one that is in force no more, was about to harm (docs/adr/0011).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from genesis.core.adopting.health import weigh
from ledger.core import types
from ledger.core.event import Event
from ledger.core.lineage import Lineage
from ledger.log import Log
from runtime.core import calls
from runtime.core.adoptions import Adoption, Adoptions, Version

STEPS_SHOWN: Final = 50
"""Newest steps of adoptions that are told."""


def told(
    now: Adoptions,
    log: Log,
    lineage: Lineage,
    *,
    holds: Mapping[str, Mapping[str, int]],
    tree: bytes,
    running: Sequence[bytes],
    now_ms: int,
) -> dict[str, Any]:
    """Return all of it. `tree`: the one in force; `running`: those with a process.

    `holds`: of each author who is held, where it began: conversation to position.
    """
    trial = now.under_way
    steps = log.stream(types.ADOPTION_STREAM, last=STEPS_SHOWN)
    named, number = vouched(log, lineage)
    return {
        "under_way": None if trial is None else _trial_row(trial, now_ms),
        "tree": tree,
        "running": list(running),
        "in_force": None if now.in_force is None else _version_row(now.in_force),
        "before": None if now.before is None else _version_row(now.before),
        "handoff": {"due": named != tree and trial is None, "number": number, "tree": named},
        "held": [
            {"author": author, "position": position, "tree": by}
            for author, begun in holds.items()
            for position in begun.values()
            if (by := _harmed_by(log, position)) is not None
            and (by != tree or (trial is not None and trial.tree == tree))
        ],
        "steps": [_step_row(event) for event in steps],
    }


def _harmed_by(log: Log, position: int) -> bytes | None:
    """Return the tree whose answer the crisis screen replaced there, if a hold began so.

    Such an answer is three events of one commit: the decision, the fixed words, the turn's end.
    """
    event = log.read(position)
    if event.type != types.POLICY_DECIDED.name or event.payload.get("screen") != "output":
        return None
    turn = log.read(position + 2).payload.get("turn")
    begun = log.find(calls.step_key(turn, 1, "started")) if isinstance(turn, bytes) else None
    return None if begun is None else begun.payload.get("tree")


def vouched(log: Log, lineage: Lineage) -> tuple[bytes, int]:
    """Return the tree that the newest handoff names, or genesis, and the number of its keys."""
    named, number = lineage.genesis.architecture, 0
    for tenure in lineage.tenures:
        event = log.read(tenure.position)
        if event.type == types.HANDED_OFF.name:
            named, number = event.payload["architecture"], tenure.number
    return named, number


def _trial_row(trial: Adoption, now_ms: int) -> dict[str, Any]:
    arms = {"candidate": trial.candidate, "present": trial.present}
    return {
        "patch": trial.patch, "adoption": trial.staged, "stage": trial.stage.value,
        "root": trial.root, "tree": trial.tree, "version": trial.version, "base": trial.base,
        "share": trial.share, "window_s": trial.window_s, "turns": trial.turns,
        "since_ms": trial.since, "health": weigh(trial, now_ms).text,
        **{
            name: {
                "answered": arm.answered, "errors": arm.errors, "crashes": arm.crashes,
                "crisis": arm.crisis, "denied": arm.denied,
            }
            for name, arm in arms.items()
        },
    }  # fmt: skip


def _version_row(version: Version) -> dict[str, Any]:
    return {
        "adoption": version.adoption, "patch": version.patch, "tree": version.tree,
        "version": version.version, "root": version.root,
    }  # fmt: skip


def _step_row(event: Event) -> dict[str, Any]:
    return {
        "position": event.position, "ts_ms": event.ts_ms, "type": event.type,
        "patch": event.payload.get("patch"), "reason": event.payload.get("reason"),
        "by": event.payload.get("by"), "why": (event.content or {}).get("why"),
    }  # fmt: skip
