"""The table of event kinds in docs/spec/mesh.md is that of the code."""

import re
import tomllib
from pathlib import Path

from mesh.core import bridge, calls, envelope, nip17, nip59, nip98
from mesh.core.pool import client, routes
from mesh.witnesses import equivocations
from runtime.core import skins

ROOT = Path(__file__).parents[2]


def rows():
    text = ROOT.joinpath("docs/spec/mesh.md").read_text()
    table = text.split("### Kinds")[1].split("\n\n")[1].splitlines()[2:]
    return {line.split("|")[1].strip(): line.split("|")[2:4] for line in table}


def numbers(cell):
    return [int(number) for number in re.findall(r"[0-9]+", cell)]


def test_every_kind_stands_in_the_table_as_it_is_in_the_code():
    publish = tomllib.loads(ROOT.joinpath("node.toml").read_text())["publish"]
    expected = [
        [publish["checkpoint_kind"]],
        [publish["head_kind"]],
        [equivocations.KIND],
        [bridge.NOTE_KIND, bridge.ARTIFACT_KIND, bridge.RECEIPT_KIND],
        [skins.NOSTR_KIND],
        [envelope.CARRIER_KIND, calls.CALL_KIND],
        [
            nip17.CHAT_KIND, nip59.SEAL_KIND, nip59.WRAP_KIND, nip59.LIVE_WRAP_KIND,
            nip17.INBOX_KIND, routes.RELAY_LIST_KIND, client.AUTH_KIND, nip98.KIND,
        ],
    ]  # fmt: skip
    found = list(rows().values())
    assert [numbers(kinds) for kinds, _ in found] == expected
    named = [re.findall(r"`publish\.(\w+)`", whose) for _, whose in found]
    assert named == [["checkpoint_kind"], ["head_kind"], *([[]] * 5)]
