"""A real node judges a proposal by the measure that it names, and by its own past."""

import base64
import json
import shutil

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
        payload = base64.b64decode(json.loads(judged["envelope"])["payload"])
        assert json.loads(payload)["predicate"]["measured"]["replayed"] == 1
        shown = born.run("--json", "patch", "show", str(made["position"])).good().json
        [listed] = born.run("--json", "patch", "verdicts", str(made["position"])).good().json
        assert (judged["replayed"], shown["replayed"], listed["replayed"]) == (1, 1, 1)
