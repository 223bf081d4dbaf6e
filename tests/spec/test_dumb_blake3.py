"""Event ids and commitments, reproduced by a BLAKE3 that is not the library's."""

import json
from pathlib import Path

import pytest

from tests.spec import dumb_blake3

VECTORS = Path(__file__).parent.parent / "vectors"
PUBLIC = json.loads((VECTORS / "blake3/test_vectors/test_vectors.json").read_text())
EXAMPLE = json.loads((VECTORS / "spec/example.json").read_text())["event"]
EVENTS = json.loads((VECTORS / "spec/events.json").read_text())["cases"]


@pytest.mark.parametrize(
    "case", [c for c in PUBLIC["cases"] if c["input_len"] <= 10240], ids=lambda c: c["input_len"]
)
def test_the_dumb_twin_agrees_with_the_public_vectors(case):
    data = bytes(n % 251 for n in range(case["input_len"]))
    assert dumb_blake3.plain(data, 131).hex() == case["hash"]
    assert dumb_blake3.derive_key(PUBLIC["context_string"], data, 131).hex() == case["derive_key"]


@pytest.mark.parametrize("case", [c for c in EVENTS if c["class"] is None], ids=lambda c: c["name"])
def test_event_ids_and_commitments_are_reproduced(case):
    part = {name: bytes.fromhex(case[name] or "") for name in ("envelope", "salt", "payload")}
    found = dumb_blake3.derive_key("timmy-node 2026-11 event id v1", part["envelope"])
    assert found.hex() == case["id"]
    body = part["salt"] + part["payload"]
    found = dumb_blake3.derive_key("timmy-node 2026-11 payload commitment v1", body)
    assert found.hex() == case["payload_commitment"]
    if case["content"] is not None:
        words = bytes.fromhex(case["content_salt"] + case["content"])
        found = dumb_blake3.derive_key("timmy-node 2026-11 content commitment v1", words)
        assert found.hex() == case["content_commitment"]
