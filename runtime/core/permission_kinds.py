"""What a rule may say in brackets: shell commands, paths, hosts, names. One class a kind.

Each has `covers(subject, wide)`. A deny or an ask reads wide, an allow reads narrow, and that is
the one principle behind every choice here: where a pattern can be understood in two ways, deny and
ask take both, allow the smaller. Each also has `specimen`, all that it covers as one subject, so
that whether a rule hides another is asked in the same words as whether it decides a call.
"""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

import idna

from runtime.core.errors import RuleRefused
from runtime.core.permission_globs import ANY, REST, Glob, folded, matches
from runtime.core.shell_starters import SHELL_STATE, STARTERS, name_of
from runtime.core.shell_words import UNKNOWN

_OPERATORS: Final = re.compile(r"&&|\|\||[;|&<>\n]")
_PORT: Final = re.compile(r"(?P<host>.*?)(?::(?P<port>[0-9]{1,5}|\*))?")
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


# ---- commands ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPattern:
    """`git push:*`: words with wildcards. A lone `*` is any number of words."""

    words: tuple[Glob, ...]
    """A lone `*` is the Glob whose one token is ANY."""

    @classmethod
    def parse(cls, text: str) -> "CommandPattern":
        """Read what stands in the brackets of Bash(...). Raises RuleRefused."""
        if _OPERATORS.search(text):
            raise RuleRefused(
                "a command line is split before rules are asked, so no command holds && || ; | < >",
                hint="write a rule for each command, and FileEdit(...) for what is written",
            )
        if re.search(r"(?<!\\)['\"$`()]", text):
            raise RuleRefused(
                "quotes and expansions are gone before rules are asked",
                hint=r"write the words themselves; \ before a space keeps it within a word",
            )
        prefix = re.search(r"(?<!\\):\*$", text) is not None
        body = f"{text[:-2]} *" if prefix else text
        if re.search(r"(?<!\\):\*", body) or re.search(r"(?<![\s\\])\*:\*$", text):
            raise RuleRefused(
                ":* stands at the end, behind a word, or not at all", hint="write * in the middle"
            )
        words = tuple(Glob.parse(word) for word in re.findall(r"(?:\\.|[^\s\\]|\\$)+", body))
        if not words:
            raise RuleRefused("no command is named", hint="without brackets it is every command")
        return cls(words=words)

    @property
    def literal(self) -> int:
        """How many words there are before the first wildcard; all of them: len(words)."""
        return next((i for i, word in enumerate(self.words) if not word.plain), len(self.words))

    @property
    def specimen(self) -> tuple[str, ...]:
        """Every command it covers, as one."""
        return tuple(REST if word.tokens == (ANY,) else word.specimen for word in self.words)

    @property
    def never_allows(self) -> str:
        """Why an allow of it could not fire, or nothing."""
        first = self.words[0]
        if not first.plain:
            return ""
        name = first.specimen
        if name in SHELL_STATE:
            return f"{name} changes the shell that runs it and is always asked about"
        starter = STARTERS.get(name_of(name))
        if starter is not None and starter.transparent and self.literal < len(self.words) == 2:
            return f"{name} only starts another command, and that one decides: name it instead"
        return ""

    def covers(self, words: tuple[str, ...], *, wide: bool) -> bool:
        """Whether these words are one of its commands. Wide: `rm` is also /bin/rm and rm -r."""
        if not words:
            return False
        pattern = [ANY if word.tokens == (ANY,) else word for word in self.words]
        if not wide:
            return matches(pattern, words, _word_fits)
        named = (name_of(words[0]), *words[1:])
        return any(
            matches([*pattern, ANY], given, _word_fits_wide) or self._anywhere(given)
            for given in {words, named}
        )

    def _anywhere(self, words: tuple[str, ...]) -> bool:
        """As text, where a `*` within a word takes spaces too."""
        if all(word.plain or word.tokens == (ANY,) for word in self.words):
            return False
        tokens: list[str] = []
        for word in self.words:
            tokens += word.folded if word.tokens == (ANY,) else (*word.folded, " ")
        text = "".join(f"{folded(word)} " for word in words)
        return matches([*tokens, ANY], text, _same)


def _word_fits(pattern: Glob, word: str) -> bool:
    return REST not in word and pattern.matches(word)


def _word_fits_wide(pattern: Glob, word: str) -> bool:
    return REST not in word and pattern.matches(word, wide=True)


def _same(token: str, sign: str) -> bool:
    return token == sign


# ---- paths ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """`docs/**`: folders and a name, from a root on. Only `**` reaches over folders."""

    root: str
    """"/", "~" or "." (the project)."""
    names: tuple[Glob | str, ...]
    """A `**` is ANY."""

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """Read what stands in the brackets of FileRead(...). Raises RuleRefused."""
        root, rest = _root(text)
        if re.search(r"(?<!\\)[\[\]{}]", rest) or rest.startswith("!"):
            raise RuleRefused(
                r"[ ] { } and ! are not wildcards here", hint=r"write one rule each, or \ before it"
            )
        folder = rest.endswith("/")
        parts = rest.removesuffix("/").split("/")
        if rest and any(part in {"", ".", ".."} for part in parts):
            raise RuleRefused(
                "a path with an empty, . or .. part names nothing: paths are resolved before",
                hint="write it from its root: //absolute, ~/home, or from the project's folder",
            )
        names: list[Glob | str] = [_name(part) for part in parts if part]
        if len(parts) == 1 and root == "." and not folder and names and names[0] is not ANY:
            names.insert(0, ANY)  # as in .gitignore: a bare name is meant in every folder
        if folder:
            names.append(ANY)
        if not names:
            raise RuleRefused("no path is named", hint="without brackets it is every path")
        return cls(root=root, names=tuple(names))

    @property
    def specimen(self) -> tuple[str, ...]:
        """Every path it covers, as one, from its root on."""
        return tuple(REST if isinstance(n, str) else n.specimen for n in self.names)

    def covers(self, names: tuple[str, ...], *, wide: bool) -> bool:
        """Whether a path is one of them. Wide: also what lies in a folder that is one of them."""
        inside = self.names[-1] is ANY
        pattern = list(self.names)
        if wide and not inside:
            pattern.append(ANY)
        elif inside and not wide:
            pattern.append(_SOME)  # docs/** is what lies in docs, not docs

        def fits(one: Glob, name: str) -> bool:
            return one is _SOME or (REST not in name and one.matches(name, wide=wide))

        return matches(pattern, names, fits)


_SOME: Final = Glob(tokens=(ANY,))
"""Any one name, one that stands for many included."""


def _root(text: str) -> tuple[str, str]:
    if text.startswith("//"):
        return "/", text[2:]
    if text.startswith("/"):
        raise RuleRefused(
            "a path that begins with one slash could mean two things",
            hint=f"write /{text} for the absolute path, {text[1:]} for one in the project",
        )
    if text.startswith("~/"):
        return "~", text[2:]
    if text.startswith("~"):
        raise RuleRefused("homes of other users are not known here", hint="write //home/...")
    return ".", text.removeprefix("./")


def _name(part: str) -> Glob | str:
    if part == "**":
        return ANY
    if "**" in part:
        raise RuleRefused("** stands for whole folders only", hint="write folder/**/name")
    return Glob.parse(part, one=True)


# ---- hosts ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPattern:
    """`domain:*.example.org:8443`: one host or all below it, and which port of it."""

    host: str
    below: bool
    port: int | None
    """None: not named. 0: any."""

    @classmethod
    def parse(cls, text: str) -> "HostPattern":
        """Read what stands in the brackets of WebFetch(...). Raises RuleRefused."""
        if not text.startswith("domain:"):
            raise RuleRefused(
                "WebFetch takes domain:...", hint="write WebFetch(domain:example.org)"
            )
        found = _PORT.fullmatch(text.removeprefix("domain:"))
        assert found is not None
        host = found["host"]
        if host == "*":
            raise RuleRefused("every host is the rule without brackets", hint="write WebFetch")
        below = host.startswith("*.")
        host = host.removeprefix("*.")
        if re.search(r"[/@*?:\\\s]", host):
            raise RuleRefused(
                f"{host!r} is not the name of a host",
                hint="a host alone: no address, path or user; *. in front for all below it",
            )
        port = None if found["port"] is None else 0 if found["port"] == "*" else int(found["port"])
        if port is not None and port > 65_535:
            raise RuleRefused(f"port {port}, at most 65535")
        return cls(host=ascii_host(host), below=below, port=port)

    @property
    def specimen(self) -> tuple[str, int, int]:
        """Host, port, and the usual port of the scheme; below zero: whatever that is."""
        host = f"{UNKNOWN}.{self.host}" if self.below else self.host
        if self.port is None:
            return host, -1, -1
        return host, self.port or -2, -3

    def covers(self, subject: tuple[str, int, int], *, wide: bool) -> bool:
        """Whether a host at a port is one of them. Wide: hosts below it and all ports as well."""
        host, port, usual = subject
        under = host.endswith(f".{self.host}")
        there = under if self.below else host == self.host or (wide and under)
        if self.port is None:
            return there and (wide or port == usual)
        return there and self.port in {0, port}


def ascii_host(host: str) -> str:
    """Return the name that is looked up (UTS 46, IDNA 2008). Raises RuleRefused."""
    try:
        name = host if host.isascii() else idna.encode(host[:254], uts46=True).decode()
    except idna.IDNAError as error:
        raise RuleRefused(f"{host[:64]!r} is not the name of a host") from error
    name = name.lower().removesuffix(".")
    if len(name) > 253 or _HOST.fullmatch(name) is None:
        raise RuleRefused(f"{host[:64]!r} is not the name of a host")
    return name


# ---- names ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NamePattern:
    """`Skill(release-*)`: one name, with wildcards."""

    name: Glob

    @classmethod
    def parse(cls, text: str) -> "NamePattern":
        """Read what stands in the brackets. Raises RuleRefused."""
        if not text or text != text.strip():
            raise RuleRefused("no name in the brackets")
        return cls(name=Glob.parse(text))

    @property
    def specimen(self) -> str:
        """Every name it covers, as one."""
        return self.name.specimen

    def covers(self, subject: str, *, wide: bool) -> bool:
        """Whether a name is one of them."""
        return self.name.matches(subject, wide=wide)


Pattern: TypeAlias = CommandPattern | PathPattern | HostPattern | NamePattern
