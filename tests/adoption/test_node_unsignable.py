"""A skin that fits as TOML and not as a signed document: refused, or taken back, never a loop."""

from genesis.adopting import versions
from genesis.core.adopting.layers import Version
from genesis.core.limits import SKIN_BYTES_MAX
from ledger.core import types
from ledger.core.event import Draft
from node.home import Home as RealHome
from node.keeping.folding import reading_hash
from node.open import open_log
from tests.adoption.world import apply, granted, status, steps, until_stage
from tests.node.world import SETTINGS

HEAD = 'name = "owl"\nversion = 1\nvoice = "Speak softly."\n# '
PATH = "skins/owl.toml"
LONG = HEAD + "\\" * (SKIN_BYTES_MAX - len(HEAD) - 1) + "\n"
"""In JSON each of its backslashes is two."""


def stage_as_before(home, position):
    """Record `patch.staged` with such a skin, as a version without the check did."""
    place = RealHome(path=home.path, state=home.state)
    version = versions.store_version(place.path, Version({PATH: LONG.encode()}, {}))
    with open_log(place, write=True) as log:
        made = log.read(position).payload
        before = {"tree": made["parent_tree"], "version": None, "root": made["base"]}
        log.append_now(
            Draft(
                type="patch.staged", stream=types.ADOPTION_STREAM,
                payload={
                    "patch": position, "root": made["root"], "tree": made["result_tree"],
                    "version": version, "before": before, "share": 1000, "window_s": 1,
                    "turns": 1, "reducers": reading_hash(),
                },
            )
        )  # fmt: skip


def test_a_skin_that_cannot_be_signed_is_refused_and_ends_no_start(place_of):
    assert len(LONG.encode()) == SKIN_BYTES_MAX
    home = place_of("long").configure(SETTINGS)
    home.run("init").good()
    position = granted(home, (PATH, "", LONG))
    with home.running() as node:
        before = status(node)
        apply(node, position).refused(400, "cannot be signed", "shorter")
        assert status(node) == before
    stage_as_before(home, position)
    for _ in range(2):
        with home.running() as node:
            until_stage(node, None)
            assert steps(node) == ["staged", "rolledback"]
            last = status(node)["steps"][-1]
            assert (last["reason"], last["by"]) == ("damaged", "node")
            assert "at most 65536" in last["why"]
    assert home.run("verify").good()
