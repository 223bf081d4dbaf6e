"""The tables of node.toml that are about MCP. Read by `node.config`, meant in `node.mcp.config`."""

from typing import Annotated, Literal

import msgspec

from node.sections.base import Section, Text
from runtime.core.mcp_tools import SERVER_CHARS_MAX, SERVER_NAME

EnvName = Annotated[str, msgspec.Meta(pattern="^(?!TIMMY_)[A-Za-z_][A-Za-z0-9_]{0,127}$")]
"""Of a variable that a server is given; this node's own are given to none."""


class McpSection(Section, frozen=True):
    """One of [[mcp]]: `command` is started, or `url` gone to."""

    name: Annotated[str, msgspec.Meta(pattern=f"^{SERVER_NAME}$", max_length=SERVER_CHARS_MAX)]
    command: Annotated[list[Text], msgspec.Meta(max_length=64)] = []
    url: Annotated[str, msgspec.Meta(pattern="^(|https?://.+)$", max_length=2048)] = ""
    enabled: bool = True
    tools: Annotated[list[Text], msgspec.Meta(max_length=256)] = []
    trust_hints: bool = False
    privacy: Literal["local", "trusted", "public", ""] = ""
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60
    confined: bool = True
    network: bool = False
    folders: Annotated[list[Text], msgspec.Meta(max_length=32)] = []
    writable: Annotated[list[Text], msgspec.Meta(max_length=32)] = []
    env: Annotated[list[EnvName], msgspec.Meta(max_length=32)] = []
    header: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9-]{1,64}$")] = "Authorization"
    key_env: Text = ""
    key_file: Text = ""


class McpServerSection(Section, frozen=True):
    """[mcp_server]"""

    enabled: bool
    hosts: Annotated[list[Text], msgspec.Meta(max_length=32)]
