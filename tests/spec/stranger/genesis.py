"""The payload of event 0 (event.md, "Genesis payload")."""

import re

from tests.spec.stranger.codec import demand, encode, is_bytes, is_uint, sha256, signed

KEYS = {"log", "nostr", "seal", "funding", "operator"}
FIELDS = {
    "version",
    "name",
    "network",
    "soul",
    "keys",
    "next_key_digest",
    "recovery_key_digest",
    "recovery_output_key",
    "architecture",
    "entropy",
    "created_ms",
    "signatures",
}
SOURCE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
FORBIDDEN = """
U+0000..U+001F U+007F..U+00A0 U+00AD U+034F U+061C U+115F..U+1160 U+1680 U+17B4..U+17B5
U+180B..U+180F U+2000..U+200F U+2028..U+202F U+205F..U+206F U+3000 U+3164 U+D800..U+DFFF
U+FDD0..U+FDEF U+FEFF U+FFA0 U+FFF0..U+FFFF U+1BCA0..U+1BCA3 U+1D173..U+1D17A U+E0000..U+E0FFF
"""


def _forbidden(character: str) -> bool:
    for part in FORBIDDEN.split():
        first, _, last = part.replace("U+", "").partition("..")
        if int(first, 16) <= ord(character) <= int(last or first, 16):
            return True
    return False


def _has_keys(value: object, keys: set[str]) -> bool:
    return type(value) is dict and set(value) == keys


def check_genesis(payload: dict) -> None:
    bad = "genesis"
    demand(_has_keys(payload, FIELDS), bad, "fields")
    version, name, soul = payload["version"], payload["name"], payload["soul"]
    demand(type(version) is int and version == 1, bad, "version")
    demand(type(name) is str and 1 <= len(name) <= 32, bad, "name")
    demand(name[0] != " " and name[-1] != " " and "  " not in name, bad, "spaces of the name")
    demand(not any(_forbidden(character) for character in name), bad, "character of the name")
    network = payload["network"]
    demand(type(network) is str and network in ("mainnet", "signet", "regtest"), bad, "network")
    demand(_has_keys(soul, {"sha256", "blake3", "length"}), bad, "soul")
    demand(
        is_bytes(soul["sha256"], 32) and is_bytes(soul["blake3"], 32), bad, "digests of the soul"
    )
    demand(is_uint(soul["length"]) and 1 <= soul["length"] <= 65536, bad, "length of the soul")
    demand(_has_keys(payload["keys"], KEYS), bad, "keys")
    keys = [*payload["keys"].values(), payload["recovery_output_key"]]
    digests = [payload["next_key_digest"], payload["recovery_key_digest"]]
    demand(all(is_bytes(key, 32) for key in keys), bad, "a key")
    demand(all(is_bytes(digest, 32) for digest in digests), bad, "a digest")
    demand(len(set(keys)) == 6, bad, "a key twice")
    demand(len({*map(sha256, keys), *digests}) == 8, bad, "a digest twice")
    demand(is_bytes(payload["architecture"], 32), bad, "architecture")
    entropy = payload["entropy"]
    demand(type(entropy) is list and 1 <= len(entropy) <= 16, bad, "entropy")
    named = all(type(source) is str and SOURCE.fullmatch(source) for source in entropy)
    demand(named and len(set(entropy)) == len(entropy), bad, "entropy")
    demand(is_uint(payload["created_ms"]), bad, "created_ms")
    signatures = payload["signatures"]
    demand(_has_keys(signatures, KEYS | {"recovery_output"}), bad, "signatures")
    demand(all(is_bytes(item, 64) for item in signatures.values()), bad, "a signature's length")
    message = encode({key: item for key, item in payload.items() if key != "signatures"})
    by = {**payload["keys"], "recovery_output": payload["recovery_output_key"]}
    for role, key in by.items():
        holds = signed(key, signatures[role], "timmy/genesis/v1", message)
        demand(holds, "genesis.signature", f"signature of {role}")
