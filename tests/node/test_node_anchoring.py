"""Anchors by themselves: once a day if anything was said, dearer when asked, money never unasked."""

import asyncio
from types import SimpleNamespace

import pytest

from ledger.core import types
from ledger.core.errors import Refused
from ledger.core.event import Draft
from node.anchors import anchoring as module
from node.anchors.anchoring import Anchoring
from node.anchors.requests import anchor_key
from node.commands import anchor as command
from tests.ledger.makers import message, open_log, ticking
from tests.node.world import Home

DAY_MS = 24 * 3600 * 1000
BORN_MS = 1_790_000_000_000


class Asked(Anchoring):
    """An Anchoring that only notes when it would anchor."""

    async def now(self):
        self.asked.append(self.log.size)
        await asyncio.sleep(0)


def anchoring(log, *, every):
    fields = dict.fromkeys(
        ("home", "release", "lineage", "anchorer", "network", "funding", "seal_sats", "poll_s")
    )
    made = Asked(**fields, log=log, every=every)
    made._last = SimpleNamespace(links=())
    made.asked = []
    return made


def log_with_an_anchor():
    log = open_log(clock=ticking(BORN_MS))
    log.append_now(message("first"))
    opened = Draft(
        type=types.ANCHOR_REQUESTED.name,
        stream=types.SEAL_STREAM,
        payload={"size": 1, "note": b"", "digest": b"d" * 32},
        idempotency_key=anchor_key(log.ledger_id, b"open"),
    )
    log.append_now(opened)
    return log


@pytest.mark.parametrize(
    ("every", "later_ms", "said", "asked"),
    [
        ("daily", DAY_MS + 9, True, True),
        ("daily", DAY_MS - 9, True, False),
        ("daily", DAY_MS + 9, False, False),
        ("never", DAY_MS + 9, True, False),
    ],
)
async def test_a_day_with_words_in_it_is_anchored(monkeypatch, every, later_ms, said, asked):
    with log_with_an_anchor() as log:
        monkeypatch.setattr(module, "now_ms", lambda: BORN_MS + later_ms)
        housekeeping = Draft(type=types.NODE_STARTED.name, stream=bytes(16), payload={})
        log.append_now(message("second") if said else housekeeping)
        mine = anchoring(log, every=every)
        await mine._daily()
        assert mine.asked == ([log.size] if asked else [])


async def test_nothing_is_anchored_before_the_seal_is_open(monkeypatch):
    with open_log(clock=ticking(BORN_MS)) as log:
        log.append_now(message("first"))
        monkeypatch.setattr(module, "now_ms", lambda: BORN_MS + 9 * DAY_MS)
        mine = anchoring(log, every="daily")
        await mine._daily()
        assert mine.asked == []


COST = {
    "balance_sat": 50_000,
    "funding_address": "bc1p",
    "sat_per_kvb": 3_000,
    "anchor_sat": 780,
    "year_sat": 284_700,
    "fee_sat_max": 100_000,
    "links": [],
}


def test_real_money_is_spent_after_a_yes_only(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    command._confirm(COST | {"network": "regtest"})
    assert "284700 sat a year" in capsys.readouterr().err
    with pytest.raises(Refused, match="real money") as caught:
        command._confirm(COST | {"network": "mainnet"})
    assert caught.value.hint == "--yes"
    capsys.readouterr()
    command._confirm(COST | {"network": "mainnet"}, yes=True)
    assert "284700 sat a year" in capsys.readouterr().err, "asked or not, it is said before"
    command._confirm(COST | {"network": "mainnet", "links": [{"kind": "opening"}]})
    for answer, opened in (("yes\n", True), ("y\n", False), ("\n", False)):
        person = SimpleNamespace(isatty=lambda: True, readline=lambda answer=answer: answer)
        monkeypatch.setattr("sys.stdin", person)
        if opened:
            command._confirm(COST | {"network": "mainnet"})
        else:
            with pytest.raises(Refused, match="nothing was opened"):
                command._confirm(COST | {"network": "mainnet"})


def test_without_a_bitcoin_node_it_says_so(tmp_path):
    home = Home(tmp_path / "user").configure()
    home.run("init").good()
    with home.running():
        done = home.run("anchor", "fund").good()
        assert done.out.startswith("bcrt1p")
        assert "no Bitcoin node" in done.err
        home.run("anchor", "bump").refused("no Bitcoin node")
