"""What a person says to a proposal: `timmy patch approve`, `disapprove`, `sign`.

What is signed is derived here, from this home's ledger and its verdict, and not asked of the node.
Where the operator's key lies on another machine, three steps:

    timmy patch approve 412 --print > question.json      at the node
    timmy patch export 412 kind.patch                    there, too: what the question stands for
    timmy patch sign question.json --bundle kind.patch -o answer.json      where the key is
    timmy patch approve 412 --signature answer.json      at the node

A yes is to a verdict that speaks for it. A no is to any that was found here: the judge may be
another one by now.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from ledger.core.keys import Signer
from node import console
from node.client import Client, path
from node.commands import patch_verdicts
from node.home import Home

if TYPE_CHECKING:
    from genesis.core.approval import Question, SignedAnswer, Word

_FILE_BYTES_MAX: Final = 16 * 1024
"""A question is six lines."""
_WORDS: Final = {
    "approve": "say yes to it, with your key",
    "disapprove": "say no, or take a yes back",
}
_SENT: Final = ("word", "verdict", "root", "key", "signature", "at_ms")
_TEXTS: Final = ("word", "ledger", "patch", "root", "verdict", "class", "key", "signature")


def add_arguments(actions: Any) -> None:
    """Declare the actions of this module."""
    for word, about in _WORDS.items():
        one = actions.add_parser(word, help=about)
        one.add_argument("event", help="position or id of the proposal")
        given = one.add_mutually_exclusive_group()
        given.add_argument("--print", action="store_true", help="what is to be signed elsewhere")
        given.add_argument("--signature", type=Path, metavar="FILE", help="what was signed there")
        _add_key(one)
    sign = actions.add_parser("sign", help="sign a question that --print gave, on any machine")
    sign.add_argument("file", type=Path)
    sign.add_argument(
        "--bundle", type=Path, metavar="FILE", help="show what it is about: timmy patch export"
    )
    sign.add_argument("-o", "--output", type=Path, metavar="FILE", help="(standard output)")
    sign.add_argument(
        "--as-member", action="store_true", help="with this node's own key, as a fleet's approver"
    )
    _add_key(sign)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keystore", type=Path, metavar="FOLDER", help="with operator.keystore (this machine's)"
    )
    parser.add_argument("--passphrase-fd", type=int, metavar="N", help="of that keystore")


def answer(home: Home, arguments: argparse.Namespace, position: int) -> int:
    """Approve or disapprove."""
    from genesis.core.approval import Word

    word = Word(arguments.action)
    if arguments.signature is not None:
        body = _read_answer(arguments.signature)
        if body["word"] != word.value:
            raise TimmyError(
                f"{arguments.signature} says {body['word']}", hint=f"timmy patch {body['word']}"
            )
        body = {
            name: body[name] for name in ("word", "verdict", "root", "key", "signature", "at_ms")
        }
        return _hand_in(home, arguments, position, body)
    asked = _derived(home, position, word)
    question, ledger_ms = asked.question, asked.ledger_ms
    _show(asked)
    if arguments.print:
        console.out_json({**_row(question), "word": word.value})
        return 0
    made = _made(question, word, _key(home, arguments), ledger_ms=ledger_ms)
    body = {
        "word": word.value,
        "verdict": question.verdict.hex(),
        "root": question.root.hex(),
        "key": made.key.hex(),
        "signature": made.signature.hex(),
        "at_ms": made.answer.at_ms,
    }
    return _hand_in(home, arguments, position, body)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be signed, what it is about, and the ledger's time in milliseconds.

    `verdicts`: all on record about it, as rows of `node.agent.travelling`.
    """

    question: "Question"
    title: str
    told: dict[str, Any]
    verdicts: list[dict[str, Any]]
    ledger_ms: int


def _derived(home: Home, position: int, word: "Word") -> _Asked:
    """What is asked, from the ledger itself: the node is not believed."""
    from genesis.core.approval import Word
    from node import config
    from node.agent.approval import (
        asked_about,
        envelopes_of,
        nothing_to_approve,
        own_verdicts,
        proposed_of,
    )
    from node.agent.deciders import Deciders
    from node.agent.told_verdicts import facts
    from node.agent.travelling import verdict_rows
    from node.open import reading

    with reading(home) as opened:
        event = opened.log.read(position)
        proposed = proposed_of(opened.log.ledger_id, event)
        settings = config.load(home.config if home.config.exists() else None)
        rules = Deciders(
            home=home, config=settings, lineage=opened.lineage, own=frozenset()
        ).rules()
        envelopes = envelopes_of(opened.log, event)
        bare = envelopes_of(opened.log, event, words=False)
        verdicts = verdict_rows(opened.log, event, rules.judges)
        ledger_ms = opened.log.read(opened.log.size - 1).ts_ms
    found = asked_about(proposed, envelopes, rules)
    if found is None and word is Word.DISAPPROVE:
        found = next(own_verdicts(proposed, envelopes, rules), None)
        if found is None:
            but = "but one found without words " if bare else ""
            raise TimmyError(
                f"no verdict of this node {but}is about proposal {position}: nobody is asked",
                hint=f"timmy patch withdraw {position}",
            )
    if found is None:
        raise nothing_to_approve(position, wordless=bool(bare))
    return _Asked(
        question=proposed.question(found.digest),
        title=str((event.content or {}).get("title") or "(no title)"),
        told=facts(found, words=True),
        verdicts=verdicts,
        ledger_ms=ledger_ms,
    )


def _row(question: "Question") -> dict[str, Any]:
    from node.agent.approval import question_row

    return question_row(question)


def _show(asked: _Asked) -> None:
    """Say what is about to be signed, and what was found: nobody signs what he was not shown."""
    _show_found(asked.title, asked.told)
    for name in ("patch", "root", "verdict", "class"):
        console.say(f"{name:9} {_row(asked.question)[name]}")
    _show_others(asked.verdicts)


def _show_found(title: str, told: dict[str, Any]) -> None:
    console.say(f"{'title':9} {one_line(title)}")
    patch_verdicts.tell_facts(told, console.say)


def _show_bundle(file: Path, question: "Question") -> None:
    """Say what a question stands for: of the file all is proven, and it must be about this one."""
    from node.agent.patch_bundle import judgeable, read_patch_bundle
    from node.agent.told_verdicts import facts

    bundle = read_patch_bundle(patch_verdicts.read(file))
    owner = judgeable(bundle).verdict
    if bundle.proposed.question(owner.digest) != question:
        raise TimmyError(
            f"{file} is of another proposal, or of another verdict on it, than the question",
            hint="both anew: timmy patch export EVENT FILE, timmy patch approve EVENT --print",
        )
    _show_found(bundle.proposal.front.title, facts(owner, words=bundle.carried.words))
    console.say(f"{'of':9} {one_line(bundle.name)}")
    console.say(console.safe(bundle.proposal.patch.data.decode()))


def _show_others(rows: list[dict[str, Any]]) -> None:
    """Say who else judged it, and who disagrees."""
    for row in rows:
        beside = row["beside"] or {}
        if not row["own"] and (row["decision"] == "reject" or beside.get("comparable")):
            agrees = "agrees" if beside.get("agree") else f"says {row['decision']}, another digest"
            console.say(f"another   {row['keys'][0][:16]} {agrees}")


def _made(question: "Question", word: "Word", key: Signer, *, ledger_ms: int = 0) -> "SignedAnswer":
    """Sign it, as of now; by the ledger's time if that is ahead, since that is what counts."""
    from genesis.core.approval import Answer
    from node.open import now_ms

    return Answer(question=question, word=word, at_ms=max(now_ms(), ledger_ms)).sign(key)


def _member_key(home: Home, arguments: argparse.Namespace) -> Signer:
    """The key by which a fleet's manifest names this node."""
    from genesis.keys import keystore

    return keystore.unlock_agent(home.path, _passphrase(home, arguments)).nostr


def _passphrase(home: Home, arguments: argparse.Namespace) -> str:
    from genesis.keys import passphrase

    given = passphrase.obtain(
        state=home.state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
    )
    return given.text


def _key(home: Home, arguments: argparse.Namespace) -> Signer:
    from genesis.core.errors import PrivateFileMissing
    from genesis.keys import keystore

    folder = arguments.keystore or home.operator
    try:
        return keystore.unlock_operator(folder, _passphrase(home, arguments))
    except PrivateFileMissing as error:
        raise TimmyError(
            str(error), hint="where the key is: timmy patch approve --print here, patch sign there"
        ) from error


def _hand_in(home: Home, arguments: argparse.Namespace, position: int, body: dict[str, Any]) -> int:
    client = Client.find(home)
    event = client.call("POST", "/v1/patch/answer", {**body, "position": position})
    standing = client.call("GET", path("v1", "patches", str(position), "approval"))
    if arguments.json:
        console.out_json({"event": event, "standing": standing})
    else:
        console.out(f"on record as event {event['position']}")
        console.out(one_line(standing["text"]))
    return 0


def sign(home: Home, arguments: argparse.Namespace) -> int:
    """Sign a question that came as a file. It names all that it is about, and is shown first."""
    from genesis.core.approval import Question, Word
    from genesis.core.patch import PatchClass
    from ledger.files import write_atomically

    value = _json(arguments.file, (*_TEXTS[:6], "digest"))
    try:
        question = Question(
            ledger=bytes.fromhex(value["ledger"]),
            patch=bytes.fromhex(value["patch"]),
            root=bytes.fromhex(value["root"]),
            verdict=bytes.fromhex(value["verdict"]),
            patch_class=PatchClass(value["class"]),
        )
        word = Word(value["word"])
    except ValueError as error:
        raise _no_question(arguments.file) from error
    if question.digest.hex() != value["digest"]:
        raise _no_question(arguments.file)
    if arguments.bundle is None:
        console.say("warning: you see digests only: --bundle FILE shows what they stand for")
    else:
        _show_bundle(arguments.bundle, question)
    for name in ("word", "ledger", "patch", "root", "verdict", "class"):
        console.say(f"{name:9} {value[name]}")
    key = _member_key(home, arguments) if arguments.as_member else _key(home, arguments)
    made = _made(question, word, key)
    found = {
        **_row(question), "word": word.value, "key": made.key.hex(),
        "signature": made.signature.hex(), "at_ms": made.answer.at_ms,
    }  # fmt: skip
    if arguments.output is None:
        console.out_json(found)
        return 0
    data = (json.dumps(found, indent=1) + "\n").encode()
    try:
        write_atomically(arguments.output, data, mode=0o644)
    except OSError as error:
        raise TimmyError(
            f"{arguments.output} cannot be written: {error.strerror}", hint="-o FILE"
        ) from error
    console.out(f"{arguments.output}: timmy patch {word.value} EVENT --signature FILE")
    return 0


def _read_answer(file: Path) -> dict[str, Any]:
    return _json(file, (*_TEXTS, "digest"), at_ms=True)


def _json(file: Path, texts: tuple[str, ...], *, at_ms: bool = False) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_BYTES_MAX + 1)
        value = json.loads(data) if len(data) <= _FILE_BYTES_MAX else None
    except OSError as error:
        raise TimmyError(f"{file} cannot be read: {error.strerror}", hint="name a file") from error
    except (ValueError, RecursionError) as error:
        raise _no_question(file) from error
    if not isinstance(value, dict) or any(type(value.get(name)) is not str for name in texts):
        raise _no_question(file)
    if at_ms and type(value.get("at_ms")) is not int:
        raise _no_question(file)
    return value


def _no_question(file: Path) -> TimmyError:
    return TimmyError(
        f"{file} is not what timmy patch approve --print or timmy patch sign wrote",
        hint="timmy patch approve EVENT --print > FILE",
    )
