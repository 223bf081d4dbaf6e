"""What can go wrong between a parent agent and its child."""

from genesis.core.errors import GenesisError


class ChildError(GenesisError):
    """Base of the errors here."""


class InvalidLetter(ChildError):
    """A letter is malformed, not its author's, for somebody else, or about other words."""


class OutOfTurn(ChildError):
    """A letter is authentic, and not the next one: replayed, or one before it is missing."""


class InvalidNumbers(ChildError):
    """Numbers of gates that are not those of this version, or out of bounds."""
