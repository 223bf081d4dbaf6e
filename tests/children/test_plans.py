"""When a child and a parent look at each other, as node.toml is shipped (the fourth seed's times)."""

import tomllib
from pathlib import Path

SHIPPED = tomllib.loads((Path(__file__).parents[2] / "node.toml").read_text())["lineage"]


def test_a_child_is_looked_at_each_half_hour_and_reports_morning_and_evening():
    assert SHIPPED["check"] == "every 30m"
    assert SHIPPED["report"] == "0 6,18 * * *"
    assert SHIPPED["review"] == "30 18 * * *", "after the evening's report"
    assert SHIPPED["silent_s"] == 2 * 30 * 60 + 300
    assert SHIPPED["grant"] is False
