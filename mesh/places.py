"""Where a connection comes from, and what its strangers are counted and told apart by."""

import asyncio
from ipaddress import IPv6Address, ip_address


def address_of(transport: asyncio.BaseTransport) -> str:
    """Return where a connection comes from; an IPv4 address as such, also if IPv6 carries it."""
    peer = transport.get_extra_info("peername")
    text = str(peer[0]) if isinstance(peer, tuple) else ""
    return text.removeprefix("::ffff:") if "." in text else text


def place_of(address: str) -> str:
    """Return what a stranger is counted by: an IPv4 address, the 64-bit network of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address)
    except ValueError:
        return address
    return f"{found.packed[:8].hex()}::/64"


def place_at(transport: asyncio.BaseTransport | None) -> str:
    """Return what a stranger at this connection is counted by; "" if it is gone."""
    return "" if transport is None else place_of(address_of(transport))


def is_here(address: str) -> bool:
    """Whether a connection comes from this machine."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
