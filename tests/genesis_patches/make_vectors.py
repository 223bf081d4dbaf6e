"""Writes tests/vectors/proposal: python -m tests.genesis_patches.make_vectors

`base` is an architecture: its files, as text, and which of them fold a ledger. A case is a
`document` (base64), with the `class` of why it is refused and the `line`, or null and the `root`
and `tree` of what it makes, and the `diff` (text) that a judge is given.
"""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from genesis.core.architecture import Architecture, Manifest
from genesis.core.errors import PatchError
from genesis.core.proposal import parse_proposal, weigh
from ledger.core.codec import encode
from tests.genesis_judge.diffs import diff
from tests.genesis_patches.test_architecture import MALFORMED
from tests.genesis_patches.test_proposal_document import REFUSED, UNFIT
from tests.genesis_patches.world import (
    BASE,
    DIFF,
    FILES,
    FRONT,
    LINES,
    THRESHOLDS,
    document,
    fenced,
)

FOLDER = Path(__file__).parent.parent / "vectors/proposal"
DOCUMENT_BYTES_MAX = 20_000
"""Larger ones are left to the tests: they say nothing that a number would not."""
GOOD = {
    "one line": document(fenced(DIFF)),
    "against this base": document(fenced(DIFF), front=replace(FRONT, base=BASE.root, follows=7)),
    "a new skill": document(fenced(b"---\nname: tea\n---\nBoil.\n", "file skills/tea/SKILL.md")),
    "an empty new file before a plain diff": document(
        fenced(b"", "file runtime/agent/first.py"), fenced(DIFF)
    ),
    "a file that goes": document(fenced(diff("runtime/agent/a.py", LINES, b""))),
    "a line's end at the end": document(
        fenced(diff("runtime/agent/ask.md", b"Be brief.\nBe kind.", b"Be brief.\nBe kind.\n"))
    ),
    "a threshold": document(
        fenced(diff("thresholds.toml", THRESHOLDS, THRESHOLDS.replace(b"= 50\n", b"= 60\n")))
    ),
    "a longer fence, and words that look like one": document(
        fenced(b"```diff\nno change\n```\n", "file runtime/agent/doc.md", "````"),
        fenced(b"```diff\n", "text", "~~~"),
    ),
}


def _case(name: str, data: bytes) -> dict[str, Any]:
    shown = {"name": name, "document": base64.b64encode(data).decode()}
    try:
        proposal = parse_proposal(data)
        made = weigh(proposal, BASE).result
    except PatchError as error:
        return {**shown, "class": error.reason.value, "line": error.line}
    return {
        **shown, "class": None, "root": made.root.hex(), "tree": made.tree.digest.hex(),
        "diff": proposal.patch.data.decode(),
    }  # fmt: skip


def proposals() -> dict[str, Any]:
    """Return the file of documents."""
    named = {**GOOD, **{name: made[0] for name, made in {**REFUSED, **UNFIT}.items()}}
    return {
        "base": {
            "files": {path: data.decode() for path, data in FILES.items()},
            "reducers": sorted(BASE.reducers),
            "manifest": BASE.manifest.encode().hex(),
            "root": BASE.root.hex(),
            "tree": BASE.tree.digest.hex(),
        },
        "cases": [
            _case(name, data) for name, data in named.items() if len(data) <= DOCUMENT_BYTES_MAX
        ],
    }


def manifests() -> dict[str, Any]:
    """Return the file of manifests: `manifest` is CBOR."""
    small = Architecture({"runtime/agent/main.py": b""})
    good = {"of the base of proposals": BASE.manifest, "of one file": small.manifest}
    empty = Manifest(())
    return {
        "cases": [
            {"name": name, "class": None, "manifest": one.encode().hex(), "root": one.root.hex()}
            for name, one in {**good, "of nothing": empty}.items()
        ]
        + [
            {"name": name, "class": "manifest", "manifest": encode(value).hex()}
            for name, value in MALFORMED.items()
        ]
        + [{"name": "a byte more", "class": "manifest", "manifest": empty.encode().hex() + "00"}]
    }


def main() -> None:
    """Write both."""
    for name, made in (("proposals", proposals()), ("manifests", manifests())):
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
