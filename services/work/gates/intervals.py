"""How sure a metric is: one-sided bounds below and above it, as pure functions of arrays.

`low` and `high` each hold with the given confidence by itself: "at least low with 95 %". Rates have Wilson's bound,
the area under the ROC curve DeLong's on the logit scale, the others a bootstrap with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

SEED = 20130101
CELL_DRAWS = 20_000  # resamples of a table of counts cost next to nothing
DRAWS, LEAST_DRAWS, WORK = 2_000, 400, 200_000_000  # resamples of rows: as many as WORK row draws allow, within limits

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A metric and its one-sided bounds. `method` says in words how the bounds were found."""

    value: float
    low: float
    high: float
    method: str


def rate(hits: int, trials: int, confidence: float) -> Interval:
    """A share of `trials`, with Wilson's bounds: they hold at 0, at 1 and for few trials too."""
    z = float(stats.norm.ppf(confidence))
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return Interval(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)), "Wilson")


def roc_auc(truth: Labels, score: Floats, confidence: float) -> Interval:
    """The area under the ROC curve with DeLong's variance (by mid-ranks, n log n), bounded on the logit scale."""
    above, below = placements(truth, score)
    area = float(above.mean())
    deviation = float(np.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)))
    if not 0 < area < 1 or not deviation:
        slack = slack_without_variance(min(len(above), len(below)), confidence)
        return Interval(area, max(0.0, area - slack), min(1.0, area + slack), "exact bound, no variance")
    reach = float(stats.norm.ppf(confidence)) * deviation / (area * (1 - area))
    low, high = special.expit(special.logit(area) + np.array([-reach, reach]))
    return Interval(area, float(low), float(high), "DeLong")


def placements(truth: Labels, score: Floats) -> tuple[Floats, Floats]:
    """For each yes the share of the noes below it, and for each no the share of the yeses above it."""
    yes, no = score[truth], score[~truth]
    ranks = stats.rankdata(np.concatenate([yes, no]))
    above = (ranks[: len(yes)] - stats.rankdata(yes)) / len(no)
    below = 1 - (ranks[len(yes) :] - stats.rankdata(no)) / len(yes)
    return above, below


def slack_without_variance(rows: int, confidence: float) -> float:
    """How far it may lie off where no row varies: as sure as a coin that fell the same way each time."""
    return float(1 - (1 - confidence) ** (1 / rows))


def from_cells(metric: str, truth: Labels, said: Labels, confidence: float) -> Interval:
    """F1 and balanced accuracy: the four counts of the confusion matrix, drawn again and again."""
    cells = np.array([(truth & said).sum(), (~truth & said).sum(), (truth & ~said).sum(), (~truth & ~said).sum()])
    measure = FROM_CELLS[metric]
    drawn = np.random.default_rng(SEED).multinomial(len(truth), cells / len(truth), size=CELL_DRAWS)
    return percentiles(float(measure(cells[None, :])[0]), measure(drawn), confidence, "bootstrap of the counts")


def from_rows(metric: str, truth: Floats, predicted: Floats, confidence: float) -> Interval:
    """Losses and errors: means over rows, or made of means over rows, with rows drawn again and again."""
    columns, measure = parts(metric, truth, predicted)
    totals = np.array([weights @ columns for weights in draws(len(truth))])
    value = float(measure(columns.sum(axis=0)[None, :] / len(truth))[0])
    return percentiles(value, measure(totals / len(truth)), confidence, f"bootstrap, {len(totals):,} draws")


def average_precision(truth: Labels, score: Floats, confidence: float) -> Interval:
    """Sorted once; a draw only changes how often each row counts."""
    measure = average_precision_of(truth, score)
    drawn = np.array([measure(weights) for weights in draws(len(truth))])
    return percentiles(measure(np.ones(len(truth))), drawn, confidence, f"bootstrap, {len(drawn):,} draws")


def average_precision_of(truth: Labels, score: Floats) -> Callable[[Floats], float]:
    """The average precision as a function of how often each row counts."""
    order = np.argsort(-score, kind="stable")
    hit, score = truth[order], score[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))  # ties share one threshold

    def measure(weights: Floats) -> float:
        weights = weights[order]
        hits, taken = np.cumsum(weights * hit)[ends], np.cumsum(weights)[ends]
        gained = np.diff(hits, prepend=0.0)
        return float(np.sum(gained * hits / np.maximum(taken, 1)) / hits[-1]) if hits[-1] else np.nan

    return measure


def rows_to_decide(interval: Interval, limit: float, rows: int) -> int | None:
    """About how many rows would bring the limit outside the interval, if the metric stayed; None for too many."""
    distance = abs(interval.value - limit)
    half = interval.value - interval.low if limit < interval.value else interval.high - interval.value
    if not distance or not np.isfinite(half) or half / distance > 30:
        return None
    needed = rows * (half / distance) ** 2
    return rounded_up(needed)


def rounded_up(rows: float) -> int:
    """To two digits, since more would claim to know it better."""
    scale = 10 ** (int(np.log10(rows)) - 1) if rows >= 10 else 1
    return int(np.ceil(rows / scale) * scale)


def f1(cells: npt.NDArray[np.int64]) -> Floats:
    hit, false, lost, _ = cells.T
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hit / (2 * hit + false + lost), dtype=float)


def balanced_accuracy(cells: npt.NDArray[np.int64]) -> Floats:
    hit, false, lost, kept = cells.T
    with np.errstate(invalid="ignore"):
        return np.asarray((hit / (hit + lost) + kept / (kept + false)) / 2, dtype=float)


def precision(cells: npt.NDArray[np.int64]) -> Floats:
    hit, false, _, _ = cells.T
    with np.errstate(invalid="ignore"):
        return np.asarray(hit / (hit + false), dtype=float)


# Of the counts hit, false alarm, lost, kept: one row a table.
FROM_CELLS = {"f1": f1, "balanced_accuracy": balanced_accuracy, "precision": precision}


def parts(metric: str, truth: Floats, predicted: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
    """The columns whose means make the metric, and how it is made of them."""
    error = truth - predicted
    match metric:
        case "mae":
            return np.abs(error)[:, None], lambda means: means[:, 0]
        case "rmse":
            return (error**2)[:, None], lambda means: np.sqrt(means[:, 0])
        case "brier":
            return (error**2)[:, None], lambda means: means[:, 0]
        case "log_loss":
            sure = np.clip(predicted, 1e-15, 1 - 1e-15)
            return -(special.xlogy(truth, sure) + special.xlogy(1 - truth, 1 - sure))[:, None], lambda means: means[
                :, 0
            ]
        case "r2":
            centred = truth - truth.mean()  # keeps the difference of squares exact for large targets
            return np.column_stack([error**2, centred**2, centred]), _r2
    raise ValueError(f"{metric} is not a mean over rows")


def _r2(means: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - means[:, 0] / (means[:, 1] - means[:, 2] ** 2)


def draws(rows: int) -> Iterator[Floats]:
    """How often each row counts, in one resample after another: always the same ones for a number of rows."""
    chance = np.random.default_rng(SEED)
    for _ in range(int(np.clip(WORK / rows, LEAST_DRAWS, DRAWS))):
        yield np.bincount(chance.integers(0, rows, rows), minlength=rows).astype(float)


def percentiles(value: float, drawn: Floats, confidence: float, method: str) -> Interval:
    usable = drawn[np.isfinite(drawn)]
    low, high = np.quantile(usable, [1 - confidence, confidence]) if len(usable) else (np.nan, np.nan)
    return Interval(value, float(min(low, value)), float(max(high, value)), method)
