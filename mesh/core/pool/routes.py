"""Where to write to somebody, and where to read what he says (NIP-65, the outbox model).

An author's kind 10002 event names relays that he writes to and relays that he reads. Who wants to
reach him writes to those he reads; who wants to hear him asks those he writes to. The list is a
stranger's word, and acting on it means dialling where he says. So it is capped (the first few per
direction), and only encrypted addresses with a public name or number are followed, and machines
that we name ourselves: a list cannot make us knock at others of our own network.

Not covered: a public name that resolves to a private address; whoever minds puts the node behind a
proxy of his own. Hints in other events (NIP-19, `p` tags) are not followed.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from mesh.core import limits
from mesh.core.errors import InvalidEvent, Refused
from mesh.core.nip01 import Event

RELAY_LIST_KIND: Final = 10002
_PORTS: Final = {"ws": 80, "wss": 443}
_PORTS_SYSTEM: Final = 1024
_HOST: Final = re.compile(r"[0-9a-z._:-]+")
_PRIVATE_NAMES: Final = (".local", ".lan", ".internal", ".localhost", ".home.arpa", ".onion")


def relay_url(text: str) -> str:
    """Return the one way in which we write this address: host in lower case, no bare slash.

    Raises Refused for what is no ws:// or wss:// address.
    """
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
        good = parts.scheme in {"ws", "wss"} and bool(_HOST.fullmatch(host)) and port != 0
        good = good and not parts.fragment and parts.username is None
        good = good and len(text) <= limits.RELAY_URL_CHARS_MAX and text.isprintable()
    except ValueError:
        good = False
    if not good or " " in text:
        shown = text[: limits.NOTICE_CHARS_MAX]
        raise Refused(
            f"not the URL of a relay: {shown!r}", hint="write wss://host or ws://host:port"
        )
    host = f"[{host}]" if ":" in host else host
    at = host if port is None or port == _PORTS[parts.scheme] else f"{host}:{port}"
    path = "" if parts.path == "/" and not parts.query else parts.path
    return f"{parts.scheme}://{at}{path}" + (f"?{parts.query}" if parts.query else "")


def is_public(url: str) -> bool:
    """Tell whether a stranger may send us there: encrypted, and no machine of our own network.

    Of the ports below 1024 only 443: the others belong to services that are no relays.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or _PORTS["wss"]
    if parts.scheme != "wss" or (port != _PORTS["wss"] and port < _PORTS_SYSTEM):
        return False
    try:
        return ip_address(host).is_global
    except ValueError:
        name = host.rstrip(".")
        top = name.rpartition(".")[2]
        named = "." in name and not top[:1].isdigit()  # resolvers read 127.1 as a number, too
        return named and not name.endswith(_PRIVATE_NAMES)


def may_follow(url: str, hosts: Collection[str] = ()) -> bool:
    """Tell whether a list may send us there: to a public address, or to one of `hosts`."""
    return is_public(url) or urlsplit(url).hostname in hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where an author reads and writes, as he said at `at` (Unix seconds)."""

    author: str
    at: int
    read: tuple[str, ...]
    write: tuple[str, ...]

    @classmethod
    def parse(cls, event: Event, *, anywhere: bool = False, hosts: Collection[str] = ()) -> "Route":
        """Take a kind 10002 event. Raises InvalidEvent for another.

        Addresses that are not public are followed to `hosts`, and `anywhere` to all (our own list).
        """
        if event.kind != RELAY_LIST_KIND:
            raise InvalidEvent(f"kind {event.kind} is no relay list, which is {RELAY_LIST_KIND}")
        read: list[str] = []
        write: list[str] = []
        for tag in event.tags:
            if tag[0] != "r" or len(tag) < 2:
                continue
            try:
                url = relay_url(tag[1])
            except Refused:
                continue
            marker = tag[2] if len(tag) > 2 else ""
            if anywhere or may_follow(url, hosts):
                if marker in {"", "read"}:
                    read.append(url)
                if marker in {"", "write"}:
                    write.append(url)
        return cls(author=event.pubkey, at=event.created_at, read=_first(read), write=_first(write))


def _first(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(urls))[: limits.ROUTE_RELAYS_MAX]


def relay_list_tags(read: Sequence[str], write: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the tags with which we say where we read and write (NIP-65)."""
    tags: list[tuple[str, ...]] = []
    for url in dict.fromkeys((*write, *read)):
        if url in write and url in read:
            tags.append(("r", url))
        else:
            tags.append(("r", url, "write" if url in write else "read"))
    return tuple(tags)
