"""node.toml: strict, typed, every default in the one commented file at the repository's root.

A home's node.toml overrides what it names. Unknown keys and wrong types are refused with their
path. No environment variable overrides anything here; secrets are elsewhere, never in this file.
"""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from ledger.core.errors import TimmyError
from mesh.core import nip19
from mesh.core.errors import InvalidIdentifier

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Text = Annotated[str, msgspec.Meta(max_length=2048)]
RelayUrl = Annotated[str, msgspec.Meta(pattern="^wss?://[^/]", max_length=2048)]
_HINT: Final = "every key is in the commented default: timmy config"
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)


class ConfigError(TimmyError):
    """node.toml cannot be used as it is."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every table: frozen, closed, by keyword."""


class NodeSection(_Section, frozen=True):
    """[node]"""

    log_level: Literal["debug", "info", "warning", "error"]
    log_bytes_max: Annotated[int, msgspec.Meta(ge=10_000)]
    log_files_max: Annotated[int, msgspec.Meta(ge=1, le=100)]
    checkpoint_interval_ms: Annotated[int, msgspec.Meta(ge=200, le=3_600_000)]


class ApiSection(_Section, frozen=True):
    """[api]"""

    host: Text
    port: Port


class RelaySection(_Section, frozen=True):
    """[relay]"""

    enabled: bool
    connections_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    writers: list[Text]


class PublishSection(_Section, frozen=True):
    """[publish]"""

    relays: Annotated[list[RelayUrl], msgspec.Meta(max_length=32)]
    checkpoint_kind: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    head_kind: Annotated[int, msgspec.Meta(ge=30000, le=39999)]
    interval_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]


class AgentSection(_Section, frozen=True):
    """[agent]"""

    sandbox: Literal["auto", "bubblewrap", "none"]
    memory_mb: Annotated[int, msgspec.Meta(ge=64, le=65_536)]
    steps_max: Annotated[int, msgspec.Meta(ge=1, le=500)]
    turn_seconds_max: Annotated[int, msgspec.Meta(ge=1, le=86_400)]


class AttestSection(_Section, frozen=True):
    """[attest]"""

    backend: Literal["none", "bitcoind"]
    network: Literal["regtest", "signet", "mainnet"]
    i_understand_that_mainnet_costs_money: bool
    rpc_url: Text
    rpc_cookie_file: Text
    rpc_credentials_file: Text
    seal_sats: Annotated[int, msgspec.Meta(ge=1_000, le=100_000_000)]
    poll_s: Annotated[int, msgspec.Meta(ge=1, le=3600)]


class ModelSection(_Section, frozen=True):
    """One of [[models]]"""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    base_url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    model: Text
    key_env: Text = ""
    key_file: Text = ""
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60


class Config(_Section, frozen=True):
    """The whole of node.toml."""

    node: NodeSection
    api: ApiSection
    relay: RelaySection
    publish: PublishSection
    agent: AgentSection
    attest: AttestSection
    models: Annotated[list[ModelSection], msgspec.Meta(max_length=16)] = []


def default_text() -> str:
    """Return the commented default configuration."""
    packaged = files("node") / "node.toml"
    if packaged.is_file():
        return packaged.read_text()
    return (Path(__file__).parent.parent / "node.toml").read_text()


def load(path: Path | None) -> Config:
    """Read the defaults and, over them, `path` if there is such a file. Raises ConfigError."""
    merged = tomllib.loads(default_text())
    if path is not None and path.exists():
        try:
            own = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not TOML: {_lower(str(error))}", hint=_HINT) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not UTF-8 at byte {error.start}", hint=_HINT) from error
        except RecursionError as error:
            raise ConfigError(f"{path} is nested too deep", hint=_HINT) from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=_HINT) from error
        merged = _merged(merged, own)
    try:
        config = msgspec.convert(merged, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path or 'node.toml'}: {_by_path(str(error))}", hint=_HINT) from error
    _check(config, path)
    return config


def public_key(text: str) -> str:
    """Read one of relay.writers, 64 hexadecimal digits or an npub. Raises ConfigError."""
    if re.fullmatch(r"[0-9a-f]{64}", text.lower()):
        return text.lower()
    try:
        found = nip19.decode(text)
    except InvalidIdentifier:
        found = None
    if not isinstance(found, nip19.PublicKey):
        raise ConfigError(f"relay.writers: {text!r} is not a public key", hint="npub1... or hex")
    return found.pubkey


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Tables merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in own.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merged(old, value) if both and isinstance(old, dict) else value
    return merged


def _check(config: Config, path: Path | None) -> None:
    for writer in config.relay.writers:
        public_key(writer)
    attest = config.attest
    if attest.network == "mainnet" and not attest.i_understand_that_mainnet_costs_money:
        raise ConfigError(
            f"{path}: attest.network is mainnet, and mainnet costs money",
            hint="set attest.i_understand_that_mainnet_costs_money = true if that is meant",
        )
    names = [model.name for model in config.models]
    if len(set(names)) != len(names):
        raise ConfigError(f"{path}: models: two have one name", hint="name each one differently")


def _by_path(text: str) -> str:
    """Put msgspec's complaint as `table.key: what is wrong`."""
    found = _AT.fullmatch(text)
    assert found is not None
    path, what = found["path"] or "", found["what"]
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        key = f"{path}.{unknown['key']}" if path else unknown["key"]
        return f"{key}: there is no such key"
    return f"{path}: {_lower(what)}" if path else _lower(what)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
