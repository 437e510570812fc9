"""The statistics: percentiles, and 95 % intervals that stay honest where there is little to go by.

`scipy.special` and not `scipy.stats`, which takes a second to import.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

Interval = tuple[float, float]
Floats = NDArray[np.float64]
TAIL = 0.025  # on either side: 95 % between
Z = float(special.ndtri(1 - TAIL))
LEAST_FOR_P90 = 10


def percentile(values: Floats, share: float) -> float | None:
    """Interpolated linearly, as PostgreSQL's `percentile_cont`. None where there are no values."""
    return float(np.percentile(values, share * 100)) if len(values) else None


def wilson(successes: int, n: int) -> Interval | None:
    """Of a share. None for n = 0, where nothing is known."""
    if n == 0:
        return None
    share, z2 = successes / n, Z * Z
    middle = share + z2 / (2 * n)
    reach = Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else (middle - reach) / (1 + z2 / n)
    high = 1.0 if successes == n else (middle + reach) / (1 + z2 / n)
    return low, high


def poisson(count: int) -> Interval:
    """Exact, of the number expected where `count` were seen."""
    low = float(special.gammaincinv(count, TAIL)) if count else 0.0
    return low, float(special.gammaincinv(count + 1, 1 - TAIL))


def of_percentile(values: Floats, share: float) -> Interval | None:
    """Between two of the values themselves, whatever their distribution. None where there are too few for one.

    A median's needs 6 values, since all of five lie on one side of it more often than once in twenty.
    """
    n = len(values)
    below = _rank_under(n, share)
    above = n + 1 - _rank_under(n, 1 - share)
    if below < 1 or above > n:
        return None
    ordered = np.partition(values, (below - 1, above - 1))
    return float(ordered[below - 1]), float(ordered[above - 1])


def _rank_under(n: int, share: float) -> int:
    """The largest rank whose value lies above the percentile at most once in forty; 0 where none does."""
    if n == 0 or special.bdtr(0, n, share) > TAIL:
        return 0
    rank = max(1, int(special.bdtrik(TAIL, n, share)))
    while rank > 1 and special.bdtr(rank - 1, n, share) > TAIL:
        rank -= 1
    while special.bdtr(rank, n, share) <= TAIL:
        rank += 1
    return rank


def kaplan_meier_median(closed: Floats, still_open: Floats) -> float | None:
    """When half are over, with those still open counted as "longer than this". None where half are not over yet."""
    surviving = 1.0
    durations = np.sort(np.concatenate([closed, still_open]))
    for moment, ended in zip(*np.unique(closed, return_counts=True), strict=True):
        at_risk = len(durations) - int(np.searchsorted(durations, moment, side="left"))
        surviving *= 1 - int(ended) / at_risk
        if surviving <= 0.5 + 1e-12:  # a half that rounding made a little more is a half
            return float(moment)
    return None
