"""Commands that start other commands: `sudo rm`, `env X=1 git`, `xargs rm`, `bash -c 'rm'`.

`unfold` returns what a simple command would start, as far as its words tell. Options are read from
closed tables (GNU coreutils 9, findutils 4.9, sudo 1.9, bash 5.2): an option that is not in them
leaves open which word is the command, so the part is unknown. Transparent starters change nothing
that a rule could mean (time, nice, nohup ...): only what they start needs a rule; the others (sudo,
xargs, find) need one of their own as well. What is run from a file, on another machine or from an
interpreter's program text is not unfolded: a rule for `python`, `ssh` or `make` means all of that.
"""

import re
from dataclasses import dataclass
from typing import Final

from runtime.core.shell_words import UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """How to find the command behind one program's options."""

    flags: str = ""
    valued: str = ""
    operands: int = 0
    """Words between the options and the command."""
    assignments: bool = False
    transparent: bool = True
    unknown: str = ""
    """Why what is started can never be known, if that is so."""
    queries: str = ""
    """Flags with which nothing is started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a command starts: words from `at` on, or a line of shell in `script`."""

    at: int = 0
    words: tuple[str, ...] = ()
    script: str | None = None
    transparent: bool = True
    why: str = ""
    assignments: tuple[str, ...] = ()


_LATER: Final = "it is given further arguments when it runs"
STARTERS: Final = {
    "time": Starter(flags="-p -v", valued="-o -f"),
    "nohup": Starter(),
    "nice": Starter(valued="-n --adjustment"),
    "ionice": Starter(flags="-t", valued="-c -n"),
    "timeout": Starter(
        flags="--preserve-status --foreground -v --verbose",
        valued="-k --kill-after -s --signal", operands=1,
    ),
    "stdbuf": Starter(valued="-i -o -e --input --output --error"),
    "setsid": Starter(flags="-c -f -w --ctty --fork --wait"),
    "env": Starter(
        flags="- -i --ignore-environment -0 --null", valued="-u --unset", assignments=True
    ),
    "command": Starter(flags="-p", queries="-v -V"),
    "builtin": Starter(),
    "exec": Starter(),
    "coproc": Starter(transparent=False, unknown="it runs beside what follows"),
    "busybox": Starter(),
    "toybox": Starter(),
    "sudo": Starter(
        flags="-n -E -H -k -S -b -A -P", valued="-u -g -h -p -C -T -r -t -U --user --group",
        assignments=True, transparent=False, queries="-l -v -V --list --validate --version -K",
    ),
    "doas": Starter(flags="-n", valued="-u -C", transparent=False),
    "chroot": Starter(valued="--userspec --groups", operands=1, transparent=False),
    "flock": Starter(
        flags="-s -x -e -n -u -o -F -v", valued="-w -E", operands=1, transparent=False
    ),
    "strace": Starter(flags="-f -ff -c -q", valued="-e -p -s", transparent=False),
    "xargs": Starter(
        flags="-0 -r -t -x -p -o --null --no-run-if-empty --verbose",
        valued="-n -P -I -L -d -E -s -a --max-args --max-procs --delimiter --arg-file",
        transparent=False, unknown=_LATER,
    ),
    "parallel": Starter(transparent=False, unknown=_LATER),
    "watch": Starter(flags="-d -t -g -e -b -c -x", valued="-n", transparent=False, unknown=_LATER),
}  # fmt: skip
"""By the last part of the program's name."""

SHELLS: Final = frozenset({"bash", "sh", "dash", "ash"})
"""Those whose language is read here."""
OTHER_SHELLS: Final = frozenset(
    {"zsh", "ksh", "mksh", "fish", "csh", "tcsh", "rbash", "yash", "su"}
)
_SHELL_FLAGS: Final = frozenset("eluxivnfabhkmprtBCEHPT")
_SHELL_WORDS: Final = frozenset({"--norc", "--noprofile", "--posix", "--login"})

SHELL_STATE: Final = frozenset(
    {
        "cd", "pushd", "popd", "dirs", "eval", "source", ".", "alias", "unalias", "set", "shopt",
        "export", "declare", "typeset", "readonly", "local", "unset", "read", "mapfile",
        "readarray", "getopts", "let", "trap", "enable", "hash", "bind", "complete", "compgen",
        "compopt", "umask", "ulimit", "fc", "history", "wait", "caller", "logout", "suspend",
    }
)  # fmt: skip
"""Builtins that change the shell itself, so that what follows means something else."""
_BASH_ONLY: Final = re.compile(r"""\$['"]|[<>]\(|&>|\|&|<<<|\[\[|\(\(|\{|~[+-]|\+=|\bfunction\b""")
"""Syntax that POSIX does not have, found anywhere: rather too often than once too rarely."""
_FIND_RUNS: Final = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_FIND_WRITES: Final = frozenset({"-delete", "-fprint", "-fprint0", "-fprintf", "-fls"})


def name_of(word: str) -> str:
    """Return the program's name: /usr/bin/rm is rm."""
    return word.rstrip("/").rpartition("/")[2] or word


def unfold(words: tuple[str, ...]) -> list[Started]:
    """Return what these words start, beside running themselves; nothing for most commands."""
    name = name_of(words[0])
    if name in SHELLS:
        return _shell(words)
    if name in OTHER_SHELLS:
        scripts = [words[i + 1] for i in range(len(words) - 1) if words[i] == "-c"]
        why = f"{name} speaks a language that is not read here"
        return [Started(script=script, why=why, transparent=False) for script in scripts] or [
            Started(why=why, transparent=False)
        ]
    if name == "find":
        return _find(words)
    if name == "eval":
        return [Started(script=" ".join(words[1:]), why=_state(name))]
    if name == "trap" and len(words) > 1:
        return [Started(script=words[1], why=_state(name))]
    starter = STARTERS.get(name)
    return [] if starter is None else _behind_options(name, starter, words)


def why_never(words: tuple[str, ...]) -> str:
    """Say why no rule can allow this command, whatever it names; empty if one can."""
    name = words[0]
    if name in SHELL_STATE:
        return _state(name)
    if name in {"test", "["} and any(word in {"-v", "-R"} for word in words):
        return f"{name} -v runs what is in the name of a variable"
    if name == "printf" and len(words) > 1 and words[1].startswith("-v"):
        return "printf -v sets a variable"
    writes = _FIND_WRITES.intersection(words)
    if name_of(name) == "find" and writes:
        return f"find {min(writes)} writes or deletes files that it finds"
    return ""


def _state(name: str) -> str:
    return f"{name} changes the shell that runs it, and with it what follows"


def _behind_options(name: str, starter: Starter, words: tuple[str, ...]) -> list[Started]:
    flags, valued = set(starter.flags.split()), set(starter.valued.split())
    queries, at = set(starter.queries.split()), 1
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word in queries:
            return []
        if word in valued:
            at += 1
        elif word not in flags and not _attached(name, word, valued):
            why = f"{name} {word.replace(UNKNOWN, '...')} is an option that is not known here"
            return [Started(why=why, transparent=starter.transparent)]
    at += starter.operands
    assignments = []
    while starter.assignments and at < len(words) and "=" in words[at]:
        assignments.append(words[at])
        at += 1
    if at >= len(words):
        return [Started(transparent=False)] if starter.transparent else []
    return [
        Started(
            at=at, words=words[at:], transparent=starter.transparent, why=starter.unknown,
            assignments=tuple(assignments),
        )
    ]  # fmt: skip


def _attached(name: str, word: str, valued: set[str]) -> bool:
    """Whether an option and its value are one word: -n5, --user=x, nice -5."""
    if name == "nice" and word[1:].isdigit():
        return True
    if word.startswith("--"):
        return "=" in word and word.partition("=")[0] in valued
    return word[:2] in valued and UNKNOWN not in word


def _shell(words: tuple[str, ...]) -> list[Started]:
    unread = Started(why=f"{words[0]} runs commands that it reads from elsewhere")
    at = 1
    while at < len(words) and words[at][:1] in {"-", "+"}:
        word = words[at]
        at += 1
        if word in _SHELL_WORDS:
            continue
        letters = word[1:]
        if letters.endswith("o") and set(letters[:-1]) <= _SHELL_FLAGS:
            at += 1
        elif word[0] == "-" and "c" in letters and set(letters) <= _SHELL_FLAGS | {"c"}:
            # Only where -c is the last word before the script is it sure which word that is.
            known = at < len(words) and words[at][:1] not in {"-", "+"}
            return [_script(words[0], words[at])] if known else [unread]
        elif not set(letters) <= _SHELL_FLAGS or not letters:
            return [unread]
    return [] if at < len(words) else [unread]


def _script(program: str, script: str) -> Started:
    """A line for another shell; what is bash's own in it, a plainer one reads as something else."""
    name = name_of(program)
    if name == "bash" or not _BASH_ONLY.search(script):
        return Started(script=script)
    return Started(script=script, why=f"{name} may read what is only bash's otherwise")


def _find(words: tuple[str, ...]) -> list[Started]:
    found = []
    for at, word in enumerate(words):
        if word in _FIND_RUNS:
            rest = words[at + 1 :]
            end = next((i for i, one in enumerate(rest) if one in {";", "+"}), len(rest))
            found.append(Started(at=at + 1, words=rest[:end], why=_LATER, transparent=False))
    return found
