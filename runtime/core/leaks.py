"""Secrets in words that are about to leave the machine: found, named, masked. Pure, linear time.

Two kinds. The node's *own* secrets are compared with: the API's token, the keys of its models, its
signing keys. Well-known *forms* are recognised whoever they belong to:

    nostr-key      nsec1 and ncryptsec1 (NIP-19, NIP-49)
    bitcoin-key    extended private keys (BIP-32, SLIP-132)
    private-key    PEM and OpenPGP blocks with a body (RFC 7468, RFC 9580)
    sk-key         sk-...: OpenAI, Anthropic, OpenRouter, Kimi, DeepSeek and who writes like them
    github-token   ghp_ gho_ ghu_ ghs_ ghr_ github_pat_
    aws-key        AKIA... and ASIA...; aws_secret_access_key = ...
    slack-token    xoxb- and its kin, xapp-
    google-key     AIza...
    jwt            three parts, two of them JSON (RFC 7519)

A form begins where a word does and its body is bounded or one run of characters, so no text is read
more often than a few times. What is found is called by its rule; the words are in no repr or error.

Not covered: secrets without a form that are not ours (passwords, seed words, a bare hex key); what
was turned into something else before, by base64, by spaces, in halves; pictures.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote

from runtime.core.chat import ModelRequest

OWN_CHARS_MIN: Final = 16
"""A shorter one ("EMPTY", "not-needed": said where a server asks for no key) is a word."""
_PEM_CHARS_MAX: Final = 16 * 1024
"""Of one block: an RSA key of 16,384 bits has 12,600 characters."""
_NESTING_MAX: Final = 64

Span: TypeAlias = tuple[int, int, str]
"""Begin, end, and the name of the rule."""

_BEGINS: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"
"""The first of a word, also behind a line break as JSON writes it."""
_BEGINS_64: Final = r"(?:(?<![A-Za-z0-9+/_-])|(?<=\\[nrt]))"
"""The same for what could else stand in the middle of base64."""


def _anything(_: str) -> bool:
    return True


def _random(word: str) -> bool:
    """Whether it is no slug: sixteen letters and digits in a row, and both of them."""
    runs = re.findall(r"[A-Za-z0-9]{16,}", word)
    return any(re.search(r"[0-9]", run) and re.search(r"[A-Za-z]", run) for run in runs)


def _numbered(word: str) -> bool:
    return any("0" <= sign <= "9" for sign in word)


@dataclass(frozen=True, slots=True)
class _Form:
    """A rule. `anchors`: it is looked for only where one of them stands, which is fast."""

    rule: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    accepts: Callable[[str], bool] = _anything


def _form(
    rule: str, anchors: str, pattern: str, accepts: Callable[[str], bool] = _anything
) -> _Form:
    return _Form(rule, tuple(anchors.split()), re.compile(pattern), accepts)


_BECH32: Final = "023456789acdefghjklmnpqrstuvwxyz"
_BASE58: Final = "1-9A-HJ-NP-Za-km-z"
_FORMS: Final = (
    _form("nostr-key", "nsec1", rf"{_BEGINS}nsec1[{_BECH32}]{{58}}(?![a-z0-9])"),
    _form("nostr-key", "NSEC1", rf"{_BEGINS}NSEC1[{_BECH32.upper()}]{{58}}(?![A-Z0-9])"),
    _form("nostr-key", "ncryptsec1", rf"{_BEGINS}ncryptsec1[{_BECH32}]{{100,200}}"),
    _form("bitcoin-key", "prv", rf"{_BEGINS}[xyztuvYZUV]prv[{_BASE58}]{{100,120}}"),
    _form(
        "sk-key", "sk-ant- sk-proj- sk-svcacct- sk-or-",
        rf"{_BEGINS}sk-(?:ant|proj|svcacct|or)-[A-Za-z0-9_-]{{20,300}}", _numbered,
    ),
    _form("sk-key", "sk-", rf"{_BEGINS}sk-[A-Za-z0-9_-]{{20,300}}", _random),
    _form(
        "github-token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_BEGINS}gh[pousr]_[A-Za-z0-9]{{36,255}}"
    ),
    _form("github-token", "github_pat_", rf"{_BEGINS}github_pat_[A-Za-z0-9_]{{40,255}}"),
    _form("aws-key", "AKIA ASIA", rf"{_BEGINS_64}A[KS]IA[A-Z2-7]{{16}}(?![A-Za-z0-9+/=_-])"),
    _form(
        "aws-key", "secret_access_key SECRET_ACCESS_KEY SecretAccessKey",
        r"(?:secret_access_key|SECRET_ACCESS_KEY|SecretAccessKey)"
        r"[\\\"' ]{0,4}[:=][\\\"' ]{0,4}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    ),
    _form("slack-token", "xox", rf"{_BEGINS}xox[abceoprs]-[A-Za-z0-9-]{{16,255}}", _numbered),
    _form("slack-token", "xapp-", rf"{_BEGINS}xapp-[A-Za-z0-9-]{{16,255}}", _numbered),
    _form("google-key", "AIza", rf"{_BEGINS_64}AIza[A-Za-z0-9_-]{{35}}(?![A-Za-z0-9+/=_-])"),
    _form(
        "jwt", "eyJ",
        rf"{_BEGINS}eyJ[A-Za-z0-9_-]{{10,2000}}\.eyJ[A-Za-z0-9_-]{{10,8000}}\.[A-Za-z0-9_-]{{16,2000}}",
    ),
)  # fmt: skip

_PEM: Final = "private-key"
_PEM_BEGINS: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]{1,60}-----")
_PEM_BODY: Final = re.compile(r"[A-Za-z0-9+/=]{40}")
_PEM_REST: Final = re.compile(r"(?:[A-Za-z0-9+/=\s]|\\[nrt])*")
"""Of a block that breaks off: from the last line that looks like one."""


def _blocks(text: str) -> Iterator[Span]:
    """Blocks of private keys, each up to its last line, or as far as it looks like one."""
    begins = _PEM_BEGINS.search(text)
    while begins is not None:
        start = begins.end()
        dashes = text.find("-----", start, start + _PEM_CHARS_MAX)
        stop = start + _PEM_CHARS_MAX if dashes < 0 else dashes
        lines = [found.start() for found in _PEM_BODY.finditer(text, start, stop)]
        if lines:
            ends = _PEM_ENDS.match(text, dashes) if dashes >= 0 else None
            last = ends or _PEM_REST.match(text, lines[-1])
            start = start if last is None else last.end()
            yield begins.start(), start, _PEM
        begins = _PEM_BEGINS.search(text, start)


def _formed(text: str) -> Iterator[Span]:
    for form in _FORMS:
        if not any(anchor in text for anchor in form.anchors):
            continue
        for found in form.pattern.finditer(text):
            if form.accepts(found[0]):
                yield found.start(), found.end(), form.rule
    if "-----BEGIN" in text:
        yield from _blocks(text)


@dataclass(frozen=True, slots=True)
class Leaks:
    """Finds secrets. `own`: (rule, value) of the node's, each as it may be written."""

    own: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, secrets: Iterable[tuple[str, str]]) -> "Leaks":
        """Take (rule, value) of the node's own; one of fewer than OWN_CHARS_MIN is left out."""
        written = {
            (rule, way)
            for rule, value in secrets
            if len(value) >= OWN_CHARS_MIN
            for way in (value, json.dumps(value)[1:-1], quote(value, safe=""))
        }
        return cls(tuple(sorted(written)))

    def own_in(self, text: str) -> str | None:
        """Return the rule of one of the node's own secrets that stands in the text, or None."""
        return next((rule for rule, value in self.own if value in text), None)

    def rule_in(self, text: str) -> str | None:
        """Return the rule of a secret in the text, own or by its form, or None."""
        return self.own_in(text) or next((rule for _, _, rule in _formed(text)), None)

    def rule_in_value(self, value: Any) -> str | None:
        """The same of what JSON holds, keys too; and of texts as an address would write them."""
        for text in _texts(value):
            rule = self.rule_in(text) or ("%" in text and self.rule_in(unquote(text))) or None
            if rule is not None:
                return rule
        return None

    def masked(self, text: str) -> tuple[str, tuple[str, ...]]:
        """Return the text with each secret replaced by its rule's name, and the names, sorted."""
        spans = sorted([*self._own_spans(text), *_formed(text)])
        if not spans:
            return text, ()
        parts, at = [], 0
        for start, end, rule in spans:
            if end <= at:
                continue
            parts += [text[at : max(start, at)], mask_of(rule)]
            at = end
        return "".join([*parts, text[at:]]), tuple(sorted({rule for _, _, rule in spans}))

    def _own_spans(self, text: str) -> Iterator[Span]:
        for rule, value in self.own:
            at = text.find(value)
            while at >= 0:
                yield at, at + len(value), rule
                at = text.find(value, at + len(value))

    def without(self, request: ModelRequest) -> tuple[ModelRequest, tuple[str, ...]]:
        """Return a prompt with every secret masked, and the names of the rules that found any."""
        met: set[str] = set()

        def clean(text: str) -> str:
            masked, rules = self.masked(text)
            met.update(rules)
            return masked

        messages = tuple((role, clean(text)) for role, text in request.messages)
        called = {
            number: tuple(replace(one, arguments=clean(one.arguments)) for one in calls)
            for number, calls in request.called.items()
        }
        if not met:
            return request, ()
        return replace(request, messages=messages, called=called), tuple(sorted(met))


def mask_of(rule: str) -> str:
    """Return what stands in a secret's place: nothing that JSON would have to escape."""
    return f"[{rule} withheld]"


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value of JSON, to a bounded depth; deeper ones as JSON writes them."""
    stack = [(value, 0)]
    while stack:
        one, depth = stack.pop()
        if isinstance(one, str):
            yield one
        elif depth >= _NESTING_MAX and isinstance(one, dict | list):
            yield json.dumps(one, ensure_ascii=False)
        elif isinstance(one, dict):
            stack += [(part, depth + 1) for pair in one.items() for part in pair]
        elif isinstance(one, list):
            stack += [(part, depth + 1) for part in one]
