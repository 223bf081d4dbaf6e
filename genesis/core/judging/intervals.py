"""Consensus-critical: a confidence interval that needs no distribution, in whole numbers.

Of paired differences, sorted, the k-th smallest and the k-th largest are bounds of their median,
and the chance that it lies beyond them is that of fewer than k heads, or fewer than k tails, in as
many throws of a coin (W. J. Conover, Practical Nonparametric Statistics, 3.2: the sign test). No
floats, no draws: every judge finds the same. The n-th try needs more confidence than the one before
it: it may err with 0.1/(n(n + 1)), which is one in twenty for the first, and for all others
together one in twenty once more.

Not covered: differences that depend on one another, as turns on a machine that grows slower do.
"""

from collections.abc import Sequence


def kept(pairs: int, tries: int) -> int:
    """Return the k of the bounds; 0 if so few pairs cannot say anything with this confidence."""
    below, ways = 0, 1
    for k in range(pairs // 2 + 1):
        below += ways
        if 20 * below * tries * (tries + 1) > 2**pairs:
            return k
        ways = ways * (pairs - k) // (k + 1)
    return pairs // 2


def interval(differences: Sequence[int], tries: int) -> tuple[int, int] | None:
    """Return the bounds of the median difference, or None where nothing can be said."""
    k = kept(len(differences), tries)
    ordered = sorted(differences)
    return (ordered[k - 1], ordered[-k]) if k else None


def median(values: Sequence[int]) -> int:
    """Return the middle value, the lower of two. Raises ValueError for none."""
    if not values:
        raise ValueError("no values, at least 1 expected")
    return sorted(values)[(len(values) - 1) // 2]
