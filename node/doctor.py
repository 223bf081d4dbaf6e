"""Looking for what is wrong with a home and its machine: a line a finding, with a way out each."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from genesis import keystore, trees
from genesis.core.errors import GenesisError
from ledger.core.errors import TimmyError
from ledger.core.event import Envelope
from ledger.core.upcast import UPCASTERS, Standing
from node.client import Client, NotRunning
from node.config import load
from node.home import Home
from node.open import open_log
from node.report import DOES_NOT_HOLD, NOT_REACHED
from node.selfcheck import check_home

_DISK_FREE_MIN: Final = 256 * 1024 * 1024
"""Enough for a day of talk and a checkpointed log; below it appends may soon be refused."""
_NAMED_MAX: Final = 5
"""More than a line holds."""
_WHAT: Final = {Standing.UNKNOWN: "the unknown type", Standing.NEWER: "a newer schema of"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `ok` None means: worth knowing, not wrong."""

    name: str
    ok: bool | None
    text: str
    hint: str | None = None


def examine(home: Home) -> Iterator[Finding]:
    """Yield findings, cheap ones first; a check that breaks is a finding, not an end."""
    for name, check in _CHECKS.items():
        try:
            yield check(home, name)
        except TimmyError as error:
            yield Finding(name=name, ok=False, text=str(error), hint=error.hint)
        except OSError as error:
            yield Finding(name=name, ok=False, text=f"{error.filename}: {error.strerror}")


def _config(home: Home, name: str) -> Finding:
    load(home.config)
    where = str(home.config) if home.config.exists() else "defaults only"
    return Finding(name=name, ok=True, text=where)


def _permissions(home: Home, name: str) -> Finding:
    loose = [
        path
        for path in (home.path, home.token, home.ledger, home.views, home.path / "keys")
        if path.exists() and path.stat().st_mode & 0o077
    ]
    if loose:
        names = " ".join(str(path) for path in loose)
        return Finding(
            name=name, ok=False, text=f"others may read {names}", hint=f"chmod go-rwx {names}"
        )
    return Finding(name=name, ok=True, text="private to you")


def _disk(home: Home, name: str) -> Finding:
    free = shutil.disk_usage(home.path).free
    text = f"{free // 2**20} MiB free"
    if free < _DISK_FREE_MIN:
        return Finding(name=name, ok=False, text=text, hint="free some space")
    return Finding(name=name, ok=True, text=text)


def _keys(home: Home, name: str) -> Finding:
    try:
        keystore.examine(keystore.agent_path(home.path), role="agent", public=None)
        operator = keystore.operator_path(home.operator)
        if operator.exists():
            keystore.examine(operator, role="operator", public=None)
    except GenesisError as error:
        return Finding(name=name, ok=False, text=str(error), hint=error.hint)
    where = "present" if operator.exists() else f"not at {operator}: approvals need it"
    return Finding(name=name, ok=True, text=f"agent keystore locked and private; operator {where}")


def _tree(home: Home, name: str) -> Finding:
    digest = trees.current(home.path)
    if digest is None:
        return Finding(name=name, ok=False, text="no adopted architecture tree")
    trees.load_tree(home.path, digest)
    return Finding(name=name, ok=True, text=f"adopted {digest.hex()[:16]}, unchanged")


def _sandbox(_home: Home, name: str) -> Finding:
    import asyncio

    from runtime import sandbox

    engine = asyncio.run(sandbox.detect())
    if engine is sandbox.Engine.NONE:
        return Finding(
            name=name,
            ok=None,
            text="the agent process cannot be confined on this machine",
            hint="apt install bubblewrap",
        )
    return Finding(name=name, ok=True, text=engine.value)


def _ledger(home: Home, name: str) -> Finding:
    report = check_home(home)
    text = "; ".join(text for _, text in report.lines if text not in {NOT_REACHED, DOES_NOT_HOLD})
    if report.good:
        return Finding(name=name, ok=True, text=text)
    hint = (
        "stop the node, keep the damaged files, and go back to the newest backup or export; "
        "what is whole is saved by: timmy doctor --salvage -o FILE"
    )
    return Finding(name=name, ok=False, text=f"{report.verdict}: {text}", hint=report.hint or hint)


def _types(home: Home, name: str) -> Finding:
    """Count what the ledger holds and this version does not understand."""
    found: Counter[tuple[Standing, str]] = Counter()
    with open_log(home) as log:
        for record in log.records():
            envelope = Envelope.parse(record.envelope)
            standing = UPCASTERS.standing(envelope.type, envelope.schema)
            if standing.opaque:
                found[standing, envelope.type] += 1
    if not found:
        return Finding(name=name, ok=True, text="every event is of a type this version knows")
    newest = found.most_common(_NAMED_MAX)
    named = ", ".join(f"{count} of {_WHAT[standing]} {kind}" for (standing, kind), count in newest)
    more = f" and {len(found) - len(newest)} more types" if len(found) > len(newest) else ""
    return Finding(
        name=name,
        ok=None,
        text=f"{found.total()} events are kept and proven, not interpreted: {named}{more}",
        hint="a later version wrote them: upgrade timmy to see what they mean",
    )


def _views(home: Home, name: str) -> Finding:
    from ledger.views import Views

    with open_log(home) as log:
        views = Views(home.views, log)
        views.catch_up()
        views.close()
    return Finding(name=name, ok=True, text="search is up to date")


def _redactions(home: Home, name: str) -> Finding:
    from node.redacting import pending

    with open_log(home) as log:
        found = pending(home, log)
    if found:
        return Finding(
            name=name,
            ok=False,
            text=f"redaction pending in {' and '.join(found)}",
            hint="timmy run finishes it, as soon as no other program reads this home",
        )
    return Finding(name=name, ok=True, text="nothing erased is left in the files")


def _kits(home: Home, name: str) -> Finding:
    from node.birth import KIT_FILES

    here = sorted(home.state.glob(KIT_FILES))
    if here:
        return Finding(
            name=name,
            ok=None,
            text=f"a recovery kit is still on this machine: {here[0]}",
            hint="move it to where no thief of this machine finds it",
        )
    return Finding(name=name, ok=True, text="no recovery kit lies beside this home")


def _node(home: Home, name: str) -> Finding:
    try:
        status = Client.find(home).call("GET", "/v1/status", timeout=10)
    except NotRunning as error:
        return Finding(name=name, ok=None, text=str(error), hint=error.hint)
    behind = status["clock_behind_ms"]
    if behind:
        return Finding(
            name=name, ok=False, text=f"the clock is {behind} ms behind the newest event",
            hint="set the clock; new events keep the newest event's time until it has caught up",
        )  # fmt: skip
    answers = f"answers at {status['api']}, pid {status['pid']}"
    if status["holds"]:
        held = ", ".join(hold["author"] for hold in status["holds"][:_NAMED_MAX])
        return Finding(
            name=name,
            ok=None,
            text=f"{answers}; the crisis screen holds {len(status['holds'])}: {held}",
            hint="a person should talk to them; then timmy release AUTHOR",
        )
    return Finding(name=name, ok=True, text=answers)


_CHECKS: Final[dict[str, Callable[[Home, str], Finding]]] = {
    "config": _config,
    "permissions": _permissions,
    "disk": _disk,
    "keys": _keys,
    "kit": _kits,
    "tree": _tree,
    "sandbox": _sandbox,
    "node": _node,
    "ledger": _ledger,
    "types": _types,
    "redactions": _redactions,
    "search": _views,
}
