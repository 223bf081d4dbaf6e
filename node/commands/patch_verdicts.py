"""Verdicts between homes: `patch export`, `judge --bundle`, `verify`, `verdicts EVENT`, `take`.

A bundle is judged here without a node, and without this home's ledger: only the keys of this home
are taken, to sign what was found.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console
from node.client import Client, path
from node.home import Home

if TYPE_CHECKING:
    from genesis.core.verdict import SignedVerdict, Verdict
    from genesis.judge import Judgment
    from node.agent.patch_bundle import PatchBundle

_SHOWN_MAX: Final = 12
"""Differences that a terminal is shown; --json has all."""


def add_arguments(actions: Any) -> None:
    """Declare the actions of this module but `judge` and `verdicts`, which others share."""
    export = actions.add_parser("export", help="write a proposal as a file for another home")
    export.add_argument("event", help="position or id of the proposal")
    export.add_argument("file", type=Path)
    export.add_argument(
        "--without-words", action="store_true", help="of a verdict that was found without them"
    )
    verify = actions.add_parser("verify", help="check verdicts and bundles of one proposal")
    verify.add_argument("files", type=Path, nargs="+", metavar="FILE")
    verify.add_argument(
        "--key", action="append", default=[], help="npub or hex of a judge you know; repeatable"
    )
    take = actions.add_parser("take", help="put another home's verdict on record")
    take.add_argument("file", type=Path)
    take.add_argument("--on", metavar="EVENT", help="the proposal (the newest)")


def export(home: Home, arguments: argparse.Namespace, position: int) -> int:
    """Write a bundle."""
    from ledger.files import write_atomically

    body = {"position": position, "words": not arguments.without_words}
    data = Client.find(home).raw("POST", "/v1/patch/export", body)
    _write(arguments.file, lambda: write_atomically(arguments.file, data, mode=0o600))
    found = {"file": str(arguments.file), "bytes": len(data), "position": position}
    if arguments.json:
        console.out_json(found)
    else:
        console.out(f"{arguments.file}: {len(data)} bytes")
        console.out(f"in another home: timmy patch judge --bundle {arguments.file}")
    return 0


def tell_facts(told: dict[str, Any], out: Callable[[str], None]) -> None:
    """Say what a verdict says: node.agent.told_verdicts."""
    from node.agent.told_verdicts import lines_of

    for name, text in lines_of(told):
        out(f"{name:9} {one_line(text)}")


def bare(row: dict[str, Any]) -> str:
    """Return what is said behind the decision of a judge that was shown nobody's words."""
    return " without words, speaks for nothing" if row.get("words") is False else ""


def show_verdict(found: dict[str, Any]) -> None:
    """Say what a judgment here came to."""
    decision = "for people" if found["for_people"] else found["decision"]
    console.out(f"verdict   {decision}{bare(found)} (event {found['position']})")
    if found["constitution"]:
        _show_constitution(found["constitution"])
    tell_facts(found, console.out)
    console.out(f"digest    {found['digest']}")
    for note in found["notes"]:
        console.out(f"note      {one_line(note)}")


def _show_constitution(told: dict[str, Any]) -> None:
    """What of this software would be another one."""
    for name in ("software", "pinned"):
        before, after = told[name]["before"], told[name]["after"]
        console.out(f"{name:9} {before[:16]} becomes {after[:16]}")
    for row in told["files"]:
        console.out(f"{row['change']:9} {row['path']} ({row['kind']})")
    if state := told.get("state"):
        parts = ", ".join(state["differs"]) or "nothing"
        console.out(f"folds     {state['events']} events from {state['first']}: {parts} differs")
        if way := state["migration"]:
            found = "takes the state back" if way["invertible"] else "does not take the state back"
            console.out(f"migration {way['path']} {found}")


def judge_bundle(home: Home, arguments: argparse.Namespace) -> int:
    """Judge what a file holds, sign what was found, and say how it stands to the owner's."""
    from genesis.core.agreement import compare
    from genesis.core.verdict import sign_envelope
    from genesis.keys import keystore, passphrase
    from ledger.files import write_atomically
    from node.agent.patch_bundle import judgeable, read_patch_bundle
    from node.agent.told_verdicts import facts
    from node.agent.travelling import comparison_row

    bundle = read_patch_bundle(read(arguments.bundle))
    owner = judgeable(bundle).verdict
    target = arguments.output or arguments.bundle.with_suffix(".verdict.json")
    given = passphrase.obtain(
        state=home.state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
    )
    keys = keystore.unlock_agent(home.path, given.text)
    console.say("a successor is forked and tried; this takes some seconds")
    judgment = asyncio.run(_judged(home, bundle, owner))
    verdict = judgment.verdict
    envelope = sign_envelope(verdict, [keys.log, keys.nostr])
    _write(target, lambda: write_atomically(target, envelope, mode=0o644))
    compared = compare(owner, verdict)
    told = facts(verdict, words=bundle.carried.words)
    found = {
        "file": str(target), **told, "notes": list(judgment.notes),
        "keys": [keys.log.public.hex(), keys.nostr.public.hex()],
        "owner": {"decision": owner.decision.value, "digest": owner.digest.hex()},
        "beside": comparison_row(compared),
    }  # fmt: skip
    if arguments.json:
        console.out_json(found)
    else:
        said = "for people" if verdict.findings.for_people else found["decision"]
        console.out(f"verdict   {said}{bare(told)} ({target})")
        tell_facts(told, console.out)
        console.out(f"digest    {found['digest']}")
        for note in found["notes"]:
            console.out(f"note      {one_line(note)}")
        _tell(f"{bundle.name}'s own, {owner.decision.value}", found["beside"])
    good = verdict.decision.value == "accept" or verdict.findings.for_people
    return 0 if compared.agree and good else 1


async def _judged(home: Home, bundle: "PatchBundle", owner: "Verdict") -> "Judgment":
    """Judge with what the owner's verdict reveals, and nothing of this home but its engine."""
    from genesis.judge import Head, evaluator_digest, judge
    from genesis.judging.constitution import judge_constitution
    from ledger.core.keys import Signer
    from node import config
    from node.agent.patching import budget_of, task_of
    from node.engine import choose_engine
    from node.open import now_ms
    from runtime import selftest

    inputs = owner.findings.inputs
    settings = config.load(home.config if home.config.exists() else None)
    probe = await choose_engine(settings)
    tested = await selftest.trusted(probe.engine, evaluator=evaluator_digest(), kept=home.trials)
    asked: dict[str, Any] = {
        "snapshot": bundle.events,
        "head": Head(size=inputs.head_size, root=inputs.head_root),
        "signer": Signer(os.urandom(31) + b"\x01"),  # of the draft, which is signed anew
        "seed": inputs.seed,
        "engine": tested.holds,
        "clock": now_ms,
        "distrust": tested.reason,
        "budget": budget_of(bundle.proposal),
    }
    diff, task = bundle.proposal.patch.data, task_of(bundle.proposal, tries=inputs.tries)
    if bundle.software is not None:
        return await judge_constitution(diff, bundle.base, bundle.software, task=task, **asked)
    return await judge(diff, bundle.base, task=task, **asked)


def verify(_home: Home, arguments: argparse.Namespace) -> int:
    """Check each file, and hold every verdict against those before it."""
    from genesis.core.agreement import held_against
    from node.agent.travelling import comparison_row, verdict_row

    named = _keys(arguments.key)
    bundle, found = _files(arguments.files)
    if not found:
        raise TimmyError(
            "there is no verdict in these files",
            hint="its owner judges first: timmy patch judge EVENT",
        )
    rows, good = [], True
    for number, (file, one) in enumerate(found):
        before = [other.verdict for _, other in found[: number or 1]]
        index, compared = held_against(before, one.verdict)
        row = {"file": file, **verdict_row(one), "against": before[index].digest.hex()}
        row["beside"] = comparison_row(compared)
        row["owner"] = bundle is not None and bool(set(one.signers) & bundle.judges)
        row["known"] = row["owner"] or bool(set(one.signers) & named)
        why = None if bundle is None else bundle.proposed.unlike(one.verdict.findings.inputs)
        row["of_bundle"], row["unlike"] = why is None, why
        good &= why is None and (row["known"] or not named)
        good &= compared.agree or not compared.comparable
        rows.append(row)
    about = None if bundle is None else _about(bundle)
    if arguments.json:
        console.out_json({"good": good, "proposal": about, "verdicts": rows})
        return 0 if good else 1
    if about is not None:
        console.out(f"proposal  {about['patch']} of {one_line(about['name'])}")
        console.out(f"base      {about['base']}\nroot      {about['root']}")
    for row in rows:
        _show(row)
    console.out("all that can be compared agree" if good else "they do not all hold, or agree")
    return 0 if good else 1


def _files(
    files: list[Path],
) -> "tuple[PatchBundle | None, list[tuple[str, SignedVerdict]]]":
    """The bundle among them, if there is one, and every verdict; those of the bundle first."""
    from genesis.core.errors import InvalidVerdict
    from node.agent.patch_bundle import read_patch_bundle
    from node.agent.travelling import as_envelope, opened

    bundle: PatchBundle | None = None
    inside: list[tuple[str, SignedVerdict]] = []
    found: list[tuple[str, SignedVerdict]] = []
    for file in files:
        data = read(file)
        try:
            envelope = as_envelope(data)
        except InvalidVerdict as error:
            raise TimmyError(f"{file}: {error}", hint=error.hint) from error
        if envelope is not None:
            found.append((str(file), envelope))
        elif bundle is not None:
            raise TimmyError(f"{file} is a second bundle", hint="one, and any number of verdicts")
        else:
            bundle = read_patch_bundle(data)
            inside = [(str(file), opened(one)) for one in bundle.carried.envelopes]
    return bundle, [*inside, *found]


def _about(bundle: "PatchBundle") -> dict[str, Any]:
    proposed = bundle.proposed
    return {
        "ledger": bundle.ledger.hex(), "name": bundle.name, "patch": proposed.patch.hex(),
        "position": bundle.event.position, "class": proposed.patch_class.value,
        "base": proposed.base.hex(), "root": proposed.root.hex(),
        "sha256": proposed.patch_sha256.hex(), "commitment": proposed.commitment.hex(),
        "head": {"size": bundle.head.size, "root": bundle.head.root.hex()},
        "words": bundle.carried.words, "events": len(bundle.events),
    }  # fmt: skip


def _show(row: dict[str, Any]) -> None:
    whose = "the owner's" if row["owner"] else "of a key you named" if row["known"] else "of a key"
    console.out(f"\nverdict   {row['decision']}, {whose} ({row['file']})")
    console.out(f"digest    {row['digest']}")
    for key in row["keys"]:
        console.out(f"signed    {key}")
    if row["unlike"]:
        console.out(f"about     another proposal than the bundle's: {row['unlike']}")
    if not row["beside"]["agree"] or row["beside"]["differences"]:
        _tell(f"digest {row['against'][:16]}", row["beside"])


def _tell(beside: str, row: dict[str, Any]) -> None:
    """Say how two verdicts stand to each other, and where they differ."""
    if row["agree"]:
        console.out(f"agrees    with {one_line(beside)}")
        return
    word = "disagrees" if row["comparable"] else "no match "
    console.out(f"{word} with {one_line(beside)}")
    for one in row["differences"][:_SHOWN_MAX]:
        what, own, other = (one_line(str(one[name])) for name in ("what", "own", "other"))
        console.out(f"          {what}: {own[:24]} there, {other[:24]} here")
    if len(row["differences"]) > _SHOWN_MAX:
        console.out(f"          and {len(row['differences']) - _SHOWN_MAX} more: --json")


def take(home: Home, arguments: argparse.Namespace, position: int) -> int:
    """Hand another home's verdict in."""
    data = read(arguments.file)
    body = {"position": position, "envelope": data.decode(errors="replace")}
    event = Client.find(home).call("POST", "/v1/patch/take", body)
    said = f"noted as event {event['position']}: {event['payload']['decision']}"
    console.out_json(event) if arguments.json else console.out(said)
    return 0


def verdicts_of(home: Home, arguments: argparse.Namespace, position: int) -> int:
    """Show every verdict on one proposal."""
    rows = Client.find(home).call("GET", path("v1", "patches", str(position), "verdicts"))
    if arguments.json:
        console.out_json(rows)
        return 0
    for row in rows:
        whose = "this node's" if row["own"] else f"signed {row['keys'][0][:16]}"
        said = f"{row['decision']}{bare(row)}"
        console.out(f"{row['position']}  {said}, {whose}, digest {row['digest'][:16]}")
        if row["beside"] is not None:
            _tell(f"this node's, {row['against']}", row["beside"])
    if not rows:
        console.out("no verdicts yet")
    return 0


def _keys(given: list[str]) -> frozenset[bytes]:
    from node.config import public_key

    return frozenset(bytes.fromhex(public_key(text, "--key")) for text in given)


def read(file: Path) -> bytes:
    """Read a bundle or a verdict. Raises TimmyError for what is no file, or too large to be one."""
    from node.agent.patch_bundle import BUNDLE_BYTES_MAX

    try:
        with file.open("rb") as opened:
            data = opened.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        raise TimmyError(
            f"{file} cannot be read: {error.strerror}", hint="a bundle, or a verdict"
        ) from error
    if len(data) > BUNDLE_BYTES_MAX:
        raise TimmyError(f"{file} has more than {BUNDLE_BYTES_MAX} bytes", hint="it is no bundle")
    return data


def _write(file: Path, write: Any) -> None:
    try:
        write()
    except OSError as error:
        raise TimmyError(
            f"{file} cannot be written: {error.strerror}", hint="choose another place"
        ) from error
