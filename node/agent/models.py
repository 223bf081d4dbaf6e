"""What node.toml says of models, made into links of the chain: wire format, privacy class, key."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from ledger.core.errors import TimmyError
from node.config import Config, key_file
from node.home import Home
from node.sections.models import ModelSection
from runtime import ollama
from runtime.budget import BudgetLimits
from runtime.core.anthropic_wire import Anthropic
from runtime.core.chat import REACHES, Link, Price, Reach
from runtime.core.openai_wire import OpenAi
from runtime.core.privacy import Privacy
from runtime.core.wire import Codec
from runtime.endpoint import Endpoint
from runtime.model_keys import Opens, read_key

_CODECS: Final[dict[str, Codec]] = {"openai": OpenAi(), "anthropic": Anthropic()}

_OLLAMA: Final = "ollama"
_OLLAMA_TIMEOUT_S: Final = 120.0
"""It loads a model before it answers for the first time."""


def check_models(home: Home, config: Config) -> None:
    """Refuse a model whose key file or privacy class is in doubt. Raises TimmyError."""
    for model in config.models:
        key_file(home, model)
        reach_of(model)
    if config.discover.ollama and not is_here(config.discover.ollama):
        raise TimmyError(
            f"discover.ollama is on another machine: {config.discover.ollama}",
            hint="write it down as one of [[models]], with its privacy class",
        )


def reach_of(model: ModelSection) -> Reach:
    """How far a model carries what it hears. Raises TimmyError for one elsewhere that says nothing.

    An address of this machine is local unless node.toml says otherwise.
    """
    if model.privacy:
        return REACHES[model.privacy]
    if is_here(model.base_url):
        return Reach.LOCAL
    raise TimmyError(
        f"model {model.name} is on another machine and has no privacy class",
        hint='say privacy = "public" (a free tier), "trusted" or "local" (your own hardware)',
    )


def is_here(base_url: str) -> bool:
    """Whether an address is one of this machine."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def link_of(home: Home, model: ModelSection, session: aiohttp.ClientSession, opens: Opens) -> Link:
    """Return the link that a section of node.toml describes. Raises TimmyError, AgentError."""
    return Endpoint(
        name=model.name,
        codec=_CODECS[model.wire],
        base_url=model.base_url,
        model=model.model,
        timeout_s=model.timeout_s,
        reach=reach_of(model),
        tasks=frozenset(model.tasks),
        price=_price(model),
        streams=model.stream,
        tools=model.tools,
        session=session,
        key=read_key(env=model.key_env or None, file=key_file(home, model), opens=opens),
    )


def _price(model: ModelSection) -> Price | None:
    if not model.usd_in and not model.usd_out:
        return None
    return Price(into_microusd=round(model.usd_in * 1e6), out_microusd=round(model.usd_out * 1e6))


def budget_of(config: Config) -> BudgetLimits:
    """Return the bounds of [budget]."""
    section = config.budget
    return BudgetLimits(
        day_microusd=round(section.usd_per_day * 1e6), turn_tokens=section.tokens_per_turn
    )


def links_of(
    home: Home,
    config: Config,
    session: aiohttp.ClientSession,
    opens: Opens,
    found: ollama.Found | None = None,
) -> list[Link]:
    """Return all of them, in order; an Ollama that was found comes last."""
    links = [link_of(home, model, session, opens) for model in config.models]
    discovered = _ollama(config, session, found)
    return links if discovered is None else [*links, discovered]


def _ollama(
    config: Config, session: aiohttp.ClientSession, found: ollama.Found | None
) -> Link | None:
    """Return a link to an Ollama that was found; None if there is none or node.toml names it."""
    taken = {word for model in config.models for word in (model.name, model.base_url)}
    if found is None or taken & {_OLLAMA, found.base_url}:
        return None
    return Endpoint(
        name=_OLLAMA,
        codec=_CODECS["openai"],
        base_url=found.base_url,
        model=found.model,
        timeout_s=_OLLAMA_TIMEOUT_S,
        reach=Reach.LOCAL,
        session=session,
    )


async def find_ollama(config: Config, session: aiohttp.ClientSession) -> ollama.Found | None:
    """Look for an Ollama where node.toml says; None if there is none."""
    address = config.discover.ollama
    return await ollama.find(session, address) if address else None


def seeker_of(
    config: Config, session: aiohttp.ClientSession, known: ollama.Found | None
) -> Callable[[], Awaitable[Link | None]]:
    """Return what looks again for an Ollama that was not there at the start (`Chain.find`)."""
    seeker = ollama.Seeker(lambda: find_ollama(config, session), known)

    async def seek() -> Link | None:
        return _ollama(config, session, await seeker.seek())

    return seek


def privacy_of(config: Config) -> Privacy:
    """Return the rules of [privacy]."""
    section = config.privacy
    return Privacy(
        default=REACHES[section.default],
        conversations=tuple(
            (pattern, REACHES[word]) for pattern, word in section.conversations.items()
        ),
    )
