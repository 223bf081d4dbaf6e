"""The table of node.toml about the fleet bus. Read by `node.config`, meant in `node.fleet.bus`."""

from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from mesh.core.errors import InvalidSubject
from mesh.core.fleet.subjects import check_token
from node.sections.base import Section, Text


class BusSection(Section, frozen=True):
    """[mesh.bus]. What it says is checked as it is read: a ValueError names what is wrong."""

    engine: Literal["local", "nats"]
    fleet: Text
    url: Text
    nkey_file: Text
    ca_file: Text
    cert_file: Text
    cert_key_file: Text

    def __post_init__(self) -> None:
        """Refuse what would send a key, or words of the fleet, where anybody reads them."""
        try:
            check_token(self.fleet)
        except InvalidSubject as error:
            raise ValueError(f"fleet: {error}") from error
        if self.engine == "local":
            return
        scheme, host = _parts(self.url)
        if scheme == "nats" and not _is_here(host):
            raise ValueError(
                f"url: {self.url[:100]} is another machine, in the clear: write tls:// with ca_file"
            )
        if scheme == "tls" and not (self.nkey_file or self.cert_file):
            raise ValueError("nkey_file: the server must know this node: timmy bus key FILE")
        if bool(self.cert_file) != bool(self.cert_key_file):
            raise ValueError("cert_file: it comes with cert_key_file")
        if scheme == "nats" and (self.ca_file or self.cert_file):
            raise ValueError("ca_file: of a url that begins with tls://")


def _parts(url: str) -> tuple[str, str]:
    """Scheme and host. Raises ValueError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.scheme not in {"nats", "tls"}:
        raise ValueError(f"url: {url[:100]!r} is no address of a server: nats://127.0.0.1:4222")
    if parts.username or parts.password or parts.path or parts.query or parts.fragment:
        raise ValueError("url: scheme, host and port, no more; the key is in nkey_file")
    return parts.scheme, host


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
