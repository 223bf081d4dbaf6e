"""kill -9 while something is proposed, judged, answered: the ledger is whole, and it goes on."""

import tempfile
import threading
from http.client import HTTPException
from pathlib import Path

from genesis.core.approval import Word
from tests.node.test_node_approving import approval, asked, hand_in, operator, signed
from tests.node.test_node_patches import draft
from tests.node.test_node_verdicts import surely
from tests.node.world import until

SECONDS = 120


class Doing(threading.Thread):
    """Does one thing after another until the node is gone; `kept` is what it acknowledged."""

    def __init__(self, *steps) -> None:
        super().__init__()
        self.steps, self.kept = steps, []

    def run(self) -> None:
        for step in self.steps:
            try:
                answer = step()
            except (OSError, HTTPException):
                return  # the node was killed: this one was not acknowledged
            assert answer.status == 200, answer
            self.kept.append(answer.json)


def folders(node):
    """Where a node's judge has its trees."""
    return [*Path(tempfile.gettempdir()).glob(f"timmy-judge-{node.process.pid}-*")]


def proposing(node, folder, title):
    text = (folder / "proposal.md").read_text().replace('"Be kind"', f'"{title}"')
    return lambda: node.request("POST", "/v1/patch/propose", {"document": text})


def killed(node, doing, *, after):
    doing.start()
    until(after, SECONDS, "it is under way")
    node.kill9()
    doing.join(SECONDS)
    assert not doing.is_alive()


def whole(home):
    assert home.run("--json", "verify").good().json["verdict"] == "UNBROKEN-PENDING"
    home.run("replay").good()


def test_killed_while_it_is_proposed_judged_and_approved(born):
    node = born.start()
    folder = draft(born)
    diff = born.run("patch", "diff", str(folder)).good().out
    document = folder / "proposal.md"
    document.write_text(f"{document.read_text()}\n```diff\n{diff}```\n")
    doing = Doing(*(proposing(node, folder, f"Be kind, try {n}") for n in range(20)))
    killed(node, doing, after=lambda: len(doing.kept) >= 2)
    whole(born)

    node = born.start()
    rows = born.run("--json", "patch", "list").good().json
    assert {one["position"] for one in doing.kept} <= {row["position"] for row in rows}
    assert len(rows) <= len(doing.kept) + 1
    for row in rows[1:]:
        born.run("patch", "withdraw", str(row["position"])).good()
    at = str(rows[0]["position"])
    judging = Doing(lambda: node.request("POST", "/v1/patch/judge", {"position": int(at)}))
    killed(node, judging, after=lambda: folders(node))
    assert judging.kept == []
    [left] = folders(node)
    whole(born)

    node = born.start()
    row = node.request("GET", f"/v1/patches/{at}").json
    assert (row["state"], row["verdicts"]) == ("open", [])
    assert surely(born, "judge", at)["decision"] == "accept"
    assert not left.exists()  # by the next judgment
    assert folders(node) == []
    question, key = asked(node, at), operator(born)
    first = approval(node, at)
    words = [Word.APPROVE, Word.DISAPPROVE] * 3
    answering = Doing(
        *(lambda word=word: hand_in(node, at, signed(question, key, word=word)) for word in words)
    )
    killed(node, answering, after=lambda: answering.kept)
    whole(born)

    with born.running() as node:
        found = approval(node, at)
        said = [one["word"] for one in found["answers"]]
        assert first["answers"] == []
        assert said == [word.value for word in words[: len(said)]]
        assert len(said) - len(answering.kept) in (0, 1)
        assert found["granted"] is (said[-1] == "approve")
