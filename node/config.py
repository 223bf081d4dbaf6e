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

from attest.core.calendars import calendar_url
from attest.core.errors import CalendarNotAllowed
from attest.core.limits import CALENDARS_MAX, LEDGERS_MAX
from ledger.core.errors import InvalidNote
from mesh.core.errors import InvalidIdentifier
from mesh.core.relay.auth import relay_name
from node.home import Home
from node.sections.adoption import AdoptionSection
from node.sections.approval import ApprovalSection
from node.sections.base import ConfigError, Port, Section, Text
from node.sections.gateways import BridgeSection, GatewaysSection, HookSection
from node.sections.lineage import LineageSection
from node.sections.mcp import McpSection, McpServerSection
from node.sections.mesh import MeshSection, check_mesh, key_of
from node.sections.models import (
    BudgetSection,
    DiscoverSection,
    LocalSection,
    ModelSection,
    PrivacySection,
    SafetySection,
)
from node.sections.proxy import ProxySection, check_upstreams
from node.sections.witness import WitnessSection, check_witnesses
from runtime.core.contexts import FILES_MAX
from runtime.core.errors import JobRefused
from runtime.core.limits import MCP_SERVERS_MAX, RULES_MAX
from runtime.core.schedule import On, Once, Schedule, Watch
from runtime.core.whens import parse_when
from runtime.zones import zone

FileName = Annotated[str, msgspec.Meta(pattern=r"^[^/\0][^\0]{0,199}$")]
RelayUrl = Annotated[str, msgspec.Meta(pattern="^wss?://[^/]", max_length=2048)]
Host = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-z.:-]+$", max_length=255)]
"""As the address of a relay names it: in lower case, an IPv6 number without brackets."""
FollowedUrl = Annotated[str, msgspec.Meta(pattern=r"^https://[*a-z0-9.:-]+$", max_length=300)]
Toolset = Literal[
    "files", "shell", "git", "network", "memory", "todo", "ledger", "skills", "architecture",
    "http", "mcp",
]  # fmt: skip
_HINT: Final = "every key is in the commented default: timmy config"
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)


class NodeSection(Section, frozen=True):
    """[node]"""

    log_level: Literal["debug", "info", "warning", "error"]
    log_bytes_max: Annotated[int, msgspec.Meta(ge=10_000)]
    log_files_max: Annotated[int, msgspec.Meta(ge=1, le=100)]
    checkpoint_interval_ms: Annotated[int, msgspec.Meta(ge=200, le=3_600_000)]
    selfcheck_hours: Annotated[int, msgspec.Meta(ge=0, le=8760)]
    selfcheck_after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)]


class ApiSection(Section, frozen=True):
    """[api]"""

    host: Text
    port: Port
    url: Annotated[str, msgspec.Meta(pattern=r"^(|https?://[!-~]+[^/])$", max_length=256)]


class RelaySection(Section, frozen=True):
    """[relay]"""

    enabled: bool
    connections_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    writers: list[Text]
    urls: Annotated[list[RelayUrl], msgspec.Meta(max_length=16)]
    write: Literal["fleet", "work", "public"]
    inbox: Literal["fleet", "work", "public"]
    work_bits: Annotated[int, msgspec.Meta(ge=1, le=64)]


class PublishSection(Section, frozen=True):
    """[publish]"""

    relays: Annotated[list[RelayUrl], msgspec.Meta(max_length=32)]
    checkpoint_kind: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    head_kind: Annotated[int, msgspec.Meta(ge=30000, le=39999)]
    interval_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    read: Annotated[list[RelayUrl], msgspec.Meta(max_length=32)]
    follow: bool
    follow_hosts: Annotated[list[Host], msgspec.Meta(max_length=32)]
    authenticate: bool
    check_s: Annotated[int, msgspec.Meta(ge=60, le=604_800)]


class AgentSection(Section, frozen=True):
    """[agent]"""

    sandbox: Literal["auto", "bubblewrap", "landlock", "none"]
    memory_mb: Annotated[int, msgspec.Meta(ge=64, le=65_536)]
    steps_max: Annotated[int, msgspec.Meta(ge=1, le=500)]
    iterations_max: Annotated[int, msgspec.Meta(ge=1, le=500)]
    turn_seconds_max: Annotated[int, msgspec.Meta(ge=1, le=86_400)]


class AttestSection(Section, frozen=True):
    """[attest]"""

    backend: Literal["none", "bitcoind"]
    network: Literal["regtest", "signet", "mainnet"]
    i_understand_that_mainnet_costs_money: bool
    rpc_url: Text
    rpc_cookie_file: Text
    rpc_credentials_file: Text
    seal_sats: Annotated[int, msgspec.Meta(ge=1_000, le=100_000_000)]
    poll_s: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    every: Literal["daily", "never"]
    calendars: Annotated[list[Text], msgspec.Meta(max_length=CALENDARS_MAX)]
    calendars_needed: Annotated[int, msgspec.Meta(ge=1, le=CALENDARS_MAX)]
    calendars_followed: Annotated[list[FollowedUrl], msgspec.Meta(max_length=32)]
    calendar_poll_s: Annotated[int, msgspec.Meta(ge=60, le=604_800)]
    stamp_every_s: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)]


class AggregateSection(Section, frozen=True):
    """[aggregate]"""

    enabled: bool
    interval_s: Annotated[int, msgspec.Meta(ge=60, le=604_800)]
    ledgers_max: Annotated[int, msgspec.Meta(ge=1, le=LEDGERS_MAX)]
    submissions_per_hour: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    submit_to: Text
    submit_every: Literal["daily", "never"]


class PermissionsSection(Section, frozen=True):
    """[permissions]"""

    allow: Annotated[list[Text], msgspec.Meta(max_length=RULES_MAX)]
    ask: Annotated[list[Text], msgspec.Meta(max_length=RULES_MAX)]
    deny: Annotated[list[Text], msgspec.Meta(max_length=RULES_MAX)]
    trust: Annotated[list[Text], msgspec.Meta(max_length=RULES_MAX)]


class ToolsSection(Section, frozen=True):
    """[tools]"""

    toolsets: list[Toolset]
    folder: Text
    approval_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    turn_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    result_kb: Annotated[int, msgspec.Meta(ge=1, le=256)]
    http_hosts: Annotated[list[Text], msgspec.Meta(max_length=64)]


class JobsSection(Section, frozen=True):
    """[jobs]"""

    time_zone: Text
    heartbeat: Text
    report: Text
    historian: Text
    healer: Text
    dreamer: Text


class ContextSection(Section, frozen=True):
    """[context]"""

    files: Annotated[list[FileName], msgspec.Meta(max_length=FILES_MAX)]


class Config(Section, frozen=True):
    """The whole of node.toml."""

    node: NodeSection
    api: ApiSection
    relay: RelaySection
    publish: PublishSection
    witness: WitnessSection
    mesh: MeshSection
    agent: AgentSection
    attest: AttestSection
    aggregate: AggregateSection
    privacy: PrivacySection
    discover: DiscoverSection
    local: LocalSection
    safety: SafetySection
    budget: BudgetSection
    permissions: PermissionsSection
    tools: ToolsSection
    jobs: JobsSection
    lineage: LineageSection
    context: ContextSection
    proxy: ProxySection
    gateways: GatewaysSection
    bridge: BridgeSection
    approval: ApprovalSection
    adoption: AdoptionSection
    mcp_server: McpServerSection
    hooks: Annotated[list[HookSection], msgspec.Meta(max_length=64)] = []
    models: Annotated[list[ModelSection], msgspec.Meta(max_length=16)] = []
    mcp: Annotated[list[McpSection], msgspec.Meta(max_length=MCP_SERVERS_MAX)] = []


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
        raise ConfigError(f"{path or 'node.toml'}: {by_path(str(error))}", hint=_HINT) from error
    _check(config, path)
    return config


def key_file(home: Home, model: ModelSection | McpSection) -> Path | None:
    """Return the file that holds a key: an absolute path, or a name inside the home.

    Raises ConfigError for one that leads out of the home, or to a secret of this node: what the
    file holds is sent to the host of the model, or of the MCP server.
    """
    if not model.key_file:
        return None
    table = "mcp" if isinstance(model, McpSection) else "models"
    what = f"{table}: key_file of {model.name}"
    named = Path(model.key_file).expanduser()
    path, inside = home.path / named, home.path.resolve()
    if not named.is_absolute() and not path.resolve().is_relative_to(inside):
        raise ConfigError(
            f"{what} leads out of the home: {model.key_file}", hint="name it by its absolute path"
        )
    own = (home.token.resolve(), inside / "keys", home.state.resolve())
    if any(path.resolve().is_relative_to(secret) for secret in own):
        raise ConfigError(
            f"{what} is a secret of this node: {model.key_file}",
            hint="keep the provider's key in a file of its own, mode 0600",
        )
    return path


def public_key(text: str, what: str = "relay.writers") -> str:
    """Read a key in `what`, 64 hexadecimal digits or an npub. Raises ConfigError."""
    try:
        return key_of(text)
    except InvalidIdentifier as error:
        raise ConfigError(f"{what}: {error}", hint=error.hint) from error


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
    for url in config.relay.urls:
        if relay_name(url) is None:
            raise ConfigError(f"relay.urls: {url!r} is not an address", hint="wss://relay.example/")
    attest = config.attest
    if attest.network == "mainnet" and not attest.i_understand_that_mainnet_costs_money:
        raise ConfigError(
            f"{path}: attest.network is mainnet, and mainnet costs money",
            hint="set attest.i_understand_that_mainnet_costs_money = true if that is meant",
        )
    people = {public_key(person, "approval.people") for person in config.approval.people}
    if fault := config.approval.fault(len(people)):
        raise ConfigError(fault, hint="as many at most as there are, or 0 for a majority")
    try:
        check_witnesses(config.witness)
    except InvalidNote as error:
        raise ConfigError(f"witness.ask: {error}", hint=error.hint) from error
    try:
        check_mesh(config.mesh)
    except InvalidIdentifier as error:
        raise ConfigError(f"mesh.{error}", hint=error.hint) from error
    _check_calendars(attest.calendars)
    _check_aggregator(config.aggregate.submit_to)
    _check_jobs(config.jobs)
    check_upstreams(config.proxy)
    if config.local.model and any(model.name == "local" for model in config.models):
        raise ConfigError(
            f"{path}: models: one is called local, and so is the model of [local]",
            hint="name it otherwise, or empty local.model",
        )
    for table, named in (("models", config.models), ("mcp", config.mcp)):
        names = [one.name for one in named]
        if len(set(names)) != len(names):
            raise ConfigError(
                f"{path}: {table}: two have one name", hint="name each one differently"
            )


def own_plan(text: str, zone_name: str) -> Schedule | None:
    """Read the plan of a job of the node's own; None for "". Intervals begin at full hours of UTC.

    Raises JobRefused.
    """
    if not text.strip():
        return None
    plan = parse_when(text, now_s=0, offset=zone(zone_name))
    if isinstance(plan, Once | On | Watch):
        raise JobRefused(f"{text!r} is not a plan of times", hint='"every 15m", or "0 6 * * *"')
    return plan


def _check_jobs(jobs: JobsSection) -> None:
    try:
        zone(jobs.time_zone)
    except JobRefused as error:
        raise ConfigError(f"jobs.time_zone: {error}", hint=error.hint) from error
    for key in ("heartbeat", "report", "historian", "dreamer", "healer"):
        text = getattr(jobs, key)
        try:
            own_plan(text, jobs.time_zone)
        except JobRefused as error:
            raise ConfigError(f"jobs.{key}: {error}", hint=error.hint) from error


def _check_calendars(calendars: list[str]) -> None:
    for url in calendars:
        try:
            plain = calendar_url(url)
        except CalendarNotAllowed as error:
            hint = error.hint or "https://a.pool.opentimestamps.org is one"
            raise ConfigError(f"attest.calendars: {error}", hint=hint) from error
        if plain != url:
            raise ConfigError(f"attest.calendars: {url!r} ends in a slash", hint=f'write "{plain}"')
    if len(set(calendars)) != len(calendars):
        raise ConfigError("attest.calendars: one calendar stands twice", hint="name each one once")


def _check_aggregator(url: str) -> None:
    try:
        plain = calendar_url(url) if url else url
    except CalendarNotAllowed as error:
        raise ConfigError(
            f"aggregate.submit_to: {url[:100]!r} is no address of an aggregator",
            hint="https://aggregator.example, or http:// on this machine",
        ) from error
    if plain != url:
        raise ConfigError(f"aggregate.submit_to: {url!r} ends in a slash", hint=f'write "{plain}"')


def by_path(text: str) -> str:
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
