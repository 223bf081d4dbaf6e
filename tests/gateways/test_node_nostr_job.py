"""A job of a node as a process that follows what somebody publishes with her own client."""

import asyncio

from tests.gateways.nostr_world import SECONDS, Person, relay
from tests.node.world import SETTINGS


async def test_a_job_runs_after_somebody_published(born):
    with relay() as url:
        async with Person(bytes([31]) * 32, url) as ada:
            born.configure(f'{SETTINGS}[publish]\nrelays = ["{url}"]\n')
            node = await asyncio.to_thread(born.start)
            await ada.publish(30023, "an article", ["d", "one"])
            plan = ("jobs", "add", "news", "--when", f"on nostr 30023 {ada.npub}")
            done = await asyncio.to_thread(born.run, *plan, "--say", "Ada wrote something.")
            done.good()
            async with asyncio.timeout(SECONDS):
                while not node.log("job.noticed"):
                    await asyncio.sleep(0.2)
            assert node.log("job.started") == []  # the first look wakes nobody
            await ada.publish(30023, "another", ["d", "two"])
            async with asyncio.timeout(SECONDS):
                while not node.log("job.finished"):
                    await asyncio.sleep(0.2)
            assert [row["payload"]["changed"] for row in node.log("job.noticed")] == [False, True]
            assert len(node.log("job.started")) == 1
            await asyncio.to_thread(node.stop)
    born.run("replay").good()
