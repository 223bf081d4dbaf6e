from collections.abc import AsyncIterator, Iterator

import pytest

from tests.attest.world import BACKENDS, Backend, World, a_world, bitcoind_node, kernel_node


@pytest.fixture(scope="session", params=BACKENDS)
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    start = kernel_node if request.param == "kernel" else bitcoind_node
    with start(tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
async def world(backend: Backend) -> AsyncIterator[World]:
    async with a_world(backend) as world:
        yield world
