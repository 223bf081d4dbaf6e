"""What a recording proxy may forward, and where: paths, headers, and the secrets in them. Pure.

A path names who speaks, which upstream is meant and what is asked of it:

    [/a/NAME][/u/UPSTREAM]/v1/REST

Only upstreams that the operator named are ever spoken to, and only below their base address: a
path that climbs is refused, whatever it is escaped as. Headers that belong to one connection stay
there (RFC 9110, section 7.6.1). Values of headers that hold credentials are remembered for as long
as an exchange lasts, so that they can be taken out of whatever is recorded of it.

Not covered: a credential of fewer than SECRET_CHARS_MIN characters, and one that no header holds.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

from runtime.core.errors import ExchangeRefused
from runtime.core.limits import SECRET_CHARS_MIN, URL_CHARS_MAX

Wire = Literal["openai", "anthropic"]

STREAM_HEADER: Final = "timmy-stream"
"""Names who speaks, where the path does not."""
DEFAULT_STREAM: Final = "default"
MASKED: Final = b"[key]"
NAME_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

_PATH: Final = re.compile(
    rf"(?:/a/(?P<name>{NAME_PATTERN}))?(?:/u/(?P<upstream>{NAME_PATTERN}))?/v1(?P<rest>/.*)"
)
_NAME: Final = re.compile(NAME_PATTERN)
_PATH_HINT: Final = "[/a/NAME][/u/UPSTREAM]/v1/..."
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS: Final = frozenset({"host", "content-length", "accept-encoding", "expect", STREAM_HEADER})
"""Of a request, said anew: the whole body is read before it is forwarded."""
_SECRET: Final = re.compile("auth|key|token|secret|cookie|password|credential")
_ESCAPE: Final = re.compile(rb"\\{1,8}(?:u00((?!22|5[cC])[2-7][0-9a-fA-F])|/)")
"""Printable ASCII that JSON need not escape, at any depth of JSON inside of JSON."""
_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "identity"})
"""What the recorder can read. Others are not offered to an upstream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A provider by name. `base_url` is what stands for /v1: no slash at its end."""

    name: str
    base_url: str
    wire: Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes. `path` is what follows the base address, as it was escaped."""

    name: str
    upstream: Upstream
    path: str

    @property
    def url(self) -> str:
        """The address, without a query."""
        return self.upstream.base_url + self.path


def route(path: str, headers: Iterable[tuple[str, str]], upstreams: tuple[Upstream, ...]) -> Target:
    """Return where a request for `path` (escaped, without query) goes. Raises ExchangeRefused."""
    found = _PATH.fullmatch(path)
    if found is None or len(path) > URL_CHARS_MAX:
        raise ExchangeRefused("no path of this proxy", status=404, hint=_PATH_HINT)
    plain = unquote(unquote(found["rest"]))
    if "\\" in plain or any(part in {".", ".."} for part in plain.split("/")):
        raise ExchangeRefused("a path that climbs", status=400, hint=_PATH_HINT)
    known = {name.lower(): value for name, value in headers}
    name = found["name"] or known.get(STREAM_HEADER, DEFAULT_STREAM)
    if not _NAME.fullmatch(name):
        raise ExchangeRefused(
            f"{STREAM_HEADER} is no name", status=400, hint="letters, digits, . _ and -"
        )
    upstream = _upstream(found["upstream"], _wire(found["rest"], known), upstreams)
    return Target(name=name, upstream=upstream, path=found["rest"])


def _wire(rest: str, headers: dict[str, str]) -> Wire:
    return "anthropic" if "anthropic-version" in headers or _messages(rest) else "openai"


def _messages(rest: str) -> bool:
    return rest == "/messages" or rest.startswith("/messages/")


def _upstream(name: str | None, wire: Wire, upstreams: tuple[Upstream, ...]) -> Upstream:
    """The one that is named, or the first that speaks the wire."""
    for upstream in upstreams:
        if upstream.name == name or (name is None and upstream.wire == wire):
            return upstream
    names = ", ".join(upstream.name for upstream in upstreams)
    what = f"no upstream is called {name}" if name else f"no upstream speaks {wire}"
    raise ExchangeRefused(what, status=404, hint=f"there are {names}; timmy proxy add")


def request_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what is forwarded of a request's headers, and what codings its reply may have."""
    given = list(headers)
    accepted = ", ".join(value for name, value in given if name.lower() == "accept-encoding")
    kept = [(n, v) for n, v in end_to_end(given) if n.lower() not in _OURS]
    return [*kept, ("Accept-Encoding", _codings(accepted))]


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers that are not of one connection only (RFC 9110, section 7.6.1)."""
    given = list(headers)
    named = {
        word.strip().lower()
        for name, value in given
        if name.lower() == "connection"
        for word in value.split(",")
    }
    return [(n, v) for n, v in given if n.lower() not in _HOP_BY_HOP | named]


def _codings(accepted: str) -> str:
    words = (word.strip() for word in accepted.split(","))
    kept = [word for word in words if word.partition(";")[0].strip().lower() in _CODINGS]
    return ", ".join(kept) or "identity"


class Secrets:
    """The credentials that one request's headers hold. Never shown, not even as a repr."""

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        found: set[bytes] = set()
        for name, value in headers:
            if _SECRET.search(name.lower()):
                found.update(_parts(value))
        long = {value for value in found if len(value) >= SECRET_CHARS_MIN}
        quoted = {json.dumps(value.decode(errors="replace"))[1:-1].encode() for value in long}
        escaped = {value.replace(b"/", rb"\/") for value in long | quoted}
        self._values = sorted(long | quoted | escaped, key=len, reverse=True)

    def __repr__(self) -> str:
        return "Secrets(...)"

    def mask(self, data: bytes) -> tuple[bytes, int]:
        """Return `data` with each credential replaced, and how many there were.

        One that JSON may write otherwise (RFC 8259, section 7: a character by its number) is found
        too; such data come back with those escapes of printable ASCII resolved.
        """
        masked, count = self._replaced(data)
        if b"\\" not in data or not self._values:
            return masked, count
        again, more = self._replaced(_ESCAPE.sub(_resolved, masked))
        return (again, count + more) if more else (masked, count)

    def _replaced(self, data: bytes) -> tuple[bytes, int]:
        count = 0
        for value in self._values:
            count += data.count(value)
            data = data.replace(value, MASKED)
        return data, count

    def masked(self, text: str) -> str:
        """Return `text` without the credentials."""
        return self.mask(text.encode(errors="replace"))[0].decode(errors="replace")


def _resolved(found: re.Match[bytes]) -> bytes:
    return b"/" if found[1] is None else bytes([int(found[1], 16)])


def _parts(value: str) -> Iterable[bytes]:
    """The value of a header, and what stands in it: a scheme's credential, cookies, a password."""
    data = value.strip().encode(errors="surrogateescape")
    yield data
    scheme, _, credential = data.partition(b" ")
    yield credential.strip()
    if scheme.lower() == b"basic":
        try:
            plain = base64.b64decode(credential.strip(), validate=True)
        except binascii.Error:
            return
        yield plain
        yield plain.partition(b":")[2]
    for cookie in data.split(b";"):
        yield cookie.partition(b"=")[2].strip()
