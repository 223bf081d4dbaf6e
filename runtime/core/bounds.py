"""What one turn may use, fixed when it begins: the thresholds in force in that moment.

A patch may change them (`genesis.core.thresholds`), and a rollback brings those of before back. A
turn that is under way keeps its own, and the next one has the new ones.
"""

from dataclasses import dataclass

from runtime.core import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnBounds:
    """Of one turn. node.toml's [agent] and [tools] set them; every value is more than 0."""

    steps: int = limits.TURN_STEPS_MAX
    """Calls of the agent process."""
    seconds: float = 600.0
    """From its beginning on: longer than a chain of three models that each time out at 120 s."""
    replies: int = limits.TURN_REPLIES_MAX
    """Of models."""
    tool_seconds: float = 900.0
    """All calls of tools together, side by side or not: a quarter of an hour is a job's work."""
    result_bytes: int = limits.TOOL_RESULT_BYTES_MAX
    """Of any result of a tool, whatever the tool allows itself."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
