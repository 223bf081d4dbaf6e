"""Certificates of parents over children (child.md)."""

import re

from tests.spec.stranger.codec import demand, encode, is_bytes, is_uint, signed

TAG = "timmy/child/v1"
FORM, SIGNATURE, PLACE = "child.form", "child.signature", "child.place"
FIELDS = {
    *("version", "parent", "parent_soul", "parent_keys", "kept_size", "kept_root", "ancestors"),
    *("child", "child_soul", "child_keys", "skills", "gates", "made_ms"),
}
ROLES = {"log", "nostr", "seal", "funding", "operator"}


def _keys(value: object, roles: set[str]) -> bool:
    if type(value) is not dict or set(value) != roles:
        return False
    return all(is_bytes(key, 32) for key in value.values()) and len(set(value.values())) == len(
        roles
    )


def _named(value: object, most: int, pattern: str) -> bool:
    if type(value) is not dict or len(value) > most:
        return False
    return all(re.fullmatch(pattern, name) for name in value)


def _check_form(one: object) -> None:
    demand(type(one) is dict and set(one) == FIELDS, FORM, "fields")
    digests = ("parent", "parent_soul", "kept_root", "child", "child_soul")
    demand(all(is_bytes(one[name], 32) for name in digests), FORM, "a digest")
    demand(is_uint(one["version"]) and one["version"] == 1, FORM, "version")
    demand(is_uint(one["kept_size"]) and one["kept_size"] >= 2, FORM, "kept_size")
    demand(is_uint(one["made_ms"]), FORM, "made_ms")
    demand(_keys(one["parent_keys"], {"log", "nostr"}), FORM, "keys of the parent")
    demand(_keys(one["child_keys"], ROLES), FORM, "keys of the child")
    ancestors = one["ancestors"]
    demand(type(ancestors) is list and len(ancestors) <= 64, FORM, "ancestors")
    demand(all(is_bytes(item, 32) for item in ancestors), FORM, "an ancestor")
    line = [one["child"], one["parent"], *ancestors]
    demand(len(set(line)) == len(line), FORM, "somebody twice in a line")
    demand(_named(one["skills"], 64, "[a-z0-9][a-z0-9-]{0,63}"), FORM, "skills")
    demand(all(is_bytes(item, 32) for item in one["skills"].values()), FORM, "a skill")
    demand(_named(one["gates"], 32, "[a-z][a-z0-9_]{0,47}"), FORM, "gates")
    demand(all(map(is_uint, one["gates"].values())), FORM, "a number")
    own = {key for role, key in one["child_keys"].items() if role != "operator"}
    demand(not own & set(one["parent_keys"].values()), FORM, "a key of both")


def check_certificate(payload: dict) -> dict:
    demand(set(payload) == {"certificate", "signature", "proof"}, FORM, "payload")
    one = payload["certificate"]
    _check_form(one)
    message = encode(one)
    for name, key in (
        ("signature", one["parent_keys"]["log"]),
        ("proof", one["child_keys"]["log"]),
    ):
        given = payload[name]
        holds = is_bytes(given, 64) and signed(key, given, TAG, message)
        demand(holds, SIGNATURE, name)
    return one


def check_in_child(payload: dict, *, position: int, ledger: bytes, soul: bytes, keys: dict) -> None:
    one = check_certificate(payload)
    demand(position == 1 and one["child"] == ledger, PLACE, "position or ledger")
    demand(one["child_soul"] == soul and one["child_keys"] == keys, PLACE, "SOUL or keys")


def check_in_parent(
    payload: dict, *, position: int, ledger: bytes, soul: bytes, log_key: bytes
) -> None:
    one = check_certificate(payload)
    demand(one["parent"] == ledger and one["parent_soul"] == soul, PLACE, "ledger or SOUL")
    demand(one["parent_keys"]["log"] == log_key, PLACE, "key")
    demand(one["kept_size"] <= position, PLACE, "kept_size")
