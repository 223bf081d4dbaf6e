"""The healer: what a node mends by itself, tried on damage that is really there."""

import pytest

from ledger.core.event import Draft
from ledger.views import Views
from node.home import Home as Place
from node.keeping.healing import Healer
from runtime.core.alarms import STUCK_S_MAX
from runtime.journal import Journal
from tests.node.world import SETTINGS
from tests.runtime.world import new_log


@pytest.fixture
def home(lived):
    lived.configure(SETTINGS.replace('healer = ""', 'healer = "every 6h"'))
    return lived


def test_a_damaged_index_is_computed_again(home):
    with home.running() as node:
        node.say("an owl in the barn")
        assert home.run("jobs", "run", "healer").good().out == "all is well\n"
        views = home.path / "views.db"
        size = views.stat().st_size
        assert home.run("search", "barn").good()
        with views.open("r+b") as file:
            file.seek(size // 2)
            file.write(b"\xa5" * (size // 4))
        told = home.run("--json", "jobs", "run", "healer").good().json
        assert [act["what"] for act in told["payload"]["acts"]] == ["search"]
        assert "computed again" in told["content"]["output"]
        assert "barn" in home.run("search", "barn").good().out


class Agent:
    def __init__(self):
        self.begun = 0

    def begin_anew(self):
        self.begun += 1


@pytest.fixture
def healer(tmp_path):
    """A healer of a log in memory; the clock, the disk and the agent are the test's to say."""
    place = Place(path=tmp_path / "home", state=tmp_path / "state")
    place.path.mkdir()
    place.logs.mkdir()
    log = new_log(clock=lambda: 1_790_000_000_000)
    views = Views(place.views, log)
    views.catch_up()
    agent, disk, now = Agent(), {"disk_bytes": 1000, "disk_free_bytes": 500}, [1_790_000_000_000]
    made = Healer(
        home=place, views=views, host=agent, journal=Journal(log), machine=lambda: disk,
        clock=lambda: now[0],
    )  # fmt: skip
    yield made, agent, disk, now
    views.close()


async def test_an_agent_begins_anew_only_if_somebody_waits_for_long(healer):
    made, agent, _, now = healer
    payload = {"conversation": "main", "author": "ann", "gateway": "test", "screen": "pass"}
    draft = Draft(
        type="message.received", stream=bytes(16), payload=payload, content={"text": "hello"}
    )
    await made.journal.append(draft)
    now[0] += STUCK_S_MAX * 1000
    assert (await made(None, None, None)).facts == {"acts": []}
    now[0] += 60_000
    result = await made(None, None, None)
    assert (result.outcome, agent.begun) == ("done", 1)
    assert "31 minutes" in result.output


async def test_old_logs_go_when_the_disk_is_nearly_full_and_the_newest_stays(healer):
    made, _, disk, _ = healer
    for name in ("node.log", "node.log.1", "node.log.2"):
        (made.home.logs / name).write_text("x" * 100)
    assert (await made(None, None, None)).output == "all is well\n"
    disk["disk_free_bytes"] = 99
    result = await made(None, None, None)
    assert "200 bytes of old logs are gone" in result.output
    assert [path.name for path in made.home.logs.iterdir()] == ["node.log"]


async def test_what_cannot_be_mended_is_a_failed_run_and_the_rest_is_done(healer):
    made, agent, disk, _ = healer
    disk["disk_free_bytes"] = 0
    (made.home.logs / "node.log.1").mkdir()
    result = await made(None, None, None)
    assert result.outcome == "failed"
    assert "space: could not be mended" in result.output
    assert agent.begun == 0
