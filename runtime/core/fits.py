"""Whether a model fits a machine of 2 GB, from what was measured: figures in, reasons out.

Of 2,048 MiB the kernel keeps some 90 for itself; a small system with its logs takes 200; the node
and its agent process 200 (docs/MODELS.md says how they were measured), and what is left over is
the page cache that keeps the weights from being read again and again.
"""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024
SMALL_MACHINE_MIB: Final = 2048
KERNEL_MIB: Final = 96
SYSTEM_MIB: Final = 200
NODE_MIB: Final = 200
SPARE_MIB: Final = 152
"""Another program that runs for a moment: a script job, a backup, a login."""
MODEL_MIB_MAX: Final = SMALL_MACHINE_MIB - KERNEL_MIB - SYSTEM_MIB - NODE_MIB - SPARE_MIB
TOKENS_PER_S_MIN: Final = 5.0
"""Slower than people read: an answer of a hundred words takes half a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run of a model showed: the fastest of `runs`, for the machine was not idle."""

    load_s: float
    prompt_tokens_per_s: float
    reply_tokens_per_s: float
    peak_bytes: int
    """Of its process, mapped weights included."""
    runs: int
    threads: int
    context_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether it fits, is fast enough, and why: one line each."""

    fits: bool
    fast: bool
    reasons: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether it can be an agent's model on such a machine."""
        return self.fits and self.fast


def judge(figures: Figures) -> Verdict:
    """Return the verdict about a machine of 2 GB with cores like this one's."""
    peak = figures.peak_bytes / MIB
    fits = peak <= MODEL_MIB_MAX
    fast = figures.reply_tokens_per_s >= TOKENS_PER_S_MIN
    room = (
        f"{peak:.0f} MiB at its peak, {'at most' if fits else 'and there are'} {MODEL_MIB_MAX} MiB:"
        f" {SMALL_MACHINE_MIB} less kernel {KERNEL_MIB}, system {SYSTEM_MIB}, node {NODE_MIB} and"
        f" {SPARE_MIB} to spare"
    )
    pace = (
        f"{figures.reply_tokens_per_s:.1f} tokens/s with {figures.threads} threads on this machine,"
        f" at least {TOKENS_PER_S_MIN:g} expected"
    )
    return Verdict(fits=fits, fast=fast, reasons=(room, pace))
