"""A node with the proxy on, before a provider; one for each file of tests, where they can share it."""

import pytest

from tests.node.conftest import born, born_seed, place, seeds  # noqa: F401 - fixtures
from tests.node.world import SETTINGS

from .provider import serving

KEY = "sk-live-0123456789abcdef"


def configure(home, *urls, screen="record", more=""):
    """node.toml with the proxy on and these upstreams: one per wire unless there are more."""
    rows = [
        f'{{ name = "u{number}", base_url = "{url}", wire = "{wire}" }},'
        for number, (url, wire) in enumerate(
            [(url, wire) for url in urls for wire in ("openai", "anthropic")]
        )
    ]
    text = f'{SETTINGS}\n[proxy]\nenabled = true\nport = 0\nscreen = "{screen}"\n{more}\n'
    home.configure(text + "upstreams = [\n" + "\n".join(rows) + "\n]\n")
    return home


def address(node):
    return node.request("GET", "/v1/proxy").json["address"]


def exchanges(node):
    """(requested, replied) of every exchange that has ended, in order of their requests."""
    replied = {row["payload"]["request"]: row for row in node.log("proxy.replied")}
    return [
        (row, replied[row["position"]])
        for row in node.log("proxy.requested")
        if row["position"] in replied
    ]


def all_well(home):
    """Nothing failed, and the client's key is nowhere in the home: not in ledger, log or search."""
    assert "failed" not in home.logged
    assert "Traceback" not in home.logged
    for path in home.path.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


@pytest.fixture(scope="module")
def provider():
    with serving() as (server, call):
        server.call = call
        yield server


@pytest.fixture(scope="module")
def node(born_seed, tmp_path_factory, provider):  # noqa: F811 - the fixture
    """A node that the tests of a file share: each looks at the newest exchange only."""
    home = configure(born_seed.copy(tmp_path_factory.mktemp("proxied") / "home"), provider.url)
    with home.running() as running:
        running.base = address(running)
        yield running
    all_well(home)
    home.end()
