"""Authentication of a client: it signs our challenge, for our address (NIP-42).

The event of kind 22242 names the relay, so that another relay cannot use it to pass for the client
here. What we are called is therefore never taken from what the connection says (its Host header is
the client's own word): it is configured, or it is the address and port at which the connection
arrived, which nobody else answers for.

A connection may prove several keys. The challenge is sent when it is first needed, not at once:
many clients answer it without asking their user, and need not tell us who they are to read what
anyone may read.
"""

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from mesh.core import limits
from mesh.core.errors import InvalidEvent
from mesh.core.nip01 import Event, verify
from mesh.core.relay.kinds import first_value

AUTH_KIND: Final = 22242

_PORTS: Final = {"ws": 80, "wss": 443}


def relay_name(url: str) -> str | None:
    """Return the one way to write a relay's address, or None if it is none.

    Lower case, port always there, no slash at the end, no user, query or fragment.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _PORTS or not host:
        return None
    return f"{scheme}://{_host(host)}:{port or _PORTS[scheme]}{parts.path.rstrip('/')}"


def _host(host: str) -> str:
    """Return the host, an address in its one form, so that ::1 and 0:0::1 are the same."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.rstrip(".")
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def names_at(host: str, port: int, path: str = "/") -> frozenset[str]:
    """Return how a relay is called by those who dial the address at which it was reached."""
    bracketed = f"[{host}]" if ":" in host else host
    found = {relay_name(f"ws://{bracketed}:{port}{path}")}
    try:
        if ip_address(_host(host)).is_loopback:
            found.add(relay_name(f"ws://localhost:{port}{path}"))
    except ValueError:
        pass
    return frozenset(name for name in found if name)


class Authentication:
    """The keys that one connection has proved to hold, and the challenge it does so with."""

    def __init__(self, challenge: str, names: frozenset[str]) -> None:
        self._challenge = challenge
        self._names = names
        self._asked = False
        self.keys: frozenset[str] = frozenset()

    def ask(self) -> str | None:
        """Return the challenge the first time, then None."""
        asked, self._asked = self._asked, True
        return None if asked else self._challenge

    def accept(self, event: Event, *, now: int) -> str | None:
        """Take in an AUTH event and its key; return why not, in the words of an OK, or None."""
        complaint = self._complaint(event, now)
        if complaint is None:
            self.keys |= {event.pubkey}
        return complaint

    def _complaint(self, event: Event, now: int) -> str | None:
        apart = abs(event.created_at - now)
        if event.kind != AUTH_KIND:
            return f"invalid: AUTH with an event of kind {event.kind}, expected {AUTH_KIND}"
        if first_value(event, "challenge") != self._challenge:
            return "invalid: not the challenge of this connection"
        if relay_name(first_value(event, "relay") or "") not in self._names:
            return "invalid: signed for another relay, or for a name that is not in relay.urls"
        if apart > limits.AUTH_SECONDS_MAX:
            bound = limits.AUTH_SECONDS_MAX
            return f"invalid: created_at is {apart} s from this relay's, at most {bound} allowed"
        if event.pubkey not in self.keys and len(self.keys) >= limits.AUTH_KEYS_MAX:
            return f"restricted: at most {limits.AUTH_KEYS_MAX} keys on a connection"
        try:
            verify(event)
        except InvalidEvent as error:
            return f"invalid: {error}"
        return None

    def is_named(self, url: str) -> bool:
        """Tell whether an address is one of this relay's."""
        return relay_name(url) in self._names
