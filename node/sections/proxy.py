"""The tables of node.toml that are about the recording proxy, and whom it may pass calls on to."""

from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from node.sections.base import ConfigError, Port, Section, Text
from runtime.core.proxy_routes import NAME_PATTERN


class UpstreamSection(Section, frozen=True):
    """One of [[proxy.upstreams]]"""

    name: Annotated[str, msgspec.Meta(pattern=f"^{NAME_PATTERN}$")]
    base_url: Text
    wire: Literal["openai", "anthropic"] = "openai"


class ProxySection(Section, frozen=True):
    """[proxy]"""

    enabled: bool
    port: Port
    screen: Literal["record", "block"]
    exchanges_max: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    idle_s: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    upstreams: Annotated[list[UpstreamSection], msgspec.Meta(max_length=32)]


def check_upstreams(proxy: ProxySection) -> None:
    """Refuse an upstream that no client's key should be sent to. Raises ConfigError."""
    for one in proxy.upstreams:
        what = f"proxy.upstreams: base_url of {one.name}"
        try:
            url = urlsplit(one.base_url)
            host, _ = url.hostname or "", url.port
        except ValueError:
            host = ""
        if not host or url.scheme not in {"http", "https"} or url.query or url.fragment:
            raise ConfigError(f"{what} is no address", hint="https://api.example/v1")
        if url.username or one.base_url.endswith("/"):
            raise ConfigError(f"{what} holds a user, or ends in a slash", hint="up to /v1, no more")
        if url.scheme == "http" and not _is_near(host):
            raise ConfigError(f"{what} is far and not encrypted", hint="https://, or a near host")
    names = [one.name for one in proxy.upstreams]
    if len(set(names)) != len(names):
        raise ConfigError("proxy.upstreams: two have one name", hint="name each one differently")
    if proxy.enabled and not names:
        raise ConfigError("proxy.enabled, and no upstream", hint="timmy proxy add NAME URL")


def _is_near(host: str) -> bool:
    """This machine, or a private network: an address of one, or a name without dots."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".internal"))
