"""A node's parent and child sides, put together from its parts, with the jobs that are theirs."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog

from genesis.core.children.errors import ChildError
from ledger.core.errors import TimmyError
from node.assembly import Parts
from node.children.growing import FAILED, Growing
from node.children.kin import Kin
from node.children.parenting import Parenting
from node.children.post import Post
from node.children.records import Ward
from node.children.sealed import SealedPost, Taking
from node.config import own_plan
from node.machine import read_machine
from node.opened import Opened
from runtime.core.jobs import DONE, Job, Run, built_in_id
from runtime.core.jobspec import JobSpec, Kind, Words
from runtime.scheduler import Result, Runner
from runtime.standing import BACKFILL

_LIMIT_S: Final = 1800
"""Of one run: an evening with many children, whose ledgers are fetched one after the other."""


@dataclass(slots=True, kw_only=True)
class Kinship:
    """Both sides of one node: an agent may be a child and a parent."""

    parenting: Parenting
    growing: Growing
    grant: bool
    """Whether gates are granted in the evening by themselves, when they are ready."""
    home: Path
    plans: dict[Kind, str]
    parts: Parts

    def begin(self) -> None:
        """Have the jobs that are due to this agent: of a child, and of a parent."""
        if self.growing.is_child:
            self._plan(Kind.PARENT_CHECK, self.growing.check)
            self._plan(Kind.PARENT_REPORT, self.growing.report)
        if self.parenting.children:
            self.fathered()
        self.parenting.fathered = self.fathered
        self.parts.scheduling.others.append(self.parenting.silent)
        gateway = self.parts.post.gateway
        if gateway is not None:
            post = SealedPost(gateway)
            self.parenting.relays = self.growing.relays = post
            gateway.kin = Taking(self.parenting, self.growing, post)

    def fathered(self) -> None:
        """Have the job of a parent."""
        self._plan(Kind.CHILDREN_REVIEW, self._review)

    def _plan(self, kind: Kind, runner: Runner) -> None:
        scheduling = self.parts.scheduling
        plan = own_plan(self.plans[kind], scheduling.zone)
        if plan is not None:
            spec = JobSpec(
                name=kind.value,
                kind=kind,
                schedule=plan,
                zone=scheduling.zone,
                backfill=BACKFILL[kind],
                limit_s=_LIMIT_S,
            )
            job = built_in_id(self.parts.log.ledger_id, kind.value)
            scheduling.scheduler.also(job, spec, runner)

    async def _review(self, run: Run, job: Job, words: Words) -> Result:
        """Look at every child in the evening, and tell each what was found."""
        del run, job, words
        said, good = [], True
        for child in list(self.parenting.children.values()):
            name = child.id.hex()[:16]
            try:
                with TemporaryDirectory(dir=self.home, prefix=".look-") as folder:
                    text = await self.parenting.review(child, grant=self.grant, folder=Path(folder))
            except ChildError as error:
                text, good = str(error), False
            said.append(f"{name}: {text}")
        return Result(outcome=DONE if good else FAILED, output="\n".join(said) + "\n")

    async def run(self) -> None:
        """What runs by itself, beside jobs."""
        try:
            await self.growing.run()
        except* TimmyError as group:
            structlog.get_logger(__name__).warning("a child's letters stopped", why=str(group))
            raise

    def value(self) -> dict[str, Any]:
        """For `timmy status` and `timmy lineage`."""
        return {
            "parent": self.growing.value(),
            "children": [self.parenting.row(one) for one in self.parenting.children.values()],
        }


def make_kinship(opened: Opened, parts: Parts, url: str) -> Kinship:
    """Put both sides together. `url`: how others reach this node."""
    section, home = opened.config.lineage, opened.home
    ward, kin, post = Ward(opened.log), Kin(home.path), Post(opened.session)
    parenting = Parenting(
        log=opened.log,
        journal=parts.journal,
        release=parts.release,
        lineage=opened.lineage,
        log_key=opened.keys.log,
        nostr=opened.keys.nostr,
        skills=parts.stages.adopting.layers.skills,
        kin=kin,
        post=post,
        ward=ward,
        silent_s=section.silent_s,
    )
    growing = Growing(
        home=home,
        journal=parts.journal,
        release=parts.release,
        nostr=opened.keys.nostr,
        ward=ward,
        kin=kin,
        post=post,
        gateway=parts.gateway,
        host=parts.mind.host,
        book=parts.scheduling.book,
        patching=parts.patching,
        machine=lambda: read_machine(home.path),
        name=parts.genesis.name,
        url=url,
        parent_url=section.parent,
    )
    plans = {
        Kind.PARENT_CHECK: section.check,
        Kind.PARENT_REPORT: section.report,
        Kind.CHILDREN_REVIEW: section.review,
    }
    return Kinship(
        parenting=parenting,
        growing=growing,
        grant=section.grant,
        home=home.path,
        plans=plans,
        parts=parts,
    )
