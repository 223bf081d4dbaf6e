"""A home with a text of each origin: all of them are redacted, and no byte of any of them is left.

What is said and imported has `test_redaction_residue` and `test_redaction_import`. Here are the words that come by other ways:
what a model calls tools with and what they return, lists, memories noted and distilled, drafts of skills, exchanges of the
proxy, sealed messages and their way out, words carried from another member, jobs, skins and proposals.
"""

import asyncio
import json
import random
from dataclasses import dataclass
from http.client import HTTPConnection

from ledger.core import types
from ledger.core.event import Draft
from node.home import Home as Places
from node.open import open_log
from tests.e2e.recorded_day import SETTINGS, WORDS, Day, Thinker, sign
from tests.gateways.nostr_world import SECONDS, Person, relay
from tests.node.world import until
from tests.redaction.residue import residue
from tests.redaction.test_redaction_residue import salts_of

ADA = bytes([11]) * 32
ORIGINS = (
    "said", "answered", "argument", "todo", "remembered", "noted", "distilled", "drafted", "proxied", "replied",
    "sealed", "carried", "job", "output", "skin", "patch", "comment",
)  # fmt: skip


def words(origin):
    """Six words that are nobody's: the same in every run."""
    draw = random.Random(f"origin {origin}")
    return " ".join("".join(draw.choices("bcdfghjklmnpqrstvwxz", k=9)) for _ in range(6))


TEXTS = {origin: words(origin) for origin in ORIGINS}
TOLD = f"We decided to paint {TEXTS['distilled']} green."
"""What the historian makes a memory of."""
CALLS = [
    [("ledger_search", {"query": TEXTS["argument"]})],
    [("todo_set", {"items": [{"text": TEXTS["todo"], "state": "open"}]}), ("todo_get", {})],
    [("remember", {"text": TEXTS["remembered"]}), ("recall", {"query": TEXTS["remembered"]})],
]
SKILL = f"--- /dev/null\n+++ b/skills/jars/SKILL.md\n@@ -0,0 +1 @@\n+{TEXTS['patch']}\n"
SKIN = f'name = "owl"\nversion = 1\nlabel = "Owl"\nvoice = "{TEXTS["skin"]}"\n'


GATEWAY = """
[gateways.nostr]
enabled = true
operator = "{npub}"
relays = ["{url}"]
[publish]
relays = ["{url}"]
"""


@dataclass
class Speaker(Thinker):
    """Calls every tool where it is asked to, and says its own words."""

    def _reply(self, body):
        messages = body["messages"]
        at = max(n for n, one in enumerate(messages) if one["role"] == "user")
        done = sum(1 for one in messages[at:] if one.get("tool_calls"))
        if "(all)" in str(messages[at]["content"]) and "tools" in body and done < len(CALLS):
            return CALLS[done], None
        return [], TEXTS["replied" if "tools" not in body else "answered"]


def proxied(node):
    host, port = node.request("GET", "/v1/proxy").json["address"].split("//")[1].split(":")
    connection = HTTPConnection(host, int(port.split("/")[0]), timeout=SECONDS)
    body = {"model": "m-1", "messages": [{"role": "user", "content": TEXTS["proxied"]}]}
    head = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body | {"stream": False}), head)
    assert TEXTS["replied"].encode() in connection.getresponse().read()
    connection.close()


def live(day, node):
    """Everything but the sealed messages, and what only others write."""
    day.say(node, f"{TEXTS['said']} (all)", conversation="kitchen")
    day.say(node, TOLD, conversation="letters")
    day.post(node, "/v1/memory", {"text": TEXTS["noted"]})
    proxied(node)
    job = {"name": "told", "when": "every 3h", "argv": ["echo", TEXTS["output"]]}
    day.post(node, "/v1/jobs", job)
    day.post(node, "/v1/jobs", {"name": "asked", "when": "every 3h", "say": TEXTS["job"]})
    day.post(node, "/v1/skins", {"document": sign(SKIN)})
    made = day.post(node, "/v1/patch/propose", {"diff": SKILL, **WORDS})
    place = {"position": made["position"], "path": "proposal", "line": 2}
    day.post(node, "/v1/patch/comment", place | {"text": TEXTS["comment"]})
    node.request("GET", f"/v1/search?q={TEXTS['argument'].split()[0]}")
    for _ in range(4):
        day.pass_hour(node)
    until(
        lambda: any("by" in row["payload"] for row in node.log("memory.noted")),
        SECONDS,
        "distilled",
    )
    until(lambda: node.log("job.finished"), SECONDS, "the job's output")


async def sealed(node, url):
    """Somebody writes to the agent and is answered."""
    async with Person(ADA, url) as ada:
        await ada.announce()
        npub = (await asyncio.to_thread(node.status))["npub"]
        await ada.write(npub, TEXTS["sealed"])
        assert (await ada.until_read(npub, 1)) == [TEXTS["answered"]]


def told_by_others(home):
    """What a fleet and the dreamer write, in the words of each origin."""
    places = Places(path=home.path, state=home.state)
    with open_log(places, write=True) as log:
        born = log.read(0)
        carried = {
            "conversation": "letters", "author": "bob", "role": "user", "message": b"m" * 32, "ledger": b"l" * 32,
            "position": 7, "size": 9, "root": b"r" * 32,
        }  # fmt: skip
        drafted = {"name": "count-jars", "by": "dreamer", "seen": 3, "key": b"k" * 16}
        for kind, payload, origin in (
            (types.CONVERSATION_CARRIED, carried, "carried"),
            (types.SKILL_DRAFTED, drafted, "drafted"),
        ):
            content = {"text": TEXTS[origin]}
            draft = Draft(
                type=kind.name, stream=b"s" * 16, payload=payload, content=content, causes=(born.cause,),
            )  # fmt: skip
            log.append_now(draft)


async def test_no_byte_is_left_of_any_origin(born, tmp_path):
    thinker = Speaker()
    with relay() as url, thinker.serving():
        settings = SETTINGS.format(url=thinker.url)
        async with Person(ADA, url) as ada:
            gateway = GATEWAY.format(npub=ada.npub, url=url)
        born.configure(settings + gateway)
        (born.path / "work").mkdir(mode=0o700)
        node = await asyncio.to_thread(born.start)
        await sealed(node, url)
        await asyncio.to_thread(node.stop)
        told_by_others(born)
        born.configure(settings)  # from here on the clock is ahead of every relay's
        day = Day(born, thinker, tmp_path / "clock", tmp_path / "inbox")
        node = await asyncio.to_thread(day.start)
        await asyncio.to_thread(live, day, node)
        await asyncio.to_thread(check, born, node, tmp_path)
        await asyncio.to_thread(node.stop)
        assert residue(list(TEXTS.values()), [], tmp_path) == {}


def check(home, node, root):
    """Redact all that has words, and look for them, while the node runs."""
    rows = node.log(last=5000)
    held = json.dumps([row["content"] for row in rows if row["content"]])
    missing = [origin for origin, text in TEXTS.items() if text not in held]
    assert missing == []
    assert len(residue(list(TEXTS.values()), [], root)) > 2, "the scanner finds what is there"
    salts = salts_of(home)
    positions = [str(row["position"]) for row in rows if row["content"]]
    done = home.run("--json", "redact", *positions, "--derived", "--yes").good().json
    assert done["finished"]
    gone = [salts[at] for at in done["targets"]]
    left = residue(list(TEXTS.values()), gone, root, pids=(node.process.pid,))
    assert left == {}, left
