from mesh.relay.sendqueue import SendBudget, SendQueue


async def test_texts_wait_until_they_are_sent():
    queue = SendQueue(SendBudget(bytes_max=100), bytes_max=10)
    queue.push(["ab", "é"])
    assert queue.bytes == 4
    assert await queue.take() == ["ab", "é"]
    queue.sent("ab")
    queue.push(["c"])
    queue.sent("é")
    assert queue.bytes == 1
    assert await queue.take() == ["c"]
    queue.sent("c")
    await queue.drained()


async def test_a_queue_beyond_its_bound_gives_its_memory_back_for_good():
    budget = SendBudget(bytes_max=100)
    queue = SendQueue(budget, bytes_max=10)
    queue.push(["x" * 10])
    assert not queue.overrun.is_set()
    queue.push(["x"])
    assert queue.overrun.is_set()
    queue.push(["x"])
    queue.sent("x" * 10)
    assert (queue.bytes, budget.bytes) == (0, 0)


async def test_beyond_the_common_bound_the_longest_goes_whoever_pushed():
    budget = SendBudget(bytes_max=20)
    long, short, last = (SendQueue(budget, bytes_max=100) for _ in range(3))
    long.push(["x" * 15])
    short.push(["x" * 4])
    last.push(["xx"])
    assert [queue.overrun.is_set() for queue in (long, short, last)] == [True, False, False]
    assert budget.bytes == 6
    last.push(["x" * 15])  # itself the longest
    assert [queue.overrun.is_set() for queue in (short, last)] == [False, True]
    assert budget.bytes == 4


async def test_a_queue_that_is_closed_counts_no_more():
    budget = SendBudget(bytes_max=20)
    queue, other = SendQueue(budget), SendQueue(budget)
    queue.push(["x" * 20])
    queue.close()
    assert budget.bytes == 0
    other.push(["x" * 20])
    assert not other.overrun.is_set()
