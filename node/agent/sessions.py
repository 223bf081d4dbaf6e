"""The sessions that `timmy fork` forks: a running node's, and that of a home whose node is stopped.

A running node gives what it has: its folded state, its tools by name, its search, its models. A
stopped home gives what lies in its files: the state is folded from its snapshot, no tool is known,
nothing is searched, nobody can be asked, and calls are compared by their op alone, for the key of
the record's digests is locked up.

Nothing of a home is written, except that it is noted that the sandbox held its attacks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from attest.verify.plain import one_line
from genesis.forking.fork import ForkVerdict
from genesis.forking.session import REDUCERS, Session, fold
from genesis.forking.told import Compared, Telling
from genesis.soul import read_soul
from ledger.snapshot import read_attested
from ledger.upcasting import UpcastLog
from node.agent.architecture import Present, present_software
from node.agent.mind import Mind
from node.agent.told_verdicts import facts, found_lines
from node.config import load
from node.home import Home
from node.keeping.folding import INTERPRETED
from node.open import lineage_of, open_log
from runtime.core.chat import Reach
from runtime.journal import Journal

_ANY: Final = ("*",)


def of_node(present: Present, mind: Mind) -> Session:
    """Return the session of a running node, as it is in this moment; for its event loop alone.

    Exporting it with `at` may then be done in a thread.
    """
    architecture, birth = present.read(), present.birth
    tools = mind.tooling.offers(_ANY, Reach.LOCAL)
    identity = mind.teller.identity
    return Session(
        log=present.log,
        architecture=lambda then: architecture if then is None else present.of(then.entries, birth),
        name=identity.name,
        soul=identity.soul,
        live=lambda: present.journal.state,
        snapshot=present.home.snapshot,
        trials=present.home.trials,
        digest_key=mind.service.digest_key,
        tools=lambda: tools,
        search=mind.teller.search,
        chain=mind.chain,
        privacy=mind.service.asking.privacy,
        software=present_software,
    )


@contextmanager
def of_home(home: Home) -> Iterator[Session]:
    """Open the session of a home that no node runs, for reading."""
    config = load(home.config)
    with open_log(home) as log:
        begun = read_attested(home.snapshot, log, REDUCERS, log.size - 1)
        state = fold(log, begun, log.size)
        journal = Journal(UpcastLog(log, needed=INTERPRETED), state)
        present = Present(home=home, config=config, log=log, journal=journal)
        yield Session(
            log=log,
            architecture=lambda then: (
                present.read() if then is None else present.of(then.entries, present.birth)
            ),
            name=lineage_of(log).genesis.name,
            soul=read_soul(home.soul).text,
            live=lambda: state,
            snapshot=home.snapshot,
            trials=home.trials,
            software=present_software,
        )


# ---- what came of a fork ------------------------------------------------------------------------


def row(verdict: ForkVerdict) -> dict[str, Any]:
    """Return a fork's verdict as the document that scripts rely on."""
    tested, live = verdict.sandbox, verdict.live
    told = facts(verdict.judgment.verdict, words=True)
    return {
        "decision": verdict.decision.value,
        "for_people": verdict.for_people,
        "migration": verdict.migration or None,
        "reason": verdict.reason,
        "title": verdict.title,
        "task": verdict.task,
        "events": verdict.size,
        "state": verdict.state,
        "architecture": verdict.root,
        "recorded": verdict.recorded,
        "digest": verdict.judgment.verdict.digest,
        "envelope": verdict.judgment.envelope.decode(),
        "effect": told["effect"],
        "replayed": told["replayed"],
        "notes": list(verdict.judgment.notes),
        "sandbox": {
            "engine": tested.engine.value, "passed": tested.passed, "tried": tested.tried,
            "escapes": list(tested.escapes), "took_ms": tested.took_ms, "kept": tested.kept,
        },
        "turns": [_compared(turn) for turn in verdict.turns],
        "live": None if live is None
        else {"calls": live.calls, "tokens": live.tokens, "seconds": live.seconds,
              "microusd": live.microusd},
        "took_ms": verdict.took_ms,
    }  # fmt: skip


def _compared(turn: Compared) -> dict[str, Any]:
    return {
        "message": turn.message, "same": turn.same, "strayed": turn.strayed, "what": turn.what,
        "then": turn.then, "parent": _told(turn.parent), "candidate": _told(turn.candidate),
    }  # fmt: skip


def _told(telling: Telling) -> dict[str, Any]:
    return {
        "answer": telling.answer,
        "outcome": telling.outcome,
        "steps": [{"step": n, "op": op, "from": source} for n, op, source in telling.steps],
        "effects": [
            {"step": one.step, "tool": one.tool, "arguments": one.arguments}
            for one in telling.effects
        ],
    }


def _made_of(found: dict[str, Any]) -> str:
    """Which architecture was forked, and whether the record names that one at these events."""
    root, recorded = found["architecture"], found["recorded"]
    if recorded is None:
        return f"{root[:16]}; the record names none there"
    if recorded == root:
        return f"{root[:16]}, as the record says"
    return (
        f"{root[:16]}; the record says {recorded[:16]}: its files, or this software, changed since"
    )


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what a `row` says, for a terminal."""
    sandbox, turns, live = found["sandbox"], found["turns"], found["live"]
    when = "earlier in this boot" if sandbox["kept"] else f"in {sandbox['took_ms']} ms"
    held = f"held {sandbox['tried']} attacks {when}" if sandbox["passed"] else "is not trusted"
    yield f"forked    {found['events']} events, state {found['state'][:16]}"
    yield f"agent     {_made_of(found)}"
    yield f"sandbox   {sandbox['engine']} {held}"
    yield f"task      {one_line(found['task'])}"
    yield f"verdict   {'for people' if found['for_people'] else found['decision']}"
    if found["migration"]:
        yield f"migration {one_line(found['migration'])}"
    for name, text in found_lines(found):
        yield f"{name:<10}{one_line(text)}"
    yield f"digest    {found['digest']}"
    differing = [turn for turn in turns if not turn["same"]]
    if turns:
        yield f"turns     {len(turns)} told once more, {len(differing)} of them otherwise"
    for turn in differing:
        strayed = " (and the parent tells it otherwise than then)" if turn["strayed"] else ""
        yield f"  {turn['message']:<8}{one_line(turn['what'])}{strayed}"
    if live is not None:
        took = f"{live['calls']} calls, {live['tokens']} tokens, {live['seconds']:g} s"
        yield f"model     {took}"
    for note in found["notes"]:
        yield f"note      {one_line(note)}"
