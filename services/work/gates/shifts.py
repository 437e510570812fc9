"""How far one column has moved between two tables, as pure functions of two series.

Numbers are compared by the Kolmogorov-Smirnov distance, categories by the total variation, nulls by their shares.
Each is a share between 0 and 1, so that one limit means the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from services.rules.spoken import share
from services.work.gates import columns
from services.work.gates.columns import Family
from services.work.gates.task import many

SEED = 20130101
MOST_ROWS = 50_000  # of numbers, a side; more would only make small shifts more certain
LEAST_EXPECTED = 5  # rows of a category on either side, for the chi-square to hold; rarer ones are pooled
IDENTIFIER_ROWS = 100  # fewer may all be different by chance
IDENTIFIER_SHARE = 0.5

Floats = npt.NDArray[np.float64]
NUMBERS = frozenset({Family.INTEGER, Family.FLOAT, Family.BOOLEAN})
LABELS = frozenset({Family.TEXT, Family.BOOLEAN})


class Kind(StrEnum):
    """What a comparison looks at."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    NULLS = "nulls"
    TIMESTAMP = "timestamp"
    IDENTIFIER = "identifier"
    TYPE = "type"
    OTHER = "other"


MEASURES = {Kind.NUMERIC: "KS distance", Kind.CATEGORICAL: "total variation", Kind.NULLS: "difference of null shares"}


@dataclass(frozen=True)
class Shift:
    """What was found of one column. `statistic` and `p` are none where nothing can be judged by them.

    `median_shift` is in interquartile ranges of the live side; `rows` and `live_rows` are those that were compared;
    `new` are categories that the live side does not have, with how many rows they have.
    """

    column: str
    kind: Kind
    rows: int
    live_rows: int
    statistic: float | None = None
    p: float | None = None
    median_shift: float | None = None
    note: str = ""
    new: tuple[tuple[str, int], ...] = ()

    @property
    def least_rows(self) -> int:
        return min(self.rows, self.live_rows)


def compare(name: str, column: pd.Series, live: pd.Series) -> list[Shift]:
    """The shift of the values, and that of the nulls where there are any."""
    nulls = _nulls(name, column, live)
    values = _values(name, column.dropna(), live.dropna(), columns.family(column), columns.family(live))
    return [shift for shift in (values, nulls) if shift is not None]


def _nulls(name: str, column: pd.Series, live: pd.Series) -> Shift | None:
    ours, theirs = int(column.isna().sum()), int(live.isna().sum())
    if not ours + theirs:
        return None
    before, now = theirs / len(live), ours / len(column)
    counts = np.array([[ours, len(column) - ours], [theirs, len(live) - theirs]])
    note = f"nulls {share(before)} live, now {share(now)}"
    return Shift(name, Kind.NULLS, len(column), len(live), abs(now - before), _chi_square(counts), note=note)


def _values(name: str, column: pd.Series, live: pd.Series, ours: Family, theirs: Family) -> Shift | None:
    if Family.EMPTY in (ours, theirs):
        return None  # the nulls tell it all
    if ours is theirs is Family.DATETIME:
        return _timestamps(name, column, live)
    if {ours, theirs} <= LABELS and ours is theirs:
        return _categories(name, column.astype(str), live.astype(str))
    if {ours, theirs} <= NUMBERS:
        return _numbers(name, column, live)
    if {ours, theirs} == {Family.DATETIME, Family.TEXT}:
        return Shift(name, Kind.OTHER, len(column), len(live), note="dates on one side and text on the other")
    if Family.OTHER in (ours, theirs):
        return Shift(name, Kind.OTHER, len(column), len(live), note="lists, or values of no one type")
    if ours is theirs:
        return Shift(
            name, Kind.OTHER, len(column), len(live), note=f"{columns.PLURAL.get(ours, ours)} are not compared"
        )
    was, now = columns.PLURAL.get(theirs, theirs), columns.PLURAL.get(ours, ours)
    return Shift(name, Kind.TYPE, len(column), len(live), note=f"held {was} live, and holds {now} now")


def _numbers(name: str, column: pd.Series, live: pd.Series) -> Shift:
    if _are_all_different(column) and _are_all_different(live):
        return Shift(name, Kind.IDENTIFIER, len(column), len(live), note="every value is another, as in an identifier")
    ours, theirs = (_sampled(side.to_numpy(dtype=float)) for side in (column, live))
    found = stats.ks_2samp(ours, theirs, method="asymp")
    return Shift(
        name,
        Kind.NUMERIC,
        len(column),
        len(live),
        float(found.statistic),
        float(found.pvalue),
        _median_shift(ours, theirs),
        _infinities(column),
    )


def _are_all_different(column: pd.Series) -> bool:
    """Integers only: measurements with decimals are usually all different."""
    whole = columns.family(column) is Family.INTEGER
    return whole and len(column) >= IDENTIFIER_ROWS and column.nunique() == len(column)


def _median_shift(ours: Floats, theirs: Floats) -> float | None:
    low, middle, high = np.quantile(theirs, [0.25, 0.5, 0.75], method="nearest")
    now = np.quantile(ours, 0.5, method="nearest")
    if not np.isfinite([low, middle, high, now]).all() or high == low:
        return None
    return float((now - middle) / (high - low))


def _infinities(column: pd.Series) -> str:
    infinite = int(np.isinf(column.to_numpy(dtype=float)).sum())
    return f"has {many(infinite, 'infinite value')}" if infinite else ""


def _sampled(values: Floats) -> Floats:
    if len(values) <= MOST_ROWS:
        return values
    return np.random.default_rng(SEED).choice(values, MOST_ROWS, replace=False)


def _categories(name: str, column: pd.Series, live: pd.Series) -> Shift:
    both = pd.DataFrame({"ours": column.value_counts(), "theirs": live.value_counts()}).fillna(0).astype(int)
    if (
        len(column) >= IDENTIFIER_ROWS
        and min(column.nunique() / len(column), live.nunique() / len(live)) > IDENTIFIER_SHARE
    ):
        note = "most values are their own, as in an identifier"
        return Shift(name, Kind.IDENTIFIER, len(column), len(live), note=note)
    variation = float((both["ours"] / len(column) - both["theirs"] / len(live)).abs().sum() / 2)
    unseen = both.loc[both["theirs"] == 0, "ours"].sort_values(ascending=False)
    return Shift(
        name,
        Kind.CATEGORICAL,
        len(column),
        len(live),
        variation,
        _chi_square(_pooled(both.to_numpy().T)),
        new=tuple((str(category), int(rows)) for category, rows in unseen.items()),
    )


def _pooled(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Categories as columns; those too rare for a chi-square together as one, or with the rarest of the others."""
    expected = counts.sum(axis=0) * (counts.sum(axis=1).min() / counts.sum())
    rare = expected < LEAST_EXPECTED
    kept, pool = counts[:, ~rare], counts[:, rare].sum(axis=1, keepdims=True)
    if not pool.sum():
        return kept
    if expected[rare].sum() < LEAST_EXPECTED and kept.shape[1]:
        kept[:, [int(kept.sum(axis=0).argmin())]] += pool
        return kept
    return np.hstack([kept, pool])


def _chi_square(counts: npt.NDArray[np.int64]) -> float:
    """The p-value that two rows of counts come from one distribution; 1 where there is nothing to tell apart."""
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 1.0
    return float(stats.chi2_contingency(counts, correction=False).pvalue)


def _timestamps(name: str, column: pd.Series, live: pd.Series) -> Shift:
    """Later data has later timestamps, which is no drift: how much later is shown, and nothing is judged."""
    now, before = (pd.Timestamp(pd.to_datetime(side, utc=True).median()) for side in (column, live))
    days = (now - before).total_seconds() / 86_400
    return Shift(
        name,
        Kind.TIMESTAMP,
        len(column),
        len(live),
        note=f"{abs(days):,.3g} days {'later' if days >= 0 else 'earlier'}",
    )
