"""Which addresses a node may ask for timestamps, decided on their text alone.

A calendar is asked over https, or over http on this machine. What is configured may be asked. A
calendar may answer that another one has the finished proof (pools do); that one is asked only if
it is on the list of those that are followed, by https, never by http: an answer from outside must
not make this node send requests to its own machine or network.
"""

import ipaddress
from collections.abc import Collection
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from attest.core.errors import CalendarNotAllowed, InvalidTimestamp
from attest.core.ots import Pending


def calendar_url(text: str) -> str:
    """Return a calendar's address without a last slash. Raises CalendarNotAllowed."""
    try:
        Pending(text)  # the alphabet and length of the format: no query, login or fragment
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # a port that is no number raises here
    except (InvalidTimestamp, ValueError) as error:
        raise CalendarNotAllowed(f"{text[:100]!r} is no calendar's address") from error
    if not host or parts.scheme not in ("https", "http"):
        raise CalendarNotAllowed(f"{text[:100]!r} is no calendar's address", hint="https://...")
    if parts.scheme == "http" and not _is_loopback(host):
        raise CalendarNotAllowed(
            f"{text[:100]!r} is asked without https", hint="http is for this machine only"
        )
    return text.rstrip("/")


def may_ask(uri: str, configured: Collection[str], followed: Collection[str]) -> str:
    """Return the address to ask where a proof names `uri`. Raises CalendarNotAllowed.

    `followed` are https addresses whose host may begin with `*.`.
    """
    url = calendar_url(uri)
    if url in configured or any(_matches(url, pattern) for pattern in followed):
        return url
    raise CalendarNotAllowed(
        f"{url[:100]} is neither among attest.calendars nor followed",
        hint="add it to attest.calendars_followed if you trust it",
    )


def _matches(url: str, pattern: str) -> bool:
    return url.startswith("https://") and fnmatchcase(url, pattern) and url.count("/") == 2


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
