"""The `timmy` command: one module per command in node/commands, imported when it is needed.

Exit status: 0 ok, 1 a negative verdict, 2 usage or environment. Errors are one line, hints another.
"""

import argparse
import importlib
import sys
from typing import Any, Final, NoReturn

from ledger.core.errors import TimmyError
from node import console

GROUPS: Final = {
    "live": {
        "init": "be born: keys, SOUL, the first event of a ledger",
        "run": "start the node (and be born first, if there is no agent here)",
        "status": "tell whether the node answers, and how it is",
        "doctor": "look for what is wrong, and say what to do about it",
        "backup": "write the whole home to one file, while the node runs",
        "restore": "make a home from a backup",
        "service": "print a systemd unit that runs this node",
        "config": "print the commented default configuration",
        "permissions": "what tools may do: list the rules, lint them, say why",
    },
    "talk": {
        "say": "say something to the agent and print its answer",
        "chat": "a conversation on this terminal",
        "memory": "what the agent remembers: give, list, show, search, forget",
        "models": "who answers: add models, list them, break each in turn",
        "skins": "how the agent speaks: signed skins, worn by conversations",
        "context": "what it is told of the folder it works in",
        "hooks": "what others tell this node by webhooks: add, list",
        "proxy": "record what other agents say to their models: on, off, add, whose",
        "jobs": "what runs by itself: add, list, pause, run, history, the morning report",
        "mcp": "tools of MCP servers for the agent, and the agent for MCP clients",
        "tools": "what the agent can do: list, call, add one over HTTP, remove it",
        "artifacts": "what the agent made, told to its peers, and what they made",
        "approvals": "calls of tools that wait for your yes: list, allow, deny",
        "release": "let the agent speak again with someone the crisis screen holds",
    },
    "look": {
        "log": "list events",
        "show": "show one event whole",
        "search": "find words in everything said and remembered",
        "why": "walk from an event to what caused it",
    },
    "trust": {
        "head": "print the signed checkpoint of everything so far",
        "prove": "write a file that proves one event to a stranger",
        "verify": "check a proof or export, or this home's own ledger",
        "replay": "compute the state again from event 0 and compare",
        "export": "write the whole ledger to one file",
        "import": "make a home from an exported ledger",
        "redact": "erase what an event says, and keep the proof that it was there",
        "soul": "who the agent is: show it, prove it, publish it, tag it in git",
        "trust": "who stands behind what, as a graph",
        "anchor": "put the newest checkpoint into Bitcoin",
        "handoff": "hand the agent over to new keys, on this machine or another",
        "aggregate": "anchor many ledgers in one transaction, or be one of them",
        "bus": "how the nodes of a fleet reach each other: local, or over NATS",
        "mesh": "other nodes: the fleet, relays between, copies of ledgers, witnesses of heads",
        "recover": "start a new epoch after a loss, with the recovery kit",
    },
    "change": {
        "skills": "drafts of skills that the agent made: list, show, adopt, reject",
        "lineage": "children: father one, gates, orders, reports; and this agent's parent",
        "patch": "propose a change to the agent's own code, and have it judged",
        "fork": "try a patch on a fork of the agent, and see what it does otherwise",
    },
}

_MODULES: Final = {"import": "import_"}


class UsageError(TimmyError):
    """The command line does not say what it must."""


class _Parser(argparse.ArgumentParser):
    """argparse, with our manners for errors; --home and --json may stand behind any command."""

    def __init__(self, *, top: bool = False, **more: Any) -> None:
        """Make the parser of all commands (`top`), of one, or of an action of one."""
        super().__init__(**more)
        _add_globals(self, default=None if top else argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        """Refuse a command line. Raises UsageError."""
        raise UsageError(message, hint=f"{self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    lines = []
    for title, commands in GROUPS.items():
        lines.append(f"{title}:")
        lines += [f"  {name:11} {about}" for name, about in commands.items()]
    parser = _Parser(
        prog="timmy",
        description="A sovereign AI agent whose whole life is a ledger that anyone can verify.",
        epilog="\n".join([*lines, "", "timmy COMMAND --help says more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="timmy [--home FOLDER] [--json] COMMAND ...",
        add_help=True,
        top=True,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    return parser


def _add_globals(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument(
        "--home", metavar="FOLDER", default=default, help="the agent's home (or TIMMY_HOME)"
    )
    parser.add_argument(
        "--json", action="store_true", default=default, help="print one JSON document"
    )


def _command_parser(name: str, about: str) -> tuple[argparse.ArgumentParser, object]:
    module = importlib.import_module(f"node.commands.{_MODULES.get(name, name)}")
    parser = _Parser(
        prog=f"timmy {name}",
        description=(module.__doc__ or about).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser, module


def _dispatch(argv: list[str]) -> int:
    parser = _parser()
    known = {name: about for group in GROUPS.values() for name, about in group.items()}
    split = next((i for i, word in enumerate(argv) if word in known), None)
    head = argv if split is None else argv[:split]
    if split is not None and head and head[-1] == "--home":
        following = [i for i, word in enumerate(argv) if word in known and i > split]
        split = following[0] if following else None
        head = argv if split is None else argv[:split]
    arguments, unknown = parser.parse_known_args(head)
    if arguments.version:
        from importlib.metadata import version

        found = version("timmy-node")
        console.out_json({"version": found}) if arguments.json else console.out(f"timmy {found}")
        return 0
    if unknown or split is None:
        word = next((w for w in unknown if not w.startswith("-")), None)
        if word or unknown:
            raise TimmyError(f"unknown command {word or unknown[0]!r}", hint="timmy --help")
        parser.print_help()
        return 2
    command, module = _command_parser(argv[split], known[argv[split]])
    _, rest = command.parse_known_args(argv[split + 1 :], namespace=arguments)
    _take_words(command, arguments, rest, getattr(module, "WORDS", None))
    status = module.run(arguments)  # type: ignore[attr-defined]
    return int(status)


def _take_words(
    command: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    rest: list[str],
    name: str | None,
) -> None:
    """Add what stands behind an option to a command's words, which argparse ends at the first one.

    `name`: of the argument that holds the words; None for a command without. Raises UsageError.
    """
    words = getattr(arguments, name or "", None)
    if isinstance(words, list) and not any(word.startswith("-") for word in rest):
        words += rest
    elif rest:
        command.error(f"unrecognized arguments: {' '.join(rest)}")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        given = sys.argv[1:] if argv is None else argv
        _check_text(given)
        return _dispatch(given)
    except TimmyError as error:
        console.fail(error)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        console.fail(_of_the_machine(error))
        return 2


def _check_text(argv: list[str]) -> None:
    """Refuse words that no page, table or ledger could hold, before anything is done."""
    for number, word in enumerate(argv, 1):
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"argument {number} is not UTF-8 at character {error.start}: {word}",
                hint="give it in UTF-8; iconv turns other encodings into it",
            ) from error


def _of_the_machine(error: OSError) -> TimmyError:
    """Say what the machine refused, for the doors that have no words of their own."""
    text = error.strerror or str(error)
    return TimmyError(
        f"{error.filename}: {text}" if error.filename else text,
        hint="check the place, its permissions and the space on its disk",
    )


if __name__ == "__main__":
    sys.exit(main())
