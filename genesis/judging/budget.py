"""What one judgment may take: of each subject, of the machine, altogether."""

from dataclasses import dataclass, field, replace

from genesis.core.front import Budget as Allowed
from genesis.judging.subject import Patience
from runtime.sandbox import MIB, SandboxLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one judgment may take."""

    patience: Patience = field(default_factory=Patience)
    limits: SandboxLimits = field(
        default_factory=lambda: SandboxLimits(
            memory_bytes=256 * MIB, cpu_seconds=60, wall_s=90.0, state_bytes=32 * MIB
        )
    )
    total_s: float = 600.0
    """For a first try; a later one has as many times as much as it has cases."""
    parallel: int = 2
    """Subjects at once: two halve the time on small machines and cost half a gigabyte at most."""
    timed_rounds: int = 2
    """How often A B B A is measured; 0 for not at all."""

    def within(self, allowed: Allowed) -> "Budget":
        """Return this, for no longer than a proposal allows.

        Its tokens and money need no bound: a judge asks no model.
        """
        return replace(self, total_s=min(self.total_s, allowed.seconds))
