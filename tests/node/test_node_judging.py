"""A real node judges a proposal by the measure that it names, and by its own past."""

import base64
import json
import re
import shutil

from tests.genesis_constitution.world import TODOS, migration
from tests.node.test_node_patches import change, fill


def test_a_proposal_is_judged_by_the_measure_that_it_names(born):
    assert shutil.which("bwrap"), "install bubblewrap: apt install bubblewrap"
    folder = born.root / "shorter"
    with born.running() as node:
        node.request("POST", "/v1/say", {"text": "my cat is called Ada", "wait_s": 60})
        born.run("patch", "new", str(folder)).good()
        fill(folder, evaluation="template-bytes: of a turn", expected="less by 90 %")
        change(folder, "Speak plainly and briefly. ", "")
        made = born.run("--json", "patch", "propose", str(folder)).good().json
        judged = born.run("--json", "patch", "judge", str(made["position"])).good().json
        assert judged["decision"] == "accept", judged
        effect = judged["effect"]
        assert (effect["measure"], effect["pairs"], effect["met"]) == ("template-bytes", 12, False)
        assert effect["high"] < 0
        assert judged["reason"] == effect["said"]
        assert "expected less by 90 %, not met" in judged["reason"]
        at = str(made["position"])
        shown = born.run("patch", "show", at).good().out.split("+++")[0]
        asked = born.run("patch", "approve", at, "--print").good().err
        for told in (shown, asked):
            assert re.search("try       1 of", told), told
            assert re.search("effect    template-bytes.*not met", told), told
            assert re.search("past      1 turn of its own told", told), told
        [row] = born.run("--json", "patch", "show", at).good().json["judged"]
        assert row == {name: judged[name] for name in row} | {"position": judged["position"]}
        payload = base64.b64decode(json.loads(judged["envelope"])["payload"])
        assert json.loads(payload)["predicate"]["measured"]["replayed"] == 1
        [listed] = born.run("--json", "patch", "verdicts", at).good().json
        assert (judged["replayed"], row["replayed"], listed["replayed"]) == (1, 1, 1)


def test_a_proposal_says_how_long_it_may_be_judged(born):
    with born.running():
        routine, software = born.root / "kinder", born.root / "todos"
        born.run("patch", "new", str(routine)).good()
        change(routine, "plainly and briefly", "plainly and kindly")
        born.run("patch", "new", str(software), "--software", TODOS).good()
        (software / TODOS).write_bytes(migration()[TODOS])
        for folder in (routine, software):
            fill(folder)
            document = folder / "proposal.md"
            text = document.read_text()
            assert text.count("seconds = 600") == 1
            document.write_text(text.replace("seconds = 600", "seconds = 0"))
            made = born.run("--json", "patch", "propose", str(folder)).good().json
            judged = born.run("--json", "patch", "judge", str(made["position"])).json
            assert judged["decision"] == "inconclusive"
            assert judged["reason"] == "the judgment took too long: more than 0 s"
