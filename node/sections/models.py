"""The tables of node.toml about models: who is asked, what each may hear, what it may cost."""

from typing import Annotated, Literal

import msgspec

from node.sections.base import Port, Privacy, Section, Text

Task = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_-]{0,63}$")]


class PrivacySection(Section, frozen=True):
    """[privacy]"""

    default: Privacy
    conversations: Annotated[dict[str, Privacy], msgspec.Meta(max_length=256)] = {}


class SafetySection(Section, frozen=True):
    """[safety]"""

    gate: Literal["off", "failed", "untested"]


class BudgetSection(Section, frozen=True):
    """[budget]"""

    usd_per_day: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
    tokens_per_turn: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]


class DiscoverSection(Section, frozen=True):
    """[discover]"""

    ollama: Annotated[str, msgspec.Meta(pattern="^(|https?://.+)$", max_length=2048)]


class LocalSection(Section, frozen=True):
    """[local]"""

    model: Text
    sha256: Annotated[str, msgspec.Meta(pattern="^(|[0-9a-fA-F]{64})$")]
    port: Port
    context_tokens: Annotated[int, msgspec.Meta(ge=256, le=1_048_576)]
    threads: Annotated[int, msgspec.Meta(ge=0, le=256)]
    memory_mb: Annotated[int, msgspec.Meta(ge=64, le=1_048_576)]
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=3600)]


class ModelSection(Section, frozen=True):
    """One of [[models]]"""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    base_url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    model: Text
    wire: Literal["openai", "anthropic"] = "openai"
    privacy: Privacy | Literal[""] = ""
    tasks: Annotated[list[Task], msgspec.Meta(max_length=16)] = []
    stream: bool = True
    tools: bool = True
    usd_in: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 0.0
    usd_out: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 0.0
    key_env: Text = ""
    key_file: Text = ""
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60
