"""Consensus-critical: what people say on any day, and the tools they have it done with.

Drawn words are no words of any language (genesis.core.draws), and by that a candidate could tell a
judge. So some messages, their answers and some tools of a case are ordinary: sentences put together
from these, and the tools that a node really has, with arguments of the form that each takes. The
sentences can be known, which of them come cannot: a message is one of 180,000, an answer of 10^15.

The list of tools is pinned, so that every judge has the same; a test holds it to the node's own.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from genesis.core.draws import Draws

_SENTENCES: Final = (
    "What should I cook for {who} on {day}, with the {thing} that is left?",
    "Remind me on {day} to ask {who} about the {thing}.",
    "I spoke with {who} in {place} about the {thing}, and we agreed on {day}.",
    "How far is it from {place} to {place} by train?",
    "Please write two lines to {who}: the {thing} is ready, come to {place} on {day}.",
    "The {thing} broke again. Is it worth mending, or do I buy one in {place}?",
    "On {day} I am in {place} with {who}. What could we look at?",
    "Which is older, the {thing} of {who} or the one from {place}?",
    "Put the {thing} on the list for {day}, and leave out what {who} has already.",
    "I read that the {thing} came to {place} by ship. Is that so?",
    "Explain to {who} how a {thing} works, in plain words, before {day}.",
    "Thank you, the {thing} from {place} was good. {who} liked it, too.",
)
_FILLED: Final[Mapping[str, tuple[str, ...]]] = {
    "who": (
        *("Anna", "my brother", "the neighbours", "Marek", "our teacher", "Lin", "my aunt"),
        *("the plumber", "Yusuf", "my colleague", "Grace", "the twins", "my landlord", "Olga"),
        *("the choir", "my daughter"),
    ),
    "thing": (
        *("bread", "bicycle", "report", "kettle", "piano", "garden bench", "heating", "map"),
        *("soup", "printer", "old radio", "letter", "rice", "tent", "telescope", "bookshelf"),
        *("ladder", "recipe", "invoice", "sewing machine", "lamp", "apple cake", "camera", "boat"),
    ),
    "place": (
        *("Lisbon", "the harbour", "Graz", "the library", "Osaka", "the old market", "Tampere"),
        *("the school", "Cork", "the station", "Lima", "the village", "Ghent", "the museum"),
        *("Toronto", "the lake"),
    ),
    "day": (
        *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        *("the fifth", "the weekend", "the first of May", "New Year", "the twelfth"),
    ),
}
_WORD: Final = "*"
"""In its place stands a drawn word."""
TOOLS: Final[Mapping[str, Mapping[str, Any]]] = {
    "architecture_list": {},
    "architecture_read": {"path": "runtime/agent/*.py"},
    "architecture_search": {"words": "*"},
    "edit_file": {"path": "notes/*.md", "old": "*", "new": "*"},
    "git_commit": {"message": "*", "paths": ["*.py"]},
    "git_diff": {"paths": ["*.py"]},
    "git_log": {"count": 5, "paths": ["*.py"]},
    "git_status": {},
    "ledger_event": {"position": 1},
    "ledger_proof": {"position": 2},
    "ledger_search": {"query": "*", "limit": 4},
    "ledger_why": {"position": 3},
    "list_files": {"path": "*", "pattern": "*.md"},
    "patch_propose": {"document": "*"},
    "read_file": {"path": "notes/*.md"},
    "recall": {"query": "*", "limit": 5},
    "remember": {"text": "*"},
    "search_files": {"pattern": "*", "path": "notes"},
    "shell": {"line": "grep -n * notes/*.md"},
    "skill_list": {},
    "skill_read": {"name": "*"},
    "todo_get": {},
    "todo_set": {"items": [{"text": "*", "state": "open"}]},
    "web_fetch": {"url": "https://example.org/*"},
    "write_file": {"path": "notes/*.txt", "text": "*"},
}
"""Each tool of this software, and arguments that it takes."""


def sentences(draws: Draws, count: int) -> str:
    """Return `count` sentences with spaces between."""
    return " ".join(_sentence(draws) for _ in range(count))


def _sentence(draws: Draws) -> str:
    text = _SENTENCES[draws.below(len(_SENTENCES))]
    for slot, choices in _FILLED.items():
        while f"{{{slot}}}" in text:
            text = text.replace(f"{{{slot}}}", choices[draws.below(len(choices))], 1)
    return text[0].upper() + text[1:]


def arguments_of(draws: Draws, name: str) -> str:
    """Return arguments that the tool takes: JSON, as a model writes it."""
    text = json.dumps(TOOLS[name])
    while _WORD in text:
        text = text.replace(_WORD, draws.word(), 1)
    return text
