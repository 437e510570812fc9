"""By how much two models differ on the same rows, and how sure that is, as pure functions of arrays.

A difference is the candidate's metric minus the live one's. Rows are kept in pairs, since two models that agree on
most rows are compared far more exactly than their two intervals would suggest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from services.work.gates import intervals
from services.work.gates.intervals import Floats, Labels

Counts = npt.NDArray[np.int64]

LEAST_DISCORDANT = 25
POWER = 0.8416  # the normal quantile of 80 %: how likely that many rows do decide


@dataclass(frozen=True)
class Difference:
    """`low` and `high` are one-sided bounds of `value`. `discordant` counts the rows that tell the models apart.

    `few` says that these are too few to go by; `exact` that the bounds hold all the same.
    """

    candidate: float
    live: float
    low: float
    high: float
    discordant: int
    method: str
    exact: bool = False

    @property
    def few(self) -> bool:
        return self.discordant < LEAST_DISCORDANT

    @property
    def value(self) -> float:
        return self.candidate - self.live


def rates(candidate: Labels, live: Labels, confidence: float) -> Difference:
    """Two shares of the same rows: right answers (accuracy), yeses found (recall). Agresti and Min's interval."""
    gained, lost, rows = int((candidate & ~live).sum()), int((~candidate & live).sum()), len(candidate)
    first, second = float(candidate.mean()), float(live.mean())
    if gained + lost < LEAST_DISCORDANT:
        return _of_few(first, second, gained + lost, rows, 1.0, confidence)
    more, less, whole = gained + 0.5, lost + 0.5, rows + 2
    centre = (more - less) / whole
    reach = _quantile(confidence) * math.sqrt(more + less - (more - less) ** 2 / whole) / whole
    return Difference(first, second, centre - reach, centre + reach, gained + lost, "Agresti-Min")


def areas(truth: Labels, candidate: Floats, live: Floats, confidence: float) -> Difference:
    """Two areas under the ROC curve, with DeLong's covariance of the two."""
    (above, below), (above_live, below_live) = (intervals.placements(truth, score) for score in (candidate, live))
    ups, downs = above - above_live, below - below_live
    first, second = float(above.mean()), float(above_live.mean())
    deviation = math.sqrt(ups.var(ddof=1) / len(ups) + downs.var(ddof=1) / len(downs))
    reach, method = _quantile(confidence) * deviation, "DeLong, paired"
    if not deviation:
        reach = intervals.slack_without_variance(min(len(ups), len(downs)), confidence)
        method = "exact bound, no variance"
    value = first - second
    return Difference(first, second, value - reach, value + reach, _unequal(candidate, live), method)


def from_cells(metric: str, truth: Labels, candidate: Labels, live: Labels, confidence: float) -> Difference:
    """F1, balanced accuracy and precision: the eight counts of truth and both answers, drawn again and again."""
    measure, rows = intervals.FROM_CELLS[metric], len(truth)
    counts = np.bincount(truth * 4 + candidate * 2 + live * 1, minlength=8)
    drawn = np.random.default_rng(intervals.SEED).multinomial(rows, counts / rows, size=intervals.CELL_DRAWS)
    (first,), (second,) = (measure(cells) for cells in _two_tables(counts[None, :]))
    discordant = int((candidate != live).sum())
    if discordant < LEAST_DISCORDANT:
        rarest = min(int(part.sum()) for part in (truth, ~truth, candidate, live))
        # One answer moves each of these by two rows of the rarest count at the most.
        worst = 2 * rows / rarest if rarest else math.nan
        return _of_few(float(first), float(second), discordant, rows, worst, confidence)
    ours, theirs = (measure(cells) for cells in _two_tables(drawn))
    return _drawn(float(first), float(second), ours - theirs, confidence, discordant, "bootstrap of the 8 counts")


def from_rows(metric: str, truth: Floats, candidate: Floats, live: Floats, confidence: float) -> Difference:
    """Losses and errors: pairs of rows drawn again and again."""
    ours, measure = intervals.parts(metric, truth, candidate)
    theirs, _ = intervals.parts(metric, truth, live)
    both, width, rows = np.hstack([ours, theirs]), ours.shape[1], len(truth)

    def measured(weights: Floats) -> tuple[float, float]:
        means = (weights @ both)[None, :] / rows
        return float(measure(means[:, :width])[0]), float(measure(means[:, width:])[0])

    return _of_weights(measured, rows, confidence, _unequal(candidate, live))


def average_precision(truth: Labels, candidate: Floats, live: Floats, confidence: float) -> Difference:
    """Pairs of rows drawn again and again, each score sorted once."""
    ours, theirs = (intervals.average_precision_of(truth, score) for score in (candidate, live))
    return _of_weights(
        lambda weights: (ours(weights), theirs(weights)), len(truth), confidence, _unequal(candidate, live)
    )


def rows_to_decide(difference: Difference, margin: float, rows: int, confidence: float, gain: float) -> int | None:
    """About how many rows would decide: if the two are equally good, else if the difference stays what it is.

    `gain` is the difference, above zero where the candidate is better. None where no number of rows would.
    """
    if difference.few:
        if difference.exact:
            share = difference.high / margin if margin else math.inf
        else:
            share = LEAST_DISCORDANT / difference.discordant if difference.discordant else math.inf
        return intervals.rounded_up(rows * share) if 1 < share <= 1_000 else None
    reach = (difference.high - difference.low) / 2
    wanted = (_quantile(confidence) + POWER) / _quantile(confidence) * reach
    for distance in (margin, abs(gain + margin)):
        if distance and wanted / distance <= 30 and (needed := rows * (wanted / distance) ** 2) > rows:
            return intervals.rounded_up(needed)
    return None


def _of_few(first: float, second: float, discordant: int, rows: int, worst: float, confidence: float) -> Difference:
    """The exact bound on how often the two may differ at all: no difference of their metrics can be larger."""
    most = float(stats.beta.ppf(confidence, discordant + 1, rows - discordant)) * worst
    method = "exact bound on the rows that differ"
    return Difference(first, second, -most, most, discordant, method, exact=True)


def _of_weights(
    measured: Callable[[Floats], tuple[float, float]], rows: int, confidence: float, discordant: int
) -> Difference:
    first, second = measured(np.ones(rows))
    pairs = np.array([measured(weights) for weights in intervals.draws(rows)])
    method = f"bootstrap of pairs, {len(pairs):,} draws"
    return _drawn(first, second, pairs[:, 0] - pairs[:, 1], confidence, discordant, method)


def _drawn(first: float, second: float, drawn: Floats, confidence: float, discordant: int, method: str) -> Difference:
    bounds = intervals.percentiles(first - second, drawn, confidence, method)
    return Difference(first, second, bounds.low, bounds.high, discordant, method)


def _two_tables(counts: Counts) -> tuple[Counts, Counts]:
    """Of the eight counts (truth, candidate, live as bits): hit, false alarm, lost, kept of the one and the other."""
    n = counts.T
    candidate = np.stack([n[6] + n[7], n[2] + n[3], n[4] + n[5], n[0] + n[1]], axis=1)
    live = np.stack([n[5] + n[7], n[1] + n[3], n[4] + n[6], n[0] + n[2]], axis=1)
    return candidate, live


def _unequal(candidate: Floats, live: Floats) -> int:
    return int((candidate != live).sum())


def _quantile(confidence: float) -> float:
    return float(stats.norm.ppf(confidence))
