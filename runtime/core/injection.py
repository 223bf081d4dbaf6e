"""What in a file looks as if it were written to command the agent rather than to inform it.

A screen, not a guard: it reads forms of words that attacks are known to have, and passes an attack
in words of its own. What holds without it is that an agent can do only what permissions allow, and
that nothing it reads can change them. A finding keeps a file out of prompts until the operator
looked.

A rule that names a secret or a permission is about an order to give it away. The same words in a
warning ("never print the API key") are common in files like these, so a rule with `unless_denied`
passes over a phrase that a negation stands before in the same sentence.

Every gap of a rule is bounded, and runs of blanks are one blank before a rule looks: a file that
was written to be slow to read is read in a second or two at most (`runtime.core.contexts` bounds
it).
"""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

FINDINGS_MAX: Final = 20
"""Told of one text; a file with more is no less suspect."""
_LINES_SPAN_CHARS: Final = 80
"""How far apart two words of one phrase may stand."""
_HIDDEN: Final = re.compile("[\u200b\u2060\u00ad\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
"""Zero-width, soft hyphen, bidirectional overrides, tag characters. Not ZWJ and ZWNJ, which scripts
and emoji need, and not a byte order mark at the start."""
_DENIED_CHARS: Final = 80
_DENIED: Final = re.compile(
    r"\b(never|not|n['’]t|don['’]?t|without|avoid|nor|neither|refuse to|must no)\b[^.!?\n]{0,60}$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule and the line (from 1) on which it fired. No words: those may be redacted later."""

    rule: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    pattern: re.Pattern[str]
    unless_denied: bool = False


def _rule(name: str, pattern: str, *, unless_denied: bool = False) -> _Rule:
    gap = rf"(?:[^.!?]|\.(?=\S)){{0,{_LINES_SPAN_CHARS}}}?"
    return _Rule(
        name=name,
        pattern=re.compile(pattern.replace("~", gap), re.MULTILINE),
        unless_denied=unless_denied,
    )


_RULES: Final = (
    _rule(
        "override",
        r"\b(ignore|disregard|forget|override|overrule)\b~\b(previous|prior|above|earlier|preceding|"
        r"all|any|every|your|these|those|system)\b~\b(instructions?|rules?|prompts?|directions?|"
        r"guidelines|orders|constraints|messages?)\b"
        r"|\b(ignore|disregard|forget|override|overrule)\b~\b(instructions?|rules?|prompts?)\b~"
        r"\b(above|before this|so far|until now|you (were|have been) given)\b",
        unless_denied=True,
    ),
    _rule(
        "override",
        r"\bnew (system )?(instructions?|prompt|rules) ?(:|are\b|follow\b)"
        r"|\bfrom now on,? you\b|\byou are now\b(?! (able|in|on|at|ready|done)\b)",
    ),
    _rule(
        "frame",
        r"<\|?(im_start|im_end|system|assistant|endoftext)\|?>|\[/?inst\]|<</?sys>>"
        r"|^ ?#{2,6} ?(system|assistant) ?(prompt|message)? ?:? ?$"
        r"|^ ?(system|assistant) ?:[ \n](you|ignore|from now|always|never)\b",
    ),
    _rule(
        "secret",
        r"\b(print|reveal|show|tell|send|post(?! /)|upload|e-?mail|leak|share|output|repeat|"
        r"include|copy|paste|exfiltrate|forward)\b~(?:\.env\b|\b(system prompt|api[ _-]?keys?|"
        r"secrets?|passwords?|passphrases?|private keys?|nsec|seed (phrase|words)|mnemonics?|"
        r"access tokens?|bearer tokens?|credentials|id_rsa|keystore|recovery kit)\b)",
        unless_denied=True,
    ),
    _rule(
        "permission",
        r"\b(disable|bypass|turn off|switch off|circumvent|skip|remove|loosen|weaken)\b"
        r"~\b(permissions?|approvals?|sandbox(ing)?|safety|guard ?rails?|crisis screen|screens?|"
        r"restrictions|confirmations?)\b",
        unless_denied=True,
    ),
    _rule(
        "permission",
        r"\b(grant|give|approve|add)\b~\b(yourself|itself|(the|this) (agent|assistant|ai|model))\b~"
        r"\b(permissions?|access|rights|rules?|requests?)\b"
        r"|\bapprove (your|its|the agent'?s) own\b",
        unless_denied=True,
    ),
    _rule(
        "conceal",
        r"\b(do not|don['’]?t|never|without)[ \n](tell|telling|mention|mentioning|inform|informing|"
        r"notify|notifying|alert|alerting|show|showing|reveal|revealing)\b~\b"
        r"(user|operator|owner|human|person)\b"
        r"|\b(secretly|silently|covertly)\b~\b(run|send|execute|upload|delete|install|forward)\b",
    ),
    _rule(
        "fetch",
        r"\b(curl|wget)\b[^\n]{0,200}\| ?(ba|z|da)?sh\b"
        r"|\b(curl|wget|fetch)\b[^\n]{0,200}\$\([^)\n]{0,100}\b(env|cat|base64|printenv)\b",
    ),
)


def findings(text: str) -> tuple[Finding, ...]:
    """Return what looks like a command, by line; nothing for a text that only informs."""
    found: list[Finding] = []
    body = text.removeprefix("\ufeff")
    for number, line in enumerate(body.split("\n"), start=1):
        if _HIDDEN.search(line):
            found.append(Finding(rule="hidden", line=number))
    plain = _plain(body)
    starts = [0, *(match.end() for match in re.finditer("\n", plain))]
    for rule in _RULES:
        found += [
            Finding(rule=rule.name, line=bisect_right(starts, match.start()))
            for match in rule.pattern.finditer(plain)
            if not (rule.unless_denied and _DENIED.search(plain[: match.start()][-_DENIED_CHARS:]))
        ]
    unique = sorted(set(found), key=lambda one: (one.line, one.rule))
    return tuple(unique[:FINDINGS_MAX])


def _plain(text: str) -> str:
    """Fold what looks alike: width, case, hidden characters, runs of blanks; lines stay lines."""
    visible = _HIDDEN.sub("", unicodedata.normalize("NFKC", text))
    return re.sub(r"[^\S\n]+", " ", visible).casefold()
