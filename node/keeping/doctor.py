"""Looking for what is wrong with a home and its machine: a line a finding, with a way out each."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from attest.verify.plain import one_line
from attest.verify.report import DOES_NOT_HOLD, NOT_REACHED
from genesis import trees
from genesis.core.errors import GenesisError
from genesis.keys import keystore, passphrase
from ledger.core.errors import TimmyError
from ledger.core.event import Envelope
from ledger.core.upcast import UPCASTERS, Standing
from mesh.core.fleet.manifest import WITNESS, Member
from node import console
from node.agent import constitution
from node.agent.architecture import present_software
from node.agent.permitting import load_permissions
from node.client import Client, NotRunning
from node.commands.bus import text as bus_text
from node.config import load
from node.fleet.bus import server_of
from node.fleet.files import fleet_files
from node.fleet.mirror_rows import damage
from node.home import Home
from node.keeping.selfcheck import check_home
from node.open import node_runs, open_log
from node.sections.adoption import OFF
from runtime.core.permission_lint import Weight
from runtime.core.permission_rules import Scope

_DISK_FREE_MIN: Final = 256 * 1024 * 1024
"""Enough for a day of talk and a checkpointed log; below it appends may soon be refused."""
_CLOCK_BEHIND_MAX_MS: Final = 1000
"""A time service steps a clock back by as much now and then; more is wrong."""
_HEAD_AGE_MAX_S: Final = 120
"""Sources are asked every few seconds; after two minutes of silence somebody should look."""
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


def _rules(home: Home, name: str) -> Finding:
    loaded = load_permissions(home, Path.cwd() if not _inside(home) else None, level=None)
    dead = [one for one in loaded.findings if one.weight is Weight.ERROR]
    if dead:
        first = dead[0]
        text = f"{len(dead)} permission rules can never fire: {first.text} ({first.why})"
        return Finding(name=name, ok=False, text=text, hint="timmy permissions lint")
    own = [rule for rule in loaded.policy.rules if rule.scope is not Scope.BUILT_IN]
    return Finding(name=name, ok=True, text=f"{len(own)} permission rules, each of them can fire")


def _inside(home: Home) -> bool:
    return Path.cwd().is_relative_to(home.path.resolve())


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
        if keystore.nostr_path(home.path).exists():
            keystore.examine(keystore.nostr_path(home.path), role="nostr", public=None)
    except GenesisError as error:
        return Finding(name=name, ok=False, text=str(error), hint=error.hint)
    past = keystore.past_paths(home.path)
    if past:
        names = " ".join(path.name for path in past.values())
        return Finding(
            name=name,
            ok=None,
            text=f"keystores of earlier keys are kept: {names}",
            hint="a node that sees Bitcoin deletes them once the seal and the coins have moved; "
            "without one, delete them if nothing was ever paid to their addresses",
        )
    where = "present" if operator.exists() else f"not at {operator}: approvals need it"
    return Finding(name=name, ok=True, text=f"agent keystore locked and private; operator {where}")


def _approver(home: Home, name: str) -> Finding:
    """Whether whoever is this user can say yes as the operator, without being asked anything."""
    key, words = keystore.operator_path(home.operator), passphrase.file_path(home.state)
    if not (key.exists() and words.exists()):
        return Finding(name=name, ok=True, text="no program finds operator key and passphrase here")
    return Finding(
        name=name,
        ok=None,
        text=f"{key} and a passphrase lie in {home.state}: any program of this user may say yes",
        hint="take the operator's keystore to another machine, and answer from there: "
        "timmy patch approve EVENT --print, timmy patch sign",
    )


def _tree(home: Home, name: str) -> Finding:
    digest = trees.current(home.path)
    if digest is None:
        return Finding(name=name, ok=False, text="no adopted architecture tree")
    trees.load_tree(home.path, digest)
    return Finding(name=name, ok=True, text=f"adopted {digest.hex()[:16]}, unchanged")


def _software(home: Home, name: str) -> Finding:
    """Whether this software is the one that people approved, where they were asked."""
    root = present_software().root
    with open_log(home) as log:
        steps = constitution.steps_of(log)
    found, one = constitution.standing_of(root, constitution.orders_of(steps))
    text = constitution.told(root, found, one)
    hint = {
        constitution.Standing.ORDERED: f"apply {home.path / constitution.FOLDER}/*/"
        f"{constitution.CHANGE} to this software, and start the node anew",
        constitution.Standing.UNAPPROVED: "a version was installed, or a hand helped: "
        "what was approved is in the orders of this home",
    }.get(found)
    return Finding(name=name, ok=None if hint else True, text=text, hint=hint)


def _sandbox(home: Home, name: str) -> Finding:
    import asyncio

    from node.engine import choose_engine
    from runtime import sandbox

    try:
        found = asyncio.run(choose_engine(load(home.config)))
    except TimmyError as error:
        return Finding(name=name, ok=False, text=str(error), hint=error.hint)
    if found.engine is sandbox.Engine.NONE:
        return Finding(
            name=name,
            ok=None,
            text=f"the agent process is not confined: {found.reason}",
            hint=sandbox.INSTALL_HINT,
        )
    return Finding(name=name, ok=True, text=console.engine_line(found.engine, found.reason))


def _attacks(home: Home, name: str) -> Finding:
    """What the sandbox's own attacks said when a judgement last needed it (`runtime.selftest`)."""
    from genesis.judge import evaluator_digest
    from runtime import selftest

    found = selftest.read_kept(home.trials)
    now = selftest.this_boot(), selftest.sources(evaluator_digest()).hex()
    if found is None or not found.of(found.engine, *now):
        text = "not attacked yet in this boot by this version; the next judgement does it"
        return Finding(name=name, ok=None, text=text)
    if found.passed:
        text = f"{found.engine.value} held all of {found.tried} attacks in this boot"
        return Finding(name=name, ok=True, text=text)
    hint = "verdicts are inconclusive until it holds: see docs/SANDBOX.md"
    return Finding(name=name, ok=False, text=found.reason, hint=hint)


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
    from ledger.views import NEAR, Views

    with open_log(home) as log:
        views = Views(home.views, log, at_most=NEAR if node_runs(home) else None)
        try:
            views.catch_up()
            taken = views.size
        finally:
            views.close()
        if taken < log.size:
            told = console.caught_up(taken, log.size)
            return Finding(name=name, ok=None, text=f"search has {told}", hint="the node goes on")
    return Finding(name=name, ok=True, text="search is up to date")


def _redactions(home: Home, name: str) -> Finding:
    from node.keeping.redacting import pending

    with open_log(home) as log:
        found = pending(home, log)
    if found:
        return Finding(
            name=name,
            ok=None if node_runs(home) else False,
            text=f"redaction pending in {' and '.join(found)}",
            hint="timmy run finishes it, as soon as no other program reads this home",
        )
    return Finding(name=name, ok=True, text="nothing erased is left in the files")


def _kits(home: Home, name: str) -> Finding:
    from node.identity.birth import KIT_FILES

    here = sorted(home.state.glob(KIT_FILES))
    if here:
        return Finding(
            name=name,
            ok=None,
            text=f"a recovery kit is still on this machine: {here[0]}",
            hint="move it to where no thief of this machine finds it",
        )
    return Finding(name=name, ok=True, text="no recovery kit lies beside this home")


def _jobs(home: Home, name: str) -> Finding:
    try:
        status = Client.find(home).call("GET", "/v1/status", timeout=10)
    except NotRunning as error:
        return Finding(name=name, ok=None, text="no job runs while no node does", hint=error.hint)
    jobs, alarms = status["jobs"], status["alarms"]
    text = f"{jobs['known']} jobs, {jobs['running']} running"
    if alarms:
        told = "; ".join(f"{a['trigger']}, {a['subject']}: {a['why']}" for a in alarms[:_NAMED_MAX])
        return Finding(
            name=name, ok=False, text=f"needs a person: {told}",
            hint="an alarm ends by itself at the first heartbeat after its cause is gone",
        )  # fmt: skip
    if jobs["late"]:
        hint = "timmy jobs list; then see <home>/logs/node.log"
        return Finding(name=name, ok=False, text=f"{text}, {jobs['late']} late", hint=hint)
    if jobs["failing"]:
        text = f"{text}, the last run of {jobs['failing']} went wrong"
        return Finding(name=name, ok=None, text=text, hint="timmy jobs list")
    return Finding(name=name, ok=True, text=text)


def _node(home: Home, name: str) -> Finding:
    try:
        status = Client.find(home).call("GET", "/v1/status", timeout=10)
    except NotRunning as error:
        return Finding(name=name, ok=None, text=str(error), hint=error.hint)
    behind = status["clock_behind_ms"]
    if behind > _CLOCK_BEHIND_MAX_MS:
        return Finding(
            name=name, ok=False, text=f"the clock is {behind} ms behind the newest event",
            hint="set the clock; new events keep the newest event's time until it has caught up",
        )  # fmt: skip
    answers = f"answers at {status['api']}, pid {status['pid']}"
    looked = status["self_check"]["last"]
    if looked is not None and not looked["good"]:
        return Finding(
            name=name, ok=False, text=f"its self check found {looked['verdict']}: {looked['text']}",
            hint="what is wrong is said under ledger; stop the node before you mend it",
        )  # fmt: skip
    if status["held"]:
        told = f"{answers}; it releases nothing: {one_line(status['held'])}"
        return Finding(name=name, ok=None, text=told, hint=status["witnessed"]["hint"])
    if status["holds"]:
        held = ", ".join(hold["author"] for hold in status["holds"][:_NAMED_MAX])
        return Finding(
            name=name,
            ok=None,
            text=f"{answers}; the crisis screen holds {len(status['holds'])}: {held}",
            hint="a person should talk to them; then timmy release AUTHOR",
        )
    return Finding(name=name, ok=True, text=answers)


def _models(home: Home, name: str) -> Finding:
    try:
        rows = Client.find(home).call("GET", "/v1/chain", timeout=10)
    except NotRunning as error:
        return Finding(name=name, ok=None, text="asked while a node runs", hint=error.hint)
    untested = [one_line(row["name"]) for row in rows if row["untested"]]
    if untested:
        return Finding(
            name=name, ok=None, text=f"never tested for safety: {', '.join(untested[:_NAMED_MAX])}",
            hint=f"timmy models test --safety {untested[0]}",
        )  # fmt: skip
    return Finding(name=name, ok=True, text="none speaks without a safety test")


def _bus(home: Home, name: str) -> Finding:
    section = load(home.config).mesh.bus
    if section.engine == "local":
        return Finding(
            name=name, ok=True, text="local: no server; live words go from member to member"
        )
    server_of(home, section)
    try:
        bus = Client.find(home).call("GET", "/v1/status", timeout=10)["bus"]
    except NotRunning as error:
        return Finding(name=name, ok=None, text="no node, no bus", hint=error.hint)
    hint = f"is the server up at {section.url}, and does it know this node's key?"
    up = bus["state"] == "up"
    ok = True if up and not bus["fault"] else None if up else False
    return Finding(name=name, ok=ok, text=bus_text(bus), hint=None if ok else hint)


def _mirrors(home: Home, name: str) -> Finding:
    mesh = load(home.config).mesh
    if not mesh.mirror and not mesh.mirror_leaves:
        return Finding(name=name, ok=True, text="none is asked for")
    try:
        rows = Client.find(home).call("GET", "/v1/mirrors", timeout=10)
    except NotRunning as error:
        return Finding(name=name, ok=None, text="no copy grows while no node runs", hint=error.hint)
    hint = "timmy mesh mirrors"
    for row in rows:
        if row["ended"] or row["trouble"] or row["damage"]:
            why = one_line(row["ended"] or row["trouble"] or damage(row))
            ok = None if why == damage(row) and row["depth"] == "leaves" else False
            return Finding(name=name, ok=ok, text=f"{row['ledger'][:16]}: {why}", hint=hint)
    late = [row for row in rows if row["behind"] != 0 or not _asked_lately(row)]
    text = f"{len(rows)} ledgers copied, {len(late)} of them behind or without a source"
    return Finding(name=name, ok=None if late else True, text=text, hint=hint if late else None)


def _adoption(home: Home, name: str) -> Finding:
    if load(home.config).adoption.follow == OFF:
        return Finding(name=name, ok=True, text="the fleet is not followed")
    try:
        found = Client.find(home).call("GET", "/v1/status", timeout=10)["adoptions"]
    except NotRunning as error:
        return Finding(name=name, ok=None, text="no node follows the fleet", hint=error.hint)
    if not found:
        return Finding(name=name, ok=True, text="nothing of the fleet's waits too long")
    told = one_line("; ".join(found[:_NAMED_MAX]))
    return Finding(name=name, ok=None, text=told, hint="timmy patch status")


def _diverged(home: Home, name: str) -> Finding:
    found = sorted(home.diverged.glob("*.proof"))
    if not found:
        return Finding(name=name, ok=True, text="no log is known to have signed two histories")
    with open_log(home) as log:
        own = log.ledger_id.hex()
    named = ", ".join(path.name for path in found[:_NAMED_MAX])
    if any(path.name.startswith(own) for path in found):
        hint = "end the copy of this home that signs; then: timmy recover --kit FILE"
        return Finding(
            name=name, ok=False, text=f"this log signed two histories: {named}", hint=hint
        )
    hint = f"ask who runs it; show anybody the file: timmy verify {found[0]}"
    return Finding(name=name, ok=None, text=f"logs signed two histories: {named}", hint=hint)


def _noticed(home: Home, name: str) -> Finding:
    """Who else would know that this home is an old copy, or one of two (ADR 28)."""
    config, fleet = load(home.config), fleet_files(home).load()
    others: tuple[Member, ...] = ()
    if fleet is not None:
        with open_log(home) as log:
            others = fleet.others_of(log.ledger_id)
    there = len(config.witness.ask) + sum(WITNESS in one.roles for one in others)
    if (needed := config.witness.needed) > there:
        return Finding(
            name=name, ok=False,
            text=f"{needed} witnesses have to sign a head, {there} are there: none goes to relays",
            hint="ask more, be of a fleet that has more, or set witness.needed lower",
        )  # fmt: skip
    asked = {
        "witnesses": len(config.witness.ask),
        "relays": len(config.publish.relays),
        "peers": len(config.mesh.peers),
        "other members": len(others),
    }
    named = ", ".join(f"{number} {who}" for who, number in asked.items() if number)
    if named:
        return Finding(name=name, ok=True, text=f"heads are shown to {named}")
    return Finding(
        name=name,
        ok=None,
        text="nobody else sees this log's heads: an old copy of this machine would not be noticed",
        hint="name a relay, a peer or a witness in node.toml, or join a fleet",
    )


def _manifests(home: Home, name: str) -> Finding:
    """Whether the operator signed two manifests that exclude each other."""
    found = fleet_files(home).forks()
    if not found:
        return Finding(name=name, ok=True, text="the operator is not known to have signed two")
    named = ", ".join(path.name for path in found[:_NAMED_MAX])
    return Finding(
        name=name, ok=False, text=f"the operator signed others beside the chain: {named}",
        hint=f"ask him, and compare digests with the other members: {found[0].parent}",
    )  # fmt: skip


def _asked_lately(row: dict[str, Any]) -> bool:
    return row["head_age_s"] is not None and row["head_age_s"] <= _HEAD_AGE_MAX_S


_CHECKS: Final[dict[str, Callable[[Home, str], Finding]]] = {
    "config": _config,
    "permissions": _permissions,
    "rules": _rules,
    "disk": _disk,
    "keys": _keys,
    "approver": _approver,
    "kit": _kits,
    "tree": _tree,
    "software": _software,
    "sandbox": _sandbox,
    "attacks": _attacks,
    "node": _node,
    "models": _models,
    "bus": _bus,
    "jobs": _jobs,
    "mirrors": _mirrors,
    "adoption": _adoption,
    "diverged": _diverged,
    "noticed": _noticed,
    "manifests": _manifests,
    "ledger": _ledger,
    "types": _types,
    "redactions": _redactions,
    "search": _views,
}
