"""Keys of providers that only the agent's keystore opens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.keys.keystore import unlock_agent
from ledger.core.keys import Signer
from node.agent.sealed_keys import opener, seal_key
from node.home import Home as Places
from runtime.core.errors import AgentError
from runtime.model_keys import read_key
from tests.node.test_node_models import add, serving
from tests.node.world import PASSPHRASE

KEY = b"a-key-of-a-provider-that-is-long"
OTHER = Signer(bytes([7] * 32))


@pytest.fixture(scope="module")
def places(born_seed):
    return Places(path=born_seed.path, state=born_seed.state)


@pytest.fixture(scope="module")
def nostr(born_seed):
    return unlock_agent(born_seed.path, PASSPHRASE).nostr


def test_only_the_agents_key_opens_it(places, nostr):
    text = seal_key(places, KEY).decode()
    assert KEY.decode() not in text
    assert text != seal_key(places, KEY).decode(), "no two of one key are alike"
    assert opener(nostr)(text) == KEY.decode()
    with pytest.raises(AgentError, match="does not open"):
        opener(OTHER)(text)


def test_what_is_cut_or_changed_opens_to_nobody(places, nostr):
    word, once, payload = seal_key(places, KEY).decode().split()
    opens = opener(nostr)
    for text in (word, f"{word} {once}", f"{word} {once} {payload} more", f"{word} {once} {payload[:-8]}",
                 f"{word} {'0' * 64} {payload}", f"{word} {once} {payload.swapcase()}"):  # fmt: skip
        with pytest.raises(AgentError) as refused:
            opens(text)
        assert KEY.decode() not in str(refused.value)
        assert "--sealed-key" in refused.value.hint


@given(st.text())
def test_any_text_is_itself_or_refused(text):
    opens = opener(OTHER)
    try:
        assert opens(text) == text
    except AgentError:
        assert text.split()[0] == "timmy-sealed-key-1"


def test_a_sealed_file_without_its_opener_is_no_key(places, tmp_path):
    """What is sent to a provider is never the sealed form."""
    path = tmp_path / "far"
    path.write_bytes(seal_key(places, KEY))
    path.chmod(0o600)
    with pytest.raises(AgentError, match="more than one word"):
        read_key(file=path)


def test_a_node_uses_the_key_that_its_keystore_opens(lived):
    with serving() as (server, _):
        argv = ("models", "add", "far", server.url, "m-1", "--privacy", "trusted", "--sealed-key")
        lived.run(*argv, stdin=KEY + b"\n").good()
        kept = lived.path / "model-keys" / "far"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert KEY not in kept.read_bytes()
        with lived.running() as node:
            assert node.say("hello")["link"] == "far"
            assert server.headers[-1]["Authorization"] == f"Bearer {KEY.decode()}"
            node.say(f"the key is {KEY.decode()} as they say")
            assert KEY.decode() not in str(server.requests[-1]), "it is one of the node's secrets"
        add(lived, server, "second").good()
        kept.write_bytes(kept.read_bytes()[:-20])
        lived.run("run").refused("does not open")
