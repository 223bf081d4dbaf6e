"""Statements of authors outside the log (statement.md)."""

from tests.spec.stranger.codec import decode, demand, derive, is_bytes, signed

BODY = "timmy-node 2026-11 statement body v1"


def check_statement(payload: dict, body: bytes | None, ledger: bytes) -> None:
    author, statement, signature = (
        payload.get(key) for key in ("author", "statement", "signature")
    )
    all_bytes = is_bytes(author) and is_bytes(statement) and is_bytes(signature)
    demand(all_bytes, "statement", "author, statement or signature")
    fields = decode(statement, 256)
    demand(type(fields) is list and len(fields) == 4, "statement", "not an array of four")
    to, nonce, type_, commitment = fields
    demand(is_bytes(to, 32) and is_bytes(nonce, 16), "statement", "ledger or nonce")
    demand(type(type_) is str and is_bytes(commitment, 32), "statement", "type or commitment")
    holds = signed(author, signature, "timmy/statement/v1", statement)
    demand(holds, "statement.signature", "signature")
    demand(to == ledger, "statement.ledger", "for another ledger")
    if body is not None:
        demand(derive(BODY, nonce + body) == commitment, "statement.body", "another body")
