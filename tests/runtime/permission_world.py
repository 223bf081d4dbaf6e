"""Policies in a few words, and calls whose paths are resolved without a disk."""

import posixpath

from runtime.core.permission_rules import Effect, Scope, parse_rule
from runtime.core.permissions import (
    FetchCall,
    FileCall,
    Named,
    OtherCall,
    Policy,
    ShellCall,
    decide,
)
from runtime.core.shell import read

PROJECT, HOME = "/home/u/proj", "/home/u"


def rules(**lists):
    """`allow="A; B", deny=...` as rules of the user's file."""
    return tuple(
        parse_rule(text.strip(), effect=Effect(effect), scope=Scope.USER, file="f", line=number)
        for effect, texts in lists.items()
        for number, text in enumerate(texts.split(";"), 1)
    )


def policy(**lists):
    return Policy(rules=rules(**lists), project=PROJECT, home=HOME)


def named(path, links=()):
    """A path as the host would resolve it; `links` maps folders to what they point at."""
    full = posixpath.normpath(posixpath.join(PROJECT, path)).replace("//", "/")
    resolved = full
    for link, target in dict(links).items():
        if resolved == link or resolved.startswith(f"{link}/"):
            resolved = target + resolved[len(link) :]
    return Named(named=full, resolved=resolved)


def bash(line, rules_, links=()):
    found = read(line)
    paths = {path: named(path, links) for path in found.paths}
    return decide(rules_, ShellCall(line=found, paths=paths))


def touch(tool, path, rules_, links=()):
    return decide(rules_, FileCall(tool=tool, path=named(path, links)))


def fetch(url, rules_):
    return decide(rules_, FetchCall(url=url))


def other(tool, rules_, name=""):
    return decide(rules_, OtherCall(tool=tool, name=name))
