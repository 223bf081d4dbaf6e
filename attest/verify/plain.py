"""Values of others made harmless: bytes as hex, controls escaped. Light: every command has it."""

from typing import Any


def jsonable(value: Any) -> Any:
    """Replace bytes by hex, all the way down."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def one_line(text: str) -> str:
    """Escape controls: text from elsewhere must not pretend to be a second line of ours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
