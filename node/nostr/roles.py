"""What a public key that node.toml names may do over sealed messages."""

from enum import Enum


class Role(Enum):
    """What a key may do here."""

    OPERATOR = "operator"
    PERSON = "person"
    AGENT = "agent"
