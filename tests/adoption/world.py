"""A home with a proposal that is judged and approved: everything but the adoption itself.

The proposal is made by the real commands. The verdict and the yes are signed with the keys of the
home and of its operator, as the judge and the operator would, but without a judge: what is adopted
here often is what no judge accepts.
"""

from genesis.core.approval import Answer, Question, Word
from genesis.core.patch import PatchClass
from genesis.core.verdict import (
    Decision,
    Findings,
    Gate,
    Inputs,
    Outcome,
    Tooth,
    Verdict,
    sign_envelope,
)
from genesis.judge import evaluator_digest
from genesis.keys import keystore
from ledger.core import hashing
from ledger.core.event import Draft
from node.home import Home as RealHome
from node.open import now_ms, open_log
from runtime.core.adoptions import SHARE_OF, in_share
from tests.node.world import Home, Node, until

LOOP = "runtime/agent/loop.py"
PASSAGE = "    words = memory.text(position)\n    if not words.strip():\n"
WORSE = """    words = memory.text(position)
    if "crash" in words:
        import os

        os._exit(3)
    if "blurt" in words:
        yield "answer", {"text": "Honestly, you should kill yourself."}
        return
    if "drag" in words:
        import time

        time.sleep(0.6)
    if "dawdle" in words:
        import time

        time.sleep(3)
    if "stumble" in words:
        yield "fail", {"reason": "stumbled"}
        return
    if not words.strip():
"""
CALLS = 'calls = reply.get("calls") or []\n'
FIVEFOLD = 'calls = (reply.get("calls") or []) * 5\n'
"""It makes each call five times, whatever came of the first."""
BROKEN = "raise SystemExit(7)\n"
KINDLY = ("plainly and briefly", "plainly and kindly")
_FRONT = {
    "title": "Another way", "rationale": "To see.",
    "evaluation": "Answer a greeting.", "expected": "It answers.",
}  # fmt: skip
QUICK = "[adoption]\nshare_percent = 100\nwindow_s = 1\nturns = 1\n"
"""Of node.toml: a trial that a test has the time for. It asks for a longer one where it wants."""
SECONDS = 120.0
"""A guard against a hang, like those of tests/node/world.py."""


def new_home(place, settings: str) -> Home:
    """A home that was born with these settings, and never ran."""
    home = Home(place).configure(settings)
    home.run("init").good()
    return home


def folder_of(home: Home, name: str, *changes: tuple[str, str, str]):
    """A draft of the running home's architecture with passages replaced: (path, old, new)."""
    folder = home.root / name
    home.run("patch", "new", str(folder)).good()
    document = folder / "proposal.md"
    text = document.read_text()
    for key, words in _FRONT.items():
        text = text.replace(f'{key} = ""', f'{key} = "{words}"')
    document.write_text(text)
    for path, old, new in changes:
        file = folder / path
        text = file.read_text() if file.exists() else ""
        assert text.count(old) == 1 or not old, f"{path} has no single {old!r}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace(old, new) if old else new)
    return folder


def propose(home: Home, name: str, *changes: tuple[str, str, str]) -> int:
    """Propose such a draft to the running node; return its position."""
    folder = folder_of(home, name, *changes)
    return home.run("--json", "patch", "propose", str(folder)).good().json["position"]


def grant(home: Home, position: int, **otherwise) -> None:
    """Put an accepting verdict and the operator's yes on record; the node is stopped."""
    place = RealHome(path=home.path, state=home.state)
    keys = keystore.unlock_agent(place.path, home.passphrase)
    operator = keystore.unlock_operator(place.operator, home.passphrase)
    with open_log(place, write=True) as log:
        proposal = log.read(position)
        payload = proposal.payload
        inputs = {
            "patch_sha256": payload["sha256"], "parent_root": payload["base"],
            "parent_tree": payload["parent_tree"], "result_root": payload["root"],
            "result_tree": payload["result_tree"], "head_size": log.size,
            "head_root": log.tree.root(), "evaluator": evaluator_digest(),
            "seed": hashing.digest(hashing.JUDGE_SEED, keys.log.secret, proposal.stream),
            "tries": max(payload["attempt"], payload["on_base"]),
        }  # fmt: skip
        findings = Findings(
            inputs=Inputs(**inputs | otherwise),
            gates=(Gate(name="answer", parent=Outcome.PASS, candidate=Outcome.PASS),),
            teeth=(Tooth(mutant="constant", gate="answer", outcome=Outcome.FAIL),),
        )
        verdict = Verdict(decision=Decision.ACCEPT, findings=findings)
        question = Question(
            ledger=log.ledger_id, patch=proposal.id, root=payload["root"],
            verdict=verdict.digest, patch_class=PatchClass.ROUTINE,
        )  # fmt: skip
        answer = Answer(question=question, word=Word.APPROVE, at_ms=now_ms()).sign(operator)
        judged = {
            "patch": position, "decision": "accept", "digest": verdict.digest,
            "envelope": sign_envelope(verdict, [keys.log]), "words": True,
        }  # fmt: skip
        log.append_now(
            Draft(type="patch.judged", stream=proposal.stream, payload=judged),
            Draft(
                type="patch.approved", stream=proposal.stream,
                payload={**answer.to_payload(position), "author": "operator"},
            ),
        )  # fmt: skip


def granted(home: Home, *changes: tuple[str, str, str], name: str = "draft") -> int:
    """Start the home, propose, stop it, have it judged and approved; return the position."""
    with home.running():
        position = propose(home, name, *changes)
    grant(home, position)
    return position


def apply(node: Node, position: int, **plan):
    """Begin to adopt; return the HTTP answer."""
    return node.request("POST", "/v1/patch/apply", {"position": position} | plan)


def applied(node: Node, position: int, **plan):
    """Begin to adopt; return the trial."""
    answer = apply(node, position, **plan)
    assert answer.status == 200, answer
    return answer.json["under_way"]


def status(node: Node):
    answer = node.request("GET", "/v1/patch/status")
    assert answer.status == 200, answer
    return answer.json


def stage(node: Node):
    trial = status(node)["under_way"]
    return None if trial is None else trial["stage"]


def until_stage(node: Node, wanted: str | None) -> None:
    until(lambda: stage(node) == wanted, SECONDS, f"the adoption is at {wanted}")


def rolled_back(node: Node):
    """Wait until the adoption is rolled back; return that step."""
    until_stage(node, None)
    last = status(node)["steps"][-1]
    assert last["type"] == "patch.rolledback"
    return last


def steps(node: Node) -> list[str]:
    return [row["type"].removeprefix("patch.") for row in status(node)["steps"]]


def talks(root: str, share: int, *, inside: bool, count: int = 1) -> list[str]:
    """Names of conversations that try the architecture of this root, or that do not."""
    names = (f"talk {n}" for n in range(100_000))
    found = (name for name in names if in_share(bytes.fromhex(root), name, share) is inside)
    return [next(found) for _ in range(count)]


def trees_of(node: Node) -> dict[int, list[str]]:
    """Which trees were given each message, in order."""
    found: dict[int, list[str]] = {}
    for row in node.log("turn.started"):
        found.setdefault(row["payload"]["message"], []).append(row["payload"]["tree"])
    return found


assert SHARE_OF == 1000
