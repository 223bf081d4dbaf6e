"""Historian and dreamer as jobs of the scheduler: planned, run on demand, recorded, crash and all."""

from ledger.core import types
from runtime.core.jobs import built_in_id
from runtime.core.jobspec import JobSpec, Kind
from runtime.core.privacy import Privacy
from runtime.core.schedule import Every
from runtime.dreamer import Dreamer
from runtime.gateway import Gateway
from runtime.historian import Historian
from runtime.scheduler import Scheduler
from runtime.standing import BACKFILL
from tests.jobs.world import HOUR, World
from tests.memory.memory_world import Model
from tests.runtime.world import DIGEST_KEY

KINDS = (Kind.HISTORIAN, Kind.DREAMER)


class Home(World):
    """A world whose node has a historian and a dreamer."""

    def __init__(self, log=None, clock=None):
        super().__init__(log, clock)
        self.model = Model()
        common = {"journal": self.journal, "chain": self.model, "privacy": Privacy()}
        historian = Historian(**common, digest_key=DIGEST_KEY, clock=self.clock)
        plan = Every(seconds=HOUR, anchor_s=0)
        self.scheduler = Scheduler(
            self.journal,
            self.book,
            runners={
                Kind.SCRIPT: self.work,
                Kind.HISTORIAN: historian,
                Kind.DREAMER: Dreamer(**common, clock=self.clock),
            },
            instants={},
            standing={
                built_in_id(self.log.ledger_id, kind.value): JobSpec(
                    name=kind.value, kind=kind, schedule=plan, backfill=BACKFILL[kind]
                )
                for kind in KINDS
            },
            timer=self._timer,
        )

    async def say(self, text):
        await Gateway(self.journal).receive(text, conversation="main", author="ann", gateway="test")


async def test_the_historian_reads_at_its_hour_and_on_demand():
    async with Home().running() as home:
        await home.say("My name is Mara.")
        await home.at(1)
        [note] = home.of(types.MEMORY_NOTED.name)
        assert note.content["text"] == "My name is Mara."
        ends = {event.payload["outcome"] for event in home.of(types.JOB_FINISHED.name)}
        assert ends == {"done"}
        outputs = [event.content["output"] for event in home.of(types.JOB_FINISHED.name)]
        assert "1 noted, 0 known already, 0 dropped" in outputs
        await home.say("We decided to tile the north side.")
        home.clock.seconds += 1900
        await home.book.run_now("historian")
        await home.settle()
        assert len(home.of(types.MEMORY_NOTED.name)) == 2


async def test_a_run_that_a_crash_cut_short_repeats_no_note():
    home = Home()
    async with home.running():
        await home.say("My name is Mara.")
        home.model.meanwhile = None
        await home.at(1)
        size = len(home.of(types.MEMORY_NOTED.name))
    again = Home(home.log, home.clock)
    async with again.running():
        await again.at(2)
    assert len(again.of(types.MEMORY_NOTED.name)) == size == 1
    assert len(again.of(types.MEMORY_DISTILLED.name)) == 1
