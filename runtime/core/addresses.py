"""Which addresses a fetch may connect to: those of the public internet, and no others.

An address that holds another (IPv4-mapped, NAT64, 6to4, Teredo) is judged by that one as well: what
it says is where the packets go. RFC 6890 and its registries, as `ipaddress` knows them.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

_Address: TypeAlias = IPv4Address | IPv6Address

_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = IPv6Network("::/96")
_SITE_LOCAL: Final = IPv6Network("fec0::/10")


def is_public(text: str) -> bool:
    """Whether an address, as sockets write it, is one of the public internet."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return "%" not in text and all(_is_public(one) for one in (address, *_within(address)))


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv6Address) and address in _SITE_LOCAL:
        return False
    if isinstance(address, IPv6Address) and any(address in network for network in _NAT64):
        return address in _NAT64[0]  # as public as what it holds
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return True  # as public as what it holds
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
        or address.is_loopback or address.is_link_local or address.is_private
    )  # fmt: skip


def _within(address: _Address) -> tuple[_Address, ...]:
    """Return the addresses that an address holds."""
    if not isinstance(address, IPv6Address):
        return ()
    found: list[_Address | None] = [address.ipv4_mapped, address.sixtofour]
    found += address.teredo or ()
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _COMPATIBLE or any(address in network for network in _NAT64):
        found.append(last)
    return tuple(one for one in found if one is not None)
