"""What the agent thinks with, wired: models, their gate and budget, services, its process.

Not covered: what goes on in that process; that is the agent's tree, and the judge's to test.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genesis import trees
from genesis.core.errors import TreeError
from genesis.soul import read_soul
from ledger.core import hashing
from ledger.core.errors import NotFound, Refused, StoreDamaged
from ledger.views import Views
from node.agent.hosts import Hosts
from node.agent.layering import Layers
from node.agent.local import unready
from node.agent.models import budget_of, links_of, privacy_of, seeker_of
from node.agent.registering import Registered
from node.agent.sealed_keys import opener
from node.agent.secrets import own_secrets
from node.agent.tools import make_registered, make_tooling, project_of
from node.open import now_ms
from node.opened import Opened
from runtime import safety, sandbox
from runtime.budget import Budget
from runtime.chain import Chain
from runtime.connection import Identity, Part
from runtime.contexts import Contexts
from runtime.core.adoptions import Adoptions
from runtime.core.chat import Link, Reach
from runtime.counterfactual import Teller
from runtime.gate import Gate, Mode
from runtime.gateway import Gateway
from runtime.guarded import guard
from runtime.host import AgentHost, HostLimits
from runtime.hybrid import Clock, ask, hybrid
from runtime.journal import Journal
from runtime.recall import Recall, Search
from runtime.responder import Responder
from runtime.service import Service
from runtime.tooling import Tooling
from runtime.tools.skills import READ

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Mind:
    """The parts of it."""

    chain: Chain
    gate: Gate
    budget: Budget
    service: Service
    tooling: Tooling
    registered: Registered
    host: Hosts
    teller: Teller
    contexts: Contexts

    def refuses(self, link: Link) -> str | None:
        """Return why a link may not speak now, or None."""
        return unready(link) or self.gate.refuses(link) or self.budget.refuses(link)

    def link(self, name: str) -> Link:
        """Return the model of the chain that is called so. Raises NotFound, Refused."""
        links = {link.name: link for link in self.chain.links}
        if name not in links:
            raise NotFound(f"no model is called {name}", hint=f"there are {', '.join(links)}")
        if links[name].identity is None:
            raise Refused(f"{name} is no model: its words are fixed", hint="timmy models list")
        return links[name]

    def chain_of(self, names: Sequence[str]) -> Chain | None:
        """Return a chain of these models alone; None of none."""
        links = [self.link(name) for name in names]
        return Chain(links, refuses=self.refuses) if links else None


def make_mind(
    opened: Opened,
    journal: Journal,
    gateway: Gateway,
    views: Views,
    head: Callable[[], tuple[int, bytes]],
    layers: Layers,
) -> Mind:
    """Wire the model chain, the services that the agent process may ask, and the process."""

    def status() -> dict[str, Any]:
        return {
            "name": opened.lineage.genesis.name,
            "events": opened.log.size,
            "models": chain.names,
            "uptime_s": (now_ms() - opened.started_ms) // 1000,
        }

    search = _search(opened, views)
    recall = Recall(journal, search)
    gate = Gate(journal, safety.load(), Mode(opened.config.safety.gate))
    budget = Budget(journal, budget_of(opened.config), now_ms)

    def refuses(link: Link) -> str | None:
        return unready(link) or gate.refuses(link) or budget.refuses(link)

    leaks = own_secrets(opened)
    opens = opener(opened.keys.nostr)
    links = links_of(opened.home, opened.config, opened.session, opens, opened.ollama)
    links = [guard(link, leaks) for link in links]
    links += [] if opened.local is None else [opened.local]
    find = seeker_of(opened.config, opened.session, opened.ollama)
    chain = Chain([*links, Responder(recall, status)], refuses=refuses, find=find)
    digest_key = hashing.digest(hashing.STEP_KEY, opened.keys.log.secret)
    privacy = privacy_of(opened.config)
    project = project_of(opened)
    tooling = make_tooling(opened, journal, recall, privacy, head, layers, leaks, project)
    contexts = Contexts(
        journal, Path(tooling.folder), tuple(opened.config.context.files), _skills(tooling, layers)
    )
    service = Service(
        journal,
        chain=chain,
        recall=recall,
        status=status,
        digest_key=digest_key,
        privacy=privacy,
        budget=budget,
        tooling=tooling,
        contexts=contexts,
        bounds=layers.bounds,
        leaks=leaks,
        project=project,
    )
    host, teller = _process(opened, journal, gateway, service, search)
    return Mind(
        chain=chain,
        gate=gate,
        budget=budget,
        service=service,
        tooling=tooling,
        registered=make_registered(opened, journal, tooling.toolbox),
        host=host,
        teller=teller,
        contexts=contexts,
    )


def _skills(tooling: Tooling, layers: Layers) -> Callable[[], Iterable[tuple[str, str]]]:
    """What prompts name of skills: none where the agent has no tool, or no leave, to read one."""

    def listed() -> Iterable[tuple[str, str]]:
        offered = tooling.offers([READ.name], Reach.LOCAL)
        return layers.skills.all() if offered else ()

    return listed


def _search(opened: Opened, views: Views) -> Search:
    log, path = opened.log, opened.home.views

    async def search(query: str, limit: int, before: int) -> list[int]:
        views.catch_up()
        clock = Clock(times=lambda position: log.read(position).ts_ms, size=log.size)
        asked = ask(query, before=before, clock=clock)
        try:  # in a thread: over a long ledger it may take longer than the others should wait
            return await asyncio.to_thread(hybrid, path, asked, limit=limit)
        except StoreDamaged:
            views.rebuild()
            return await asyncio.to_thread(hybrid, path, asked, limit=limit)

    return search


def _process(
    opened: Opened,
    journal: Journal,
    gateway: Gateway,
    service: Service,
    search: Search,
) -> tuple[Hosts, Teller]:
    """The agent's processes, and the same beside a fork of the log."""
    home = opened.home
    bounds = sandbox.SandboxLimits(memory_bytes=opened.config.agent.memory_mb * _MIB)

    async def spawn(tree: Path, channel: Any) -> sandbox.Child:
        return await sandbox.spawn(tree, channel, limits=bounds, engine=opened.engine)

    identity = Identity(name=opened.lineage.genesis.name, soul=read_soul(home.soul).text)
    limits = HostLimits()

    def make(tree: bytes, part: Part) -> AgentHost:
        return AgentHost(
            journal=journal,
            gateway=gateway,
            service=service,
            spawn=spawn,
            tree=trees.open_tree(home.path, tree),
            identity=identity,
            limits=limits,
            part=part,
        )

    hosts = Hosts(journal=journal, birth=adopted_tree(opened, journal), make=make)
    teller = Teller(
        service=service,
        search=search,
        spawn=spawn,
        tree=lambda: trees.open_tree(home.path, hosts.tree),
        identity=identity,
        limits=limits,
        clock=now_ms,
    )
    return hosts, teller


def adopted_tree(opened: Opened, journal: Journal) -> bytes:
    """Return the tree that is in force where the ledger names none, and see that one opens.

    Of those that the ledger names, the newest that opens is what will run (`node.agent.adopting`).
    """
    home, stack = opened.home.path, Adoptions(journal.state.entries).stack
    for version in reversed(stack[1:]):
        with suppress(TreeError):
            trees.open_tree(home, version.tree)
            return stack[0].tree
    try:
        genesis = opened.lineage.genesis.architecture
        birth = stack[0].tree if stack else trees.current(home) or genesis
        trees.open_tree(home, birth)
    except TreeError as error:
        raise TreeError(
            str(error), hint=f"restore {home / trees.FOLDER} from a backup of this home"
        ) from error
    return birth
