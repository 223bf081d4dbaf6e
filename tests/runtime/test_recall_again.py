"""What was just looked for is not looked for again; its words are read anew each time."""

from runtime.recall import Recall
from tests.runtime.world import World


async def test_one_search_serves_agent_and_responder(world: World):
    for n in range(4):
        await world.say(f"an owl on gable {n}", conversation="other")
    asked = []

    async def search(query, limit, before):
        asked.append((query, limit, before))
        return list(range(before - 1, max(0, before - 1 - limit), -1))

    recall = Recall(world.journal, search)
    before = world.log.size
    first = await recall.find("owl", 6, before=before)
    again = await recall.find("owl", 5, before=before)
    assert again == first[:5]
    assert asked == [("owl", 12, before)]
    await recall.find("owl", 7, before=before)
    await recall.find("owl", 5, before=before - 1)
    await recall.find("cat", 5, before=before)
    assert [(query, limit) for query, limit, _ in asked[1:]] == [
        ("owl", 14),
        ("owl", 10),
        ("cat", 10),
    ]
    for n in range(20):
        await recall.find(f"word {n}", 5, before=before)
    assert len(recall._searches) == 8
    await recall.find("owl", 5, before=before)
    assert asked[-1] == ("owl", 10, before)


async def test_words_that_were_erased_since_are_not_given(world: World):
    old = await world.say("an owl of old", conversation="other")
    await world.say("another owl", conversation="other")
    before = world.log.size

    async def search(_query, limit, before):
        return list(range(before - 1, max(0, before - 1 - limit), -1))

    recall = Recall(world.journal, search)
    hits = await recall.find("owl", 6, before=before)
    assert old.position in {hit.position for hit in hits}
    world.log.append_now(world.log.redaction([old.position], reason="r", actor="a"))
    hits = await recall.find("owl", 6, before=before)
    assert old.position not in {hit.position for hit in hits}
