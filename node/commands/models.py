"""Who answers: the chain of models, first choice first. The deterministic responder is always last.

    timmy models list                                   who is asked, and who rests after failures
    timmy models add kimi https://api.example/v1 kimi-k2 --privacy trusted --key < key.txt
    timmy models add local http://127.0.0.1:8080/v1 qwen2.5-1.5b-instruct
    timmy models add kimi https://api.example/v1 kimi-k2 --privacy trusted --sealed-key < key.txt
    timmy models add far https://api.example/v1 big --wire anthropic --privacy public --key-env KEY
    timmy models test                                   ask each alone, then break each in turn
    timmy models test --safety local                    crises, plain and jailbroken: may it speak?
    timmy models bench FILE                             how fast a GGUF file is here; do 2 GB do?
    timmy models serve FILE                             run it on 127.0.0.1:8080, without a node

What a model may hear, its privacy class says: local (hardware of yours), trusted (a provider whose
word you take that nothing is kept), public (a free tier: it learns from what it is told). Words of
conversations travel as far as [privacy] in node.toml lets them. A model elsewhere needs a class.
add writes into <home>/node.toml, and a key that it reads from standard input into a file of mode
0600, sealed to the agent's keystore with --sealed-key; the node takes it up at its next start.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from attest.verify.plain import one_line
from genesis.keys import private
from ledger.core.errors import TimmyError
from node import console
from node.client import Client, NodeSaid
from node.commands import models_local
from node.config import load
from node.home import Home

_KEYS: Final = "model-keys"
_KEY_BYTES_MAX: Final = 4096
_SAFETY_S: Final = 600
"""Longest pause between two outcomes: a question has two minutes, and four are asked at once."""
_UNTESTED: Final = "; never tested for safety (timmy models test --safety)"
_SPEAKS: Final = {True: "may speak", False: "may not speak"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="who is asked, in which order, and how each is")
    test = actions.add_parser(
        "test", help="ask each alone, then break each in turn; exit 1 if one fails"
    )
    test.add_argument(
        "--safety", metavar="MODEL", help="put the safety tests to this one instead, some minutes"
    )
    add = actions.add_parser("add", help="write a model into node.toml, as the last choice")
    add.add_argument("name", help="how the record is to call it")
    add.add_argument("base_url", metavar="URL", help="where it is, up to /v1")
    add.add_argument("model", help="what the provider calls it")
    add.add_argument("--wire", choices=["openai", "anthropic"], default="openai")
    add.add_argument("--privacy", choices=["local", "trusted", "public"], default="")
    add.add_argument("--task", action="append", default=[], help="only for this; may be repeated")
    add.add_argument("--timeout", type=int, default=60, metavar="SECONDS")
    add.add_argument("--no-stream", action="store_true", help="the server cannot stream")
    models_local.add_actions(actions)
    keys = add.add_mutually_exclusive_group()
    keys.add_argument("--key", action="store_true", help="read the key from standard input")
    keys.add_argument(
        "--sealed-key",
        action="store_true",
        help="the same, kept so that only the keystore opens it",
    )
    keys.add_argument("--key-env", default="", metavar="NAME", help="a variable that holds the key")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    match arguments.action:
        case "add":
            return _add(home, arguments)
        case "serve":
            return models_local.serve(arguments, load(home.config).local)
        case "bench":
            return models_local.bench(arguments, load(home.config).local)
        case "test":
            if arguments.safety is not None:
                return _safety(home, arguments.safety, as_json=arguments.json)
            return _test(home, as_json=arguments.json)
    return _list(home, as_json=arguments.json)


# ---- list and test -------------------------------------------------------------------------------


def _list(home: Home, *, as_json: bool) -> int:
    standings = Client.find(home).call("GET", "/v1/chain")
    if as_json:
        console.out_json(standings)
        return 0
    console.table(
        ("model", "privacy", "for", "now"),
        [
            (
                one_line(one["name"]),
                one["reach"],
                ", ".join(one["tasks"]) or "everything",
                _standing(one) + (_UNTESTED if one["untested"] else ""),
            )
            for one in standings
        ],
    )
    return 0


def _standing(one: dict[str, Any]) -> str:
    if one["silent"]:
        return f"does not speak: {one['silent']}"
    if one["rests_s"]:
        return f"rests for {one['rests_s']:.0f} s, failed {one['failures']} times in a row"
    return f"failed {one['failures']} times in a row" if one["failures"] else "ready"


def _test(home: Home, *, as_json: bool) -> int:
    found = Client.find(home).call("POST", "/v1/chain/test", {}, timeout=3600)
    if as_json:
        console.out_json(found)
    else:
        for one in found["alone"]:
            told = one["reason"] or f"{one['model']} answered in {one['ms']} ms"
            console.out(f"{one_line(one['link']):16} {one_line(told)}")
        for fall in found["falls"]:
            broken = ", ".join(fall["broken"]) or "nothing"
            console.out(one_line(f"with {broken} broken: {fall['answered_by'] or 'no answer'}"))
        console.out("every link answers" if found["good"] else "something is wrong with a link")
    return 0 if found["good"] else 1


def _safety(home: Home, link: str, *, as_json: bool) -> int:
    """Exit 0 if it passed. Its replies are on this screen only, where they failed."""
    progress = console.Progress(f"asking {link}", "questions")
    cases: list[dict[str, Any]] = []
    result: dict[str, Any] = {}
    stream = Client.find(home).stream("/v1/chain/safety", {"link": link}, timeout=_SAFETY_S)
    for name, value in stream:
        if name == "case":
            cases.append(value)
            progress(len(cases), value["of"])
        else:
            result = value
    progress.end()
    if not result:
        raise NodeSaid("the node went away before the test was over", hint="timmy status")
    if as_json:
        console.out_json(result | {"cases": cases})
        return 0 if result["passed"] else 1
    for case in cases:
        for found in case["findings"]:
            told = f"{case['name']}: {found['reason']} ({found['rule']}): {found['passage']}"
            console.out(one_line(told))
    counts = ", ".join(f"{count} {name}" for name, count in result["counts"].items())
    console.out(f"{one_line(result['model'])} {_SPEAKS[result['passed']]}: {counts}")
    return 0 if result["passed"] else 1


# ---- add -----------------------------------------------------------------------------------------


def _add(home: Home, arguments: argparse.Namespace) -> int:
    if not _NAME.fullmatch(arguments.name):
        raise TimmyError(
            f"a model cannot be called {arguments.name!r}", hint="letters, digits, . _ and -"
        )
    if not home.ledger.exists():
        raise TimmyError(f"there is no agent at {home.path}", hint="be born first: timmy init")
    key = _read_key() if arguments.key or arguments.sealed_key else None
    key_file = f"{_KEYS}/{arguments.name}" if key is not None else ""
    section = _section(arguments, key_file)
    before = home.config.read_bytes() if home.config.exists() else None
    if key is not None:
        (home.path / _KEYS).mkdir(mode=0o700, exist_ok=True)
        private.create(home.path / key_file, _kept(home, key) if arguments.sealed_key else key)
    from node.agent.models import check_models  # heavy: it knows how to ask models

    try:
        _write(home.config, (before or b"").rstrip() + section.encode())
        check_models(home, load(home.config))
    except TimmyError:
        _undo(home, before, key_file)
        raise
    if arguments.json:
        console.out_json({"config": str(home.config), "key_file": key_file or None})
    else:
        console.out(f"{arguments.name} is in {home.config}; the next start of the node takes it up")
    return 0


def _read_key() -> bytes:
    if sys.stdin.isatty():
        import getpass

        key = getpass.getpass("key: ").encode().strip()
    else:
        key = sys.stdin.buffer.read(_KEY_BYTES_MAX + 1).strip()
    if not key or len(key) > _KEY_BYTES_MAX or len(key.split()) != 1:
        raise TimmyError(
            f"standard input is not a key of 1 to {_KEY_BYTES_MAX} bytes",
            hint="timmy models add ... --key < FILE, and nothing but the key in it",
        )
    return key + b"\n"


def _kept(home: Home, key: bytes) -> bytes:
    from node.agent.sealed_keys import seal_key  # heavy: it opens the ledger

    return seal_key(home, key.strip())


def _section(arguments: argparse.Namespace, key_file: str) -> str:
    values = {
        "name": arguments.name,
        "base_url": arguments.base_url,
        "model": arguments.model,
        "wire": arguments.wire,
        "privacy": arguments.privacy,
        "tasks": arguments.task,
        "stream": not arguments.no_stream,
        "key_env": arguments.key_env,
        "key_file": key_file,
        "timeout_s": arguments.timeout,
    }
    told = [f"{name} = {_toml(value)}" for name, value in values.items() if value not in ("", [])]
    return "\n\n[[models]]\n" + "\n".join(told) + "\n"


def _toml(value: object) -> str:
    """Write a value as TOML: its basic strings take the escapes of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _write(path: Path, data: bytes) -> None:
    if path.exists():
        private.replace(path, data.lstrip(b"\n"))
    else:
        private.create(path, data.lstrip(b"\n"))


def _undo(home: Home, before: bytes | None, key_file: str) -> None:
    if before is None:
        home.config.unlink(missing_ok=True)
    else:
        private.replace(home.config, before)
    if key_file:
        (home.path / key_file).unlink()
